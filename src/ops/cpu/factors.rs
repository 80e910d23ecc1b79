//! What the factors of matrix products are rounded to before they are multiplied, and on which unit of the processor.

use super::matmul::{Before, Matrix, MatrixMut, all_threads, multiply, of_new};
use super::narrow::{self, Made, Packed, Unit};
use super::real::Real;
use crate::ops::counted;
use candle_core::{DType, TensorId};
use gemm::Parallelism;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the factors of matrix products on a CPU are rounded to. Sums, and all that is no product of matrices, stay f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Factors {
    /// Nothing.
    #[default]
    F32,
    /// To the nearest bf16, on the processor's own units for that where it has some.
    Bf16,
}

/// The unit that multiplies bf16, once it was chosen.
static UNIT: OnceLock<Result<Unit, String>> = OnceLock::new();

/// Side of the square products by which dot products of pairs are held against f32's: a millisecond each.
const TRIED: usize = 384;
/// Turns of each.
const TURNS: usize = 5;

/// The unit of this processor that multiplies bf16 faster than f32: its tile unit, or its dot products of pairs, if a look at both
/// says so; it is looked once. `now_s` is a clock.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn bf16_unit(now_s: fn() -> f64) -> Result<&'static str, String> {
    let choose =
        || Unit::tiles().or_else(|no_tiles| faster(Unit::pairs().or(Err(no_tiles))?, now_s));
    UNIT.get_or_init(choose).clone().map(Unit::name)
}

/// Whether there is a tile unit that this process may use, and why not.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn tile_unit() -> Result<(), String> {
    Unit::tiles().map(drop)
}

/// The unit, if it is faster than products of f32.
fn faster(unit: Unit, now_s: fn() -> f64) -> Result<Unit, String> {
    let numbers: Vec<f32> = (0..TRIED * TRIED).map(|i| (i % 7) as f32).collect();
    let factor = Matrix::new(&numbers, TRIED, TRIED, TRIED);
    let mut out = vec![0f32; TRIED * TRIED];
    let mut out = MatrixMut::new(&mut out, TRIED, TRIED, TRIED);
    let made = Made {
        before: Before::Overwritten,
        scale: 1.0,
        bias: None,
    };
    let mut best = [f64::INFINITY; 2];
    for _ in 0..TURNS {
        for (i, best) in best.iter_mut().enumerate() {
            let (start, factors) = (now_s(), (factor, factor));
            let serial = Parallelism::None;
            match i {
                0 => multiply(&mut out, made.before, made.scale, factors, serial),
                _ => narrow::multiply(unit, &mut out, made, factors, serial),
            }
            *best = best.min(now_s() - start);
        }
    }
    let [of_f32, of_bf16] = best;
    if of_bf16 < of_f32 {
        return Ok(unit);
    }
    let slower = of_bf16 / of_f32;
    Err(format!(
        "this processor multiplies bf16 ({}) {slower:.1} times as slowly as f32",
        unit.name()
    ))
}

/// What multiplies here where nobody asked before: whatever there is, in plain code if nothing.
fn unit() -> Unit {
    let any = || Unit::tiles().or_else(|_| Unit::pairs());
    match UNIT.get() {
        Some(Ok(unit)) => *unit,
        _ => any().unwrap_or_else(|_| Unit::emulated()),
    }
}

/// Transposed weights that were packed already, for as long as their numbers do not change, by the tensor they are of. On the way
/// back, where nothing need be transposed, packing costs too little to pay for the memory.
#[derive(Default)]
pub(in crate::ops) struct Kept(Mutex<HashMap<TensorId, Arc<OnceLock<Packed>>>>);

/// A square product of rounded factors: what the peak of a processor's unit for them is measured by.
pub struct RoundedProduct {
    numbers: Vec<f32>,
    side: usize,
}

impl RoundedProduct {
    /// Of so many rows and columns.
    pub fn new(side: usize) -> Self {
        let numbers = (0..side * side).map(|i| (i % 251) as f32 / 251.0 - 0.5);
        Self {
            numbers: numbers.collect(),
            side,
        }
    }

    /// Multiplies, on all threads.
    pub fn run(&self) {
        let factor = Matrix::new(&self.numbers, self.side, self.side, self.side);
        let product = Factors::Bf16.product(factor, &Right::once(factor), None);
        std::hint::black_box(product);
    }

    /// FLOPs of one run.
    pub fn flops(&self) -> f64 {
        2.0 * (self.side as f64).powi(3)
    }
}

impl Kept {
    /// Numbers of all that was packed.
    pub fn numbers(&self) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let packed = known.values().filter_map(|packed| packed.get());
        packed.map(Packed::numbers).sum()
    }
}

