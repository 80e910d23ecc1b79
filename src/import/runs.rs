//! A log's rows, run by run: each run's identity, and its points in the order of training.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::cells::Cells;
use super::logged::{Identity, LoggedRun, Point, describe};
use super::mapping::{Mapping, Named};
use super::role::{FIGURES, Role};
use super::{powered, sizes};
use crate::error::{Error, Result};
use crate::import::delimited::{Passed, Table};
use crate::import::dialect;
use crate::import::figures::{self, Marks};
use crate::import::log::Log;
use crate::record::loss::plain;

/// What may order the points of a run, in the order of preference.
const AXES: [Role; 4] = [Role::Step, Role::Tokens, Role::Flops, Role::Seconds];

/// The runs of a log, and its rows that are none of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    /// In the order in which they begin.
    pub runs: Vec<LoggedRun>,
    /// Rows that state no loss at all.
    pub lossless: Passed,
    /// Of these, a column of losses that nothing is taken from.
    pub other_loss: Option<String>,
    /// Rows that are to be runs of their own and state a training loss only.
    pub unjudged: Passed,
    /// Cells of figures that were taken for their columns' names and are none.
    pub unread: Passed,
}

impl Runs {
    /// Whether no run states a figure.
    fn says_nothing(&self) -> bool {
        let told = |run: &LoggedRun| !run.points.is_empty() || !run.figures.is_empty();
        !self.runs.iter().any(told)
    }

    /// Counts a row that states none of the losses that are taken.
    fn without_loss(&mut self, table: &Table, row: usize) {
        self.lossless.add(table.line(row));
        if self.other_loss.is_none() {
            self.other_loss = another_loss(table, row);
        }
    }
}

/// Reads the runs of a log.
///
/// Rows with the same `run` are one run; without that role those with the same variant, scale, seed, budget and parameters. Where
/// each row is to be a run of its own, a row without the judged loss is none: it is a point on the way.
///
/// # Errors
///
/// No loss or variant mapped, a cell that is not what its role needs, a run that is two variants, two rows of one run at one
/// step that disagree, tokens or FLOPs that fall while steps rise.
pub fn read_runs(log: &Log, place: usize, mapping: &Mapping) -> Result<Runs> {
    let (table, reader) = (&log.table, reader(log, mapping)?);
    let mut found = Runs::default();
    let mut places: BTreeMap<(Option<String>, Option<Identity>), usize> = BTreeMap::new();
    let by_row = reader.bound.is_by_row();
    let of_measures = reader.bound.is_measured() && (by_row || !reader.bound.has(Role::Loss));
    // What a training program calls its loss beside no other is its training loss.
    let bare = plain(reader.bound.column(Role::Loss, table)) == "loss";
    let of_training = reader.bound.judges_training() || (bare && dialect::is_program(log.dialect));
    for row in 0..table.rows() {
        let (identity, point, line) = (reader.identity(row)?, reader.point(row)?, table.line(row));
        let figures = reader.figures(row)?;
        let measured = of_measures && (!figures.is_empty() || point.states_energy());
        let point = (measured || point.states_a_loss()).then_some(point);
        if point.is_none() {
            found.without_loss(table, row);
        }
        if by_row && !measured && point.is_none_or(|point| point.loss.is_none()) {
            if point.is_some() {
                found.unjudged.add(line);
            }
            continue;
        }
        let name = reader
            .bound
            .text(Role::Run, table, row)
            .map(Cow::into_owned);
        let key = (name.clone(), name.is_none().then(|| identity.clone()));
        let at = *places.entry(key).or_insert(found.runs.len());
        if at == found.runs.len() {
            let (axis, unit) = (reader.axis(), reader.bound.unit(Role::Loss));
            found.runs.push(LoggedRun {
                log: place,
                line,
                identity,
                points: Vec::new(),
                axis,
                sorted: false,
                untimed: 0,
                replaced: 0,
                stamped: false,
                unit,
                of_training,
                figures: BTreeMap::new(),
            });
        } else if found.runs[at].identity != identity {
            return Err(reader.two_runs(name.as_deref(), &found.runs[at], &identity, line));
        }
        found.runs[at].points.extend(point);
        for (role, samples) in figures {
            found.runs[at]
                .figures
                .entry(role)
                .or_default()
                .extend(samples);
        }
    }
    if found.runs.is_empty() || (of_measures && found.says_nothing()) {
        return Err(match of_measures {
            true => Error::input(format!("{}: no row states what was measured", table.file))
                .hint("times that go back and counters that fall begin anew: nothing tells what came between; log each run and meter to a file of its own"),
            false => Error::input(format!("{}: no row states a loss", table.file))
                .hint("--map loss=COLUMN names its column"),
        });
    }
    found.unread = *reader.unread.borrow();
    let ordered = found.runs.into_iter().map(|run| reader.ordered(run));
    found.runs = ordered.collect::<Result<_>>()?;
    Ok(found)
}

