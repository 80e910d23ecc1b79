//! A device's measured peaks, as a result file holds them.

use std::sync::Arc;

use super::Registry;
use crate::device;
use crate::error::Result;
use crate::measure::{Clock, Monotonic, calibrate, energy};
use crate::record::{At, Calibration};

/// Side of the square product to begin with: a few milliseconds on two cores.
const GEMM_SIZE: usize = 1024;
/// Side at which it stops growing: 0.8 GB for three matrices.
const LARGEST_GEMM: usize = 8192;
/// One product takes at least this long.
const LEAST_GEMM_S: f64 = 0.01;
/// Bytes of the copied buffer: past every cache.
const STREAM_BYTES: usize = 256 << 20;
/// How long each is repeated.
const SECONDS: f64 = 1.0;

/// Measures the named device for about two seconds, and its power at rest before that where a meter is open.
pub fn calibrate(registry: &Registry, device: &str, machine: u64, at: At) -> Result<Calibration> {
    let opened = device::open(device)?;
    let clock = Monotonic::start();
    let idle_w = energy::idle::power_w(&registry.meters, opened.name != "cpu", Arc::new(clock));
    let mut size = GEMM_SIZE;
    let mut gemm = device::Gemm::new(size, &opened.device)?;
    gemm.run()?;
    // A fast device needs a larger product, or its overheads would be taken for its peak.
    while size < LARGEST_GEMM && clock.time(&mut || gemm.run())? < LEAST_GEMM_S {
        size *= 2;
        gemm = device::Gemm::new(size, &opened.device)?;
        gemm.run()?;
    }
    let product = calibrate::rate(&clock, &mut || gemm.run(), gemm.flops(), SECONDS)?;
    let mut stream = device::StreamCopy::new(STREAM_BYTES, &opened.device)?;
    let bytes = stream.bytes();
    let copy = calibrate::rate(&clock, &mut || stream.run(), bytes, SECONDS)?;
    Ok(Calibration {
        machine,
        at,
        device: opened.name,
        gemm_f32_flops_per_s: Some(product.peak_per_s),
        stream_bytes_per_s: Some(copy.peak_per_s),
        reason: None,
        idle_w: idle_w.and_then(std::result::Result::ok),
        idle_reason: idle_w.and_then(std::result::Result::err).map(|absent| absent.code().to_owned()),
    })
}
