//! A wattmeter's log: a CSV with the columns `t_utc` and `w`, integrated over the trial's stretches by trapezoids.
//!
//! ```text
//! t_utc,w
//! 2026-11-21T10:00:00Z,84.2
//! 2026-11-21T10:00:01Z,91.0
//! ```
//!
//! A time is RFC 3339, or seconds since 1970. The meter's clock may be ahead of this machine's by so many seconds, which are
//! taken off. Between two samples power is taken to change evenly; where two lie further apart than [`MOST_GAP_S`], or the
//! log does not reach over a stretch, there is no figure. Five per cent at one sample a second over at least 60 samples is
//! what MLPerf asks for; a stretch here needs [`LEAST_SAMPLES`] on average.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::account::MOST_GAP_S;
use super::session::{Stretch, by_phase};
use crate::error::{Error, Result, plain};
use crate::foreign;
use crate::measure::clock::in_seconds;
use crate::measure::window::median;
use crate::reading::{Absent, Channel, Method, Phase, PhaseEnergy};

/// Samples in the shortest stretch: a trapezoid cut at either end is then a small part of it.
pub const LEAST_SAMPLES: f64 = 10.0;
/// How often and how long a log is waited for that does not reach over the end: five seconds in all.
const WAITS: usize = 20;
const WAIT: Duration = Duration::from_millis(250);

/// The name in records.
pub const SOURCE: &str = "external_meter";

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds since 1970 by this machine's clock.
    pub at_s: f64,
    /// Power.
    pub watts: f64,
}

/// Where the log is, and how its clock goes.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// The CSV that the meter's own program writes.
    pub path: PathBuf,
    /// Seconds by which its clock is ahead of this machine's.
    pub offset_s: f64,
}

/// The channel of a log over stretches in seconds since 1970, which together are the window. Waits a little where the log
/// does not yet reach over the end.
pub(super) fn channel(external: &External, stretches: &[Stretch]) -> Channel {
    let mut channel = over(external, stretches);
    for _ in 0..WAITS {
        if channel.energy_j != Err(Absent::NotCovered) {
            break;
        }
        thread::sleep(WAIT);
        channel = over(external, stretches);
    }
    channel
}

fn over(external: &External, stretches: &[Stretch]) -> Channel {
    let missing = |absent| Channel::missing("machine", "machine", SOURCE, absent);
    let Ok(Log { samples, passed }) = read(&external.path, external.offset_s) else {
        return missing(Absent::Unsupported);
    };
    let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else {
        return missing(Absent::WindowTooShort);
    };
    let whole = [(first.from_s, last.to_s)];
    let part = |(phase, own): (Phase, Vec<(f64, f64)>)| PhaseEnergy {
        phase,
        window_s: own.iter().map(|(from_s, to_s)| to_s - from_s).sum(),
        energy_j: energy_j(&samples, &own),
    };
    let gaps: Vec<f64> = samples
        .windows(2)
        .map(|pair| pair[1].at_s - pair[0].at_s)
        .collect();
    let passed = passed
        .iter()
        .filter(|at_s| (first.from_s..=last.to_s).contains(*at_s))
        .count();
    let passed = match passed {
        0 => String::new(),
        1 => "; 1 row of its log is no sample and was passed over".to_owned(),
        rows => format!("; {rows} rows of its log are no samples and were passed over"),
    };
    Channel {
        method: Method::Sampled,
        scope: format!("everything behind the meter, at the wall{passed}"),
        energy_j: energy_j(&samples, &whole),
        window_s: Some(last.to_s - first.from_s),
        phases: by_phase(stretches).into_iter().map(part).collect(),
        update_period_s: median(&gaps),
        ..missing(Absent::NotCovered)
    }
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    /// In the order of their times, no two at one time.
    pub samples: Vec<Sample>,
    /// Rows that are no samples, each by the time of the row before it: a sensor that says `N/A`, a clock that went back.
    pub passed: Vec<f64>,
}

