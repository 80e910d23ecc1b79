//! `effbench challenge`: a variant of anyone's under the protocol that is the same for all, and lines for a table.

use std::path::{Path, PathBuf};

use clap::Args;

use super::outcome::Watching;
use super::print::{Format, print, print_json, say, to_json};
use crate::analysis::challenge::{Entry, Protocol};
use crate::campaign::rates::misrated;
use crate::campaign::rerun::{Again, Here, Verdict, miscounted, rerun};
use crate::campaign::{Campaign, Mode, Options, Outcome};
use crate::config::{Gate, Library};
use crate::error::{Error, Kind, Result, quoted};
use crate::record::copies::copies;
use crate::record::{ResultFile, store};
use crate::report;
use crate::runner::found::{kept, refuse_there};
use crate::runner::{Interrupt, child};
use crate::trial::Registry;
use crate::unit::{Bytes, Flops, Seconds};

/// The suite that is the protocol.
const SUITE: &str = "challenge";
/// The committed result that challengers are held against, from the root of a clone.
const FRONTIER: &str = "results/zoo-epyc-19h-1c-linux.json";

/// What a line rests on.
const CHECKED: &str = "Checked: the rules, FLOPs and parameters by the specs, learning rates by the losses of each sweep. Not checked: whether \
                       these losses were seen, in the sweep or at the end; `effbench validate FILE --rerun 6` trains some of both again.";

/// Arguments of `effbench challenge`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  effbench challenge mine.toml                 tunes, trains and judges it: some minutes on two cores
  effbench challenge mine.toml --dry-run       what that would take, and whether the rules let it
  effbench challenge challenge-mine.json       its line again, and whether the file keeps the rules
  effbench validate challenge-mine.json --rerun 3     three of its trials again: are these its losses?

The rules are in docs/challenge.md.")]
pub struct ChallengeArgs {
    /// The variant, a file or as `--variants` takes it (gpt2+rope+mine.toml); or result files of challenges, for their lines.
    #[arg(required = true, value_name = "FILE.toml|RESULT.json")]
    pub files: Vec<String>,
    /// The result file [default: challenge-VARIANT.json].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Run only what is missing from an earlier run.
    #[arg(long, conflicts_with = "fresh")]
    pub resume: bool,
    /// Start over and replace what is there.
    #[arg(long)]
    pub fresh: bool,
    /// Say what would be run and what it would take, and run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The result of suite zoo whose base it is held against.
    #[arg(long, value_name = "RESULT", default_value = FRONTIER)]
    pub against: PathBuf,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Judges a variant, or says again what was judged.
pub fn execute(args: &ChallengeArgs, registry: &Registry) -> Result<()> {
    let library = registry.library();
    let protocol = protocol(args, &library)?;
    let is_result = |file: &String| file.ends_with(".json");
    if args.files.iter().all(is_result) {
        let mut entries = Vec::new();
        for file in &args.files {
            let found = store::read_valid(Path::new(file))?;
            entries.extend(judge(registry, &protocol, file, &found)?);
        }
        return tell(&entries, args.format);
    }
    let [variant] = &args.files[..] else {
        return Err(Error::input(
            "one variant at a time runs, and result files are told without one",
        )
        .hint("`effbench challenge mine.toml`, then `effbench challenge *.json`"));
    };
    challenge(args, registry, &library, &protocol, variant)
}

/// Every challenger of a file, whoever made it: costs are those of its specs, rates those of its sweeps, and the rest as the rules
/// have it.
fn judge(
    registry: &Registry,
    protocol: &Protocol,
    name: &str,
    file: &ResultFile,
) -> Result<Vec<Entry>> {
    let refused = |said: &str, hint: &str| {
        let error = Error {
            kind: Kind::NotComparable,
            message: format!("{name}: {said}"),
            hint: None,
        };
        error.hint(hint)
    };
    if let Some(first) = miscounted(registry, file, Here::default()).first() {
        return Err(refused(
            first,
            "a gain is counted in FLOPs, which follow from the spec",
        ));
    }
    if let Some(first) = copies(file).first() {
        return Err(refused(first, "repeats are there to show what luck does"));
    }
    let entries = protocol.judge(name, file)?;
    for entry in &entries {
        if let Some(first) = misrated(file, &entry.variant).first() {
            return Err(refused(
                first,
                "a rate follows from the losses of its sweep: docs/challenge.md has the rule",
            ));
        }
    }
    Ok(entries)
}

fn protocol(args: &ChallengeArgs, library: &Library) -> Result<Protocol> {
    let frontier = store::read_valid(&args.against).map_err(|error| {
        let hint = "run it in the root of a clone of the repository, or say where the file is: --against RESULT";
        if args.against.exists() {
            error
        } else {
            error.hint(hint)
        }
    })?;
    let protocol = Protocol::of(library.suite(SUITE)?, frontier.clone())?;
    match misrated(&frontier, protocol.base()).first() {
        None => Ok(protocol),
        Some(first) => Err(Error {
            kind: Kind::NotComparable,
            message: format!("{}: {first}", args.against.display()),
            hint: Some("a base is tuned as every challenger is".to_owned()),
        }),
    }
}

fn challenge(
    args: &ChallengeArgs,
    registry: &Registry,
    library: &Library,
    protocol: &Protocol,
    reference: &str,
) -> Result<()> {
    let variant = library.variant(reference)?;
    protocol.refuse_variant(&variant)?;
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| format!("challenge-{}.json", variant.name).into());
    let options = Options {
        suite: SUITE.to_owned(),
        device: "cpu".to_owned(),
        variants: vec![reference.to_owned()],
        out: Some(out.clone()),
        resume: Some(resume_command(args, reference)),
        mode: match (args.resume, args.fresh) {
            (true, _) => Mode::Resume,
            (_, true) => Mode::Fresh,
            _ => Mode::New,
        },
        ..Options::default()
    };
    let campaign = Campaign::resolve(registry, library, &options)?;
    for cell in campaign.plan()?.cells {
        let budget = cell.cell.rsplit('@').next().and_then(|n| n.parse().ok());
        if let Some(spec) = campaign.spec(&cell.cell) {
            protocol.refuse_spec(&cell.cell, budget, spec)?;
        }
    }
    campaign.check()?;
    if args.dry_run {
        return dry_run(&campaign, args.format);
    }
    refuse_there(&out, options.mode)?;
    // What was kept was trained after the base's loss had been found again.
    if options.mode == Mode::Resume && !kept(&out)?.is_empty() {
        let base = protocol.base();
        say(&format!(
            "the loss of {base} was found again when this began"
        ));
    } else {
        find_again(registry, protocol)?;
    }
    let outcome = campaign.run(&mut Watching::new(Gate::default()))?;
    let Outcome::Finished(finished) = outcome else {
        return Err(Error::internal("a challenge ran as something else"));
    };
    let path = finished.written.out.display().to_string();
    say(&format!("result file: {path}"));
    finished.verdict()?;
    tell(
        &judge(registry, protocol, &path, &finished.written.file)?,
        args.format,
    )?;
    say(&format!(
        "others check it with `effbench challenge {path}` and `effbench validate {path} --rerun 3`"
    ));
    Ok(())
}