/// What an operation that multiplies by weights carries to its way back.
pub(in crate::ops) struct Rounded {
    pub factors: Factors,
    pub kept: Option<Arc<Kept>>,
}

/// A matrix of weights as the right factor of products.
pub(in crate::ops) struct Right<'a, F> {
    matrix: Matrix<'a, F>,
    packed: Option<Arc<OnceLock<Packed>>>,
}

impl<'a, F: Real> Right<'a, F> {
    /// A factor to be rounded at each product.
    pub fn once(matrix: Matrix<'a, F>) -> Self {
        Self {
            matrix,
            packed: None,
        }
    }

    /// The packed factor, where there is one: the first who asks packs it, on one thread, and others wait.
    fn packed(&self) -> Option<&Packed> {
        let packed = self.packed.as_ref()?;
        Some(packed.get_or_init(|| Packed::of(unit(), self.matrix.as_f32())))
    }
}

impl Rounded {
    /// Whether weights stay packed from one product to the next: then a few rows are multiplied as many are, since that reads the fewest
    /// bytes.
    pub fn keeps<F: Real>(&self) -> bool {
        self.factors == Factors::Bf16 && self.kept.is_some() && F::DTYPE == DType::F32
    }

    /// A matrix of weights as a right factor, packed once for all that share what is kept, by the tensor that it is of, where
    /// something is.
    pub(in crate::ops) fn right<'a, F: Real>(
        &self,
        matrix: Matrix<'a, F>,
        of: TensorId,
    ) -> Right<'a, F> {
        let Some(kept) = self.kept.as_ref().filter(|_| self.keeps::<F>()) else {
            return Right::once(matrix);
        };
        let mut known = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        Right {
            matrix,
            packed: Some(known.entry(of).or_default().clone()),
        }
    }

    /// A right factor that is packed, where it is rounded, once for all products by this value.
    pub(in crate::ops) fn several<'a, F: Real>(&self, matrix: Matrix<'a, F>) -> Right<'a, F> {
        let rounded = self.factors == Factors::Bf16 && F::DTYPE == DType::F32;
        Right {
            matrix,
            packed: rounded.then(Arc::default),
        }
    }
}

impl Factors {
    /// `out = scale * a b`, or `out += scale * a b`. Numbers of f64, in which gradients are checked, are never rounded.
    pub(in crate::ops) fn multiply<F: Real>(
        self,
        out: &mut MatrixMut<'_, F>,
        before: Before,
        scale: F,
        (a, b): (Matrix<'_, F>, Matrix<'_, F>),
        threads: Parallelism,
    ) {
        let made = (before, scale, None);
        self.write(out, made, (a, &Right::once(b)), threads);
    }

    /// The product `a b`, with `bias` added to every row, as a new vector, on all threads.
    pub(in crate::ops) fn product<F: Real>(
        self,
        a: Matrix<'_, F>,
        b: &Right<'_, F>,
        bias: Option<&[F]>,
    ) -> Vec<F> {
        let write = |out: &mut MatrixMut<'_, F>| {
            let made = (Before::Overwritten, F::ONE, bias);
            self.write(out, made, (a, b), all_threads());
        };
        // SAFETY: a product that overwrites reads nothing of what was there, and writes all of it.
        unsafe { of_new(a.rows, b.matrix.columns, write) }
    }

    /// `out = a b`, on all threads.
    pub(in crate::ops) fn overwrite<F: Real>(
        self,
        out: &mut MatrixMut<'_, F>,
        factors: (Matrix<'_, F>, &Right<'_, F>),
    ) {
        let made = (Before::Overwritten, F::ONE, None);
        self.write(out, made, factors, all_threads());
    }

    fn write<F: Real>(
        self,
        out: &mut MatrixMut<'_, F>,
        (before, scale, bias): (Before, F, Option<&[F]>),
        (a, right): (Matrix<'_, F>, &Right<'_, F>),
        threads: Parallelism,
    ) {
        let b = right.matrix;
        if self == Self::F32 || F::DTYPE != DType::F32 {
            let before = match bias {
                Some(bias) => {
                    out.fill_rows(bias);
                    Before::AddedTo
                }
                None => before,
            };
            return multiply(out, before, scale, (a, b), threads);
        }
        counted::add((2 * out.rows * out.columns * a.columns) as i64);
        let bias = bias.map(|bias| Matrix::new(bias, 1, bias.len(), bias.len()).as_f32());
        let made = Made {
            before,
            scale: scale.to_f64() as f32,
            bias: bias.as_ref().map(|bias| bias.numbers),
        };
        let (a, mut out) = (a.as_f32(), out.as_f32());
        match right.packed() {
            Some(packed) => narrow::multiply_packed(&mut out, made, (a, packed), threads),
            None => narrow::multiply(unit(), &mut out, made, (a, b.as_f32()), threads),
        }
    }
}
