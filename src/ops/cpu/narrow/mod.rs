//! Products of f32 matrices whose factors are rounded to bf16, on the units that processors have for that; sums stay f32.
//!
//! Each factor is packed once, rounded, in the order that a unit reads ([`tiles`]). The smaller one is packed at first and shared;
//! of the larger one each task packs its own rows or columns. Sums go along the inner dimension by shares of [`SHARE`], the same
//! for every number of threads, and no number is summed by two: threads do not change a bit.

mod tiles;
mod emulated;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dot;
mod pack;
mod unit;
#[cfg(test)]
mod tests;

use super::matmul::{Before, Matrix, MatrixMut, Shared};
use gemm::Parallelism;
use pack::{Factor, Side};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use tiles::{Block, PANEL, Start, Tile, tiles};
use unit::Opened;
pub(in crate::ops) use unit::Unit;

/// Inner numbers of one share: a panel of so many, 32 KB, stays in a processor's first cache.
const SHARE: usize = 512;
/// Panels that one task packs at most: 512 KB, which stay in its second cache.
const PANELS_PER_TASK: usize = 16;
/// Tasks for each thread at least, where there are so many panels.
const TASKS_PER_THREAD: usize = 4;
/// Multiply-adds below which waking threads costs more than they save.
const SERIAL: usize = 1 << 22;

thread_local! {
    /// Packed tiles of the last product, to be written over by the next: of what is shared, and of a task's own.
    static KEPT: [Cell<Vec<Tile>>; 2] = const { [Cell::new(Vec::new()), Cell::new(Vec::new())] };
}

/// Runs with so many tiles, which hold anything. While it waits for other threads this thread may run other products: those find
/// nothing kept, and make tiles of their own.
fn with_tiles<R>(which: usize, count: usize, run: impl FnOnce(&mut [Tile]) -> R) -> R {
    let mut kept = KEPT.with(|kept| kept[which].take());
    if kept.len() < count {
        kept.resize(count, Tile::ZERO);
    }
    let result = run(&mut kept[..count]);
    KEPT.with(|cells| cells[which].set(kept));
    result
}

/// The shares of an inner dimension.
fn shares(inner: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..inner)
        .step_by(SHARE)
        .map(move |start| start..(start + SHARE).min(inner))
}

/// 0 to `count` in pieces of `each`.
fn ranges(count: usize, each: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let starts = (0..count).step_by(each);
    starts.map(move |start| start..(start + each).min(count))
}

/// The share's tiles of all panels of a factor, share by share.
fn tiles_of(factor: &Factor<'_>, inner: usize) -> usize {
    factor.panels() * shares(inner).map(|share| tiles(share.len())).sum::<usize>()
}

/// Packs a factor, share by share, in each panel by panel.
fn pack_all(
    unit: Unit,
    factor: &Factor<'_>,
    inner: usize,
    mut packed: &mut [Tile],
    threads: usize,
) {
    for share in shares(inner) {
        let each = tiles(share.len());
        let (of_share, rest) = packed.split_at_mut(factor.panels() * each);
        packed = rest;
        let pack = |(i, out): (usize, &mut [Tile])| {
            let first = i * PANELS_PER_TASK;
            let panels = first..first + out.len() / each;
            unit.pack_panels(factor, panels, &share, out);
        };
        let some = each * PANELS_PER_TASK;
        if threads == 1 {
            of_share.chunks_mut(some).enumerate().for_each(pack);
        } else {
            of_share.par_chunks_mut(some).enumerate().for_each(pack);
        }
    }
}

/// A right factor, packed to be read by several products.
pub(in crate::ops) struct Packed {
    unit: Unit,
    tiles: Vec<Tile>,
    rows: usize,
    columns: usize,
}

impl Packed {
    /// Rounds and packs, on this thread alone.
    pub fn of(unit: Unit, b: Matrix<'_, f32>) -> Self {
        let factor = Factor::new(Side::Right, b);
        let mut tiles = vec![Tile::ZERO; tiles_of(&factor, b.rows)];
        pack_all(unit, &factor, b.rows, &mut tiles, 1);
        Self {
            unit,
            tiles,
            rows: b.rows,
            columns: b.columns,
        }
    }

