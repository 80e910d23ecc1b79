//! What a model's parameters are before the first step, and what they are when it serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;

use super::Model;
use super::param::{Decl, Params, Weights};
use super::serving::{self, Packing};
use crate::error::Result;
use crate::ops::Packed;

impl Model {
    /// Its parameters before the first step: drawn by a seed, or from the file that `model.from` names.
    ///
    /// # Errors
    /// Where that file is no longer what it was, or the device has no room.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Params> {
        self.start_holding(seed, device, BTreeMap::new())
    }

    /// The same on the CPU to serve only: matrices, and the token table, in the file's own blocks where it has such, and not in f32.
    ///
    /// # Errors
    /// As there.
    pub fn start_packed(&self, seed: u64) -> Result<Params> {
        let packed = match &self.given {
            Some(given) => {
                let ids = serving::in_blocks(&self.decls, self.head.weight, self.tokens);
                given.packed(&self.decls, ids)?
            }
            None => BTreeMap::new(),
        };
        self.start_holding(seed, &Device::Cpu, packed)
    }

    fn start_holding(
        &self,
        seed: u64,
        device: &Device,
        packed: BTreeMap<usize, Arc<Packed>>,
    ) -> Result<Params> {
        let Some(given) = &self.given else {
            return Params::init(&self.decls, seed, device);
        };
        let params = Params::to_fill(&self.decls, seed, device, packed)?;
        given.load(&self.decls, &params)?;
        Ok(params)
    }

    /// Bytes that it takes in memory as [`start_packed`](Self::start_packed) has it.
    pub fn packed_bytes(&self) -> u64 {
        let ids = serving::in_blocks(&self.decls, self.head.weight, self.tokens);
        let given = self.given.as_ref();
        let saved = ids.into_iter().map(|id| {
            let decl = &self.decls[id];
            let formats = given.and_then(|given| given.formats(decl));
            let packed = formats.into_iter().flatten().map(|(rows, format)| {
                let columns = decl.shape[1];
                rows * (4 * columns - format.bytes_of_row(columns))
            });
            packed.sum::<usize>() as u64
        });
        4 * self.params_total() - saved.sum::<u64>()
    }

    /// What it serves with: its parameters as they are, or with every matrix packed.
    ///
    /// # Errors
    /// Where a matrix [cannot be packed](Self::cannot_pack).
    pub fn serving(&self, params: &Params, packing: Option<Packing>) -> Result<Weights> {
        let in_file = |decl: &Decl| self.given.as_ref().and_then(|given| given.formats(decl));
        serving::weights(&self.decls, self.head.weight, params, packing, &in_file)
    }
}
