//! How an op is tested: its gradients against finite differences in f64, its output and gradients against its reference in
//! f32, its bits on one thread against those on two, and an emulated GPU's.

#[cfg(test)]
use super::IGNORED;
use super::Ops;
use crate::config::Broken;
use candle_core::{DType, Device, Error, Result, Tensor, Var};

/// Number of cases of a property over shapes: each is compared in full.
#[cfg(test)]
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
#[cfg(test)]
pub(super) fn ids(n: usize, vocabulary: u32) -> Result<Tensor> {
    let id = |x: f64| ((x + 1.5) / 3.0 * f64::from(vocabulary)) as u32;
    Tensor::from_vec(
        numbers(n, 77).into_iter().map(id).collect(),
        n,
        &Device::Cpu,
    )
}

/// Targets for `n` tokens, every fifth from the second on ignored.
#[cfg(test)]
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
pub(crate) trait Run: Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {}
impl<R: Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync> Run for R {}

/// All tests but that on a GPU; for tiny shapes, since finite differences run the op twice for each number of its inputs.
#[cfg(test)]
pub(super) fn check(shapes: &[&[usize]], run: impl Run) {
    assert_eq!(differences(shapes, &run).unwrap(), []);
    assert_eq!(agreement(shapes, &run).unwrap(), []);
}

/// Agreement with the reference, and of one thread with two.
#[cfg(test)]
pub(super) fn agrees(shapes: &[&[usize]], run: impl Run) {
    assert_eq!(agreement(shapes, &run).unwrap(), []);
}

/// The rules that an op breaks, on inputs of tiny shapes.
pub(crate) fn broken(shapes: &[&[usize]], run: &impl Run) -> Vec<Broken> {
    let mut all = Vec::new();
    for (rule, outcome) in [
        (DIFFERENCES, differences(shapes, run)),
        (REFERENCE, agreement(shapes, run)),
        (ON_A_GPU, on_a_gpu(shapes, run)),
    ] {
        let failed = |error: Error| vec![fault(rule, "no error", error.to_string())];
        all.extend(outcome.unwrap_or_else(failed));
    }
    all
}

const DIFFERENCES: &str = "gradients are those of finite differences";
const REFERENCE: &str = "fused is the reference";
const THREADS: &str = "threads change no bit";
const ON_A_GPU: &str = "a GPU computes what the CPU does";

fn fault(rule: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Broken {
    Broken {
        rule,
        expected: expected.into(),
        found: found.into(),
    }
}

fn inputs(shapes: &[&[usize]], dtypes: [DType; 2]) -> Result<Vec<Var>> {
    let [rounding, dtype] = dtypes;
    let given = shapes.iter().zip(1..);
    given
        .map(|(shape, seed)| {
            let numbers = random(shape, DType::F64, seed)?;
            Var::from_tensor(&numbers.to_dtype(rounding)?.to_dtype(dtype)?)
        })
        .collect()
}

/// The output, and the gradient of each input, of the output times fixed random weights, summed.
pub(super) fn gradients(ops: Ops, vars: &[Var], run: &impl Run) -> Result<Vec<Tensor>> {
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let tape = ops.tape();
    let y = run(ops.on(&tape), &tensors)?;
    // Weights beside a narrow output are as wide as in the truth.
    let wide = if y.dtype() == DType::F32 {
        DType::F32
    } else {
        DType::F64
    };
    let weights = random(y.dims(), wide, 99)?;
    let mut grads = tape.backward(&(y.to_dtype(wide)? * weights)?.sum_all()?, 1.0)?;
    let mut all = vec![y.detach()];
    for var in vars {
        all.push(
            grads
                .take(var)
                .ok_or_else(|| Error::Msg("an input without gradient".into()))?
                .detach(),
        );
    }
    Ok(all)
}

pub(super) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|x| x * x).sum::<f64>().sqrt()
}

/// The 2-norm of the difference, relative to that of the truth.
pub(super) fn distance(x: &[f64], truth: &[f64]) -> f64 {
    distance_above(x, truth, 1e-12)
}

/// The 2-norm of the difference, relative to that of the truth or to `least`, whichever is larger.
fn distance_above(x: &[f64], truth: &[f64], least: f64) -> f64 {
    assert_eq!(x.len(), truth.len());
    let off = norm(x.iter().zip(truth).map(|(a, b)| a - b));
    off / norm(truth.iter().copied()).max(least)
}

