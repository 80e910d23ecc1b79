//! The first screen: the answer, its interval drawn, what it rests on, and the strongest reason for doubt.

use super::scale::scale_sentence;
use crate::analysis::gain::Sign;
use crate::analysis::{Answer, Axis, Gain, Unanswered};
use crate::report::findings::{Cell, Findings};
use crate::report::gain::picked;
use crate::report::page::{self, Block, Chart, Figure, Forest, Open, Quantity, Row};
use crate::report::sentence::sentence;
use crate::stat::{Estimate, Interval};
use crate::unit::{Nats, Times};

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut blocks = match &findings.answer {
        Ok(answer) => {
            let mut blocks = vec![Block::Lead(verdict(answer)), Block::Text(sentence(answer))];
            blocks.extend(findings.studies.iter().filter_map(picked).map(Block::Text));
            blocks.extend(elsewhere(findings, answer).map(|other| Block::Text(sentence(other))));
            blocks.push(Block::Plot(strip(findings, answer)));
            blocks
        }
        Err(why) => unanswered(findings, why),
    };
    blocks.push(Block::Facts(facts(findings)));
    blocks.extend(findings.answer.as_ref().ok().into_iter().flat_map(doubt));
    Some(blocks)
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

/// The finding in a few words, with no figure that the sentence does not give its interval.
fn verdict(answer: &Answer) -> String {
    let Answer { base, variant, .. } = answer;
    let gain = answer.headline();
    let times = match gain {
        Gain::Solved(estimate) => Times(estimate.value).to_string(),
        Gain::MoreThan(bound) => format!("more than {}", Times(bound.bound)),
        Gain::LessThan(bound) => format!("less than {}", Times(bound.bound)),
        Gain::Unknown { .. } => {
            return format!("What {variant} is worth against {base} cannot be told.");
        }
    };
    match gain.sign() {
        Sign::More => format!("{variant} is worth {times} times {base}’s compute."),
        Sign::Less => format!("{variant} is worth only {times} times {base}’s compute."),
        Sign::Unclear => format!(
            "Whether {variant} beats {base} cannot be told from {}.",
            repeats(answer.n)
        ),
    }
}

fn repeats(n: usize) -> String {
    if n == 1 {
        "one repeat".to_owned()
    } else {
        format!("{n} repeats")
    }
}

/// The interval, drawn.
fn strip(findings: &Findings, answer: &Answer) -> Figure {
    let Answer {
        base, variant, n, ..
    } = answer;
    let hue = findings.hue(variant);
    let row = |axis: Axis| {
        let (value, interval, open) = match answer.on(axis) {
            Gain::Solved(e) => (e.value, e.interval.and_then(closed), open_end(&e)),
            Gain::MoreThan(bound) => (bound.bound, None, Open::Above),
            Gain::LessThan(bound) => (bound.bound, None, Open::Below),
            Gain::Unknown { .. } => return None,
        };
        Some(Row {
            name: axis.words().to_owned(),
            hue,
            value,
            interval,
            open,
            note: format!("n = {n}"),
        })
    };
    let rows: Vec<Row> = Axis::ALL.into_iter().filter_map(row).collect();
    Figure {
        title: format!("What {variant} is worth, by what you count"),
        caption: format!(
            "A gain of 2 means that {base} must spend twice as much to reach the loss that {variant} reaches{}. Right of the broken line at 1 {variant} wins. Bars are 95% intervals over {}.",
            at(answer),
            repeats(*n)
        ),
        chart: Chart::Forest(Forest {
            x: page::Axis::log(&format!("gain: times {base}’s spending"), Quantity::Times),
            null: Some(1.0),
            rows,
        }),
    }
}

/// The ends of an interval, where both lie within the base's runs.
pub(super) fn closed(interval: Interval) -> Option<(f64, f64)> {
    (interval.low > 0.0 && interval.high.is_finite()).then_some((interval.low, interval.high))
}

/// On which side an interval runs out of the base's runs.
pub(super) fn open_end(estimate: &Estimate) -> Open {
    match estimate.interval {
        Some(interval) if !interval.high.is_finite() => Open::Above,
        Some(interval) if interval.low <= 0.0 => Open::Below,
        _ => Open::No,
    }
}

/// ` at 400 steps`, where cells carry a budget.
fn at(answer: &Answer) -> String {
    answer
        .budget
        .map(|steps| format!(" at {steps} steps"))
        .unwrap_or_default()
}

/// A file that asks no question, or cannot answer it, still shows what it holds.
fn unanswered(findings: &Findings, why: &Unanswered) -> Vec<Block> {
    let lead = match why {
        Unanswered::NoQuestion => scale_sentence(&findings.ladders).unwrap_or_else(|| {
            "No question was fixed for these results; this is what was measured.".to_owned()
        }),
        why => format!("No answer: {why}."),
    };
    let loss = findings.loss();
    let best = |cells: &[&Cell]| {
        let with_loss = cells
            .iter()
            .filter_map(|cell| Some((cell.name.clone(), cell.mean(loss)?, cell.count())));
        let (name, value, count) = with_loss.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let of = cells.len();
        let hint = if of > 1 {
            format!(" The best of {of} cells looks better than it is: run it again.")
        } else {
            String::new()
        };
        Some(Block::Text(format!(
            "Lowest {}: {} by {name} ({count}).{hint}",
            findings.loss_label(),
            Nats(value)
        )))
    };
    let comparable = findings.comparable();
    let best = if let [(_, cells)] = &comparable[..] {
        best(cells)
    } else {
        None
    };
    std::iter::once(Block::Lead(lead)).chain(best).collect()
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
    facts.push(fact("Trials", format!("{trials}, {all}{tuning}")));
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
fn doubt(answer: &Answer) -> Vec<Block> {
    let Some((first, others)) = answer.caveats.split_first() else {
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
    use super::*;
    use crate::record::ResultFile;
    use crate::record::example::{example, study};

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
        let rows = [
            (example(), "modern is worth 3.0 times gpt2’s compute."),
            (
                level(9.0),
                "modern is worth more than 1.92 times gpt2’s compute.",
            ),
            (
                level(0.7),
                "modern is worth only 0.67 times gpt2’s compute.",
            ),
            (
                single,
                "Whether modern beats gpt2 cannot be told from one repeat.",
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
        let Chart::Forest(forest) = strip(&findings, findings.answer.as_ref().unwrap()).chart
        else {
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
