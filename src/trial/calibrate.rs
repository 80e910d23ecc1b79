//! A device's measured peaks, as a result file holds them.

use crate::device;
use crate::error::Result;
use crate::measure::{Monotonic, calibrate};
use crate::record::{At, Calibration};

/// Side of the square product: large enough to fill the caches, small enough for a second on two cores.
const GEMM_SIZE: usize = 1024;
/// Bytes of the copied buffer: past every cache.
const STREAM_BYTES: usize = 256 << 20;
/// How long each is repeated.
const SECONDS: f64 = 1.0;

/// Measures the named device for about two seconds.
pub fn calibrate(device: &str, machine: u64, at: At) -> Result<Calibration> {
    let opened = device::open(device)?;
    let clock = Monotonic::start();
    let gemm = device::Gemm::new(GEMM_SIZE, &opened.device)?;
    let product = calibrate::rate(&clock, &mut || gemm.run(), gemm.flops(), SECONDS)?;
    let stream = device::StreamCopy::new(STREAM_BYTES, &opened.device)?;
    let copy = calibrate::rate(&clock, &mut || stream.run(), stream.bytes(), SECONDS)?;
    Ok(Calibration {
        machine,
        at,
        device: opened.name,
        gemm_f32_flops_per_s: Some(product.peak_per_s),
        stream_bytes_per_s: Some(copy.peak_per_s),
        reason: None,
    })
}
