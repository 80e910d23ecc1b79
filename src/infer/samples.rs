//! Many answers to each of many prompts: prompts are fed once, and their samples go on from there, all in one batch.

use candle_core::{Device, Tensor};

use super::{Generator, Sampling};
use crate::error::Result;
use crate::model::{Model, Weights};
use crate::ops::Ops;

/// Sequences that are decoded at once: more take more memory and are no faster.
const AT_ONCE: usize = 1024;

/// `samples` answers of `tokens` tokens to each prompt, prompt by prompt; all prompts are of one length.
///
/// # Errors
/// The operations', and where prompt and answer do not fit the context.
pub fn answers(
    model: &Model,
    weights: &Weights,
    (ops, device): (Ops, &Device),
    prompts: &[Vec<u32>],
    (samples, tokens): (usize, usize),
    sampling: &mut Sampling,
) -> Result<Vec<Vec<Vec<u32>>>> {
    let mut all = Vec::with_capacity(prompts.len());
    for some in prompts.chunks((AT_ONCE / samples).max(1)) {
        let mut generator = Generator::new(model, weights, ops, device, some.len());
        let first = generator.feed(&some.concat())?;
        let mut generator = generator.repeated(samples)?;
        let mut logits = repeated(&first, samples)?;
        let mut said = vec![Vec::with_capacity(tokens); some.len() * samples];
        for token in 0..tokens {
            let next = sampling.pick(&logits)?;
            said.iter_mut()
                .zip(&next)
                .for_each(|(said, token)| said.push(*token));
            if token + 1 < tokens {
                logits = generator.feed(&next)?;
            }
        }
        let mut said = said.into_iter();
        all.extend((0..some.len()).map(|_| said.by_ref().take(samples).collect()));
    }
    Ok(all)
}

/// Each row `times` over.
fn repeated(logits: &Tensor, times: usize) -> Result<Tensor> {
    let (rows, vocab) = logits.dims2()?;
    let wide = logits.unsqueeze(1)?.expand((rows, times, vocab))?;
    Ok(wide.contiguous()?.reshape((rows * times, vocab))?)
}
