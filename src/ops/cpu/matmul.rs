//! Matrices inside slices, and their product by the crate `gemm` (which candle multiplies with as well).
//!
//! gemm splits a product over rows and columns, never over the inner dimension, so that the number of threads does not change
//! a bit of the result.

use super::real::Real;
use crate::ops::counted;
use candle_core::DType;
use gemm::Parallelism;
use std::marker::PhantomData;
use std::ops::Range;

/// A matrix to read: element (i, j) is `numbers[i * row + j * column]`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Matrix<'a, F> {
    pub(super) numbers: &'a [F],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) strides: (usize, usize),
}

impl<'a, F: Real> Matrix<'a, F> {
    /// The first `columns` of each of `rows` rows, which begin `stride` numbers apart.
    pub fn new(numbers: &'a [F], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(numbers.len(), rows, columns, stride));
        Self {
            numbers,
            rows,
            columns,
            strides: (stride, 1),
        }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }
}

fn fits(len: usize, rows: usize, columns: usize, stride: usize) -> bool {
    rows == 0
        || columns == 0
        || (columns <= stride || rows == 1) && (rows - 1) * stride + columns <= len
}

/// A matrix to write, its rows `stride` numbers apart.
pub(in crate::ops) struct MatrixMut<'a, F> {
    pub(super) start: *mut F,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
    lives: PhantomData<&'a mut [F]>,
}

impl<'a, F: Real> Matrix<'a, F> {
    /// The same numbers, which are f32.
    pub(super) fn as_f32(self) -> Matrix<'a, f32> {
        assert_eq!(F::DTYPE, DType::F32);
        let (start, len) = (self.numbers.as_ptr().cast(), self.numbers.len());
        Matrix {
            // SAFETY: the type tells that it is f32; the slice is that of `self`.
            numbers: unsafe { std::slice::from_raw_parts(start, len) },
            rows: self.rows,
            columns: self.columns,
            strides: self.strides,
        }
    }
}

impl<'a, F: Real> MatrixMut<'a, F> {
    /// The same numbers, which are f32.
    pub(super) fn as_f32(&mut self) -> MatrixMut<'_, f32> {
        assert_eq!(F::DTYPE, DType::F32);
        MatrixMut {
            start: self.start.cast(),
            rows: self.rows,
            columns: self.columns,
            stride: self.stride,
            lives: PhantomData,
        }
    }

    /// The first `columns` of each of `rows` rows, which begin `stride` numbers apart.
    pub fn new(numbers: &'a mut [F], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(fits(numbers.len(), rows, columns, stride));
        Self {
            start: numbers.as_mut_ptr(),
            rows,
            columns,
            stride,
            lives: PhantomData,
        }
    }

    /// Some of its rows.
    pub fn some(&mut self, rows: Range<usize>) -> MatrixMut<'_, F> {
        assert!(rows.start < rows.end && rows.end <= self.rows);
        MatrixMut {
            // SAFETY: the constructors made sure that all rows, the first of these among them, lie in the memory borrowed for 'a.
            start: unsafe { self.start.add(rows.start * self.stride) },
            rows: rows.len(),
            columns: self.columns,
            stride: self.stride,
            lives: PhantomData,
        }
    }

    /// Some of its columns.
    pub fn columns(&mut self, columns: Range<usize>) -> MatrixMut<'_, F> {
        assert!(columns.start < columns.end && columns.end <= self.columns);
        MatrixMut {
            // SAFETY: the constructors made sure that the first row, this number in it, lies in the memory borrowed for 'a.
            start: unsafe { self.start.add(columns.start) },
            rows: self.rows,
            columns: columns.len(),
            stride: self.stride,
            lives: PhantomData,
        }
    }

    /// The same, for several threads to write parts of.
    pub(super) fn shared(&mut self) -> Shared<'_, F> {
        Shared {
            start: self.start,
            len: (self.rows * self.stride + self.columns).saturating_sub(self.stride),
            stride: self.stride,
            lives: PhantomData,
        }
    }

    /// Writes the same numbers to each row.
    pub(super) fn fill_rows(&mut self, numbers: &[F]) {
        assert_eq!(numbers.len(), self.columns);
        for i in 0..self.rows {
            // SAFETY: the constructors made sure that row i lies in the memory borrowed for 'a; it need not have been written before.
            let start = unsafe { self.start.add(i * self.stride) };
            // SAFETY: as many numbers as the row has, from other memory.
            unsafe { start.copy_from_nonoverlapping(numbers.as_ptr(), self.columns) };
        }
    }

    /// One row.
    pub fn row(&mut self, i: usize) -> &mut [F] {
        assert!(i < self.rows);
        // SAFETY: the constructors made sure that row i lies in the memory borrowed for 'a, which this value alone may use.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.columns) }
    }
}

