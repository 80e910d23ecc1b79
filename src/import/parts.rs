//! Runs whose log lies in several files: what another file repeats counts once, and what goes on where another file ends is one run
//! with it.

use super::logged::{LoggedRun, Point};
use super::role::Role;

/// Losses in common, to the bit, from which on two files hold the same run.
const ENOUGH: usize = 3;
/// A run goes on from another where it begins at most so many of that one's own steps between points after its end.
const GAP: f64 = 2.0;

/// The runs with those that are parts of one put together, and what was done, a sentence each. `name` is a log's file.
pub fn together(
    runs: Vec<LoggedRun>,
    name: impl Fn(usize) -> String,
) -> (Vec<LoggedRun>, Vec<String>) {
    let mut said = Vec::new();
    let mut whole: Vec<LoggedRun> = Vec::new();
    let mut order: Vec<LoggedRun> = runs;
    // A part that begins later comes later; files may be given in any order. Runs that begin alike keep theirs.
    order.sort_by(|a, b| first(a).total_cmp(&first(b)));
    for run in order {
        if let Some(at) = whole.iter().position(|other| is_within(&run, other)) {
            said.push(twice(&name(run.log), &name(whole[at].log)));
        } else if let Some(at) = whole.iter().position(|other| is_within(other, &run)) {
            said.push(twice(&name(whole[at].log), &name(run.log)));
            whole[at] = run;
        } else if let Some(other) = whole.iter_mut().find(|other| goes_on(other, &run)) {
            let (of, from) = (name(other.log), first(&run));
            said.push(format!(
                "{} goes on from {of} at {from}: one run, and steps that both have are the later file's",
                name(run.log)
            ));
            append(other, run);
        } else {
            whole.push(run);
        }
    }
    whole.sort_by_key(|run| (run.log, run.line));
    (whole, said)
}

fn twice(part: &str, of: &str) -> String {
    format!("{part} holds what {of} holds too, loss by loss: one run, counted once")
}

fn place(run: &LoggedRun, point: &Point) -> Option<f64> {
    point.on(run.axis?)
}

/// Where a run begins; runs that nothing orders, before all.
fn first(run: &LoggedRun) -> f64 {
    let place = run.points.first().and_then(|point| place(run, point));
    place.unwrap_or(f64::NEG_INFINITY)
}

fn last(run: &LoggedRun) -> Option<f64> {
    place(run, run.points.last()?)
}

/// Whether every loss of the one stands in the other, at the same place, and they are enough to be no accident.
fn is_within(one: &LoggedRun, other: &LoggedRun) -> bool {
    let alike = one.log != other.log
        && one.axis == other.axis
        && one.unit == other.unit
        && one.identity.seed == other.identity.seed
        && one.identity.budget == other.identity.budget
        && one.figures == other.figures
        && one.points.len() <= other.points.len();
    let bits = |point: &Point| {
        let bits = |loss: Option<f64>| loss.map(f64::to_bits);
        let at = place(one, point).map(f64::to_bits);
        (at, bits(point.loss), bits(point.train_loss))
    };
    let mut theirs = other.points.iter();
    let found = |point: &Point| theirs.by_ref().any(|other| bits(other) == bits(point));
    let losses = one.points.iter().filter(|point| point.states_a_loss());
    alike && losses.count() >= ENOUGH && one.points.iter().all(found)
}

/// Whether the later run, of the same name, begins where the earlier one had come to, and not where runs begin.
fn goes_on(earlier: &LoggedRun, later: &LoggedRun) -> bool {
    let of_one = earlier.log != later.log
        && earlier.axis == later.axis
        && earlier.axis != Some(Role::Seconds)
        && earlier.unit == later.unit
        && earlier.identity == later.identity
        && later.figures.is_empty();
    let (Some(end), Some(end_of_later)) = (last(earlier), last(later)) else {
        return false;
    };
    let (start, begins) = (first(earlier), first(later));
    let spacing = (end - start) / earlier.points.len().saturating_sub(1).max(1) as f64;
    let own = (end_of_later - begins) / later.points.len().saturating_sub(1).max(1) as f64;
    // A run of its own may begin with its first evaluation: not far from where its points have their distance.
    let from_the_middle = begins > start + GAP * own.max(spacing);
    of_one && from_the_middle && begins <= end + GAP * spacing && end_of_later > end
}

