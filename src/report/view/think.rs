//! What thinking longer buys: the exchange rate in a sentence, accuracy against the FLOPs of a problem as a plot, its front, every cell.

use crate::analysis::findings::Findings;
use crate::analysis::think::{Method, Solver, Task, Way, tasks};
use crate::reading::Thoughts;
use crate::record::ResultFile;
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Page, Point, Quantity, Rule, Scatter, Series, Table,
};
use crate::stat::{Estimate, Interval};
use crate::unit::{Flops, Seconds, Share};

/// The command's page.
pub fn page(file: &ResultFile) -> Option<Page> {
    let found = tasks(file);
    let names = names(file);
    let blocks = blocks(&found, (0, &names));
    (!found.is_empty()).then(|| Page::answer("effbench: think", names, blocks))
}

/// A section of the report.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let found = tasks(findings.file);
    let names = names(findings.file);
    (!found.is_empty()).then(|| blocks(&found, (findings.variants.len(), &names)))
}

/// Sizes and shapes that were asked: what hues stand for here, behind the variants'.
pub(super) fn names(file: &ResultFile) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut asked: Vec<_> = file.trials.iter().filter(|t| t.answers.is_some()).collect();
    asked.sort_by_key(|trial| trial.order);
    for trial in asked {
        if !names.contains(&trial.scale) {
            names.push(trial.scale.clone());
        }
    }
    names
}

/// What a file says of thinking before anything else.
pub(super) fn lead(file: &ResultFile) -> Vec<Block> {
    let found = tasks(file);
    let leads = found.iter().map(|task| Block::Lead(sentence(task)));
    leads.collect()
}

/// Everything said of them; hues count from one on, in the order of the names.
fn blocks(tasks: &[Task], (first_hue, scales): (usize, &[String])) -> Vec<Block> {
    let hue = |scale: &str| {
        let place = scales.iter().position(|known| *known == scale);
        place.map_or(Hue::Neutral, |place| Hue::Variant(first_hue + place))
    };
    // The task with an exchange rate first: it is the answer.
    let mut ordered: Vec<&Task> = tasks.iter().collect();
    ordered.sort_by_key(|task| task.exchange.is_err());
    let mut blocks: Vec<Block> = Vec::new();
    blocks.extend(ordered.first().map(|task| Block::Lead(sentence(task))));
    for (k, task) in ordered.into_iter().enumerate() {
        blocks.push(Block::Heading(format!(
            "{}: {} problems that no training saw",
            task.name, task.problems
        )));
        blocks.extend((k > 0).then(|| Block::Text(sentence(task))));
        blocks.extend(besides(task).map(Block::Text));
        blocks.push(Block::Plot(figure(task, &hue)));
        blocks.push(Block::Text(
            "The front, which no other way beats on both counts:".to_owned(),
        ));
        blocks.push(Block::Table(front(task)));
        blocks.push(Block::Table(cells(task)));
        blocks.extend(by_difficulty(task));
        blocks.push(Block::Details(
            "Every way to answer".to_owned(),
            methods(task),
        ));
    }
    blocks
}

/// What is said of a task first.
pub fn sentence(task: &Task) -> String {
    match &task.exchange {
        Ok(found) => {
            let rate = rate(&found.slope);
            let (train, test) = (found.train(), found.test());
            format!(
                "{}: {rate} Read at {} accuracies from {} to {}, between {} and {} of training and between {} and {} a \
                 problem; outside that nothing is said.",
                task.name,
                found.levels.len(),
                Share(found.levels[0]),
                Share(found.levels[found.levels.len() - 1]),
                Flops(train.0),
                Flops(train.1),
                Flops(test.0),
                Flops(test.1),
            )
        }
        Err(_) if thinkers(task).len() > 1 => thought(task),
        Err(why) => format!(
            "{}: no exchange rate between training and answering: {why}.",
            task.name
        ),
    }
}

