//! A checkpoint's matrices in the blocks that they are stored in: rows are moved as wholes, so that no number is rounded again.

use super::foreign::bytes;
use super::param::Decl;
use crate::checkpoint::{Checkpoint, Piece, Stored, Turn};
use crate::error::{Error, Result};
use crate::ops::{Format, Packed};

/// The formats of a matrix's rows, one part below the other; `None` where a part of it is of a kind that products here do not take
/// as it is, or has its rows where columns are here.
pub(super) fn formats(checkpoint: &Checkpoint, decl: &Decl) -> Option<Vec<(usize, Format)>> {
    let [rows, columns] = decl.shape[..] else {
        return None;
    };
    let part = |piece: &Piece| {
        let stored = &checkpoint.tensors[&piece.tensor];
        let format = Format::of(&stored.kind.name.to_lowercase())?;
        let fits = piece.turn != Turn::Transposed && stored.shape[1..] == [columns];
        fits.then_some((stored.shape[0], format))
    };
    let pieces = checkpoint.parts.get(&decl.name)?;
    let found: Option<Vec<(usize, Format)>> = pieces.iter().map(part).collect();
    found.filter(|found| found.iter().map(|(rows, _)| rows).sum::<usize>() == rows)
}

/// A matrix in the file's own blocks, where [`formats`] says that it can be.
pub(super) fn packed(checkpoint: &Checkpoint, decl: &Decl) -> Result<Option<Packed>> {
    let Some(formats) = formats(checkpoint, decl) else {
        return Ok(None);
    };
    let pieces = checkpoint.parts[&decl.name].iter().zip(formats);
    let parts = pieces.map(|(piece, (_, format))| {
        let stored = &checkpoint.tensors[&piece.tensor];
        Ok((format, rows(piece, stored, bytes(stored)?)?))
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    Ok(Some(Packed::of_blocks(decl.shape[1], parts)?))
}

/// A tensor's rows as they lie here: of a head, those of its first halves of pairs, then those of the second.
fn rows(piece: &Piece, stored: &Stored, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let Turn::Pairs { heads } = piece.turn else {
        return Ok(bytes);
    };
    let rows = stored.shape[0];
    if heads == 0 || !rows.is_multiple_of(2 * heads) {
        let why = format!(
            "`{}`: {rows} rows are not pairs of {heads} heads",
            piece.tensor
        );
        return Err(Error::input(why));
    }
    let (of_row, of_head) = (bytes.len() / rows, rows / heads);
    let from = |row: usize| {
        let (head, i) = (row / of_head, row % of_head);
        let (half, pair) = (i / (of_head / 2), i % (of_head / 2));
        head * of_head + 2 * pair + half
    };
    let moved = (0..rows).flat_map(|row| {
        let from = from(row) * of_row;
        &bytes[from..from + of_row]
    });
    Ok(moved.copied().collect())
}