/// A column of a row that states some loss, and has no role: an iteration's, beside the mean that is printed now and then.
fn another_loss(table: &Table, row: usize) -> Option<String> {
    let states = |place: &usize| {
        let words = plain(&table.columns[*place]);
        let is_loss = words.split('_').any(|word| word == "loss");
        is_loss && figures::number(table.cell(row, *place), Marks::Point).is_some()
    };
    let place = (0..table.columns.len()).find(states)?;
    Some(table.columns[place].clone())
}

/// A log's cells by role, where the roles that every run needs are there, and any row.
fn reader<'a>(log: &'a Log, mapping: &'a Mapping) -> Result<Cells<'a>> {
    let table = &log.table;
    let bound = mapping.bind(
        table,
        Named {
            stem: &log.stem,
            path: &log.path,
        },
    )?;
    let reader = Cells {
        table,
        bound,
        unread: RefCell::default(),
        printed: dialect::is_program(log.dialect),
    };
    if !reader.bound.is_measured() {
        reader.need(
            Role::Loss,
            "--map loss=COLUMN; of a table of speeds or energies --map tokens_per_s=COLUMN or --map joules=COLUMN",
        )?;
    }
    reader.need(
        Role::Variant,
        "--map variant=COLUMN, --map variant=@file (the file's name) or --let variant=NAME",
    )?;
    if table.rows() == 0 {
        return Err(Error::input(format!(
            "{}: a header and no rows",
            table.file
        )));
    }
    Ok(reader)
}

