//! Where a trial's learning rate comes from, as a value that programs can ask: what follows from it never hangs on the
//! words that say it.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Where a learning rate comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RateSource {
    /// `--set train.optimizer.lr=...`.
    Set,
    /// A suite's own `train.optimizer.lr`.
    Suite {
        /// Its name.
        suite: String,
    },
    /// One rate of a sweep: the trial helps to choose and judges nothing.
    Grid,
    /// The cell's own sweep, through whose lowest rates a parabola was laid: so until schema `effbench.result/1`.
    Swept {
        /// Rates tried.
        rates: u64,
        /// Seeds that each was tried with.
        seeds: u64,
        /// The best one was the grid's first or last, or a neighbour of it diverged.
        edge: bool,
    },
    /// One smooth surface over all sweep cells of the arm: the rate is exp(`ln_lr` + `draw`).
    Surface {
        /// The result file of the sweep; `null` where this run swept itself.
        from: Option<String>,
        /// Natural logarithm of the best rate here, as the surface has it.
        ln_lr: f64,
        /// Standard error of that, with what the sweep's cells differ from a smooth surface in it.
        se: f64,
        /// What was added to it in this repeat, drawn from the surface's own uncertainty; all cells of an arm and repeat
        /// have the same surface.
        draw: f64,
        /// Expected loss, in nats, from an error as large as `se`.
        cost_nats: f64,
        /// The rate lies outside those that the sweep tried, or most of its cells were best at their grid's edge.
        edge: bool,
        /// Size or steps lie outside those that were swept: it was asked for by name.
        beyond: bool,
    },
    /// A row of the variant's `[[tuned]]` table.
    Tuned {
        /// The result file of its sweep.
        from: String,
        /// The row is for this very width, number of steps, batch and data; else it is the nearest.
        exact: bool,
        /// The row's width, `w32`; `null` in an old file that does not say.
        scale: Option<String>,
        /// The row's optimizer steps; `null` in an old file that does not say.
        steps: Option<u64>,
        /// The best rate was its grid's first or last.
        edge: bool,
    },
    /// The variant's own default, which no sweep chose.
    Untuned,
    /// Somebody else's log: what chose it is not known.
    Foreign,
    /// An old file's words that mean nothing to this build.
    Unknown {
        /// As they stood.
        words: String,
    },
}

/// What old files say behind the source of a rate at its grid's edge.
const EDGE: &str = " (at its grid's edge)";

impl RateSource {
    /// Whether the trial only helped to choose a rate: it judges nothing.
    pub fn is_sweep(&self) -> bool {
        matches!(self, Self::Grid)
    }

    /// Whether a sweep of this arm speaks for this place.
    pub fn is_tuned(&self) -> bool {
        match self {
            Self::Swept { .. } => true,
            Self::Surface { beyond, .. } => !beyond,
            Self::Tuned { exact, .. } => *exact,
            _ => false,
        }
    }

    /// Whether a sweep of this arm speaks for this place and found the best rate between others.
    pub fn is_settled(&self) -> bool {
        self.is_tuned() && !self.is_at_edge()
    }

    /// Whether the best rate was at the edge of those tried: a better one may lie outside.
    pub fn is_at_edge(&self) -> bool {
        match self {
            Self::Swept { edge, .. } | Self::Surface { edge, .. } | Self::Tuned { edge, .. } => {
                *edge
            }
            _ => false,
        }
    }

    /// Whether somebody set the rate, or a sweep tries it: then it is part of what the cell is, not something found out about it.
    pub fn is_asked_for(&self) -> bool {
        matches!(self, Self::Set | Self::Suite { .. } | Self::Grid)
    }

    /// Whether each repeat drew a rate of its own, so that repeats of one cell differ in it and in nothing else.
    pub fn is_drawn(&self) -> bool {
        matches!(self, Self::Surface { .. })
    }

    /// What the words of an old file (schema `effbench.result/1`) meant when they were written.
    pub fn of_words(words: &str) -> Self {
        let (said, edge) = words
            .strip_suffix(EDGE)
            .map_or((words, false), |said| (said, true));
        match said {
            "--set" => return Self::Set,
            "grid" => return Self::Grid,
            "untuned default" => return Self::Untuned,
            "imported" => return Self::Foreign,
            _ => {}
        }
        let swept = || {
            let (rates, seeds) = said.strip_prefix("tuned here: ")?.split_once(" rates x ")?;
            let seeds = seeds
                .strip_suffix(" seeds")
                .or_else(|| seeds.strip_suffix(" seed"))?;
            Some(Self::Swept {
                rates: rates.parse().ok()?,
                seeds: seeds.parse().ok()?,
                edge,
            })
        };
        let tuned = || {
            let from = said.strip_prefix("tuned: ")?.to_owned();
            Some(Self::Tuned {
                from,
                exact: true,
                scale: None,
                steps: None,
                edge,
            })
        };
        let nearest = || {
            let (row, from) = said
                .strip_prefix("nearest tuned row (")?
                .split_once("), ")?;
            let (scale, steps) = row.split_once('@')?;
            let (scale, steps) = (Some(scale.to_owned()), Some(steps.parse().ok()?));
            Some(Self::Tuned {
                from: from.to_owned(),
                exact: false,
                scale,
                steps,
                edge,
            })
        };
        // Its name is the user's: whatever stands behind the word is it.
        let suite = || {
            Some(Self::Suite {
                suite: words.strip_prefix("suite ")?.to_owned(),
            })
        };
        let read = suite().or_else(swept).or_else(tuned).or_else(nearest);
        read.unwrap_or_else(|| Self::Unknown {
            words: words.to_owned(),
        })
    }
}

