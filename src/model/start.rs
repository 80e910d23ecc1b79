//! What a model's parameters are before the first step, and what they are when it serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;

use super::Model;
use super::param::{Decl, Params, Part, Weights};
use super::serving::{self, Packing};
use crate::error::Result;
use crate::ops::Packed;

impl Model {
    /// Its parameters before the first step: drawn by a seed, or from the file that `model.from` names; matrices that stay in the file's
    /// blocks are there alone on the CPU.
    ///
    /// # Errors
    /// Where that file is no longer what it was, or the device has no room.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Params> {
        let ids = match device.is_cpu() {
            true => self.stay_in_blocks().collect(),
            false => Vec::new(),
        };
        self.start_holding(seed, device, self.packed(ids)?)
    }

    /// The same on the CPU to serve only: matrices, and the token table, in the file's own blocks where it has such, and not in f32.
    ///
    /// # Errors
    /// As there.
    pub fn start_packed(&self, seed: u64) -> Result<Params> {
        let ids = serving::in_blocks(&self.decls, self.head.weight, self.tokens);
        self.start_holding(seed, &Device::Cpu, self.packed(ids)?)
    }

    /// Of these matrices those that the file has in blocks.
    fn packed(&self, ids: Vec<usize>) -> Result<BTreeMap<usize, Arc<Packed>>> {
        match self.given.as_ref().filter(|_| !ids.is_empty()) {
            Some(given) => given.packed(&self.decls, ids),
            None => Ok(BTreeMap::new()),
        }
    }

    /// The matrices that stay in the blocks of their file while low-rank changes of them train.
    fn stay_in_blocks(&self) -> impl Iterator<Item = usize> + '_ {
        let stay = self.adapters.iter().filter(|adapter| adapter.in_blocks);
        stay.map(|adapter| adapter.weight.0)
    }

    /// Bytes that those take less than in f32; `None` where none is to stay in blocks.
    pub fn spared_by_blocks(&self) -> Option<u64> {
        self.stay_in_blocks().next()?;
        Some(self.spared(self.stay_in_blocks()))
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
        params.take_norms(&self.decls)?;
        Ok(params)
    }

    /// Bytes that it takes in memory as [`start_packed`](Self::start_packed) has it.
    pub fn packed_bytes(&self) -> u64 {
        let ids = serving::in_blocks(&self.decls, self.head.weight, self.tokens);
        4 * self.params_total() - self.spared(ids.into_iter())
    }

    /// Those by part.
    pub fn packed_bytes_by_part(&self) -> BTreeMap<Part, u64> {
        let ids = serving::in_blocks(&self.decls, self.head.weight, self.tokens);
        let mut parts = BTreeMap::new();
        for (id, decl) in self.decls.iter().enumerate() {
            if decl.serves && !decl.buffer {
                let spared = self.spared(ids.iter().copied().filter(|packed| *packed == id));
                *parts.entry(decl.part).or_default() += 4 * decl.count() - spared;
            }
        }
        parts
    }

    /// Bytes that these take less in their file's blocks than in f32.
    fn spared(&self, ids: impl Iterator<Item = usize>) -> u64 {
        let given = self.given.as_ref();
        let spared = ids.map(|id| {
            let decl = &self.decls[id];
            let formats = given.and_then(|given| given.formats(decl));
            let packed = formats.into_iter().flatten().map(|(rows, format)| {
                let columns = decl.shape[1];
                rows * (4 * columns - format.bytes_of_row(columns))
            });
            packed.sum::<usize>() as u64
        });
        spared.sum()
    }

    /// Whether it trains low-rank changes of its matrices.
    pub fn is_adapted(&self) -> bool {
        !self.adapters.is_empty()
    }

    /// The parameters that are left when it is trained: each low-rank change is in its matrix.
    ///
    /// # Errors
    /// The device's.
    pub fn merged(&self, params: &Params) -> Result<Params> {
        params.merged(&self.adapters)
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