/// `at equal accuracy and size, 10 times the training compute replaces 12 times the compute of answering ...`.
fn rate(slope: &Estimate) -> String {
    let times = |slope: f64| Quantity::Times.cell(10.0_f64.powf(-slope));
    let of = |interval: &Interval| {
        format!(
            "{} to {}; slope {:.2}, {:.2} to {:.2}; n = {}",
            times(interval.high),
            times(interval.low),
            slope.value,
            interval.low,
            interval.high,
            slope.n
        )
    };
    match &slope.interval {
        Some(interval) if interval.high < 0.0 => format!(
            "at equal accuracy and size, 10 times the training compute replaces {} times the compute of answering ({}).",
            times(slope.value),
            of(interval)
        ),
        Some(interval) => format!(
            "whether training replaces answering cannot be told: 10 times the training compute is worth {} times the \
             compute of answering ({}).",
            times(slope.value),
            of(interval)
        ),
        None => format!(
            "at equal accuracy and size, 10 times the training compute replaces {} times the compute of answering, with one repeat \
             and no interval.",
            times(slope.value)
        ),
    }
}

/// Those that think, and those that answer at once.
fn thinkers(task: &Task) -> Vec<&Solver> {
    let thinks = |solver: &&Solver| matches!(solver.thoughts.0, Thoughts::Own);
    let mut found: Vec<&Solver> = task.solvers.iter().filter(thinks).collect();
    let direct = task.solvers.iter().find(|s| s.thoughts.0 == Thoughts::None);
    found.extend(direct);
    found
}

/// What thoughts buy, beside what as many tokens without use do.
fn thought(task: &Task) -> String {
    let greedy = |solver: &Solver| solver.method(Way::Greedy).map_or(f64::NAN, |m| m.accuracy);
    let own = task
        .solvers
        .iter()
        .filter(|s| s.thoughts.0 == Thoughts::Own);
    let best = own.max_by(|a, b| greedy(a).total_cmp(&greedy(b)));
    let said = |kind: Thoughts, words: &str| {
        let solver = task
            .solvers
            .iter()
            .find(|solver| solver.thoughts.0 == kind)?;
        Some(format!("{words} {}", Share(greedy(solver))))
    };
    let others = [
        said(Thoughts::None, "an answer at once"),
        said(Thoughts::Filler, "as many tokens of filler"),
        said(Thoughts::Another, "another problem's thoughts"),
    ];
    let others: Vec<String> = others.into_iter().flatten().collect();
    let best = best.map(|solver| {
        format!(
            "{} tokens of thought solve {} of the problems",
            solver.thoughts.1,
            Share(greedy(solver))
        )
    });
    format!(
        "{}: {}; {}; guessing solves {}.",
        task.name,
        best.unwrap_or_else(|| "nobody thinks".to_owned()),
        others.join(", "),
        Share(task.chance.first().copied().unwrap_or(0.0))
    )
}

/// What many samples solve, what guessing does, and what stands behind the slope.
fn besides(task: &Task) -> impl Iterator<Item = String> {
    let votes = task.solvers.iter().any(|s| s.answers[0].votes.is_some());
    let coverage = task.coverage.as_ref().filter(|_| !votes).map(|found| {
        let [a, b] = found.beta;
        format!(
            "Coverage of {} is that of problems whose chance per sample is Beta({a:.2}, {b:.2}) to within {:.1} points; of such \
             problems the share that k samples leave unsolved falls as k^-{a:.2}.",
            found.of,
            100.0 * found.off
        )
    });
    let guesses = task.chance.last().filter(|_| task.chance.len() > 1 && !votes).map(|last| {
        format!(
            "Guessing among well-formed answers solves {} with one guess and {} with {}: what samples solve is to be seen beside it.",
            Share(task.chance[0]),
            Share(*last),
            1_u64 << (task.chance.len() - 1)
        )
    });
    let sizes = task.exchange.as_ref().ok().map(|found| {
        let said = found.sizes.iter().map(|(scale, slope)| {
            let interval = slope.interval.map(|i| format!(" ({:.2} to {:.2})", i.low, i.high));
            format!("{scale} {:.2}{}", slope.value, interval.unwrap_or_default())
        });
        let of = match found.over_repeats {
            true => "repeats",
            false => "problems; what another seed would change is not in it",
        };
        let pooled = found.pooled.map_or_else(String::new, |pooled| {
            format!(" Over all sizes together it is {:.2}.", pooled.value)
        });
        format!(
            "Decades of answering for a decade of training within each size: {}.{pooled} The interval is over {of}; around the one slope \
             runs scatter by {:.2} decades.",
            said.collect::<Vec<_>>().join(", "),
            found.scatter
        )
    });
    [guesses, coverage, sizes].into_iter().flatten()
}

