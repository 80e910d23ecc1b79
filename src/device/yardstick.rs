//! Fixed pieces of work that a device is measured by: what MFU and bandwidth shares are shares of, and what tells whether the
//! machine was the same before and after.

use candle_core::{D, DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::Result;

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

/// Many sums of a few scalars: what an operation costs beside its arithmetic.
pub struct SmallOps {
    one: Tensor,
}

impl SmallOps {
    /// Operations of one run.
    pub const COUNT: usize = 1000;
    const SCALARS: usize = 16;

    /// Ready to run.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { one: Tensor::ones(Self::SCALARS, DType::F32, device)? })
    }

    /// Runs all of them and waits for the device.
    pub fn run(&self) -> Result<()> {
        let mut sum = self.one.clone();
        for _ in 0..Self::COUNT {
            sum = (sum + &self.one)?;
        }
        Ok(sum.device().synchronize()?)
    }
}

/// Attention as plain operations do it, softmax(Q K^T) V: products, a reduction and exponentials in turn, as in training.
pub struct AttentionMix {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl AttentionMix {
    const HEADS: usize = 16;
    const TIME: usize = 256;
    const WIDTH: usize = 32;

    /// Heads of bounded entries.
    pub fn new(device: &Device) -> Result<Self> {
        let shape = (Self::HEADS, Self::TIME, Self::WIDTH);
        let of = |k: usize| {
            let count = Self::HEADS * Self::TIME * Self::WIDTH;
            let values: Vec<f32> = (0..count).map(|i| ((i * k) % 251) as f32 / 251.0 - 0.5).collect();
            Tensor::from_vec(values, shape, device)
        };
        Ok(Self { q: of(7)?, k: of(11)?.t()?.contiguous()?, v: of(13)? })
    }

    /// Attends once and waits for the device.
    pub fn run(&self) -> Result<()> {
        let scores = self.q.matmul(&self.k)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        Ok(weights.matmul(&self.v)?.device().synchronize()?)
    }
}
