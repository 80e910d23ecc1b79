//! What is known of a run before it begins.

use super::resolve::Campaign;
use crate::record::{Asked, Headline, Run};
use crate::runner::plan::PreparedCell;
use crate::runner::utc_now;

impl Campaign<'_> {
    /// What is known of the run before it begins.
    pub(super) fn header(&self) -> Run {
        // Two builds of one variant ask another question than two variants.
        let one_build = self.options.executor.against().is_none();
        Run {
            suite: self.suite.name.clone(),
            command: self.recorded_command(),
            base: self.suite.base.clone().filter(|_| one_build),
            headline: self.headline().filter(|_| one_build),
            data: self.data.clone(),
            repeats: self.repeats,
            started_at: utc_now(),
            finished_at: None,
            interleaved: None,
        }
    }

    /// The suite's own question, or, where the options left its cell out, the nearest that can be asked of what runs: fixed
    /// before anything does.
    fn headline(&self) -> Option<Headline> {
        let (asked, base) = (self.suite.headline.as_ref()?, self.suite.base.as_deref()?);
        let budgets = |scale: &str| {
            let of_base = self.cells.iter().filter(|cell| cell.variant == base);
            of_base.filter(|cell| cell.scale == scale).count()
        };
        let candidates = self.cells.iter().enumerate().filter(|(_, cell)| {
            cell.variant != base && cell.budget.is_some() && budgets(&cell.scale) > 1
        });
        let (_, cell) = candidates.max_by_key(|(place, cell)| {
            (
                cell.variant == asked.variant,
                cell.scale == asked.scale,
                cell.budget == Some(asked.budget),
                std::cmp::Reverse(*place),
            )
        })?;
        Some(Headline {
            variant: cell.variant.clone(),
            scale: cell.scale.clone(),
            budget: cell.budget?,
        })
    }

    /// The command that repeats this run anywhere.
    fn recorded_command(&self) -> String {
        let hash = |cell: &PreparedCell| Asked::of(&cell.spec).data_hash().map(str::to_owned);
        let hash = self.cells.iter().find_map(hash);
        self.options.recorded(hash.as_deref())
    }
}