/// The front, and of each solver its samples as a line and its greedy answer as a sign.
fn series(task: &Task, hue: &dyn Fn(&str) -> Hue) -> Vec<Series> {
    let best = |s: usize, m: usize| task.front.contains(&(s, m));
    let point = |s: usize, m: usize| {
        let (solver, method) = (&task.solvers[s], &task.solvers[s].methods[m]);
        let front = if best(s, m) { ", on the front" } else { "" };
        Point {
            x: method.flops,
            y: method.accuracy,
            interval: method.interval.map(|i| (i.low, i.high)),
            note: format!("{}, {}{front}", solver.name, method.way),
        }
    };
    let mut series = vec![Series {
        name: "front".to_owned(),
        hue: Hue::Neutral,
        mark: Mark::Dashed,
        points: task.front.iter().map(|(s, m)| point(*s, *m)).collect(),
    }];
    for (s, solver) in task.solvers.iter().enumerate() {
        let all = |keep: &dyn Fn(Way) -> bool| -> Vec<Point> {
            let kept = solver
                .methods
                .iter()
                .enumerate()
                .filter(|(_, method)| keep(method.way));
            kept.map(|(m, _)| point(s, m)).collect()
        };
        // Bands of a dozen lines would hide them; the table has every interval.
        let mut sampled = all(&|way| way != Way::Greedy);
        sampled.iter_mut().for_each(|point| point.interval = None);
        let hue = hue(&solver.scale);
        series.push(Series {
            name: format!("{}, samples", solver.name),
            hue,
            mark: Mark::Line,
            points: sampled,
        });
        series.push(Series {
            name: format!("{}, greedy", solver.name),
            hue,
            mark: Mark::Dots,
            points: all(&|way| way == Way::Greedy),
        });
    }
    series.retain(|series| !series.points.is_empty());
    series
}

fn figure(task: &Task, hue: &dyn Fn(&str) -> Hue) -> Figure {
    Figure {
        title: format!("Problems solved by FLOPs of a problem, {}", task.name),
        caption: format!(
            "Above and to the left is better; on the broken line nothing beats a way to answer on both counts. Signs are greedy \
             answers, lines go through 1, 2, 4 ... samples of one trained model, of which {}. The prompt is paid for once, every \
             generated token at its depth.",
            match task.solvers.iter().any(|s| s.answers[0].votes.is_some()) {
                true => "the majority counts",
                false => "a verifier takes a right one",
            }
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("FLOPs of a problem", Quantity::Flops),
            y: Axis::linear("problems solved", Quantity::Share),
            series: series(task, hue),
            rules: task
                .chance
                .first()
                .map(|chance| Rule {
                    at: *chance,
                    label: "chance".to_owned(),
                })
                .into_iter()
                .collect(),
        }),
    }
}

fn share(method: &Method) -> String {
    let value = Share(method.accuracy);
    match method.interval {
        Some(Interval { low, high, .. }) => format!("{value} ({} to {})", Share(low), Share(high)),
        None => value.to_string(),
    }
}

fn front(task: &Task) -> Table {
    let mut table = Table::new(["cell", "how", "solved", "FLOP a problem", "training"]);
    for (s, m) in &task.front {
        let (solver, method) = (&task.solvers[*s], &task.solvers[*s].methods[*m]);
        table.row([
            solver.name.clone(),
            method.way.to_string(),
            share(method),
            Flops(method.flops).to_string(),
            Flops(solver.train_flops).to_string(),
        ]);
    }
    table
}