/// The least norm that a difference is relative to, a share of the largest gradient's: a gradient that is 0, or all but, is a
/// difference of larger numbers, whose rounding remains (a gate's where keys have one channel).
fn least_norm(truth: &[Tensor], share: f64) -> Result<f64> {
    let norms = truth[1..]
        .iter()
        .map(|gradient| Ok(norm(flat(gradient)?.into_iter())));
    let norms = norms.collect::<Result<Vec<_>>>()?;
    Ok((share * norms.into_iter().fold(0.0, f64::max)).max(1e-12))
}

/// What is no number is far too.
fn is_far(far: f64, near: f64) -> bool {
    far.is_nan() || far >= near
}

fn name_of(i: usize, shapes: &[&[usize]]) -> String {
    match i {
        0 => format!("the output of {shapes:?}"),
        i => format!("the gradient of input {} of {shapes:?}", i - 1),
    }
}

fn differences(shapes: &[&[usize]], run: &impl Run) -> Result<Vec<Broken>> {
    const STEP: f64 = 1e-5;
    const NEAR: f64 = 1e-7;
    let vars = inputs(shapes, [DType::F64; 2])?;
    let analytic = gradients(Ops::fused(), &vars, run)?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
    let objective = |tensors: &[Tensor]| -> Result<f64> {
        let y = run(Ops::fused(), tensors)?;
        (&y * random(y.dims(), DType::F64, 99)?)?
            .sum_all()?
            .to_scalar()
    };
    let mut faults = Vec::new();
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
        if is_far(far, NEAR) {
            let name = name_of(input + 1, shapes);
            faults.push(fault(
                DIFFERENCES,
                format!("{name} within {NEAR:e} of it"),
                format!("{far:e}"),
            ));
        }
    }
    Ok(faults)
}

fn agreement(shapes: &[&[usize]], run: &impl Run) -> Result<Vec<Broken>> {
    const NEAR: f64 = 1e-5;
    let vars = inputs(shapes, [DType::F32; 2])?;
    let reference = gradients(Ops::reference(), &vars, run)?;
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(Error::wrap)?;
        pool.install(|| gradients(Ops::fused(), &vars, run))
    };
    let (one, two, least) = (on(1)?, on(2)?, least_norm(&reference, 0.3)?);
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        let numbers = t.flatten_all()?.to_vec1::<f32>()?;
        Ok(numbers.into_iter().map(f32::to_bits).collect())
    };
    let mut faults = Vec::new();
    for (i, ((one, two), truth)) in one.iter().zip(&two).zip(&reference).enumerate() {
        let name = name_of(i, shapes);
        if one.dims() != truth.dims() {
            let [found, expected] = [one, truth].map(|t| format!("{name} of {:?}", t.dims()));
            faults.push(fault(REFERENCE, expected, found));
            continue;
        }
        let far = distance_above(&flat(one)?, &flat(truth)?, least);
        if is_far(far, NEAR) {
            faults.push(fault(
                REFERENCE,
                format!("{name} within {NEAR:e} of the reference's"),
                format!("{far:e}"),
            ));
        }
        if bits(one)? != bits(two)? {
            faults.push(fault(
                THREADS,
                format!("{name} on two threads as on one"),
                "other bits",
            ));
        }
    }
    Ok(faults)
}

/// In f32 and in bf16, on an emulated GPU; nothing where this machine cannot emulate one.
fn on_a_gpu(shapes: &[&[usize]], run: &impl Run) -> Result<Vec<Broken>> {
    let mut faults = Vec::new();
    for (dtype, near) in [(DType::F32, 1e-5), (DType::BF16, 1e-2)] {
        let Some(ops) = Ops::emulated(dtype) else {
            continue;
        };
        let truth = gradients(Ops::fused(), &inputs(shapes, [dtype, DType::F64])?, run)?;
        let made = gradients(ops, &inputs(shapes, [dtype, dtype])?, run)?;
        let least = least_norm(&truth, 1e-2)?;
        for (i, (made, truth)) in made.iter().zip(&truth).enumerate() {
            let far = distance_above(&flat(made)?, &flat(truth)?, least);
            if is_far(far, near) {
                let name = name_of(i, shapes);
                faults.push(fault(
                    ON_A_GPU,
                    format!("{name} in {dtype:?} within {near:e} of the CPU's in f64"),
                    format!("{far:e}"),
                ));
            }
        }
    }
    Ok(faults)
}