    /// Numbers of the matrix.
    pub fn numbers(&self) -> usize {
        self.rows * self.columns
    }
}

/// What becomes of a product's sums.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Made<'a> {
    /// What becomes of what was there.
    pub before: Before,
    /// What the sums are multiplied by.
    pub scale: f32,
    /// What is added to every row, where nothing was there and sums are not scaled.
    pub bias: Option<&'a [f32]>,
}

/// Sums that are more, or other, than what is written.
#[repr(C, align(64))]
struct Sums([f32; PANEL * PANEL]);

/// A product on one unit: what all its tasks know.
struct Product<'a> {
    unit: Unit,
    /// Of which each task packs panels of its own.
    own: Factor<'a>,
    own_is_left: bool,
    /// Rows or columns of the factor whose panels all tasks read.
    shared: usize,
    inner: usize,
    made: Made<'a>,
}

/// `out = scale * a b (+ bias)`, or `out += scale * a b`, the factors rounded to bf16.
pub(in crate::ops) fn multiply(
    unit: Unit,
    out: &mut MatrixMut<'_, f32>,
    made: Made<'_>,
    (a, b): (Matrix<'_, f32>, Matrix<'_, f32>),
    threads: Parallelism,
) {
    let inner = a.columns;
    let (a, b) = (Factor::new(Side::Left, a), Factor::new(Side::Right, b));
    let own_is_left = a.outer >= b.outer;
    let (own, shared) = if own_is_left { (a, b) } else { (b, a) };
    let product = Product {
        unit,
        own,
        own_is_left,
        shared: shared.outer,
        inner,
        made,
    };
    let threads = product.threads(threads);
    with_tiles(0, tiles_of(&shared, inner), |packed| {
        pack_all(unit, &shared, inner, packed, threads);
        product.run(out, packed, threads);
    });
}