/// For people: tables and plans.
impl fmt::Display for RateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set => f.write_str("--set")?,
            Self::Suite { suite } => write!(f, "suite {suite}")?,
            Self::Grid => f.write_str("grid")?,
            Self::Swept { rates, seeds, .. } => {
                write!(
                    f,
                    "tuned here: {rates} rates x {seeds} seed{}",
                    if *seeds == 1 { "" } else { "s" }
                )?;
            }
            Self::Surface { from, beyond, .. } => {
                match from {
                    Some(from) => write!(f, "surface: {from}")?,
                    None => f.write_str("surface of this run's sweep")?,
                }
                if *beyond {
                    f.write_str(" (beyond what was swept)")?;
                }
            }
            Self::Tuned {
                from, exact: true, ..
            } => write!(f, "tuned: {from}")?,
            Self::Tuned {
                from,
                scale: Some(scale),
                steps: Some(steps),
                ..
            } => {
                write!(f, "nearest tuned row ({scale}@{steps}), {from}")?;
            }
            Self::Tuned { from, .. } => write!(f, "nearest tuned row, {from}")?,
            Self::Untuned => f.write_str("untuned default")?,
            Self::Foreign => f.write_str("imported")?,
            Self::Unknown { words } => write!(f, "{}", words.escape_debug())?,
        }
        f.write_str(if self.is_at_edge() { EDGE } else { "" })
    }
}

/// Reads what this build writes, and the words of old files.
pub fn old_or_new<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RateSource, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = RateSource;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(
                "where the learning rate comes from: an object with `kind`, or an old file's words",
            )
        }
        fn visit_str<E: serde::de::Error>(self, words: &str) -> Result<RateSource, E> {
            Ok(RateSource::of_words(words))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateSource, A::Error> {
            RateSource::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Either)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tuned(from: &str, exact: bool, row: Option<(&str, u64)>, edge: bool) -> RateSource {
        let (scale, steps) = row.map_or((None, None), |(scale, steps)| {
            (Some(scale.to_owned()), Some(steps))
        });
        RateSource::Tuned {
            from: from.to_owned(),
            exact,
            scale,
            steps,
            edge,
        }
    }

    /// Every sentence that this program has ever written, names with other sentences' words in them among them.
    #[test]
    fn old_words_are_read_for_what_they_meant() {
        let swept = |rates, seeds, edge| RateSource::Swept { rates, seeds, edge };
        let suite = |name: &str| RateSource::Suite {
            suite: name.to_owned(),
        };
        let unknown = |words: &str| RateSource::Unknown {
            words: words.to_owned(),
        };
        let rows = [
            ("--set", RateSource::Set, false),
            ("grid", RateSource::Grid, false),
            ("untuned default", RateSource::Untuned, false),
            ("imported", RateSource::Foreign, false),
            ("suite throughput", suite("throughput"), false),
            ("suite tuned: edge", suite("tuned: edge"), false),
            ("tuned here: 6 rates x 1 seed", swept(6, 1, false), true),
            (
                "tuned here: 6 rates x 2 seeds (at its grid's edge)",
                swept(6, 2, true),
                false,
            ),
            (
                "tuned: results/tune-quick.json",
                tuned("results/tune-quick.json", true, None, false),
                true,
            ),
            (
                "tuned: knowl-edge.json",
                tuned("knowl-edge.json", true, None, false),
                true,
            ),
            (
                "tuned: a.json (at its grid's edge)",
                tuned("a.json", true, None, true),
                false,
            ),
            (
                "nearest tuned row (w48@400), tuned: x.json",
                tuned("tuned: x.json", false, Some(("w48", 400)), false),
                false,
            ),
            (
                "nearest tuned row (w48@400), x.json (at its grid's edge)",
                tuned("x.json", false, Some(("w48", 400)), true),
                false,
            ),
            (
                "nearest tuned row, x",
                unknown("nearest tuned row, x"),
                false,
            ),
            ("tuned by hand", unknown("tuned by hand"), false),
        ];
        for (words, source, settled) in rows {
            let read = old_or_new(&json!(words)).unwrap();
            assert_eq!((&read, read.is_settled()), (&source, settled), "{words}");
            assert_eq!(read.to_string(), words);
            let written = serde_json::to_value(&read).unwrap();
            assert_eq!(old_or_new(&written).unwrap(), source, "{written}");
        }
        assert!(old_or_new(&json!({"kind": "wish"})).is_err() && old_or_new(&json!(3)).is_err());
    }

    #[test]
    fn a_surface_speaks_for_what_it_was_swept_for() {
        let surface = |edge, beyond| RateSource::Surface {
            from: Some("knowl-edge.json".to_owned()),
            ln_lr: -4.2,
            se: 0.1,
            draw: -0.05,
            cost_nats: 0.001,
            edge,
            beyond,
        };
        for (edge, beyond, tuned, settled) in [
            (false, false, true, true),
            (true, false, true, false),
            (false, true, false, false),
        ] {
            let source = surface(edge, beyond);
            assert_eq!(
                (source.is_tuned(), source.is_settled(), source.is_drawn()),
                (tuned, settled, true)
            );
            let written = serde_json::to_value(&source).unwrap();
            assert_eq!(
                (&written["kind"], old_or_new(&written).unwrap()),
                (&json!("surface"), source)
            );
        }
    }
}
