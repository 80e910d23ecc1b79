//! The first screen: the answer, winner first, its interval drawn, what it rests on, and the strongest reason for doubt.

use super::gain::{answers, at, headline};
use super::hue::loss_label;
use super::scale::opening;
use super::sentence::sentence;
use super::{served, think};
use crate::analysis::findings::{Cell, Findings};
use crate::analysis::study::Study;
use crate::analysis::{Answer, Unanswered};
use crate::report::page::Block;
use crate::unit::Nats;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut blocks = said(findings);
    blocks.push(Block::Facts(facts(findings)));
    blocks.extend(doubt(findings));
    Some(blocks)
}

/// The answer, or why there is none and what there is instead; of a run that goes on, that it does before anything else.
pub(super) fn said(findings: &Findings) -> Vec<Block> {
    let mut blocks: Vec<Block> = not_finished(findings).into_iter().collect();
    blocks.extend(found(findings));
    blocks
}

fn not_finished(findings: &Findings) -> Option<Block> {
    let (run, trials) = (&findings.file.run, findings.file.trials.len());
    let s = if trials == 1 { "" } else { "s" };
    run.finished_at.is_none().then(|| {
        let so_far = format!(
            "Not finished: {trials} trial{s} so far, and what follows may change; `{} --resume`, with the --out and the paths that it \
             had, runs the rest.",
            run.command
        );
        Block::Lead(so_far)
    })
}

fn found(findings: &Findings) -> Vec<Block> {
    let answer = match &findings.answer {
        Ok(answer) => answer,
        Err(why) => return unanswered(findings, why),
    };
    let Some(study) = drawn(findings) else {
        return vec![Block::Lead(sentence(answer))];
    };
    let hue = |variant: &str| super::hue::hue(findings, variant);
    let mut blocks: Vec<Block> = headline(study).map(Block::Lead).into_iter().collect();
    blocks.extend(answers(study, &hue));
    blocks.extend(elsewhere(findings, answer).map(|other| Block::Text(sentence(other))));
    blocks
}

/// The study whose answers and plot are on the first screen.
pub(super) fn drawn<'a>(findings: &'a Findings) -> Option<&'a Study> {
    let mut studies = findings.studies.iter();
    studies.find(|study| findings.answer.is_ok() && study.headline.is_some())
}

/// The same question on other data.
fn elsewhere<'a>(findings: &'a Findings, answer: &'a Answer) -> impl Iterator<Item = &'a Answer> {
    let same = |other: &&Answer| {
        (&other.variant, &other.scale, other.budget)
            == (&answer.variant, &answer.scale, answer.budget)
    };
    findings
        .studies
        .iter()
        .flat_map(|study| &study.answers)
        .filter(same)
        .filter(|other| other.data != answer.data)
}

/// A file that asks no question, or cannot answer it, still shows what it holds.
fn unanswered(findings: &Findings, why: &Unanswered) -> Vec<Block> {
    let mut blocks = match why {
        Unanswered::NoQuestion => opening(findings),
        why => vec![Block::Lead(format!("No answer: {why}."))],
    };
    if blocks.is_empty() {
        blocks.extend(think::lead(findings.file));
    }
    if blocks.is_empty() {
        blocks.extend(served::lead(findings));
    }
    if blocks.is_empty() {
        blocks.extend(unasked(findings));
    }
    if let [(_, cells)] = &findings.comparable()[..] {
        blocks.extend(lowest(findings, cells));
    }
    blocks
}

/// Which cell has the lowest loss; losses that are told alike are not ranked.
fn lowest(findings: &Findings, cells: &[&Cell]) -> Option<Block> {
    let (loss, label) = (findings.loss(), loss_label(findings));
    let losses: Vec<(&Cell, f64)> = cells
        .iter()
        .filter_map(|cell| Some((*cell, cell.mean(loss)?)))
        .collect();
    let lowest = losses.iter().map(|(_, loss)| *loss).reduce(f64::min)?;
    let shown = Nats(lowest).to_string();
    let same = losses
        .iter()
        .filter(|(_, loss)| Nats(*loss).to_string() == shown);
    let same: Vec<&Cell> = same.map(|(cell, _)| *cell).collect();
    let (all, of) = (losses.len(), cells.len());
    let said = match &same[..] {
        [one] => {
            let hint = if of > 1 {
                format!(" The best of {of} cells looks better than it is: run it again.")
            } else {
                String::new()
            };
            format!(
                "Lowest {label}: {shown} by {} ({}).{hint}",
                one.name,
                one.count()
            )
        }
        several if several.len() == all => format!("The same in all {all} cells: {label} {shown}."),
        [one, others @ ..] => {
            let others = others.len();
            format!(
                "Lowest {label}: {shown}, the same in {} and {others} more of {of} cells.",
                one.name
            )
        }
        [] => return None,
    };
    Some(Block::Text(said))
}

