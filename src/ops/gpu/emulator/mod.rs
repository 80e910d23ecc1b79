//! A GPU for tests, here and in other crates: the kernels compiled for the CPU and run thread by thread (see `emulator.h`), on tensors in the host's
//! memory. What nothing was written to is NaN.

use super::backend::{Argument, Backend, Factor, Gpu, Kernels, Launch, Product};
use super::files::SOURCES;
use crate::ops::cpu::matmul::{Before, Matrix, MatrixMut, multiply};
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, DType, Device, Error, Result, Shape, Storage, Tensor, bail};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A file's name and text, which are a part of the program, so that another crate's tests have them too.
type File = (&'static str, &'static str);

/// What every file of kernels includes, and what runs them.
const BESIDE: [File; 3] = [
    ("common.cuh", include_str!("../common.cuh")),
    ("emulator.h", include_str!("emulator.h")),
    ("emulator.cpp", include_str!("emulator.cpp")),
];

/// In which order the threads of a block take their turns. A kernel that is right does not care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    Rising,
    Falling,
}

/// A GPU that is emulated, if this machine has a C++ compiler.
pub(crate) fn gpu(turns: Turns, dtype: DType) -> Option<Gpu> {
    static BACKENDS: LazyLock<Option<[Emulator; 2]>> = LazyLock::new(|| {
        let library = compile(SOURCES).ok()?;
        Some([Turns::Rising, Turns::Falling].map(|turns| Emulator { library, turns }))
    });
    let backend = BACKENDS
        .as_ref()?
        .iter()
        .find(|backend| backend.turns == turns)?;
    Some(Gpu {
        backend,
        dtype,
        tf32: false,
    })
}

/// A loaded library.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

// SAFETY: the handle is only handed to `dlsym`, which any thread may call.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

/// Compiles kernels and emulator with the system's C++ compiler.
fn compile(files: &[File]) -> Result<Library> {
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("kernels.so");
    let mut command = Command::new("c++");
    command.args([
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-shared",
        "-U_FORTIFY_SOURCE",
        "-DEMULATED",
        "-Wno-unknown-pragmas",
    ]);
    command.arg("-o").arg(&library).args(["-x", "c++"]);
    for (name, text) in BESIDE {
        std::fs::write(folder.path().join(name), text)?;
    }
    command.arg(folder.path().join("emulator.cpp"));
    for (name, text) in files {
        let path = folder.path().join(Path::new(name).with_extension("cu"));
        std::fs::write(&path, text)?;
        command.arg(path);
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if cfg!(test) {
            panic!("{said}");
        }
        bail!("kernels do not compile:\n{said}");
    }
    let path = CString::new(library.as_os_str().as_encoded_bytes()).map_err(Error::wrap)?;
    // SAFETY: the library was just made from sources that the program holds; loading it runs none of them.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        bail!("kernels were compiled and cannot be loaded");
    }
    Ok(Library(handle))
}

/// The library of somebody's own kernels, compiled when they first run.
fn own(kernels: &'static Kernels) -> Result<Library> {
    static KNOWN: Mutex<Option<HashMap<&'static str, Library>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(library) = known.get(kernels.source) {
        return Ok(*library);
    }
    let library = compile(&[(kernels.name, kernels.source)])?;
    known.insert(kernels.source, library);
    Ok(library)
}

struct Emulator {
    library: Library,
    turns: Turns,
}

/// `struct Launch` of emulator.h.
#[repr(C)]
struct Emulated {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    falling: u32,
    arguments: *const *const c_void,
}

/// Where the numbers of a contiguous tensor on the host begin.
fn numbers(tensor: &Tensor) -> Result<*mut c_void> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, _)) = layout.contiguous_offsets() else {
        bail!("not contiguous: {layout:?}")
    };
    let Storage::Cpu(storage) = &*storage else {
        bail!("not on the host")
    };
    Ok(match storage {
        CpuStorage::F32(numbers) => numbers[start..].as_ptr().cast_mut().cast(),
        CpuStorage::BF16(numbers) => numbers[start..].as_ptr().cast_mut().cast(),
        CpuStorage::U32(numbers) => numbers[start..].as_ptr().cast_mut().cast(),
        _ => bail!("a kernel got a tensor of another type"),
    })
}

impl Emulator {
    /// Refuses arguments that are not as many and as long as the kernel declares.
    fn check(library: Library, kernel: &str, arguments: &[Argument]) -> Result<()> {
        let name = CString::new(format!("{kernel}_sizes")).map_err(Error::wrap)?;
        // SAFETY: the library stays loaded, and the name ends with a zero.
        let sizes: *const i32 = unsafe { libc::dlsym(library.0, name.as_ptr()) }.cast();
        if sizes.is_null() {
            bail!("every kernel has its sizes beside it (EXPORT in emulator.h), {kernel} has not");
        }
        // SAFETY: the list ends with a zero, and no argument has that size.
        let declared: Vec<i32> = (0..)
            .map(|i| unsafe { *sizes.add(i) })
            .take_while(|size| *size > 0)
            .collect();
        let given: Vec<i32> = arguments
            .iter()
            .map(|argument| argument.bytes() as i32)
            .collect();
        if given != declared {
            bail!("{kernel} takes arguments of {declared:?} bytes, not of {given:?}");
        }
        Ok(())
    }
}

