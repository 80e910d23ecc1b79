//! What a trained model serves with: its weights, packed or as they are, and what decoding has seen.

use super::id::ParamId;
use super::mixer::State;
use super::param::{Decl, Params, Role, Weights};
use crate::error::Result;
use crate::ops::Format;

/// The matrices that products are made with when a model serves: those of its parts, and the head's.
fn matrices(decls: &[Decl], head: ParamId) -> impl Iterator<Item = (usize, &Decl)> {
    decls.iter().enumerate().filter(move |(id, decl)| {
        let of_part = decl.role == Role::Matrix && decl.shape.len() == 2 && decl.serves;
        // An operation of all experts multiplies theirs, as they are.
        let of_part = of_part && decl.routed.is_none();
        of_part || *id == head.0
    })
}

/// A matrix that a format cannot pack, and the length of its rows, where there is one.
pub(super) fn cannot_pack(decls: &[Decl], head: ParamId, format: Format) -> Option<(&str, usize)> {
    let mut rows = matrices(decls, head).map(|(_, decl)| (&*decl.name, decl.shape[1]));
    rows.find(|(_, columns)| !columns.is_multiple_of(format.numbers()))
}

/// Parameters as they are, or with every matrix packed.
pub(super) fn weights(
    decls: &[Decl],
    head: ParamId,
    params: &Params,
    format: Option<Format>,
) -> Result<Weights> {
    let mut weights = params.detached();
    if let Some(format) = format {
        for (id, _) in matrices(decls, head) {
            weights.pack(id, format)?;
        }
    }
    Ok(weights)
}

/// Bytes of weights that decoding reads for the next tokens of `batch` windows: all that serve, of tables that are only looked up a
/// row, and of experts those that so many tokens are expected to choose, `E (1 - (1 - K/E)^batch)` of E where each is as likely.
pub(super) fn bytes_read(decls: &[Decl], head: ParamId, weights: &Weights, batch: usize) -> u64 {
    let of_all = |(id, decl): (usize, &Decl)| match weights.packed(ParamId(id)) {
        Some(packed) => packed.bytes(),
        None if decl.role == Role::Embedding && id != head.0 => {
            4 * decl.shape.last().map_or(0, |&columns| columns as u64)
        }
        None => 4 * decl.count(),
    };
    let of_one = |(id, decl): (usize, &Decl)| match decl.routed {
        Some((chosen, of)) => {
            let missed = (1.0 - chosen as f64 / of as f64).powf(batch as f64);
            (of_all((id, decl)) as f64 * (1.0 - missed)).round() as u64
        }
        None => of_all((id, decl)),
    };
    let all = decls.iter().enumerate();
    all.filter(|(_, decl)| decl.serves).map(of_one).sum()
}

/// What decoding has seen of `batch` windows.
pub struct Cache {
    pub(super) states: Vec<State>,
    pub(super) batch: usize,
    pub(super) seen: usize,
}

impl Cache {
    /// Nothing seen yet.
    pub(super) fn new(layers: usize, batch: usize) -> Self {
        Self {
            states: vec![State::default(); layers],
            batch,
            seen: 0,
        }
    }

    /// Tokens of each window seen.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Scalars that it holds, all layers and windows: what a mixer claims is held against this.
    pub fn held_scalars(&self) -> u64 {
        let tensors = self.states.iter().flat_map(|state| &state.0);
        tensors.map(|tensor| tensor.elem_count() as u64).sum()
    }
}