/// A row a cell: greedy, and with 1, 4, 16 ... samples.
fn cells(task: &Task) -> Table {
    let mut ways: Vec<Way> = Vec::new();
    for method in task.solvers.iter().flat_map(|solver| &solver.methods) {
        let wanted = match method.way {
            Way::Greedy => true,
            Way::Best(k) | Way::Majority(k) => k.trailing_zeros() % 2 == 0,
        };
        if wanted && !ways.contains(&method.way) {
            ways.push(method.way);
        }
    }
    let head = ["cell", "training", "thoughts"].map(str::to_owned);
    let tail = ["FLOP greedy", "FLOP a sample", "n"].map(str::to_owned);
    let said = ways.iter().map(ToString::to_string);
    let columns: Vec<String> = head.into_iter().chain(said).chain(tail).collect();
    let mut table = Table::new(columns);
    for solver in &task.solvers {
        let thoughts = match solver.thoughts {
            (Thoughts::None, _) => String::new(),
            (Thoughts::Own, n) => n.to_string(),
            (Thoughts::Filler, n) => format!("{n} filler"),
            (Thoughts::Another, n) => format!("{n} another's"),
        };
        let own = |way: &Way| solver.method(*way).map(|m| Share(m.accuracy).to_string());
        let head = [
            solver.name.clone(),
            Flops(solver.train_flops).to_string(),
            thoughts,
        ];
        let greedy = solver.method(Way::Greedy).map_or(0.0, |m| m.flops);
        let tail = [
            Flops(greedy).to_string(),
            Flops(solver.answers[0].sample_flops).to_string(),
            solver.repeats.to_string(),
        ];
        let shares = ways.iter().map(|way| own(way).unwrap_or_default());
        table.row(head.into_iter().chain(shares).chain(tail));
    }
    table.without_empty_columns()
}

/// Fifths of the problems, from the hardest.
fn by_difficulty(task: &Task) -> Option<Block> {
    let found = task.difficulty.as_ref()?;
    let columns = [
        "problems",
        "1 sample",
        "all samples",
        "most trained, 1 sample",
        "slope",
    ];
    let mut table = Table::new(columns);
    for (part, name) in found.parts.iter().zip([
        "hardest fifth",
        "second",
        "third",
        "fourth",
        "easiest fifth",
    ]) {
        let slope = part.exchange.as_ref().ok().map(|found| {
            let interval = found.slope.interval;
            let ends = interval.map(|i| format!(" ({:.2} to {:.2})", i.low, i.high));
            format!("{:.2}{}", found.slope.value, ends.unwrap_or_default())
        });
        table.row([
            name.to_owned(),
            Share(part.once).to_string(),
            Share(part.all).to_string(),
            Share(part.trained).to_string(),
            slope.unwrap_or_else(|| "not known".to_owned()),
        ]);
    }
    let head = format!("By how often a sample of {} is right", found.base);
    Some(Block::Details(head, table))
}

fn methods(task: &Task) -> Table {
    let mut table = Table::new(["cell", "how", "solved", "FLOP a problem", "time a problem"]);
    for solver in &task.solvers {
        for method in &solver.methods {
            let seconds = method.seconds.map(|s| Seconds(s).to_string());
            table.row([
                solver.name.clone(),
                method.way.to_string(),
                share(method),
                Flops(method.flops).to_string(),
                seconds.unwrap_or_default(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{asked, example};
    use crate::report::Style;
    use crate::report::render::text::text;

    /// Every sample of a twice as long training is worth twice: ten times the training replaces ten times the answering.
    #[test]
    fn the_exchange_rate_is_said_first_and_with_its_range() {
        let luck = [-0.04, 0.01, 0.03];
        let file = asked(3, 5, |times, repeat| {
            1.0 - (-0.02 * times.powf(1.0 + luck[repeat as usize])).exp()
        });
        let said = text(&page(&file).unwrap(), Style::plain(400));
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with(
                "made up: at equal accuracy and size, 10 times the training compute replaces"
            ),
            "{said}"
        );
        for part in [
            "n = 3",
            "a problem; outside that nothing is said",
            "best of 4096",
            "chance",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let flat = asked(3, 5, |_, repeat| 0.02 + 0.001 * luck[repeat as usize]);
        assert!(sentence(&tasks(&flat)[0]).contains("cannot be told"));
    }

    #[test]
    fn nothing_is_said_of_models_that_nobody_asked() {
        assert!(page(&example()).is_none());
        let two = asked(1, 2, |_, _| 0.1);
        let said = sentence(&tasks(&two)[0]);
        assert_eq!(
            said,
            "made up: no exchange rate between training and answering: 2 of the 3 training budgets that a slope needs."
        );
    }
}
