//! How an op is tested: its gradients against finite differences in f64, its output and gradients against its reference in
//! f32, and its bits on one thread against those on two.

use super::{IGNORED, Ops, Tape};
use candle_core::{DType, Device, Result, Tensor, Var};

/// Number of cases of a property over shapes: each is compared in full.
pub(super) fn odd_shapes() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: 12,
        failure_persistence: None,
        ..Default::default()
    }
}

/// Numbers between -1.5 and 1.5, the same for a seed.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    // SplitMix64 (Steele, Lea and Flood 2014).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| 3.0 * next() - 1.5).collect()
}

/// A tensor of numbers between -1.5 and 1.5.
pub(super) fn random(shape: &[usize], dtype: DType, seed: u64) -> Result<Tensor> {
    Tensor::from_vec(numbers(shape.iter().product(), seed), shape, &Device::Cpu)?.to_dtype(dtype)
}

/// `n` ids below `vocabulary`.
pub(super) fn ids(n: usize, vocabulary: u32) -> Result<Tensor> {
    let id = |x: f64| ((x + 1.5) / 3.0 * f64::from(vocabulary)) as u32;
    Tensor::from_vec(
        numbers(n, 77).into_iter().map(id).collect(),
        n,
        &Device::Cpu,
    )
}

/// Targets for `n` tokens, every fifth from the second on ignored.
pub(super) fn targets(n: usize, vocabulary: usize) -> Result<Tensor> {
    let mut targets = ids(n, vocabulary as u32)?.to_vec1::<u32>()?;
    targets
        .iter_mut()
        .skip(1)
        .step_by(5)
        .for_each(|target| *target = IGNORED);
    Tensor::new(targets, &Device::Cpu)
}

/// An op under test: inputs of given shapes to an output.
pub(super) trait Run: Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {}
impl<R: Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync> Run for R {}

/// All three tests; for tiny shapes, since finite differences run the op twice for each number of its inputs.
pub(super) fn check(shapes: &[&[usize]], run: impl Run) {
    differences(shapes, &run).unwrap();
    agreement(shapes, &run).unwrap();
}

/// Agreement with the reference, and of one thread with two.
pub(super) fn agrees(shapes: &[&[usize]], run: impl Run) {
    agreement(shapes, &run).unwrap();
}

fn inputs(shapes: &[&[usize]], dtype: DType) -> Result<Vec<Var>> {
    shapes
        .iter()
        .zip(1..)
        .map(|(shape, seed)| Var::from_tensor(&random(shape, dtype, seed)?))
        .collect()
}

/// The output, and the gradient of each input, of the output times fixed random weights, summed.
fn gradients(ops: Ops, vars: &[Var], run: &impl Run) -> Result<Vec<Tensor>> {
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let tape = Tape::new();
    let y = run(ops.on(&tape), &tensors)?;
    let weights = random(y.dims(), y.dtype(), 99)?;
    let mut grads = tape.backward(&(&y * weights)?.sum_all()?, 1.0)?;
    let mut all = vec![y.detach()];
    for var in vars {
        all.push(
            grads
                .take(var)
                .ok_or_else(|| candle_core::Error::Msg("an input without gradient".into()))?
                .detach(),
        );
    }
    Ok(all)
}

pub(super) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

/// The 2-norm of the difference, relative to that of the truth.
pub(super) fn distance(x: &[f64], truth: &[f64]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(x.len(), truth.len());
    norm(&mut x.iter().zip(truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied()).max(1e-12)
}

fn differences(shapes: &[&[usize]], run: &impl Run) -> Result<()> {
    const STEP: f64 = 1e-5;
    let vars = inputs(shapes, DType::F64)?;
    let analytic = gradients(Ops::fused(), &vars, run)?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
    let objective = |tensors: &[Tensor]| -> Result<f64> {
        let y = run(Ops::fused(), tensors)?;
        (&y * random(y.dims(), DType::F64, 99)?)?
            .sum_all()?
            .to_scalar()
    };
    for (input, gradient) in analytic[1..].iter().enumerate() {
        let at = flat(&tensors[input])?;
        let mut numeric = Vec::with_capacity(at.len());
        for i in 0..at.len() {
            let moved = |step: f64| -> Result<f64> {
                let (mut at, mut tensors) = (at.clone(), tensors.clone());
                at[i] += step;
                tensors[input] = Tensor::from_vec(at, shapes[input], &Device::Cpu)?;
                objective(&tensors)
            };
            numeric.push((moved(STEP)? - moved(-STEP)?) / (2.0 * STEP));
        }
        let far = distance(&flat(gradient)?, &numeric);
        assert!(
            far < 1e-7,
            "input {input} of {shapes:?}: {far:e} from finite differences"
        );
    }
    Ok(())
}

fn agreement(shapes: &[&[usize]], run: &impl Run) -> Result<()> {
    let vars = inputs(shapes, DType::F32)?;
    let reference = gradients(Ops::reference(), &vars, run)?;
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| gradients(Ops::fused(), &vars, run))
    };
    let (one, two) = (on(1)?, on(2)?);
    for (i, ((one, two), truth)) in one.iter().zip(&two).zip(&reference).enumerate() {
        let name = if i == 0 {
            "output".into()
        } else {
            format!("gradient {}", i - 1)
        };
        let far = distance(&flat(one)?, &flat(truth)?);
        assert!(
            far < 1e-5,
            "{name} of {shapes:?}: {far:e} from the reference"
        );
        assert_eq!(one.dims(), truth.dims(), "{name} of {shapes:?}");
        let bits = |t: &Tensor| -> Result<Vec<u32>> {
            Ok(t.flatten_all()?
                .to_vec1::<f32>()?
                .into_iter()
                .map(f32::to_bits)
                .collect())
        };
        assert_eq!(
            bits(one)?,
            bits(two)?,
            "{name} of {shapes:?} depends on the number of threads"
        );
    }
    Ok(())
}
