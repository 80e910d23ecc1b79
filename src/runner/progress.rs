//! How far a run is: two bars on a terminal (the suite's and the trial's), one plain line per finished trial without one.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::observer::Observer;
use crate::record::{Status, Trial, metric};
use crate::trial::{Event, Job};

/// Shows progress on standard error.
pub struct Progress {
    show: Show,
    /// Trials done, of how many.
    done: usize,
    total: usize,
    /// FLOPs of the trials run so far and of those to come: trials differ, so time left follows FLOPs.
    work_done: f64,
    work_left: f64,
    began: Instant,
    trial_work: f64,
    /// What the trial is doing, and since when.
    phase: String,
    phase_began: Instant,
}

enum Show {
    Bars {
        all: MultiProgress,
        suite: ProgressBar,
        trial: ProgressBar,
    },
    Lines(Box<dyn Write + Send>),
}

impl Progress {
    /// Bars on standard error if it is a terminal that can show them, else lines.
    pub fn on_stderr() -> Self {
        if ProgressDrawTarget::stderr().is_hidden() {
            return Self::lines(Box::new(io::stderr()));
        }
        let all = MultiProgress::new();
        let suite = all.add(ProgressBar::hidden());
        let trial = all.add(ProgressBar::hidden());
        Self::new(Show::Bars { all, suite, trial })
    }

    /// Lines, whatever they are written to.
    pub fn lines(to: Box<dyn Write + Send>) -> Self {
        Self::new(Show::Lines(to))
    }

    fn new(show: Show) -> Self {
        let now = Instant::now();
        let (work_done, work_left, trial_work) = (0.0, 0.0, 0.0);
        let phase = String::new();
        Self {
            show,
            done: 0,
            total: 0,
            work_done,
            work_left,
            began: now,
            trial_work,
            phase,
            phase_began: now,
        }
    }

    fn suite_left(&self) -> String {
        if self.work_done <= 0.0 {
            return String::new();
        }
        let rate = self.work_done / self.began.elapsed().as_secs_f64().max(1e-9);
        format!("{} left", seconds(self.work_left.max(0.0) / rate))
    }
}

impl Observer for Progress {
    fn begin(&mut self, total: usize, missing: &[&Job]) {
        self.total = total;
        self.done = total - missing.len();
        self.work_left = missing.iter().map(|job| work(job)).sum();
        self.work_done = 0.0;
        self.began = Instant::now();
        if self.done > 0 {
            self.note(&format!(
                "{} of {total} trials are done, {} to run",
                self.done,
                missing.len()
            ));
        }
        if let Show::Bars { all, suite, trial } = &mut self.show {
            *suite = all.add(bar(total as u64, "trials {bar:24} {pos}/{len}  {msg}"));
            suite.set_position(self.done as u64);
            *trial = all.add(bar(1, "{prefix}  {bar:24} {msg}"));
        }
    }

    fn calibrating(&mut self) {
        if let Show::Bars { trial, .. } = &self.show {
            trial.set_prefix("calibrating");
            trial.set_message("");
        }
    }

    fn trial(&mut self, job: &Job) {
        // The calibration before the first is no part of what a trial takes.
        if self.work_done <= 0.0 {
            self.began = Instant::now();
        }
        self.phase.clear();
        self.trial_work = work(job);
        let left = self.suite_left();
        if let Show::Bars { suite, trial, .. } = &self.show {
            trial.set_prefix(format!(
                "{} repeat {}",
                named(&job.trial.cell, &job.trial.arm),
                job.trial.repeat
            ));
            trial.set_message("starting");
            trial.set_length(1);
            trial.set_position(0);
            suite.set_message(left);
        }
    }

    fn heard(&mut self, event: &Event) {
        let (
            Show::Bars { trial, .. },
            Event::Progress {
                phase,
                step,
                steps,
                loss,
                tokens_per_s,
            },
        ) = (&self.show, event)
        else {
            return;
        };
        if *phase != self.phase {
            self.phase.clone_from(phase);
            self.phase_began = Instant::now();
        }
        trial.set_length((*steps).max(1));
        trial.set_position(*step);
        let mut parts = vec![format!("{phase} {step}/{steps}")];
        parts.extend(loss.map(|loss| format!("loss {loss:.3}")));
        parts.extend(tokens_per_s.map(|rate| format!("{} tokens/s", short(rate))));
        if *step > 0 && *step < *steps {
            let per_step = self.phase_began.elapsed().as_secs_f64() / *step as f64;
            parts.push(format!(
                "{} left",
                seconds(per_step * (steps - step) as f64)
            ));
        }
        trial.set_message(parts.join(", "));
    }

