//! Reasons to doubt what was read off curves, each with what would take the doubt away.

use super::curves::Runner;
use crate::analysis::Caveat;
use crate::analysis::axis::Axis;
use crate::record::{BySixND, ResultFile, Status, Trial};

/// Fewer runs an arm do not carry a verdict.
const RUNS: usize = 3;
/// What is read before this share of a run was read under a schedule that was not planned to end there.
const AT_THE_END: f64 = 0.98;

/// Everything that speaks against believing the costs.
pub fn caveats(
    file: &ResultFile,
    trials: &[&Trial],
    base: &str,
    of_base: &[Runner],
    others: &[(&str, Vec<Runner>)],
    target: f64,
) -> Vec<Caveat> {
    let arms: Vec<(&str, &[Runner])> = [(base, of_base)]
        .into_iter()
        .chain(others.iter().map(|(name, runs)| (*name, runs.as_slice())))
        .collect();
    let found = [
        not_reached(&arms, target),
        few(&arms),
        schedule(&arms, target),
        blind(&arms),
        sessions(file, trials),
        stated(trials),
        failed(trials),
    ];
    found.into_iter().flatten().collect()
}

fn not_reached(arms: &[(&str, &[Runner])], target: f64) -> Option<Caveat> {
    let of = |(name, runs): &(&str, &[Runner])| {
        let beyond = |run: &&Runner| {
            Axis::ALL
                .iter()
                .any(|a| run.cost(*a, target).is_some_and(|side| side.is_beyond()))
        };
        let (out, diverged) = (
            runs.iter().filter(beyond).count(),
            runs.iter().filter(|run| run.diverged).count(),
        );
        let told = if diverged > 0 {
            format!(", {diverged} of which diverged")
        } else {
            String::new()
        };
        (out > 0).then(|| format!("{out} of {} runs of {name}{told}", runs.len()))
    };
    let list: Vec<String> = arms.iter().filter_map(of).collect();
    (!list.is_empty()).then(|| Caveat {
        code: "not_reached",
        message: format!(
            "the target was not reached by {}: they count with what they spent, as bounds",
            list.join(" and ")
        ),
        remedy: "longer runs, or a target that all reach (`--target base` is one for the base)"
            .to_owned(),
    })
}

fn few(arms: &[(&str, &[Runner])]) -> Option<Caveat> {
    let list: Vec<String> = arms
        .iter()
        .filter(|(_, runs)| runs.len() < RUNS)
        .map(|(name, runs)| format!("{name} {}", runs.len()))
        .collect();
    (!list.is_empty()).then(|| Caveat {
        code: "few_repeats",
        message: format!("too few runs to tell luck from gain: {}", list.join(", ")),
        remedy: format!("{RUNS} seeds an arm or more"),
    })
}

fn schedule(arms: &[(&str, &[Runner])], target: f64) -> Option<Caveat> {
    let count = arms
        .iter()
        .flat_map(|(_, runs)| runs.iter())
        .filter(|run| run.on_the_way(target, AT_THE_END))
        .count();
    (count > 0).then(|| Caveat {
        code: "schedule",
        message: format!(
            "{count} runs passed the target on their way: their schedules were planned for longer, and a run that ends there with its \
             rate decayed gets there sooner"
        ),
        remedy: "compare runs that were planned to end at the target, or whose schedules are alike".to_owned(),
    })
}

fn blind(arms: &[(&str, &[Runner])]) -> Option<Caveat> {
    let unpaired = arms
        .iter()
        .any(|(_, runs)| runs.len() > 1 && runs.iter().any(Runner::is_blind));
    unpaired.then(|| Caveat {
        code: "seeds_unpaired",
        message:
            "seeds are not known, or not shared: arms are compared mean with mean, not seed by seed"
                .to_owned(),
        remedy: "--map seed=COLUMN or --split '@file={variant}_seed{seed}' at import".to_owned(),
    })
}

fn sessions(file: &ResultFile, trials: &[&Trial]) -> Option<Caveat> {
    let timed = trials
        .iter()
        .any(|trial| trial.stated.is_some() && !trial.curve.wall_s.is_empty());
    (timed && file.run.interleaved != Some(true)).then(|| Caveat {
        code: "sessions",
        message:
            "nobody says that these runs took turns on one machine: gains in seconds hold what differs between sessions"
                .to_owned(),
        remedy: "--interleaved at import, where they did".to_owned(),
    })
}

fn stated(trials: &[&Trial]) -> Option<Caveat> {
    let stated: Vec<_> = trials
        .iter()
        .filter_map(|trial| trial.stated.as_ref())
        .collect();
    let derived = stated
        .iter()
        .filter(|s| s.by_six_n_d == Some(BySixND::TrainFlops))
        .count();
    let flops = match derived {
        0 => "",
        all if all == stated.len() => "; FLOPs are 6 N D",
        _ => "; FLOPs are 6 N D where no log states them",
    };
    (!stated.is_empty()).then(|| Caveat {
        code: "imported",
        message: format!(
            "costs, seeds and learning rates are what the logs say, not measured here{flops}"
        ),
        remedy: "run the variants with effbench to have them counted and tuned alike".to_owned(),
    })
}

fn failed(trials: &[&Trial]) -> Option<Caveat> {
    let lost = |trial: &&&Trial| !matches!(trial.status, Status::Ok | Status::Diverged);
    let count = trials.iter().filter(lost).count();
    (count > 0).then(|| Caveat {
        code: "failed",
        message: format!("{count} trials failed without a curve and are left out"),
        remedy: "run them again: an arm whose failures are left out looks better than it is"
            .to_owned(),
    })
}
