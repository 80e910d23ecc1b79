//! Opening a CUDA device, and what candle leaves to be set: memory that is kept, and a device known by its place.

use std::ffi::{CStr, c_char, c_int};

use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, DType, Device, Result, Tensor, bail};

/// Characters of a place on the PCI bus, with room for a longer domain than today's: `0000:0a:00.0`.
const BUS_CHARS: usize = 32;

/// Opens a device on one stream of its own and runs one kernel there: a driver too old for this build's kernels is known now.
///
/// The per-thread default stream, candle's other choice, would differ between threads that share a tensor.
pub fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    if let Device::Cuda(device) = &device {
        check_capability(device)?;
        // SAFETY: what candle's events guard against is a tensor in use on two streams. This program makes one stream a device,
        // here, and never another; on one stream every use and every release comes in the order in which it was asked for.
        unsafe { device.disable_event_tracking() };
        keep_memory(device)?;
    }
    Tensor::ones(1, DType::F32, &device)?
        .affine(2.0, 1.0)?
        .to_vec1::<f32>()?;
    Ok(device)
}

/// The first GPUs whose tensor cores multiply bf16: what the kernels are compiled for (`build.rs`).
const OLDEST: (i32, i32) = (8, 0);

fn check_capability(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let (major, minor) = stream
        .context()
        .compute_capability()
        .map_err(candle_core::Error::wrap)?;
    if (major, minor) < OLDEST {
        bail!(
            "its compute capability is {major}.{minor}, and the kernels need {}.{}",
            OLDEST.0,
            OLDEST.1
        );
    }
    Ok(())
}

/// Lets the device's pool keep what is freed. By default it gives all of it back to the system at every synchronisation, and each
/// step pays for mapping it again. A device without pools has nothing to keep.
fn keep_memory(device: &CudaDevice) -> Result<()> {
    let Some(pool) = pool(device) else {
        return Ok(());
    };
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own default one, which is never destroyed; this attribute is a `cuuint64_t`, and the
    // pointer is to a `u64` that outlives the call.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()) }
        .map_err(candle_core::Error::wrap)
}

/// The most that was in use at once in the device's pool since it was opened, in bytes.
pub fn peak_bytes(device: &Device) -> Option<u64> {
    let Device::Cuda(device) = device else {
        return None;
    };
    let pool = pool(device)?;
    let mut bytes = 0_u64;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: as in `keep_memory`: the default pool lives as long as the device, and the attribute is a `cuuint64_t`.
    unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()) }.ok()?;
    (bytes > 0).then_some(bytes)
}

/// The pool that `cuMemAllocAsync` takes from, as cudarc uses it where the device has pools.
fn pool(device: &CudaDevice) -> Option<sys::CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let has_pools = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    if context.attribute(has_pools).ok()? == 0 {
        return None;
    }
    // SAFETY: the device is the one that this live context was made for.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }.ok()
}

/// The device's place on the PCI bus: `0000:0a:00.0`.
pub fn bus(device: &Device) -> Option<String> {
    let Device::Cuda(device) = device else {
        return None;
    };
    let stream = device.cuda_stream();
    let mut text: [c_char; BUS_CHARS] = [0; BUS_CHARS];
    // SAFETY: the driver writes at most `BUS_CHARS` characters, the end's 0 among them, into a buffer of that length, and the
    // device is the one that this live context was made for.
    let answer = unsafe {
        sys::cuDeviceGetPCIBusId(
            text.as_mut_ptr(),
            BUS_CHARS as c_int,
            stream.context().cu_device(),
        )
    };
    answer.result().ok()?;
    // SAFETY: on success the buffer holds a text that ends with 0.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    Some(text.to_string_lossy().into_owned())
}