    fn finished(&mut self, trial: &Trial, took: Duration) {
        self.done += 1;
        self.work_done += self.trial_work;
        self.work_left -= self.trial_work;
        let left = self.suite_left();
        let line = format!("[{}/{}] {}", self.done, self.total, summary(trial, took));
        match &mut self.show {
            Show::Bars { all, suite, .. } => {
                suite.set_position(self.done as u64);
                suite.set_message(left);
                if trial.status != Status::Ok {
                    let _ = all.println(line);
                }
            }
            Show::Lines(to) if self.done < self.total && !left.is_empty() => {
                say(to, &format!("{line}; {left}"));
            }
            Show::Lines(to) => say(to, &line),
        }
    }

    fn note(&mut self, text: &str) {
        match &mut self.show {
            Show::Bars { all, .. } => drop(all.println(text)),
            Show::Lines(to) => say(to, text),
        }
    }

    fn end(&mut self) {
        if let Show::Bars { all, suite, trial } = &self.show {
            trial.finish_and_clear();
            suite.finish_and_clear();
            let _ = all.clear();
        }
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("##-"))
}

/// What a trial costs beside its FLOPs, in FLOPs: it starts, evaluates and generates, which small trials spend most of their time on.
const BESIDE: f64 = 2e10;

fn work(job: &Job) -> f64 {
    job.flops() + BESIDE
}

/// A standard error that is closed or full stops no run.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}

/// `gpt2/w32@800 repeat 1: loss 2.345, 210 k tokens/s, 5.2 s`, or what went wrong.
fn summary(trial: &Trial, took: Duration) -> String {
    let value = |name: &str| trial.metrics.get(name).and_then(|metric| metric.value);
    let mut parts = Vec::new();
    if trial.status != Status::Ok {
        let status = serde_json::to_value(trial.status).ok();
        let status = status
            .as_ref()
            .and_then(|s| s.as_str())
            .unwrap_or("failed")
            .replace('_', " ");
        parts.push(match &trial.reason {
            Some(reason) => format!("{status} ({reason})"),
            None => status,
        });
    }
    parts.extend(value(metric::VAL_LOSS_NATS).map(|loss| format!("loss {loss:.3}")));
    parts.extend(value(metric::TRAIN_TOKENS_PER_S).map(|rate| format!("{} tokens/s", short(rate))));
    parts.push(seconds(took.as_secs_f64()));
    format!(
        "{} repeat {}: {}",
        named(&trial.cell, &trial.arm),
        trial.repeat,
        parts.join(", ")
    )
}

/// `gpt2/w32@400`, or with its build: `gpt2/w32@400 of base`.
fn named(cell: &str, arm: &str) -> String {
    if arm == cell {
        cell.to_owned()
    } else {
        format!("{cell} of {arm}")
    }
}

/// Three significant digits and a prefix: `210 k`, `1.35 M`, `42`.
fn short(x: f64) -> String {
    let (scaled, prefix) = match x.abs() {
        size if size >= 999.5e6 => (x / 1e9, " G"),
        size if size >= 999.5e3 => (x / 1e6, " M"),
        size if size >= 999.5 => (x / 1e3, " k"),
        _ => (x, ""),
    };
    let decimals = if prefix.is_empty() || scaled.abs() >= 99.95 {
        0
    } else if scaled.abs() >= 9.995 {
        1
    } else {
        2
    };
    format!("{scaled:.decimals$}{prefix}")
}

/// `5.2 s`, `3 min 20 s`, `2 h 5 min`.
fn seconds(s: f64) -> String {
    let whole = s.round() as u64;
    match whole {
        0..60 => format!("{s:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (x, expected) in [
            (0.0, "0"),
            (42.4, "42"),
            (999.0, "999"),
            (999.9, "1.00 k"),
            (12_345.0, "12.3 k"),
            (210_400.0, "210 k"),
            (1.354e6, "1.35 M"),
            (2e9, "2.00 G"),
        ] {
            assert_eq!(short(x), expected);
        }
        for (s, expected) in [
            (5.24, "5.2 s"),
            (59.4, "59.4 s"),
            (59.7, "1 min 0 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(seconds(s), expected);
        }
    }
}