/// A matrix whose parts are written by several threads at once.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Shared<'a, F> {
    start: *mut F,
    len: usize,
    stride: usize,
    lives: PhantomData<&'a mut [F]>,
}

// SAFETY: a `Shared` does nothing by itself; whoever calls `part` promises that parts in use do not overlap.
unsafe impl<F: Send> Send for Shared<'_, F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for Shared<'_, F> {}

impl<'a, F: Real> Shared<'a, F> {
    /// A matrix whose rows are `stride` numbers, one behind the other.
    pub fn new(numbers: &'a mut [F], stride: usize) -> Self {
        Self {
            start: numbers.as_mut_ptr(),
            len: numbers.len(),
            stride,
            lives: PhantomData,
        }
    }

    /// `rows` x `columns` numbers with the given upper left corner.
    ///
    /// # Safety
    /// No two parts that exist at the same time may have a number in common.
    pub unsafe fn part(
        &self,
        (row, column): (usize, usize),
        rows: usize,
        columns: usize,
    ) -> MatrixMut<'a, F> {
        let offset = row * self.stride + column;
        assert!(
            column + columns <= self.stride && fits(self.len - offset, rows, columns, self.stride)
        );
        // SAFETY: `offset` is within the memory, as was just checked.
        let start = unsafe { self.start.add(offset) };
        MatrixMut {
            start,
            rows,
            columns,
            stride: self.stride,
            lives: PhantomData,
        }
    }
}

/// What becomes of the numbers that the product is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Before {
    Overwritten,
    AddedTo,
}

/// All threads of the current pool.
pub(in crate::ops) fn all_threads() -> Parallelism {
    match rayon::current_num_threads() {
        1 => Parallelism::None,
        n => Parallelism::Rayon(n),
    }
}

/// `out = scale * a b`, or `out += scale * a b`.
pub(in crate::ops) fn multiply<F: Real>(
    out: &mut MatrixMut<'_, F>,
    before: Before,
    scale: F,
    (a, b): (Matrix<'_, F>, Matrix<'_, F>),
    threads: Parallelism,
) {
    assert_eq!(
        (out.rows, out.columns, a.columns),
        (a.rows, b.columns, b.rows),
        "shapes of a matrix product"
    );
    counted::add((2 * out.rows * out.columns * a.columns) as i64);
    // SAFETY: the constructors made sure that all elements lie in their slices, and `out` is not aliased by `a` or `b`, since it
    // is borrowed for writing.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.start,
            1,
            out.stride as isize,
            before == Before::AddedTo,
            a.numbers.as_ptr(),
            a.strides.1 as isize,
            a.strides.0 as isize,
            b.numbers.as_ptr(),
            b.strides.1 as isize,
            b.strides.0 as isize,
            F::ONE,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

/// A new vector of `rows` x `columns` numbers.
///
/// # Safety
/// `write` writes every number, and reads none before.
pub(in crate::ops) unsafe fn of_new<F: Real>(
    rows: usize,
    columns: usize,
    write: impl FnOnce(&mut MatrixMut<'_, F>),
) -> Vec<F> {
    let mut out = Vec::with_capacity(rows * columns);
    let start = out.spare_capacity_mut().as_mut_ptr().cast::<F>();
    write(&mut MatrixMut {
        start,
        rows,
        columns,
        stride: columns,
        lives: PhantomData,
    });
    // SAFETY: every element was written, as the caller promised.
    unsafe { out.set_len(rows * columns) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_sum_over_the_inner_index() {
        for (n, k, m) in [
            (1, 1, 1),
            (1, 7, 5),
            (5, 1, 3),
            (3, 2, 4),
            (17, 33, 9),
            (70, 64, 65),
            (4, 0, 3),
        ] {
            let a: Vec<f64> = (0..n * k).map(|i| (i % 11) as f64 - 5.0).collect();
            let b: Vec<f64> = (0..m * k).map(|i| (i % 7) as f64 - 3.0).collect();
            let truth: Vec<f64> = (0..n * m)
                .map(|c| (0..k).map(|x| a[c / m * k + x] * b[c % m * k + x]).sum())
                .collect();
            let (a, b) = (Matrix::new(&a, n, k, k), Matrix::new(&b, m, k, k));
            let mut once = vec![f64::NAN; n * m];
            let mut out = MatrixMut::new(&mut once, n, m, m);
            multiply(
                &mut out,
                Before::Overwritten,
                1.0,
                (a, b.t()),
                Parallelism::None,
            );
            assert_eq!(once, truth, "{n} {k} {m}");
            let mut twice = truth.clone();
            let mut out = MatrixMut::new(&mut twice, n, m, m);
            multiply(
                &mut out,
                Before::AddedTo,
                2.0,
                (a, b.t()),
                Parallelism::None,
            );
            assert_eq!(
                twice,
                truth.iter().map(|x| 3.0 * x).collect::<Vec<_>>(),
                "{n} {k} {m}"
            );
        }
    }
}
