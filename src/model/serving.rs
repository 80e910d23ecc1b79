//! What a trained model serves with: its weights, packed or as they are, and what decoding has seen.

use candle_core::Tensor;

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

/// What the matrices of a model are packed in when it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// All in one format.
    To(Format),
    /// Each as it is in the file that the model came from; what has no blocks there stays as it is.
    AsInFile,
}

/// What can be held in blocks alone: the matrices, and the token table, whose rows are unpacked when they are looked up.
pub(super) fn in_blocks(decls: &[Decl], head: ParamId, tokens: ParamId) -> Vec<usize> {
    let mut ids: Vec<usize> = matrices(decls, head).map(|(id, _)| id).collect();
    if !ids.contains(&tokens.0) {
        ids.push(tokens.0);
    }
    ids
}

/// Parameters as they are, or with every matrix packed; `in_file` says how the file has one.
pub(super) fn weights(
    decls: &[Decl],
    head: ParamId,
    params: &Params,
    packing: Option<Packing>,
    in_file: &dyn Fn(&Decl) -> Option<Vec<(usize, Format)>>,
) -> Result<Weights> {
    let mut weights = params.detached();
    for (id, decl) in matrices(decls, head).filter(|(id, _)| !params.is_packed(*id)) {
        let formats = match packing {
            Some(Packing::To(format)) => Some(vec![(decl.shape[0], format)]),
            Some(Packing::AsInFile) => in_file(decl),
            None => None,
        };
        if let Some(formats) = formats {
            weights.pack(id, &formats)?;
        }
    }
    Ok(weights)
}

/// Bytes of weights that decoding reads for the next tokens of `batch` windows: all that serve, of tables that are only looked up a
/// row, and of experts those that so many tokens are expected to choose, `E (1 - (1 - K/E)^batch)` of E where each is as likely.
pub(super) fn bytes_read(decls: &[Decl], head: ParamId, weights: &Weights, batch: usize) -> u64 {
    let of_all = |(id, decl): (usize, &Decl)| {
        let looked_up = decl.role == Role::Embedding && id != head.0;
        match weights.packed(ParamId(id)) {
            Some(packed) if looked_up => packed.bytes_of_row(),
            Some(packed) => packed.bytes(),
            None if looked_up => 4 * decl.shape.last().map_or(0, |&columns| columns as u64),
            None => 4 * decl.count(),
        }
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
    pub(super) kept: Vec<Kept>,
    pub(super) batch: usize,
    pub(super) seen: usize,
    /// Tokens of each window that it has room for.
    pub(super) room: usize,
}

/// What one layer keeps.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) state: State,
    /// Whether its last tokens are forgotten by not looking at them.
    pub(super) by_place: bool,
}

impl Kept {
    /// Every tensor as `each` has it.
    fn map(&self, each: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let tensors = self.state.0.iter().map(each);
        Ok(Self {
            state: State(tensors.collect::<Result<_>>()?),
            by_place: self.by_place,
        })
    }
}

/// A place in a window that decoding can go back to: copies of what later tokens change.
pub struct Mark {
    /// Of each layer that needs one.
    copies: Vec<Option<Kept>>,
    seen: usize,
}

impl Cache {
    /// Nothing seen yet, of at most `room` tokens of each window.
    pub(super) fn new(layers: usize, batch: usize, room: usize) -> Self {
        Self {
            kept: vec![Kept::default(); layers],
            batch,
            seen: 0,
            room,
        }
    }

    /// Another that has seen the same, in memory of its own.
    ///
    /// # Errors
    /// The device's.
    pub fn copied(&self) -> Result<Self> {
        self.map(|tensor| Ok(tensor.copy()?))
    }

    /// The same with each window `times` over, one copy behind the other: what several continuations of one prompt share.
    ///
    /// # Errors
    /// The device's.
    pub fn repeated(&self, times: usize) -> Result<Self> {
        Ok(Self {
            batch: self.batch * times,
            ..self.map(|kept| self.repeat(kept, times))?
        })
    }

    fn map(&self, each: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let kept = self.kept.iter().map(|kept| kept.map(&each));
        Ok(Self {
            kept: kept.collect::<Result<_>>()?,
            ..*self
        })
    }

    /// What a mixer keeps has windows outermost, whatever stands beside them in its first axis.
    fn repeat(&self, kept: &Tensor, times: usize) -> Result<Tensor> {
        let of_window = kept.elem_count() / self.batch;
        let mut repeated = kept.dims().to_vec();
        repeated[0] *= times;
        let rows = kept
            .contiguous()?
            .reshape((self.batch, 1, of_window))?
            .expand((self.batch, times, of_window))?;
        Ok(rows.contiguous()?.reshape(repeated)?)
    }

    /// Where it is now, to go [`back`](Self::back) to. Costs a copy of what layers keep that cannot forget their last tokens.
    ///
    /// # Errors
    /// The device's.
    pub fn mark(&self) -> Result<Mark> {
        let copy = |kept: &Kept| match kept.by_place {
            true => Ok(None),
            false => kept.map(|tensor| Ok(tensor.copy()?)).map(Some),
        };
        Ok(Mark {
            copies: self.kept.iter().map(copy).collect::<Result<_>>()?,
            seen: self.seen,
        })
    }

    /// Forgets the last tokens, all but `seen` of each window or, where a layer can only go back to its copy, to the mark.
    pub fn back(&mut self, mark: Mark, seen: usize) {
        if seen >= self.seen {
            return;
        }
        let copied = mark.copies.iter().any(Option::is_some);
        self.seen = if copied {
            mark.seen
        } else {
            seen.max(mark.seen)
        };
        let copies = self.kept.iter_mut().zip(mark.copies);
        copies.for_each(|(kept, copy)| {
            if let Some(copy) = copy {
                *kept = copy;
            }
        });
    }

    /// Tokens of each window seen.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Scalars that it holds, all layers and windows: what a mixer claims is held against this.
    pub fn held_scalars(&self) -> u64 {
        let tensors = self.kept.iter().flat_map(|kept| &kept.state.0);
        tensors.map(|tensor| tensor.elem_count() as u64).sum()
    }
}
