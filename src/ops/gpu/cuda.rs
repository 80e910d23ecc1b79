//! The GPU that is a GPU of NVIDIA's: kernels compiled to PTX when the program was built (`build.rs`), products by cuBLAS,
//! memory by candle, everything on the one stream of candle's device.

use super::backend::{Argument, Backend, Factor, Launch, Product};
use super::files::PTX;
use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::cuda_backend::cudarc::{cublas, driver};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Result, Shape, Storage, Tensor, bail};
use cublas::sys::{
    cublasComputeType_t as ComputeType, cublasGemmAlgo_t as Algorithm, cublasMath_t as MathMode,
    cublasOperation_t as Operation, cudaDataType as DataType,
};
use driver::sys::CUfunction_attribute_enum as Attribute;
use driver::{CudaFunction, CudaSlice, DevicePtr};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// Shared memory that a kernel gets without asking, in bytes: 48 KiB with what it declares itself, for which 1 KiB is left.
const GRANTED: u32 = 47 * 1024;

struct Cuda {
    device: CudaDevice,
    /// By name: looking one up in its module takes longer than starting it.
    kernels: Mutex<HashMap<String, CudaFunction>>,
}

/// The GPU of a device: one for as long as the program runs.
pub(in crate::ops) fn backend_of(device: &CudaDevice) -> &'static dyn Backend {
    static BACKENDS: Mutex<Vec<&'static Cuda>> = Mutex::new(Vec::new());
    let mut backends = BACKENDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(backend) = backends
        .iter()
        .find(|backend| backend.device.same_device(device))
    {
        return *backend;
    }
    // Sums of bf16 products in f32, also where the library splits one over several blocks. An older library that refuses this
    // has no such kernels.
    // SAFETY: the handle is the live one of this device, and the mode is one of the library's.
    let _ = unsafe {
        cublas::sys::cublasSetMathMode(
            *device.cublas_handle().handle(),
            MathMode::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION,
        )
    };
    let backend: &'static Cuda = Box::leak(Box::new(Cuda {
        device: device.clone(),
        kernels: Mutex::default(),
    }));
    backends.push(backend);
    backend
}

fn failed(what: &str, error: impl std::fmt::Display) -> candle_core::Error {
    candle_core::Error::Msg(format!("{what}: {error}"))
}

impl Cuda {
    fn kernel(&self, launch: &Launch) -> Result<CudaFunction> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(&launch.kernel) {
            return Ok(kernel.clone());
        }
        let ours = PTX.iter().find(|(module, _)| *module == launch.module);
        let Some((_, ptx)) = ours else {
            bail!("no module of kernels is called {}", launch.module)
        };
        let kernel = self
            .device
            .get_or_load_custom_func(&launch.kernel, launch.module, ptx)?
            .into_cuda_function();
        kernels.insert(launch.kernel.clone(), kernel.clone());
        Ok(kernel)
    }

    fn storage(&self, shape: &Shape, dtype: DType) -> Result<CudaStorage> {
        // Poisoned in tests: what a kernel forgot to write shows.
        #[cfg(test)]
        if dtype != DType::U32 {
            let poison = Tensor::full(
                f32::NAN,
                shape,
                &candle_core::Device::Cuda(self.device.clone()),
            )?
            .to_dtype(dtype)?;
            let (storage, layout) = poison.storage_and_layout();
            return match storage.try_clone(layout)? {
                Storage::Cuda(storage) => Ok(storage),
                _ => bail!("not on the GPU"),
            };
        }
        // SAFETY: callers write all of it before anyone reads it (`Backend::empty`); any bits are a number of these types.
        unsafe { self.device.alloc_uninit(shape, dtype) }
    }
}

impl Backend for Cuda {
    fn empty(&self, shape: Shape, dtype: DType, leaf: bool) -> Result<Tensor> {
        let storage = self.storage(&shape, dtype)?;
        Ok(Tensor::from_storage(
            Storage::Cuda(storage),
            shape,
            BackpropOp::none(),
            leaf,
        ))
    }

    fn address(&self, tensor: &Tensor) -> Result<u64> {
        // Everything runs on one stream, in order (`device::cuda::open`): there is no other use to wait for.
        fn start<T>(slice: &CudaSlice<T>) -> u64 {
            slice.device_ptr(slice.stream()).0
        }
        let (storage, layout) = tensor.storage_and_layout();
        let Some((first, _)) = layout.contiguous_offsets() else {
            bail!("not contiguous: {layout:?}")
        };
        let Storage::Cuda(storage) = &*storage else {
            bail!(
                "a kernel on a GPU got a tensor on {:?}",
                tensor.device().location()
            );
        };
        if !storage.device.same_device(&self.device) {
            bail!("a kernel got a tensor of another GPU");
        }
        let base = match &storage.slice {
            CudaStorageSlice::F32(slice) => start(slice),
            CudaStorageSlice::BF16(slice) => start(slice),
            CudaStorageSlice::U32(slice) => start(slice),
            _ => bail!("a kernel got a tensor of {:?}", tensor.dtype()),
        };
        Ok(base + (first * tensor.dtype().size_in_bytes()) as u64)
    }

