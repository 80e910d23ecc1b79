//! Fixed pieces of work that a device is measured by: what MFU and bandwidth shares are shares of, and what tells whether the
//! machine was the same before and after.

use candle_core::{D, DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::Result;

/// Copies within a device between two waits.
const COPIES: usize = 16;
/// Scalars that one thread copies at a time.
const COPY_CHUNK: usize = 1 << 18;

/// What a probe's factors are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits with f32's range.
    Bf16,
}

/// Square matrix products, the probe of MFU.
pub struct Gemm {
    a: Tensor,
    b: Tensor,
    size: usize,
    /// Products between two waits: waiting costs a fast device as much as a small product.
    products: usize,
}

impl Gemm {
    /// Two `size` x `size` matrices with bounded entries, multiplied so often at a time.
    pub fn new(
        size: usize,
        products: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let dtype = if precision == Precision::F32 {
            DType::F32
        } else {
            DType::BF16
        };
        let values = |k: usize| {
            (0..size * size)
                .map(move |i| ((i * k) % 251) as f32 / 251.0 - 0.5)
                .collect::<Vec<_>>()
        };
        let matrix = |k| Tensor::from_vec(values(k), (size, size), device)?.to_dtype(dtype);
        Ok(Self {
            a: matrix(7)?,
            b: matrix(11)?,
            size,
            products,
        })
    }

    /// Multiplies and waits for the device.
    pub fn run(&self) -> Result<()> {
        for _ in 0..self.products {
            self.a.matmul(&self.b)?;
        }
        Ok(self.a.device().synchronize()?)
    }

    /// FLOPs of one run.
    pub fn flops(&self) -> f64 {
        2.0 * (self.size as f64).powi(3) * self.products as f64
    }
}

/// A copy of a buffer larger than the caches by all threads, the probe of memory-bound work.
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
            Device::Cpu => Self::Host {
                source: vec![1.0; bytes / 4],
                target: vec![0.0; bytes / 4],
            },
            _ => Self::Device(Tensor::ones(bytes / 4, DType::F32, device)?),
        })
    }

    /// Copies, within a device several times, and waits for it.
    pub fn run(&mut self) -> Result<()> {
        match self {
            Self::Host { source, target } => {
                let chunks = target
                    .par_chunks_mut(COPY_CHUNK)
                    .zip(source.par_chunks(COPY_CHUNK));
                chunks.for_each(|(target, source)| target.copy_from_slice(source));
            }
            Self::Device(source) => {
                for _ in 0..COPIES {
                    source.copy()?;
                }
                source.device().synchronize()?;
            }
        }
        Ok(())
    }

    /// Bytes read and written by one run.
    pub fn bytes(&self) -> f64 {
        let scalars = match self {
            Self::Host { source, .. } => source.len(),
            Self::Device(source) => source.elem_count() * COPIES,
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
        Ok(Self {
            one: Tensor::ones(Self::SCALARS, DType::F32, device)?,
        })
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
            let values: Vec<f32> = (0..count)
                .map(|i| ((i * k) % 251) as f32 / 251.0 - 0.5)
                .collect();
            Tensor::from_vec(values, shape, device)
        };
        Ok(Self {
            q: of(7)?,
            k: of(11)?.t()?.contiguous()?,
            v: of(13)?,
        })
    }

    /// Attends once and waits for the device.
    pub fn run(&self) -> Result<()> {
        let scores = self.q.matmul(&self.k)?;
        let weights = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        Ok(weights.matmul(&self.v)?.device().synchronize()?)
    }
}
