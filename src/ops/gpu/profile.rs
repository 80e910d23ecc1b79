//! Where the time of a step goes: a GPU that waits for each kernel and adds up its seconds by name. For tests on a GPU.

use super::backend::{Argument, Backend, Gpu, Kernels, Launch, Product};
use candle_core::{DType, Device, Result, Shape, Tensor};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Seconds and runs by name.
pub(crate) type Spent = BTreeMap<String, (f64, u32)>;

/// A GPU that times another.
pub(crate) struct Profile {
    inner: &'static dyn Backend,
    device: Device,
    now_s: fn() -> f64,
    spent: Mutex<Spent>,
}

impl Profile {
    /// Around the GPU of that GPU, for as long as the program runs; with it the GPU as it is now seen.
    pub(crate) fn of(gpu: Gpu, device: &Device, now_s: fn() -> f64) -> (&'static Self, Gpu) {
        let profile = Box::leak(Box::new(Self {
            inner: gpu.backend,
            device: device.clone(),
            now_s,
            spent: Mutex::default(),
        }));
        (
            profile,
            Gpu {
                backend: profile,
                ..gpu
            },
        )
    }

    /// What was spent since it was last asked.
    pub(crate) fn take(&self) -> Spent {
        std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn timed<R>(&self, name: String, run: impl FnOnce() -> Result<R>) -> Result<R> {
        self.device.synchronize()?;
        let from_s = (self.now_s)();
        let result = run()?;
        self.device.synchronize()?;
        let seconds = (self.now_s)() - from_s;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum_s, runs) = spent.entry(name).or_default();
        (*sum_s, *runs) = (*sum_s + seconds, *runs + 1);
        Ok(result)
    }
}

impl Backend for Profile {
    fn empty(&self, shape: Shape, dtype: DType, leaf: bool) -> Result<Tensor> {
        self.timed("memory".to_owned(), || self.inner.empty(shape, dtype, leaf))
    }

    fn address(&self, tensor: &Tensor) -> Result<u64> {
        self.inner.address(tensor)
    }

    fn launch(&self, launch: &Launch, arguments: &[Argument]) -> Result<()> {
        self.timed(launch.kernel.clone(), || {
            self.inner.launch(launch, arguments)
        })
    }

    fn runs(&self, kernels: &'static Kernels) -> bool {
        self.inner.runs(kernels)
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        let name = format!("product {} x {} x {}", product.n, product.k, product.m);
        self.timed(name, || self.inner.multiply(product))
    }
}