/// Reads a log whose clock is ahead of this machine's by `offset_s`. A last line without its end is still being written, and
/// is left out; a row that is no sample costs itself and what it leaves open, no more: a meter's one bad second must not end a
/// night's run. Rows at one time, which a meter writes that stamps whole seconds, are one sample, their mean.
///
/// # Errors
/// A file that cannot be read, or whose first line does not name the two columns.
pub fn read(path: &Path, offset_s: f64) -> Result<Log> {
    let name = path.file_name().map_or_else(
        || "the wattmeter's log".into(),
        |name| name.to_string_lossy(),
    );
    let bytes = fs::read(path)
        .map_err(|error| Error::input(format!("{name} cannot be read: {}", plain(&error))))?;
    parse(&name, &foreign::decoded(&name, bytes)?, offset_s)
}

fn parse(name: &str, text: &str, offset_s: f64) -> Result<Log> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut lines = whole.lines().filter(|line| !line.trim().is_empty());
    let header: Vec<&str> = lines
        .next()
        .unwrap_or("")
        .split(',')
        .map(str::trim)
        .collect();
    let column = |wanted: &str| header.iter().position(|column| *column == wanted);
    let (Some(time), Some(power)) = (column("t_utc"), column("w")) else {
        let found = header.join(",");
        let error = Error::input(format!(
            "{name}:1: `{}` is not the header of a wattmeter's log",
            found.escape_debug()
        ));
        return Err(error.hint("its first line names the columns: t_utc,w"));
    };
    let rows: Vec<Option<Sample>> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let watts: f64 = cells.get(power)?.parse().ok()?;
            let at_s = seconds(cells.get(time)?)? - offset_s;
            watts.is_finite().then_some(Sample { at_s, watts })
        })
        .collect();
    Ok(in_order(&rows))
}

/// Passes over the fewest rows without which times do not go back, so that one wrong time costs one row.
fn in_order(rows: &[Option<Sample>]) -> Log {
    let times: Vec<(usize, f64)> = rows
        .iter()
        .enumerate()
        .filter_map(|(row, sample)| Some((row, (*sample)?.at_s)))
        .collect();
    let kept = longest_run(&times);
    let mut log = Log::default();
    let mut at_one_time = 1.0;
    let mut kept = kept.into_iter().peekable();
    for (row, sample) in rows.iter().enumerate() {
        match sample {
            Some(sample) if kept.next_if_eq(&row).is_some() => match log.samples.last_mut() {
                Some(last) if last.at_s == sample.at_s => {
                    at_one_time += 1.0;
                    last.watts += (sample.watts - last.watts) / at_one_time;
                }
                _ => {
                    at_one_time = 1.0;
                    log.samples.push(*sample);
                }
            },
            _ => log.passed.extend(log.samples.last().map(|last| last.at_s)),
        }
    }
    log
}

/// Rows of the longest subsequence whose times do not fall (Fredman 1975: by the least last time of each length).
fn longest_run(times: &[(usize, f64)]) -> Vec<usize> {
    // Of each length, the index of the row that ends a run of it with the least time; and the row before each in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(times.len());
    for (index, (_, at_s)) in times.iter().enumerate() {
        let length = ends.partition_point(|end| times[*end].1 <= *at_s);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut rows: Vec<usize> = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(index) = next {
        rows.push(times[index].0);
        next = before[index];
    }
    rows.reverse();
    rows
}

fn seconds(text: &str) -> Option<f64> {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Some(in_seconds(time)),
        Err(_) => text
            .parse()
            .ok()
            .filter(|seconds: &f64| seconds.is_finite()),
    }
}

/// Joules over several stretches together.
pub fn energy_j(samples: &[Sample], stretches: &[(f64, f64)]) -> std::result::Result<f64, Absent> {
    let mut joules = 0.0;
    let (mut seconds, mut seen) = (0.0, 0.0);
    for &(from_s, to_s) in stretches {
        joules += integral(samples, from_s, to_s)?;
        seconds += to_s - from_s;
        seen += samples
            .iter()
            .filter(|sample| (from_s..=to_s).contains(&sample.at_s))
            .count() as f64;
    }
    if stretches.is_empty() || seconds <= 0.0 || seen < LEAST_SAMPLES * stretches.len() as f64 {
        return Err(Absent::WindowTooShort);
    }
    // A wattmeter that shows no power while a machine works is not switched on.
    if joules > 0.0 {
        Ok(joules)
    } else {
        Err(Absent::Frozen)
    }
}

