//! Weights in the form that products read, for as long as they do not change.

use super::cpu::factors::Kept;
use candle_core::{Tensor, TensorId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Weights that were narrowed or packed already, for as long as they do not change: decoding would otherwise read them in full for
/// every token, and the parts of a training step each pack them anew.
#[derive(Default)]
pub struct Narrowed {
    /// On a GPU, narrowed to the type of activations.
    pub(super) on_gpu: Mutex<HashMap<TensorId, Tensor>>,
    /// On a CPU, rounded and packed.
    pub(super) on_cpu: Arc<Kept>,
}

impl Narrowed {
    /// Bytes by which weights that were packed on a CPU are smaller than the f32 that they were made of.
    pub fn spared_bytes(&self) -> u64 {
        2 * self.on_cpu.numbers() as u64
    }
}