    fn launch(&self, launch: &Launch, arguments: &[Argument]) -> Result<()> {
        let (name, stream) = (&launch.kernel, self.device.cuda_stream());
        stream
            .context()
            .bind_to_thread()
            .map_err(|error| failed(name, error))?;
        let function = self.kernel(launch)?;
        if launch.shared_bytes > GRANTED {
            function
                .set_attribute(
                    Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    launch.shared_bytes as i32,
                )
                .map_err(|error| {
                    failed(
                        &format!("{name}: {} bytes of shared memory", launch.shared_bytes),
                        error,
                    )
                })?;
        }
        let pointers = arguments.iter().map(|argument| match argument {
            Argument::Read(tensor) | Argument::Write(tensor) => self.address(tensor),
            _ => Ok(0),
        });
        let pointers = pointers.collect::<Result<Vec<u64>>>()?;
        let value = |(argument, pointer): (&Argument, &u64)| -> *mut c_void {
            match argument {
                Argument::Read(_) | Argument::Write(_) | Argument::Null => {
                    std::ptr::from_ref(pointer).cast_mut().cast()
                }
                _ => argument.address().cast_mut(),
            }
        };
        let mut values: Vec<*mut c_void> = arguments.iter().zip(&pointers).map(value).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the arguments are those of the kernel's declaration in number and sizes, which the emulator checks in tests
        // that make every launch; tensors are contiguous and on this device, and stay alive on this stream because what frees
        // them comes later on it. The driver copies the values before it returns.
        let launched = unsafe {
            let function = function.cu_function();
            let block = (launch.threads, 1, 1);
            driver::result::launch_kernel(
                function,
                (x, y, z),
                block,
                launch.shared_bytes,
                stream.cu_stream(),
                &mut values,
            )
        };
        launched.map_err(|error| failed(name, error))
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        let (one, kept) = (1f32, if product.adds { 1f32 } else { 0f32 });
        let size = |x: usize| {
            i32::try_from(x).map_err(|_| failed("a matrix product", format!("{x} is too large")))
        };
        let (m, n, k) = (size(product.m)?, size(product.n)?, size(product.k)?);
        let (a, b) = (
            self.address(product.a.numbers)?,
            self.address(product.b.numbers)?,
        );
        let (c, of_c) = (
            self.address(product.c.numbers)?,
            data_type(product.c.numbers.dtype())?,
        );
        let (of_a, of_b) = (
            data_type(product.a.numbers.dtype())?,
            data_type(product.b.numbers.dtype())?,
        );
        let (lda, ldb, ldc) = (
            size(product.a.leading)?,
            size(product.b.leading)?,
            size(product.c.leading)?,
        );
        let compute = match of_a {
            DataType::CUDA_R_32F if product.tf32 => ComputeType::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => ComputeType::CUBLAS_COMPUTE_32F,
        };
        let blas = self.device.cublas_handle();
        let stream = self.device.cuda_stream();
        stream
            .context()
            .bind_to_thread()
            .map_err(|error| failed("a matrix product", error))?;
        let (alpha, beta) = (
            std::ptr::from_ref(&one).cast::<c_void>(),
            std::ptr::from_ref(&kept).cast::<c_void>(),
        );
        // SAFETY: the addresses are those of contiguous tensors of the given types on this device, whose shapes were checked to
        // be those of the product (`Product::by_rows`); they outlive the call, and their memory is freed in stream order.
        let multiplied = unsafe {
            cublas::result::gemm_ex(
                *blas.handle(),
                operation(&product.a),
                operation(&product.b),
                m,
                n,
                k,
                alpha,
                a as *const c_void,
                of_a,
                lda,
                b as *const c_void,
                of_b,
                ldb,
                beta,
                c as *mut c_void,
                of_c,
                ldc,
                compute,
                Algorithm::CUBLAS_GEMM_DFALT,
            )
        };
        multiplied.map_err(|error| failed("a matrix product", format!("{error:?}")))
    }
}

fn operation(factor: &Factor) -> Operation {
    if factor.transposed {
        Operation::CUBLAS_OP_T
    } else {
        Operation::CUBLAS_OP_N
    }
}

fn data_type(dtype: DType) -> Result<DataType> {
    match dtype {
        DType::F32 => Ok(DataType::CUDA_R_32F),
        DType::BF16 => Ok(DataType::CUDA_R_16BF),
        other => bail!("a matrix product of {other:?}"),
    }
}