/// Rows as points, and points as runs.
impl Cells<'_> {
    fn identity(&self, row: usize) -> Result<Identity> {
        let Some(variant) = self.name(Role::Variant, row)? else {
            return Err(self.at(Role::Variant, row, "is empty"));
        };
        Ok(Identity {
            variant,
            scale: self.name(Role::Scale, row)?,
            seed: self.seed(row)?,
            budget: self.whole(Role::Budget, row)?,
            params: self.rounded(Role::Params, row)?,
        })
    }

    /// The metrics that a row states as they stand.
    fn figures(&self, row: usize) -> Result<Vec<(Role, Vec<f64>)>> {
        let mut found = Vec::new();
        for (role, _) in FIGURES {
            let samples = self.samples(role, row)?;
            if !samples.is_empty() {
                found.push((role, samples));
            }
        }
        Ok(found)
    }

    /// A row's figures along a training.
    fn point(&self, row: usize) -> Result<Point> {
        let step = self.whole(Role::Step, row)?;
        let tokens = match (
            self.rounded(Role::Tokens, row)?,
            step,
            self.figure(Role::TokensPerStep, row)?,
        ) {
            (Some(tokens), ..) => Some(tokens),
            (None, Some(step), Some(each)) => Some((step as f64 * each).round() as u64),
            _ => None,
        };
        Ok(Point {
            line: self.table.line(row),
            step,
            tokens,
            flops: self.figure(Role::Flops, row)?,
            seconds: self.figure(Role::Seconds, row)?,
            train_loss: self.loss(Role::TrainLoss, row)?,
            loss: self.loss(Role::Loss, row)?,
            joules: self.samples(Role::Joules, row)?.first().copied(),
            watts: self.samples(Role::Watts, row)?.first().copied(),
        })
    }

    /// What orders the points of a run.
    fn axis(&self) -> Option<Role> {
        AXES.into_iter().find(|axis| self.bound.has(*axis))
    }

    /// The first of what may order points that all of a run's points state: some logs say of a validation its step alone.
    fn told_of_all(&self, run: &LoggedRun) -> Option<Role> {
        AXES.into_iter()
            .find(|axis| run.points.iter().all(|point| point.on(*axis).is_some()))
    }

    fn two_runs(
        &self,
        name: Option<&str>,
        run: &LoggedRun,
        other: &Identity,
        line: usize,
    ) -> Error {
        let (file, name) = (&self.table.file, name.unwrap_or_default().escape_debug());
        Error::input(format!(
            "{file}:{line}: run `{name}` is {} here and {} at line {}",
            describe(other),
            describe(&run.identity),
            run.line
        ))
        .hint("one run has one variant, scale, seed, budget and number of parameters")
    }

    /// The points in the order of training, one for each place on the axis.
    fn ordered(&self, run: LoggedRun) -> Result<LoggedRun> {
        let mut run = self.in_order(run)?;
        powered::integrate(&mut run, self.table, self.bound.is_by_row())?;
        // What a table of speeds says of seconds is a result, and no budget.
        let axis = run.axis.filter(|_| !run.is_measured());
        Ok(LoggedRun { axis, ..run })
    }

    fn in_order(&self, mut run: LoggedRun) -> Result<LoggedRun> {
        count_from_the_first(&mut run);
        if run.points.len() < 2 {
            return Ok(run);
        }
        let file = &self.table.file;
        let Some(axis) = run.axis else {
            let message = format!(
                "{file}:{}: {} rows for {}",
                run.points[1].line,
                run.points.len(),
                describe(&run.identity)
            );
            let of_epochs = self
                .table
                .columns
                .iter()
                .any(|column| column.eq_ignore_ascii_case("epoch"));
            let hint = match of_epochs {
                true => {
                    "an epoch is no step: Hugging Face's trainer_state.json has the steps, `--map step=epoch` orders a run by whole epochs, and `--map run=@row` makes a run of each row"
                }
                false => {
                    "--map step=COLUMN (or tokens, flops, seconds), --map seed=COLUMN where they are several runs, or \
                          --map run=@row where each row is one"
                }
            };
            return Err(
                Error::input(format!("{message}, and nothing that orders them")).hint(hint),
            );
        };
        let axis = self.told_of_all(&run).unwrap_or(axis);
        run.axis = Some(axis);
        if let Some(point) = run.points.iter().find(|point| point.on(axis).is_none()) {
            let column = self.bound.column(axis, self.table);
            return Err(Error::input(format!(
                "{file}:{}: a loss without its {column}",
                point.line
            )));
        }
        let place = |point: &Point| point.on(axis).unwrap_or_default();
        if let Some(kept) = resumed(&run.points, axis) {
            run.replaced = run.points.len() - kept.len();
            run.points = kept;
        }
        run.sorted = run
            .points
            .windows(2)
            .any(|pair| place(&pair[1]) < place(&pair[0]));
        run.points.sort_by(|a, b| place(a).total_cmp(&place(b)));
        let points = merged(&run, axis, file, self.printed)?;
        let all = points.len();
        run.points = timed(points);
        run.untimed = all - run.points.len();
        for other in [Role::Tokens, Role::Flops] {
            self.rising(&run, axis, other)?;
        }
        sizes::one(&run, file)?;
        Ok(run)
    }

    fn rising(&self, run: &LoggedRun, axis: Role, other: Role) -> Result<()> {
        let mut last: Option<(f64, usize)> = None;
        for point in &run.points {
            let Some(value) = point.on(other) else {
                continue;
            };
            if let Some((before, line)) = last.filter(|(before, _)| value < *before) {
                let (file, name, axis) = (&self.table.file, other.name(), axis.name());
                return Err(Error::input(format!(
                    "{file}:{}: {name} fall from {before:e} (line {line}) to {value:e} while {axis} rises",
                    point.line
                ))
                .hint("two runs in one? `--map run=COLUMN` or `--map seed=COLUMN` tells them apart"));
            }
            last = Some((value, point.line));
        }
        Ok(())
    }
}

/// No training takes so long, in seconds: what is above it counts from 1970.
const LONGEST_S: f64 = 1e9;
/// The same in milliseconds.
const LONGEST_MS: f64 = 1e12;

/// Seconds since 1970, as TensorBoard and wandb write them, become seconds since the run's first row.
fn count_from_the_first(run: &mut LoggedRun) {
    let first = run.points.iter().filter_map(|point| point.seconds);
    let first = first.fold(f64::INFINITY, f64::min);
    if !(first > LONGEST_S && first.is_finite()) {
        return;
    }
    let unit_s = if first > LONGEST_MS { 1e-3 } else { 1.0 };
    let several = run.points.len() > 1;
    for point in &mut run.points {
        point.seconds = point
            .seconds
            .filter(|_| several)
            .map(|second| (second - first) * unit_s);
    }
    run.stamped = true;
}