/// What there is to say where no question was fixed: of the gains over the base, where there is one, else that there is none.
fn unasked(findings: &Findings) -> Vec<Block> {
    let hue = |variant: &str| super::hue::hue(findings, variant);
    let told = findings
        .studies
        .iter()
        .filter(|study| !study.answers.is_empty());
    let mut blocks = Vec::new();
    for study in told {
        blocks.extend(headline(study).map(Block::Lead));
        blocks.extend(answers(study, &hue));
    }
    if blocks.is_empty() {
        let none = "No question was fixed for these results; this is what was measured.";
        blocks.push(Block::Lead(none.to_owned()));
    }
    blocks
}

fn facts(findings: &Findings) -> Vec<(String, String)> {
    let file = findings.file;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let trials: usize = findings
        .cells
        .iter()
        .map(|cell| cell.summary.trials())
        .sum();
    let finished: usize = findings
        .cells
        .iter()
        .map(|cell| cell.summary.finished())
        .sum();
    let all = if finished == trials {
        "all finished".to_owned()
    } else {
        format!("{finished} finished")
    };
    let tuning = match file.trials.len() - trials {
        0 => String::new(),
        swept => format!("; {swept} more chose learning rates"),
    };
    let mut facts = Vec::new();
    if let Ok(answer) = &findings.answer {
        let Answer {
            variant,
            base,
            scale,
            n,
            ..
        } = answer;
        facts.push(fact("Question", format!("{variant} against {base}")));
        facts.push(fact("Size and budget", format!("{scale}{}", at(answer))));
        facts.push(fact("Repeats", format!("n = {n}, paired by seed")));
    }
    facts.push(fact("Data", file.run.data.clone()));
    facts.push(fact("Machine", machines(findings)));
    let so_far = match file.run.finished_at {
        Some(_) => "",
        None => " so far, the run is not done",
    };
    facts.push(fact("Trials", format!("{trials}, {all}{tuning}{so_far}")));
    facts
}

fn machines(findings: &Findings) -> String {
    let name = |machine: &crate::record::Machine| match machine.gpus.first() {
        Some(gpu) => gpu.model.clone(),
        None => match machine.threads {
            Some(1) => format!("{}, 1 thread", machine.cpu.model),
            Some(threads) => format!("{}, {threads} threads", machine.cpu.model),
            None => machine.cpu.model.clone(),
        },
    };
    match &findings.file.machines[..] {
        [machine] => name(machine),
        several => format!("{} machines", several.len()),
    }
}

/// The first caveat is the strongest; the others have a section.
fn doubt(findings: &Findings) -> Vec<Block> {
    let doubts = findings.doubts();
    let Some((first, others)) = doubts.split_first() else {
        return Vec::new();
    };
    let caveat = Block::Caveat {
        message: first.message.clone(),
        remedy: first.remedy.clone(),
    };
    let more = match others.len() {
        0 => None,
        1 => Some("One more reason for doubt stands under “Validity and caveats”.".to_owned()),
        n => Some(format!(
            "{n} more reasons for doubt stand under “Validity and caveats”."
        )),
    };
    std::iter::once(caveat)
        .chain(more.map(Block::Text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::gain::strip;
    use super::*;
    use crate::record::ResultFile;
    use crate::record::example::{example, study};
    use crate::report::page::{Chart, Hue, Open};

    fn lead(file: &ResultFile) -> String {
        let blocks = build(&Findings::of(file)).unwrap();
        let Block::Lead(text) = &blocks[0] else {
            panic!("the answer comes first")
        };
        text.clone()
    }

    #[test]
    fn the_first_words_are_the_finding() {
        let level = |worth: f64| {
            study(4, move |variant, steps, _| {
                let worth = if variant == "modern" { worth } else { 1.0 };
                Some(2.0 - 0.3 * (worth * steps as f64 / 400.0).ln())
            })
        };
        let mut single = level(1.5);
        single.trials.retain(|trial| trial.repeat == 0);
        let mut silent = example();
        silent.run.headline = None;
        let unasked = silent.clone();
        silent.run.base = None;
        let rows = [
            (
                example(),
                "modern is worth 3.0 times gpt2’s compute at 31 k parameters and 3.2e10 FLOP.",
            ),
            (
                level(9.0),
                "modern is worth more than 1.92 times gpt2’s compute at 31 k parameters and 6.4e10 FLOP.",
            ),
            (
                level(0.7),
                "modern is worth only 0.67 times gpt2’s compute at 31 k parameters and 6.4e10 FLOP.",
            ),
            (
                single,
                "Whether modern beats gpt2 cannot be told from one repeat.",
            ),
            (
                unasked,
                "modern is worth more than 1.92 times gpt2’s compute at 31 k parameters and 6.4e10 FLOP.",
            ),
            (
                silent,
                "No question was fixed for these results; this is what was measured.",
            ),
        ];
        for (file, expected) in rows {
            assert_eq!(lead(&file), expected);
        }
    }

    #[test]
    fn a_bound_is_drawn_open() {
        let file = study(4, |variant, steps, _| {
            Some(if variant == "modern" {
                1e-4
            } else {
                1.0 / steps as f64
            })
        });
        let findings = Findings::of(&file);
        let drawn = strip(&findings.studies[0], &|_| Hue::Neutral).unwrap();
        let Chart::Forest(forest) = drawn.chart else {
            panic!()
        };
        assert!(
            forest
                .rows
                .iter()
                .all(|row| row.open == Open::Above && row.interval.is_none())
        );
    }
}