impl Backend for Emulator {
    fn empty(&self, shape: Shape, dtype: DType, leaf: bool) -> Result<Tensor> {
        let nothing = match dtype {
            DType::U32 => Tensor::full(0xdead_beef_u32, shape, &Device::Cpu)?,
            _ => Tensor::full(f32::NAN, shape, &Device::Cpu)?.to_dtype(dtype)?,
        };
        let (storage, layout) = nothing.storage_and_layout();
        Ok(Tensor::from_storage(
            storage.try_clone(layout)?,
            layout.shape(),
            BackpropOp::none(),
            leaf,
        ))
    }

    fn address(&self, tensor: &Tensor) -> Result<u64> {
        Ok(numbers(tensor)?.addr() as u64)
    }

    fn launch(&self, launch: &Launch, arguments: &[Argument]) -> Result<()> {
        let name = CString::new(launch.kernel.as_str()).map_err(Error::wrap)?;
        let library = launch.own.map_or(Ok(self.library), own)?;
        // SAFETY: the library stays loaded, and the name ends with a zero.
        let symbol = unsafe { libc::dlsym(library.0, name.as_ptr()) };
        let is_ours = SOURCES.iter().any(|(file, _)| *file == launch.module);
        if symbol.is_null() || !(is_ours || launch.own.is_some()) {
            bail!("no kernel {} in {}", launch.kernel, launch.module);
        }
        Self::check(library, &launch.kernel, arguments)?;
        // SAFETY: every kernel's symbol is a function of this type (EXPORT in emulator.h).
        let kernel: extern "C" fn(&Emulated) -> bool = unsafe { std::mem::transmute(symbol) };
        let held = arguments.iter().map(Held::of).collect::<Result<Vec<_>>>()?;
        let addresses: Vec<*const c_void> = held.iter().map(Held::address).collect();
        let launch = Emulated {
            grid: launch.grid,
            block: [launch.threads, 1, 1],
            shared_bytes: launch.shared_bytes,
            falling: (self.turns == Turns::Falling).into(),
            arguments: addresses.as_ptr(),
        };
        // The emulator has one GPU: its variables are shared.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if !kernel(&launch) {
            bail!(
                "{}: threads wait for one another for ever",
                name.to_string_lossy()
            );
        }
        Ok(())
    }

    fn runs(&self, _kernels: &'static Kernels) -> bool {
        true
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        let (m, n, k) = (product.m, product.n, product.k);
        let factor = |of: &Factor| {
            let numbers = f32s(of.numbers)?;
            Ok::<_, Error>(if product.tf32 {
                numbers.into_iter().map(to_tf32).collect()
            } else {
                numbers
            })
        };
        let (a, b) = (factor(&product.a)?, factor(&product.b)?);
        let (to, leading) = (product.c.numbers, product.c.leading);
        // What lies beyond the columns stays as it is.
        let mut c = f32s(to)?;
        // What the library sees by columns is by rows the transpose, and so is the product: C^T = op(B)^T op(A)^T.
        let before = if product.adds {
            Before::AddedTo
        } else {
            Before::Overwritten
        };
        let factors = (by_rows(&product.b, &b, k, n), by_rows(&product.a, &a, m, k));
        multiply(
            &mut MatrixMut::new(&mut c, n, m, leading),
            before,
            1.0,
            factors,
            gemm::Parallelism::None,
        );
        let made = Tensor::from_vec(c, to.shape(), &Device::Cpu)?.to_dtype(to.dtype())?;
        let bytes = to.elem_count() * to.dtype().size_in_bytes();
        // SAFETY: both are contiguous tensors of one shape and type; nobody reads what a product is being written to.
        unsafe { std::ptr::copy_nonoverlapping(numbers(&made)?, numbers(to)?, bytes) };
        Ok(())
    }
}

/// op(factor), (rows, columns) by columns, as its transpose by rows.
fn by_rows<'a>(
    factor: &Factor,
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
) -> Matrix<'a, f32> {
    match factor.transposed {
        false => Matrix::new(numbers, columns, rows, factor.leading),
        true => Matrix::new(numbers, rows, columns, factor.leading).t(),
    }
}

/// To the nearest number with 10 bits of mantissa.
fn to_tf32(x: f32) -> f32 {
    const DROPPED: u32 = 13;
    f32::from_bits((x.to_bits() + (1 << (DROPPED - 1))) & !((1 << DROPPED) - 1))
}

fn f32s(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// An argument's value for as long as the kernel runs.
enum Held<'a> {
    Pointer(*mut c_void),
    Value(&'a Argument<'a>),
}

impl<'a> Held<'a> {
    fn of(argument: &'a Argument<'a>) -> Result<Self> {
        Ok(match argument {
            Argument::Read(tensor) | Argument::Write(tensor) => Held::Pointer(numbers(tensor)?),
            Argument::Null => Held::Pointer(std::ptr::null_mut()),
            _ => Held::Value(argument),
        })
    }

    fn address(&self) -> *const c_void {
        match self {
            Held::Pointer(pointer) => std::ptr::from_ref(pointer).cast(),
            Held::Value(argument) => argument.address(),
        }
    }
}