/// The points of a run that was resumed from a checkpoint: where the log falls back to a step and goes on with other losses, what
/// follows replaces what it repeats. `None` where no step has two losses, or where the log begins anew, which is another run.
fn resumed(points: &[Point], axis: Role) -> Option<Vec<Point>> {
    let place = |point: &Point| point.on(axis).unwrap_or_default();
    let mut known: BTreeMap<u64, &Point> = BTreeMap::new();
    let contradicts = points.iter().any(|point| {
        let before = known.insert(place(point).to_bits(), point);
        before.is_some_and(|before| differ(before, point))
    });
    let first = place(points.first()?);
    let falls = points
        .windows(2)
        .filter(|pair| place(&pair[1]) < place(&pair[0]));
    // Rows in no order at all fall again and again, and one column's rows behind another's name the same steps; a run that goes on
    // from a checkpoint falls once, and to a step that it had not logged.
    let furthest = points.iter().map(place).fold(first, f64::max);
    let goes_on = points.last().is_some_and(|last| place(last) == furthest);
    let anew = known.len() == points.len() && falls.count() == 1 && goes_on;
    if !contradicts && !anew {
        return None;
    }
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        if kept.last().is_some_and(|last| place(point) < place(last)) {
            if place(point) <= first {
                return None;
            }
            kept.retain(|before| place(before) < place(point));
        }
        kept.push(*point);
    }
    Some(kept)
}

/// Whether two rows of one step state different losses.
fn differ(one: &Point, other: &Point) -> bool {
    let differ =
        |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| a.to_bits() != b.to_bits());
    differ(one.loss, other.loss)
        || differ(one.train_loss, other.train_loss)
        || differ(one.watts, other.watts)
}

/// Rows of one place on the axis as one point: a training loss here, a validation loss there.
fn merged(run: &LoggedRun, axis: Role, file: &str, printed: bool) -> Result<Vec<Point>> {
    let mut points: Vec<Point> = Vec::new();
    for point in &run.points {
        let Some(last) = points
            .last_mut()
            .filter(|last| last.on(axis) == point.on(axis))
        else {
            points.push(*point);
            continue;
        };
        if differ(last, point) {
            let at = format!("{} {}", axis.name(), point.on(axis).unwrap_or_default());
            let (a, b) = (last.line.min(point.line), last.line.max(point.line));
            let what = if point.watts.is_some() {
                "powers"
            } else {
                "losses"
            };
            return Err(Error::input(format!(
                "{file}:{b}: {} has two {what} at {at}, here and at line {a}",
                describe(&run.identity)
            ))
            .hint(match printed {
                _ if a == b => "its columns are runs, whose names they have: leave out what says the variant",
                true => "several ranks, runs or epochs that count anew in one log? Keep one of them: `grep -F '[rank0]' LOG > one.log`",
                false => "two runs in one? `--map run=COLUMN` or `--map seed=COLUMN` tells them apart, `--map run=@row` where each row is a run",
            }));
        }
        *last = Point {
            line: point.line,
            step: point.step.or(last.step),
            tokens: point.tokens.or(last.tokens),
            flops: point.flops.or(last.flops),
            seconds: point.seconds.or(last.seconds),
            train_loss: point.train_loss.or(last.train_loss),
            loss: point.loss.or(last.loss),
            joules: point.joules.or(last.joules),
            watts: point.watts.or(last.watts),
        };
    }
    Ok(points)
}

/// The points without those training losses that were timed by a clock that was then restarted, as speedruns do after some
/// untimed steps; only where the seconds of the judged losses rise, so that they are on one clock.
fn timed(points: Vec<Point>) -> Vec<Point> {
    let judged: Vec<f64> = points
        .iter()
        .filter(|p| p.loss.is_some())
        .filter_map(|p| p.seconds)
        .collect();
    if !judged.is_sorted() {
        return points;
    }
    let mut last = f64::NEG_INFINITY;
    let mut before = Vec::with_capacity(points.len());
    for point in &points {
        before.push(last);
        last = point
            .seconds
            .filter(|_| point.loss.is_some())
            .unwrap_or(last);
    }
    let (mut kept, mut later) = (Vec::new(), f64::INFINITY);
    for (point, before) in points.iter().zip(before).rev() {
        if point.loss.is_some() || point.seconds.is_none_or(|s| before <= s && s <= later) {
            kept.push(*point);
        }
        later = point.seconds.unwrap_or(later).min(later);
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests;
