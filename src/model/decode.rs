//! Decoding: the next tokens beside what is kept of those before.

use candle_core::Tensor;

use super::mixer::Mixer;
use super::{Beside, Cache, Model, Pass, Weights};
use crate::error::{Error, Result};
use crate::ops::Ops;

impl Model {
    /// Logits (B, V) of the last of `time` new tokens, given what `cache` has seen; `ids` is (B*time) of type U32.
    ///
    /// # Errors
    /// Where they do not fit the cache, and the operations'.
    pub fn advance(
        &self,
        weights: &Weights,
        ids: &Tensor,
        cache: &mut Cache,
        ops: Ops,
    ) -> Result<Tensor> {
        let (batch, width) = (cache.batch, self.shape.width);
        let time = ids.elem_count() / batch;
        self.go_on(weights, ids, cache, ops, |x, pass| {
            let last = x
                .reshape((batch, time, width))?
                .narrow(1, time - 1, 1)?
                .squeeze(1)?
                .contiguous()?;
            self.head.logits(&last, pass)
        })
    }

    /// The same of all of them, (B*time, V): what a draft is judged by.
    ///
    /// # Errors
    /// As there.
    pub fn advance_all(
        &self,
        weights: &Weights,
        ids: &Tensor,
        cache: &mut Cache,
        ops: Ops,
    ) -> Result<Tensor> {
        self.go_on(weights, ids, cache, ops, |x, pass| {
            self.head.logits(x, pass)
        })
    }

    /// New tokens through all blocks; `end` makes of the last block's output what is asked for.
    fn go_on(
        &self,
        weights: &Weights,
        ids: &Tensor,
        cache: &mut Cache,
        ops: Ops,
        end: impl FnOnce(&Tensor, &Pass) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let batch = cache.batch;
        let time = ids.elem_count() / batch;
        if cache.seen + time > cache.room {
            let asked = cache.seen + time;
            return Err(Error::input(format!(
                "{asked} tokens do not fit a cache of {}",
                cache.room
            )));
        }
        let rope = self.position.rope(cache.seen, time, ids.device())?;
        let pass = Pass {
            weights,
            ops,
            batch,
            time,
            offset: cache.seen,
            room: cache.room,
            ids,
            rope: rope.as_ref(),
            beside: &Beside::default(),
        };
        let kept = &mut cache.kept;
        let mix = &mut |layer: usize, mixer: &dyn Mixer, x: &Tensor| {
            let kept = &mut kept[layer];
            kept.by_place = mixer.keeps_by_place(pass.room);
            mixer.advance(x, &pass, &mut kept.state)
        };
        let x = self.through(&pass, mix, &mut |_| {})?;
        cache.seen += time;
        end(&x, &pass)
    }
}