/// The later part replaces what it repeats.
fn append(earlier: &mut LoggedRun, later: LoggedRun) {
    let (from, before) = (first(&later), earlier.points.len());
    let axis = earlier.axis;
    let kept = |point: &Point| axis.and_then(|axis| point.on(axis)) < Some(from);
    earlier.points.retain(kept);
    earlier.replaced += before - earlier.points.len() + later.replaced;
    earlier.points.extend(later.points);
    earlier.sorted |= later.sorted;
    earlier.untimed += later.untimed;
    earlier.stamped |= later.stamped;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::logged::Identity;
    use crate::record::LossUnit;
    use std::collections::BTreeMap;

    fn run(log: usize, variant: &str, steps: &[u64], shift: f64) -> LoggedRun {
        let point = |&step: &u64| Point {
            line: step as usize,
            step: Some(step),
            tokens: None,
            flops: None,
            seconds: None,
            train_loss: None,
            loss: Some(shift + 5.0 / (1.0 + step as f64)),
            joules: None,
            watts: None,
        };
        LoggedRun {
            log,
            line: 1,
            identity: Identity {
                variant: variant.to_owned(),
                scale: None,
                seed: None,
                budget: None,
                params: None,
            },
            points: steps.iter().map(point).collect(),
            axis: Some(Role::Step),
            sorted: false,
            untimed: 0,
            replaced: 0,
            stamped: false,
            unit: LossUnit::default(),
            of_training: false,
            figures: BTreeMap::new(),
        }
    }

    fn steps(runs: Vec<LoggedRun>) -> (Vec<Vec<u64>>, usize) {
        let (runs, said) = together(runs, |log| format!("{log}.log"));
        let of = |run: &LoggedRun| run.points.iter().filter_map(|point| point.step).collect();
        (runs.iter().map(of).collect(), said.len())
    }

    #[test]
    fn a_checkpoint_that_a_later_one_holds_too_counts_once() {
        let (early, late) = (&[10, 20, 30], &[10, 20, 30, 40, 50]);
        let whole = (vec![late.to_vec()], 1);
        // Folders of checkpoints lend their names to what lies in them.
        assert_eq!(
            steps(vec![run(0, "a", early, 0.0), run(1, "b", late, 0.0)]),
            whole
        );
        assert_eq!(
            steps(vec![run(0, "a", late, 0.0), run(1, "b", early, 0.0)]),
            whole
        );
        let apart = steps(vec![run(0, "a", early, 0.0), run(1, "a", late, 1e-9)]);
        assert_eq!(apart, (vec![early.to_vec(), late.to_vec()], 0));
        // Two losses may be equal by accident.
        let few = steps(vec![run(0, "a", &[10, 20], 0.0), run(1, "a", late, 0.0)]);
        assert_eq!(few.1, 0);
    }

    #[test]
    fn a_file_that_goes_on_where_another_ends_is_one_run_with_it() {
        let begin = run(0, "a", &[0, 10, 20, 30, 40], 0.0);
        for (rest, whole) in [
            (&[50, 60, 70][..], &[0, 10, 20, 30, 40, 50, 60, 70][..]),
            (&[30, 40, 50], &[0, 10, 20, 30, 40, 50]),
        ] {
            let rest = run(1, "a", rest, 0.1);
            for order in [[&begin, &rest], [&rest, &begin]] {
                let (found, said) = steps(order.map(Clone::clone).to_vec());
                assert_eq!((found, said), (vec![whole.to_vec()], 1));
            }
        }
        for rest in [
            run(1, "b", &[50, 60, 70], 0.1),
            run(1, "a", &[10, 20, 30, 40, 50], 0.1),
            run(1, "a", &[200, 210], 0.1),
            run(1, "a", &[30, 40], 0.1),
        ] {
            assert_eq!(
                steps(vec![begin.clone(), rest.clone()]).0.len(),
                2,
                "{rest:?}"
            );
        }
    }
}