/// The command that goes on where this one was interrupted.
fn resume_command(args: &ChallengeArgs, reference: &str) -> String {
    let mut words = vec![quoted(reference), "--resume".to_owned()];
    let against = Some(&args.against).filter(|path| *path != Path::new(FRONTIER));
    for (flag, path) in [("--out", args.out.as_ref()), ("--against", against)] {
        words.extend(path.map(|path| format!("{flag} {}", quoted(&path.display().to_string()))));
    }
    words.extend((args.format == Format::Json).then(|| "--format json".to_owned()));
    format!("effbench challenge {}", words.join(" "))
}

/// Says what a challenge would take; the rules let it.
fn dry_run(campaign: &Campaign, format: Format) -> Result<()> {
    let plan = campaign.plan_at(&campaign.speed(&Interrupt::default()))?;
    if format == Format::Json {
        return print_json(&to_json(&plan)?);
    }
    let cells: Vec<&str> = plan.cells.iter().map(|cell| cell.cell.as_str()).collect();
    print(&format!(
        "The rules let it. After one trial of the base it would run {} trials, {} of them to choose learning rates: {} at {} repeats each, {}, about {} and {} at a time here (guesses).",
        plan.trials,
        plan.tuning_trials,
        cells.join(", "),
        plan.repeats,
        Flops(plan.total_flops),
        Seconds(plan.seconds_guess),
        Bytes(plan.memory_bytes_guess as f64),
    ))
}

/// Runs a trial of the base again: whether this machine finds what it found where it was committed.
fn find_again(registry: &Registry, protocol: &Protocol) -> Result<()> {
    child::refuse_to_nest()?;
    let file = protocol.to_find_again();
    // A program can ask for signals only once, and the campaign will: until then they end it.
    let interrupt = Interrupt::default();
    let base = protocol.base();
    say(&format!(
        "a trial of {base} first: does this machine find its loss again?"
    ));
    let found = rerun(
        registry,
        &file,
        (1, 0),
        Here::default(),
        &interrupt,
        &mut |_| {},
    )?;
    let Some(again) = found.first() else {
        return Err(Error::internal("no trial of the base was run"));
    };
    match again.verdict {
        Verdict::Same => say(&format!("{}: the same to the bit", said(again))),
        Verdict::Near => say(&format!(
            "{}: not the same bits, but within what its repeats differ by, as on another type of processor",
            said(again)
        )),
        Verdict::Other | Verdict::Unknown | Verdict::Failed => {
            let why = again.reason.as_deref().unwrap_or("another loss");
            return Err(Error {
                kind: Kind::NotComparable,
                message: format!(
                    "{}: this machine does not find it again: {why}",
                    said(again)
                ),
                hint: Some(format!(
                    "`effbench run zoo --variants {base} --out base.json` trains the base here, then `--against base.json`"
                )),
            });
        }
    }
    Ok(())
}

fn said(again: &Again) -> String {
    let now = again.now_nats.map(|now| format!(", here {now:.4}"));
    format!(
        "{}, repeat {}, {:.4} nats{}",
        again.cell,
        again.repeat,
        again.then_nats,
        now.unwrap_or_default()
    )
}

fn tell(entries: &[Entry], format: Format) -> Result<()> {
    if format == Format::Json {
        return print_json(&serde_json::json!({ "challengers": to_json(&entries)? }));
    }
    for entry in entries.iter().filter(|_| entries.len() == 1) {
        say(&report::sentence(&entry.answer));
    }
    say(CHECKED);
    print(&report::challenge::table(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes on with a challenge is a challenge: `run` would neither judge nor tell.
    #[test]
    fn what_goes_on_with_a_challenge_is_a_challenge() {
        let args = |out: Option<&str>, against: &str| ChallengeArgs {
            files: vec!["my own.toml".to_owned()],
            out: out.map(PathBuf::from),
            resume: false,
            fresh: true,
            dry_run: false,
            against: against.into(),
            format: Format::Text,
        };
        let command = resume_command(&args(None, FRONTIER), "my own.toml");
        assert_eq!(command, "effbench challenge 'my own.toml' --resume");
        let command = resume_command(&args(Some("x.json"), "base.json"), "mine.toml");
        assert_eq!(
            command,
            "effbench challenge mine.toml --resume --out x.json --against base.json"
        );
    }
}
