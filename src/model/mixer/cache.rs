//! Keys or values of the tokens so far, (B x KV, room, D): all of them, or the last as a ring, where token t lies at t mod room. They
//! are kept in the type of the cache, which may be f16 where all else is f32.

use candle_core::{Result, Tensor};

/// Writes new tokens, (B x KV, T, D), after `offset` others, over the oldest where there is no room left.
pub(super) fn keep(cache: &Tensor, new: &Tensor, offset: usize) -> Result<()> {
    let (room, time) = (cache.dim(1)?, new.dim(1)?);
    // What the later of them would write over is not written.
    let mut done = time.saturating_sub(room);
    while done < time {
        let at = (offset + done) % room;
        let run = (room - at).min(time - done);
        let new = new.narrow(1, done, run)?.contiguous()?;
        cache.slice_set(&new.to_dtype(cache.dtype())?, 1, at)?;
        done += run;
    }
    Ok(())
}

/// What is left of `offset` tokens, the oldest first.
pub(super) fn in_order(cache: &Tensor, offset: usize) -> Result<Tensor> {
    let room = cache.dim(1)?;
    if offset <= room {
        return cache.narrow(1, 0, offset);
    }
    let oldest = offset % room;
    let parts = [
        cache.narrow(1, oldest, room - oldest)?,
        cache.narrow(1, 0, oldest)?,
    ];
    Tensor::cat(&parts, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn a_ring_holds_the_last_tokens_however_they_came() -> Result<()> {
        for room in 1..6usize {
            for runs in [
                vec![1; 9],
                vec![3, 1, 1, 4],
                vec![9],
                vec![2, 7],
                vec![5, 5],
            ] {
                let cache = Tensor::zeros((2, room, 1), DType::F32, &Device::Cpu)?;
                let mut offset = 0;
                for run in runs {
                    let tokens: Vec<f32> = (0..2)
                        .flat_map(|_| (offset..offset + run).map(|t| t as f32))
                        .collect();
                    keep(
                        &cache,
                        &Tensor::from_vec(tokens, (2, run, 1), &Device::Cpu)?,
                        offset,
                    )?;
                    offset += run;
                    let held = in_order(&cache, offset)?.squeeze(2)?.to_vec2::<f32>()?;
                    let last: Vec<f32> = (offset.saturating_sub(room)..offset)
                        .map(|t| t as f32)
                        .collect();
                    assert_eq!(held, [last.clone(), last], "{room} after {offset}");
                }
            }
        }
        Ok(())
    }
}
