//! Everything that was found in two sides, with its verdict and exit code.

use schemars::JsonSchema;
use serde::Serialize;

use super::gate::Code;
use super::matching::Unlike;
use super::residue::Difference;
use super::row::Row;
use super::verdict::Verdict;
use crate::config::Gate;

/// The schema of a comparison as JSON.
pub const SCHEMA: &str = "effbench.compare/1";

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// `effbench.compare/1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: &'static str,
    /// The base, in words.
    pub base: String,
    /// The new side, in words.
    pub new: String,
    /// The worst of what is gated.
    pub verdict: Verdict,
    /// What the program exits with.
    pub exit_code: Code,
    /// What the exit code was about.
    pub gate: Gate,
    /// Cells compared.
    pub cells: usize,
    /// Trials of each side in those cells.
    pub trials: [usize; 2],
    /// Of those, failed or invalid: status or the first flag, with the trial's cell and repeat.
    pub failed: Vec<String>,
    /// Cells that only one side has.
    pub alone: [Vec<String>; 2],
    /// Of those, one cell under two names: the base's and the new side's.
    pub renamed: Vec<[String; 2]>,
    /// Names that stand for different cells on the two sides: not compared.
    pub unlike: Vec<Unlike>,
    /// One metric in one cell each, gated ones first within a cell.
    pub rows: Vec<Row>,
    /// One gated metric over all cells each.
    pub suite: Vec<Row>,
    /// What else differs.
    pub residue: Vec<Difference>,
    /// Accepted changes that nothing stands behind.
    pub unused: Vec<String>,
    /// Whether a side is one variant of several: what only the other has is no loss then.
    #[serde(skip)]
    pub of_variants: bool,
}

impl Comparison {
    /// Whether something that the base has was not compared: a cell is gone, or is another one.
    pub fn has_gaps(&self) -> bool {
        !self.gone().is_empty() || !self.unlike.is_empty()
    }

    /// Cells of the base that the new side should have, and has not.
    pub fn gone(&self) -> &[String] {
        if self.of_variants {
            &[]
        } else {
            &self.alone[0]
        }
    }

    /// The rows that the exit code depends on, the whole suite's after the cells'.
    pub fn gated(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .chain(&self.suite)
            .filter(|row| row.gated && row.accepted.is_none())
    }

    /// Sets the verdict over what is gated and not accepted, and what the program exits with. A regression that is shown counts before
    /// everything else, and a seed that newly diverges is one, as a seed fixes every bit of a run. A trial that failed, timed out or ran
    /// out of memory may have met a full machine as well as a fault of the program: under every gate that is no pass and no verdict
    /// either, and has a code of its own. What the base has and the new side has not cannot have been judged.
    pub(super) fn settle(&mut self) {
        let gated: Vec<Verdict> = self.gated().map(|row| row.verdict).collect();
        let has = |verdict: Verdict| gated.contains(&verdict);
        let none_compared = gated
            .iter()
            .all(|verdict| *verdict == Verdict::NotComparable)
            && !self.rows.iter().any(|row| row.accepted.is_some());
        let verdict = if none_compared {
            Verdict::NotComparable
        } else {
            Verdict::of_all(gated.iter().copied())
        };
        let strict = self.gate != Gate::Regress;
        let code = match () {
            () if has(Verdict::Regressed) => Code::Regression,
            () if !self.failed.is_empty() => Code::Trials,
            () if none_compared || (strict && (has(Verdict::NotComparable) || self.has_gaps())) => {
                Code::NotComparable
            }
            () if strict && has(Verdict::Inconclusive) => Code::Inconclusive,
            () => Code::Fine,
        };
        self.verdict = if strict && self.has_gaps() {
            verdict.join(Verdict::NotComparable)
        } else {
            verdict
        };
        self.exit_code = code;
    }
}