/// The same with a right factor that was packed before.
pub(in crate::ops) fn multiply_packed(
    out: &mut MatrixMut<'_, f32>,
    made: Made<'_>,
    (a, b): (Matrix<'_, f32>, &Packed),
    threads: Parallelism,
) {
    assert_eq!((a.columns, out.columns), (b.rows, b.columns));
    let product = Product {
        unit: b.unit,
        own: Factor::new(Side::Left, a),
        own_is_left: true,
        shared: b.columns,
        inner: a.columns,
        made,
    };
    let threads = product.threads(threads);
    product.run(out, &b.tiles, threads);
}

impl Product<'_> {
    /// Threads worth waking.
    fn threads(&self, threads: Parallelism) -> usize {
        match threads {
            // A panel of one row takes as long as a whole one.
            Parallelism::Rayon(_)
                if self.own.panels() * PANEL * self.shared * self.inner >= SERIAL =>
            {
                rayon::current_num_threads()
            }
            _ => 1,
        }
    }

    fn run(&self, out: &mut MatrixMut<'_, f32>, packed: &[Tile], threads: usize) {
        if self.inner == 0 {
            return self.of_nothing(out);
        }
        let others = self.shared.div_ceil(PANEL);
        let out = out.shared();
        let each = match threads {
            1 => PANELS_PER_TASK,
            _ => self
                .own
                .panels()
                .div_ceil(threads * TASKS_PER_THREAD)
                .min(PANELS_PER_TASK),
        };
        let own = ranges(self.own.panels(), each.max(1));
        if threads == 1 {
            return own.for_each(|own| self.task((own, 0..others), packed, &out));
        }
        // Where there are few panels to share out, as of a few rows, those that all read are shared out too.
        let groups = (threads * TASKS_PER_THREAD).div_ceil(own.len().max(1));
        let group = others.div_ceil(groups).max(1);
        let tasks = own.flat_map(|own| ranges(others, group).map(move |some| (own.clone(), some)));
        let tasks: Vec<_> = tasks.collect();
        tasks
            .into_par_iter()
            .for_each(|task| self.task(task, packed, &out));
    }

    /// A product over no inner dimension.
    fn of_nothing(&self, out: &mut MatrixMut<'_, f32>) {
        for i in (0..out.rows).filter(|_| self.made.before == Before::Overwritten) {
            for j in 0..out.columns {
                let bias = self.made.bias.map_or(0.0, |bias| bias[j]);
                // SAFETY: a number of the matrix, which need not have been written before.
                unsafe { out.start.add(i * out.stride + j).write(bias) };
            }
        }
    }

    /// The blocks of some panels of a task's own and some of the shared ones.
    fn task(
        &self,
        (own, others): (Range<usize>, Range<usize>),
        packed: &[Tile],
        out: &Shared<'_, f32>,
    ) {
        let most = own.len() * tiles(self.inner.min(SHARE));
        let panels = self.shared.div_ceil(PANEL);
        with_tiles(1, most, |mine| {
            let opened = self.unit.open();
            let mut packed = packed;
            for share in shares(self.inner) {
                let each = tiles(share.len());
                let mine = &mut mine[..own.len() * each];
                self.unit.pack_panels(&self.own, own.clone(), &share, mine);
                let (of_share, rest) = packed.split_at(panels * each);
                packed = rest;
                let first = share.start == 0;
                for other in others.clone() {
                    let theirs = &of_share[other * each..][..each];
                    for (panel, mine) in own.clone().zip(mine.chunks_exact(each)) {
                        let (corner, factors) = match self.own_is_left {
                            true => ([panel, other], (mine, theirs)),
                            false => ([other, panel], (theirs, mine)),
                        };
                        self.block(&opened, first, corner, factors, out);
                    }
                }
            }
        });
    }

    /// One block of the product, over one share of the inner dimension, the first or a later one.
    fn block(
        &self,
        opened: &Opened,
        first: bool,
        corner: [usize; 2],
        (left, right): (&[Tile], &[Tile]),
        out: &Shared<'_, f32>,
    ) {
        let (rows, columns) = match self.own_is_left {
            true => (self.own.outer, self.shared),
            false => (self.shared, self.own.outer),
        };
        let [row, column] = corner.map(|panel| panel * PANEL);
        let (height, width) = ((rows - row).min(PANEL), (columns - column).min(PANEL));
        let added = !first || self.made.before == Before::AddedTo;
        let bias = self.made.bias.filter(|_| !added);
        let bias = bias.map(|bias| &bias[column..column + width]);
        // SAFETY: each task has panels of its own, and a block is made by one task.
        let part = unsafe { out.part((row, column), height, width) };
        if height == PANEL && width == PANEL && self.made.scale == 1.0 {
            let start = match bias.map(<&[f32; PANEL]>::try_from) {
                Some(Ok(bias)) => Start::Row(bias),
                _ if added => Start::There,
                _ => Start::Zero,
            };
            let block = Block {
                start: part.start,
                stride: part.stride,
            };
            // SAFETY: the part has 32 rows of 32 numbers.
            return unsafe { opened.block(left, right, start, block) };
        }
        let mut sums = Sums([0.0; PANEL * PANEL]);
        let block = Block {
            start: sums.0.as_mut_ptr(),
            stride: PANEL,
        };
        // SAFETY: there are 32 rows of 32 numbers.
        unsafe { opened.block(left, right, Start::Zero, block) };
        self.hand_on(&sums, added, bias, part);
    }

    /// What of a block's sums lies within the matrix.
    fn hand_on(
        &self,
        Sums(sums): &Sums,
        added: bool,
        bias: Option<&[f32]>,
        mut part: MatrixMut<'_, f32>,
    ) {
        for (i, sums) in sums.chunks_exact(PANEL).take(part.rows).enumerate() {
            let scaled = sums.iter().map(|x| self.made.scale * x);
            if added {
                let of_out = part.row(i).iter_mut().zip(scaled);
                of_out.for_each(|(y, x)| *y += x);
                continue;
            }
            for (j, x) in scaled.take(part.columns).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[j]);
                // SAFETY: a number of the part, which need not have been written before.
                unsafe { part.start.add(i * part.stride + j).write(x + bias) };
            }
        }
    }
}
