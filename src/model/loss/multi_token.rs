//! Multi-token prediction: further heads, each a block and a norm of its own before the model's matrix, predict the second next
//! token, the third and so on from the stream after the last block (Gloeckle et al. 2024, arXiv 2404.19737, section 2: all heads
//! weigh the same). They are gone when the model is served.

use candle_core::Tensor;

use super::{Aside, Extra, Loss, LossKind, Trunk};
use crate::config::knob::Whole;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::head::Head;
use crate::model::site::Site;
use crate::model::{Pass, Span, Work};
use crate::ops::IGNORED;

/// More tokens ahead than anybody predicted.
const MOST: usize = 16;

const TOKENS: Knob<Whole> = Knob::count(
    "tokens",
    "How many tokens ahead are predicted, the next one by the model's own head among them.",
)
.within(2, MOST)
.default(2);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "multi-token"
    }
    fn about(&self) -> &'static str {
        "further heads, a block each, that predict the second next token and so on up to `tokens` ahead (Gloeckle et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[&TOKENS]
    }
}

impl LossKind for Kind {
    fn weight(&self) -> f64 {
        1.0
    }

    fn settle(&self, site: &Site, weight: f64, build: &mut Aside) -> Result<Box<dyn Loss>> {
        let tokens = site.knobs.read(&TOKENS)?;
        let head = |ahead: usize| {
            let name = ahead.to_string();
            Ok(Ahead {
                ahead,
                block: build.block(&name)?,
                head: build.head(&name)?,
            })
        };
        Ok(Box::new(MultiToken {
            weight,
            heads: (2..=tokens).map(head).collect::<Result<_>>()?,
        }))
    }
}

struct MultiToken {
    weight: f64,
    heads: Vec<Ahead>,
}

/// A head that predicts the token so many places on.
struct Ahead {
    ahead: usize,
    block: Extra,
    head: Head,
}

/// The targets of a head: those of the place `ahead - 1` on, none where the window ends before.
fn targets_of(next: &[u32], time: usize, ahead: usize) -> Vec<u32> {
    let of_window = |window: &[u32]| {
        let later = window.iter().skip(ahead - 1).copied();
        let none = std::iter::repeat_n(IGNORED, (ahead - 1).min(window.len()));
        later.chain(none).collect::<Vec<u32>>()
    };
    next.chunks(time).flat_map(of_window).collect()
}

fn known(targets: &[u32]) -> usize {
    targets.iter().filter(|target| **target != IGNORED).count()
}

impl Loss for MultiToken {
    fn term(&self, trunk: &Trunk, pass: &Pass) -> Result<Option<Tensor>> {
        let all = known(trunk.targets);
        let mut sum: Option<Tensor> = None;
        for Ahead { ahead, block, head } in &self.heads {
            let targets = targets_of(trunk.targets, pass.time, *ahead);
            let share = known(&targets) as f64 / all as f64;
            if share == 0.0 {
                continue;
            }
            let targets = Tensor::from_vec(targets, trunk.x_nc.dim(0)?, trunk.x_nc.device())?;
            let x = block.forward(trunk.x_nc, pass)?;
            let term = (head.loss(&x, &targets, 0.0, pass)? * (self.weight * share))?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        Ok(sum)
    }

    fn work(&self, span: Span) -> Work {
        let of_head = |ahead: &Ahead| {
            let (block, learns) = ahead.block.work(span);
            block + ahead.head.work(span.new, learns)
        };
        self.heads.iter().map(of_head).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_asked_for_tokens_of_its_own_window() {
        let next = [1, 2, 3, 4, 5, IGNORED, 7, 8];
        assert_eq!(targets_of(&next, 4, 1), next);
        let second = [2, 3, 4, IGNORED, IGNORED, 7, 8, IGNORED];
        assert_eq!(targets_of(&next, 4, 2), second);
        let fourth = [4, IGNORED, IGNORED, IGNORED, 8, IGNORED, IGNORED, IGNORED];
        assert_eq!(targets_of(&next, 4, 4), fourth);
        assert_eq!(known(&targets_of(&next, 4, 9)), 0);
    }
}