/// Power between two moments, which samples must enclose.
fn integral(samples: &[Sample], from_s: f64, to_s: f64) -> std::result::Result<f64, Absent> {
    let first = samples
        .partition_point(|sample| sample.at_s <= from_s)
        .checked_sub(1)
        .ok_or(Absent::NotCovered)?;
    if samples.last().is_none_or(|last| last.at_s < to_s) {
        return Err(Absent::NotCovered);
    }
    let mut joules = 0.0;
    for pair in samples[first..]
        .windows(2)
        .take_while(|pair| pair[0].at_s < to_s)
    {
        let [before, after] = [pair[0], pair[1]];
        if after.at_s - before.at_s > MOST_GAP_S {
            return Err(Absent::Gap);
        }
        let watts = |at_s: f64| {
            before.watts
                + (after.watts - before.watts) * (at_s - before.at_s) / (after.at_s - before.at_s)
        };
        let (from_s, to_s) = (from_s.max(before.at_s), to_s.min(after.at_s));
        joules += (watts(from_s) + watts(to_s)) / 2.0 * (to_s - from_s);
    }
    Ok(joules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(seconds: impl Iterator<Item = u32>, watts: impl Fn(u32) -> f64) -> Vec<Sample> {
        seconds
            .map(|second| Sample {
                at_s: f64::from(second),
                watts: watts(second),
            })
            .collect()
    }

    #[test]
    fn watts_become_exact_joules_or_the_exact_reason() {
        let steady = log(0..=100, |_| 50.0);
        let ramp = log(0..=100, |second| 2.0 * f64::from(second));
        let check = |samples: &[Sample], stretches: &[(f64, f64)], expected| {
            assert_eq!(energy_j(samples, stretches), expected, "{stretches:?}");
        };
        check(&steady, &[(0.0, 100.0)], Ok(5000.0));
        check(&steady, &[(10.5, 30.25)], Ok(987.5));
        check(&steady, &[(0.0, 20.0), (40.0, 60.0)], Ok(2000.0));
        // 2 t watts give t^2 joules, between samples too.
        check(&ramp, &[(10.0, 20.0)], Ok(300.0));
        check(&ramp, &[(0.5, 20.5)], Ok(420.0));
        check(&steady, &[(0.0, 5.0)], Err(Absent::WindowTooShort));
        check(&steady, &[], Err(Absent::WindowTooShort));
        check(&steady, &[(-1.0, 20.0)], Err(Absent::NotCovered));
        check(&steady, &[(90.0, 100.5)], Err(Absent::NotCovered));
        check(&[], &[(0.0, 1.0)], Err(Absent::NotCovered));
        // Five seconds without a sample are fine, six are not.
        check(
            &log((0..=20).chain(25..=40), |_| 50.0),
            &[(0.0, 40.0)],
            Ok(2000.0),
        );
        check(
            &log((0..=20).chain(26..=40), |_| 50.0),
            &[(0.0, 40.0)],
            Err(Absent::Gap),
        );
        check(
            &log((0..=20).chain(26..=40), |_| 50.0),
            &[(0.0, 20.0)],
            Ok(1000.0),
        );
        check(&log(0..=20, |_| 0.0), &[(0.0, 20.0)], Err(Absent::Frozen));
    }

    #[test]
    fn a_log_is_read_with_its_clocks_offset() {
        let text = "t_utc,w\n2026-11-21T10:00:00Z,84.5\n\n1795255201.5,91\n2026-11-21T10:00:02.250Z, 92\n2026-11-21T10:0";
        let samples = parse("watts.csv", text, 0.5).unwrap().samples;
        let expected = [
            (1_795_255_199.5, 84.5),
            (1_795_255_201.0, 91.0),
            (1_795_255_201.75, 92.0),
        ];
        assert_eq!(
            samples,
            expected.map(|(at_s, watts)| Sample { at_s, watts })
        );
        let other = "volts,w,t_utc\n230,84.5,2026-11-21T10:00:00Z\n";
        assert_eq!(
            parse("watts.csv", other, 0.0).unwrap().samples,
            [Sample {
                at_s: 1_795_255_200.0,
                watts: 84.5
            }]
        );
        assert_eq!(
            parse("watts.csv", "t_utc,w\n", 0.0).unwrap(),
            Log::default()
        );
    }

    #[test]
    fn a_row_that_is_no_sample_costs_itself() {
        let check = |rows: &str, samples: &[(f64, f64)], passed: &[f64]| {
            let log = parse("watts.csv", &format!("t_utc,w\n{rows}"), 0.0).unwrap();
            let found: Vec<(f64, f64)> = log.samples.iter().map(|s| (s.at_s, s.watts)).collect();
            assert_eq!(found, samples, "{rows}");
            assert_eq!(log.passed, passed, "{rows}");
        };
        for bad in ["2,", "2,N/A", "2,nan", "noon,5", "2", "# restarted"] {
            let rows = format!("1,10\n{bad}\n3,30\n");
            check(&rows, &[(1.0, 10.0), (3.0, 30.0)], &[1.0]);
        }
        // Ten rows of a whole second are their mean; a meter's zero may lie a little below 0.
        check(
            "1,10\n1,20\n1,60\n2,-0.1\n",
            &[(1.0, 30.0), (2.0, -0.1)],
            &[],
        );
        // One wrong time costs one row, whether it lies ahead or behind.
        check(
            "1,10\n9999999999,20\n2,30\n3,40\n",
            &[(1.0, 10.0), (2.0, 30.0), (3.0, 40.0)],
            &[1.0],
        );
        check(
            "1,10\n2,20\n0,30\n3,40\n",
            &[(1.0, 10.0), (2.0, 20.0), (3.0, 40.0)],
            &[2.0],
        );
    }

    #[test]
    fn a_hole_of_bad_rows_takes_the_figure_only_where_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (1000..=1100)
            .map(|second| match second {
                1050..=1058 => format!("{second},N/A\n"),
                _ => format!("{second},50\n"),
            })
            .collect();
        fs::write(file.path(), format!("\u{feff}t_utc,w\r\n{lines}")).unwrap();
        let external = External {
            path: file.path().to_owned(),
            offset_s: 0.0,
        };
        let read = |from_s, to_s| {
            let stretch = Stretch {
                phase: Phase::Train,
                from_s,
                to_s,
            };
            over(&external, &[stretch])
        };
        assert_eq!(read(1000.0, 1040.0).energy_j, Ok(2000.0));
        assert_eq!(read(1060.0, 1080.0).energy_j, Ok(1000.0));
        let touched = read(1030.0, 1080.0);
        assert_eq!(touched.energy_j, Err(Absent::Gap));
        assert!(
            touched
                .scope
                .ends_with("; 9 rows of its log are no samples and were passed over")
        );
    }

    #[test]
    fn a_log_gives_a_channel_with_phases() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (1000..=1100)
            .map(|second| format!("{second},50\n"))
            .collect();
        fs::write(file.path(), format!("t_utc,w\n{lines}")).unwrap();
        let stretch = |phase, from_s, to_s| Stretch {
            phase,
            from_s,
            to_s,
        };
        let stretches = [
            stretch(Phase::Other, 1001.0, 1002.0),
            stretch(Phase::Train, 1002.0, 1042.0),
            stretch(Phase::Evaluate, 1042.0, 1044.0),
            stretch(Phase::Train, 1044.0, 1064.0),
        ];
        let external = External {
            path: file.path().to_owned(),
            offset_s: 0.0,
        };
        let channel = channel(&external, &stretches);
        assert_eq!(
            (channel.energy_j, channel.window_s),
            (Ok(3150.0), Some(63.0))
        );
        assert_eq!(channel.update_period_s, Some(1.0));
        let part = |phase, window_s, energy_j| PhaseEnergy {
            phase,
            window_s,
            energy_j,
        };
        let too_short = part(Phase::Evaluate, 2.0, Err(Absent::WindowTooShort));
        assert_eq!(
            channel.phases,
            [part(Phase::Train, 60.0, Ok(3000.0)), too_short]
        );
        let gone = External {
            path: "/nowhere/at all.csv".into(),
            offset_s: 0.0,
        };
        assert_eq!(over(&gone, &stretches).energy_j, Err(Absent::Unsupported));
    }

    #[test]
    fn a_log_that_makes_no_sense_is_refused_with_its_line() {
        let check = |text: &str, want: &str| {
            assert_eq!(parse("watts.csv", text, 0.0).unwrap_err().to_string(), want);
        };
        let hint = "hint: its first line names the columns: t_utc,w";
        check(
            "",
            &format!("watts.csv:1: `` is not the header of a wattmeter's log\n{hint}"),
        );
        check(
            "time,w\n1,2\n",
            &format!("watts.csv:1: `time,w` is not the header of a wattmeter's log\n{hint}"),
        );
    }
}
