//! A part of a run, for whoever spreads it over machines: whole repeats, so that all arms of a repeat run in one session.

use std::fmt;
use std::str::FromStr;

use crate::trial::Job;

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shard {
    /// Only the trials that choose learning rates.
    Sweep,
    /// Of `of` parts, from 1, the `part`-th: every `of`-th repeat.
    Part {
        /// From 1.
        part: u64,
        /// At least 1.
        of: u64,
    },
}

impl Shard {
    /// Those of a plan's jobs that are this part's, in their order.
    pub fn of(self, jobs: Vec<Job>) -> Vec<Job> {
        match self {
            Self::Sweep => jobs,
            Self::Part { part, of } => jobs
                .into_iter()
                .filter(|job| job.trial.repeat % of == part - 1)
                .collect(),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "sweep" {
            return Ok(Self::Sweep);
        }
        let parts = text
            .split_once('/')
            .and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self::Part { part, of }),
            _ => Err("write I/N with 1 <= I <= N, such as 2/5, or `sweep`".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Sweep => f.write_str("sweep"),
            Self::Part { part, of } => write!(f, "{part}/{of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        for text in ["1/1", "2/5", "sweep"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for bad in ["0/3", "4/3", "1", "a/b", "1/0", "/", "-1/2", "Sweep"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
