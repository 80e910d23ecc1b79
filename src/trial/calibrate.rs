//! A device's measured peaks, as a result file holds them.

use std::sync::Arc;

use serde_json::json;

use super::{Registry, gpu, refusal, settle};
use crate::config::{Library, Origin, Tree};
use crate::device::{self, Opened, Precision};
use crate::error::Result;
use crate::measure::calibrate::Rate;
use crate::measure::{Clock, Monotonic, calibrate, energy};
use crate::ops::{RoundedProduct, bf16_unit};
use crate::record::{At, Calibration};

/// Side of the square product to begin with: a few milliseconds on two cores.
const GEMM_SIZE: usize = 1024;
/// Side at which it stops growing: 0.8 GB for three matrices.
const LARGEST_GEMM: usize = 8192;
/// Side of the product of rounded factors: some ten milliseconds on two cores with a tile unit.
const ROUNDED_GEMM: usize = 2048;
/// One product takes at least this long.
const LEAST_GEMM_S: f64 = 0.01;
/// What a build for debugging finds is nobody's peak: it does each thing the fewest times, so that tests of whole runs spend their
/// time on runs.
const IS_HASTY: bool = cfg!(debug_assertions);
/// Bytes of the copied buffer: past every cache.
const STREAM_BYTES: usize = if IS_HASTY { 64 << 20 } else { 256 << 20 };
/// How long the product is repeated: everything is held against it.
const SECONDS: f64 = if IS_HASTY { 0.0 } else { 1.0 };
/// How long each of the others is.
const SHORT_S: f64 = if IS_HASTY { 0.0 } else { 0.3 };

/// Measures the named device for about three seconds, in a build for debugging for less, and its power at rest before that where a
/// meter is open.
pub fn calibrate(registry: &Registry, device: &str, machine: u64, at: At) -> Result<Calibration> {
    let (opened, own) = gpu::open(device)?;
    let clock = Monotonic::start();
    let idle_w = energy::idle::power_w(&registry.meters, own.clone(), Arc::new(clock));
    let full = product(Precision::F32, &opened, &clock)?;
    let half = match own {
        Some(_) => Some(product(Precision::Bf16, &opened, &clock).map(|rate| rate.peak_per_s)),
        None => of_rounded(&clock).transpose(),
    };
    let mut stream = device::StreamCopy::new(STREAM_BYTES, &opened.device)?;
    let bytes = stream.bytes();
    let copy = calibrate::rate(&clock, &mut || stream.run(), bytes, SHORT_S)?;
    let small = device::SmallOps::new(&opened.device)?;
    let small = calibrate::rate(
        &clock,
        &mut || small.run(),
        device::SmallOps::COUNT as f64,
        SHORT_S,
    )?;
    let mix = device::AttentionMix::new(&opened.device)?;
    let mix = calibrate::rate(&clock, &mut || mix.run(), 1.0, SHORT_S)?;
    let step = reference_step(&opened, &clock)?;
    Ok(Calibration {
        gemm_f32_flops_per_s: Some(full.peak_per_s),
        gemm_bf16_flops_per_s: half.as_ref().and_then(|half| half.as_ref().ok().copied()),
        stream_bytes_per_s: Some(copy.peak_per_s),
        small_op_s: Some(small.peak_per_s.recip()),
        attention_mix_s: Some(mix.peak_per_s.recip()),
        reference_step_s: Some(step.peak_per_s.recip()),
        reason: half
            .and_then(std::result::Result::err)
            .map(|error| format!("bf16: {}", error.message)),
        idle_w: idle_w.and_then(std::result::Result::ok),
        idle_reason: idle_w
            .and_then(std::result::Result::err)
            .map(|absent| absent.code().to_owned()),
        ..Calibration::empty(machine, at, &opened.name)
    })
}

/// The rate of products whose factors are rounded to bf16 on a CPU that has a unit for that; on another it is nobody's peak.
fn of_rounded(clock: &dyn Clock) -> Result<Option<f64>> {
    if bf16_unit(refusal::now_s).is_err() {
        return Ok(None);
    }
    let product = RoundedProduct::new(ROUNDED_GEMM);
    let mut run = || {
        product.run();
        Ok(())
    };
    let rate = calibrate::rate(clock, &mut run, product.flops(), SHORT_S)?;
    Ok(Some(rate.peak_per_s))
}

/// The product's rate. A fast device needs a larger product, and then several before it is waited for, or its overheads would be
/// taken for its peak.
fn product(precision: Precision, opened: &Opened, clock: &dyn Clock) -> Result<Rate> {
    let (mut size, mut products) = (GEMM_SIZE, 1);
    loop {
        let gemm = device::Gemm::new(size, products, precision, &opened.device)?;
        gemm.run()?;
        if clock.time(&mut || gemm.run())? >= LEAST_GEMM_S {
            return calibrate::rate(clock, &mut || gemm.run(), gemm.flops(), SECONDS);
        }
        if size < LARGEST_GEMM {
            size *= 2
        } else {
            products *= 2
        }
    }
}

/// Training steps of one small model, every size written out: what it is must not change, or machines could not be compared
/// over time.
fn reference_step(opened: &Opened, clock: &dyn Clock) -> Result<Rate> {
    let sizes = json!({
        "model": {"layers": 2, "width": 64, "heads": 4, "kv_heads": 4, "context": 64},
        "train": {"batch": 8, "steps": 100_000, "optimizer": {"kind": "adamw", "lr": 1e-3}},
        "data": {"kind": "markov", "states": 64},
        "compute": {"ops": "fused", "device": opened.name},
    });
    let mut tree = Library::builtin().variant("gpt2")?.tree;
    tree.overlay(&Tree::from_json(&sizes, &Origin::named("calibration"))?);
    let experiment = settle(&Registry::builtin(), &tree)?.experiment;
    let mut trainer = experiment.trainer(1, opened)?;
    let batch = experiment
        .source
        .train(1, 0, experiment.batch, experiment.model.shape.context);
    calibrate::rate(clock, &mut || trainer.step(&batch).map(drop), 1.0, SHORT_S)
}
