//! Bytes that training must take, by arithmetic.

/// Bytes of so many parameters, gradients and numbers of optimizer state, all in f32.
pub fn state_bytes(params: u64, gradients: u64, optimizer_scalars: u64) -> u64 {
    4 * (params + gradients + optimizer_scalars)
}

/// A guess at the peak memory of a training process: state, the activations that one forward pass of `tokens` tokens leaves
/// for the backward, logits and their gradient, and what the process itself takes. For plans, never for results.
pub fn guess_train_bytes(state: u64, tokens: u64, layers: u64, width: u64, vocab: u64) -> u64 {
    const PROCESS: u64 = 40 << 20;
    // Scalars per token and layer that the ops keep: about 20 widths (inputs of norms, projections, activations).
    let activations = 20 * layers * width + 3 * vocab;
    PROCESS + state + 4 * tokens * activations
}
