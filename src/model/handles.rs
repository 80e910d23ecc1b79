//! What parameters are to a forward pass: tensors, and matrices in blocks.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::id::ParamId;
use crate::error::Result;
use crate::ops::{Activations, Format, Packed};

/// Tensors to compute with, by [`ParamId`].
#[derive(Debug, Clone)]
pub struct Weights {
    tensors: Vec<Tensor>,
    /// What products take in place of a tensor, where weights are packed for serving.
    packed: BTreeMap<usize, Arc<Packed>>,
    /// What multiplies those.
    activations: Activations,
    /// What keys and values are kept as while decoding, where that is not what is computed with.
    cache: Option<DType>,
}

impl Weights {
    pub(super) fn of(tensors: Vec<Tensor>, packed: BTreeMap<usize, Arc<Packed>>) -> Self {
        Self {
            tensors,
            packed,
            activations: Activations::F32,
            cache: None,
        }
    }

    /// The same whose keys and values are kept in another type.
    #[must_use]
    pub fn with_cache(self, cache: Option<DType>) -> Self {
        Self { cache, ..self }
    }

    /// The type that keys and values are kept in, of what is computed in another.
    pub(super) fn of_cache(&self, computed: DType) -> DType {
        self.cache.unwrap_or(computed)
    }

    /// The same whose packed matrices are multiplied with activations of another kind.
    #[must_use]
    pub fn with_activations(self, activations: Activations) -> Self {
        Self {
            activations,
            ..self
        }
    }

    /// What packed matrices are multiplied with.
    pub(super) fn activations(&self) -> Activations {
        self.activations
    }

    /// All of them, in the order of [`Params`](super::Params).
    pub fn all(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The packed form of a matrix, where it has one.
    pub fn packed(&self, id: ParamId) -> Option<&Packed> {
        self.packed.get(&id.0).map(Arc::as_ref)
    }

    /// The same, for what keeps it.
    pub(super) fn shared(&self, id: ParamId) -> Option<&Arc<Packed>> {
        self.packed.get(&id.0)
    }

    /// The same where there is no tensor beside it.
    pub(super) fn only_packed(&self, id: ParamId) -> Option<&Packed> {
        let packed = self.packed(id);
        packed.filter(|_| self.tensors[id.0].elem_count() == 0)
    }

    /// Packs a matrix, so many rows of a format after the other: products go by the rounded numbers from now on, look-ups do not.
    pub(super) fn pack(&mut self, id: usize, formats: &[(usize, Format)]) -> Result<()> {
        let packed = Packed::of_formats(&self.tensors[id], formats)?;
        self.packed.insert(id, Arc::new(packed));
        Ok(())
    }
}

impl Index<ParamId> for Weights {
    type Output = Tensor;

    fn index(&self, id: ParamId) -> &Tensor {
        &self.tensors[id.0]
    }
}
