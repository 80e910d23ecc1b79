//! Where sums are done: the device a name stands for, and what is said when it is not there.

pub mod workers;

pub use workers::{STACK_BYTES, Workers};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Error::internal(error.to_string())
    }
}

/// An opened device.
#[derive(Debug, Clone)]
pub struct Opened {
    /// candle's handle.
    pub device: Device,
    /// Its full name: `cpu`, `cuda:0`.
    pub name: String,
    /// Why this one, where `auto` chose.
    pub why: Option<String>,
}

/// Opens `auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes the first CUDA device, and falls back to the CPU with a reason.
pub fn open(name: &str) -> Result<Opened> {
    let cpu = |why: Option<String>| Opened { device: Device::Cpu, name: "cpu".into(), why };
    match name {
        "cpu" => Ok(cpu(None)),
        "auto" => match cuda(0) {
            Ok(device) => Ok(Opened { device, name: "cuda:0".into(), why: Some("the first CUDA device".into()) }),
            Err(error) => Ok(cpu(Some(error.message))),
        },
        _ => {
            let ordinal = match name.strip_prefix("cuda") {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
                None => None,
            };
            let Some(ordinal) = ordinal else {
                return Err(Error::input(format!("unknown device `{name}`")).hint("auto, cpu, cuda or cuda:N"));
            };
            Ok(Opened { device: cuda(ordinal)?, name: format!("cuda:{ordinal}"), why: None })
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device> {
    // One named stream: the per-thread default stream would differ between threads that share a tensor.
    Device::new_cuda_with_stream(ordinal).map_err(|error| {
        Error::input(format!("CUDA device {ordinal} does not open: {error}"))
            .hint("`nvidia-smi` lists the devices and the driver; --device cpu needs neither")
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_ordinal: usize) -> Result<Device> {
    Err(Error::input("this build has no CUDA support").hint(
        "build with `cargo build --release --features cuda` where a CUDA toolkit is installed, or use --device cpu",
    ))
}

/// Scalars that one thread copies at a time.
const COPY_CHUNK: usize = 1 << 18;

/// A square f32 matrix product, the yardstick of MFU.
pub struct Gemm {
    a: Tensor,
    b: Tensor,
    size: usize,
}

impl Gemm {
    /// Two `size` x `size` matrices with bounded entries.
    pub fn new(size: usize, device: &Device) -> Result<Self> {
        let values = |k: usize| (0..size * size).map(move |i| ((i * k) % 251) as f32 / 251.0 - 0.5).collect::<Vec<_>>();
        Ok(Self {
            a: Tensor::from_vec(values(7), (size, size), device)?,
            b: Tensor::from_vec(values(11), (size, size), device)?,
            size,
        })
    }

    /// Multiplies once and waits for the device.
    pub fn run(&self) -> Result<()> {
        let product = self.a.matmul(&self.b)?;
        product.device().synchronize()?;
        Ok(())
    }

    /// FLOPs of one product.
    pub fn flops(&self) -> f64 {
        2.0 * (self.size as f64).powi(3)
    }
}

/// A copy of a buffer larger than the caches by all threads, the yardstick of memory-bound work.
pub enum StreamCopy {
    /// Between two buffers of the host that were touched before.
    Host {
        /// From here ...
        source: Vec<f32>,
        /// ... to there.
        target: Vec<f32>,
    },
    /// Within a device.
    Device(Tensor),
}

impl StreamCopy {
    /// A buffer of `bytes`.
    pub fn new(bytes: usize, device: &Device) -> Result<Self> {
        Ok(match device {
            Device::Cpu => Self::Host { source: vec![1.0; bytes / 4], target: vec![0.0; bytes / 4] },
            _ => Self::Device(Tensor::ones(bytes / 4, DType::F32, device)?),
        })
    }

    /// Copies once and waits for the device.
    pub fn run(&mut self) -> Result<()> {
        match self {
            Self::Host { source, target } => {
                let chunks = target.par_chunks_mut(COPY_CHUNK).zip(source.par_chunks(COPY_CHUNK));
                chunks.for_each(|(target, source)| target.copy_from_slice(source));
            }
            Self::Device(source) => source.copy()?.device().synchronize()?,
        }
        Ok(())
    }

    /// Bytes read and written by one copy.
    pub fn bytes(&self) -> f64 {
        let scalars = match self {
            Self::Host { source, .. } => source.len(),
            Self::Device(source) => source.elem_count(),
        };
        2.0 * (scalars * 4) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_a_sentence_with_a_remedy() {
        assert_eq!(open("cpu").unwrap().name, "cpu");
        for name in ["gpu", "cuda:x", "metal"] {
            assert!(open(name).unwrap_err().hint.is_some(), "{name}");
        }
        if cfg!(not(feature = "cuda")) {
            assert!(open("cuda").unwrap_err().message.contains("no CUDA support"));
            let auto = open("auto").unwrap();
            assert_eq!((auto.name.as_str(), auto.why.is_some()), ("cpu", true));
        }
    }
}
