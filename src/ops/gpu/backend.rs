//! What a GPU is to the rest: memory, kernels by name, matrix products. And how a launch is described.

use candle_core::{DType, Result, Shape, Tensor, bail};
use std::ffi::c_void;

/// A place that runs kernels on tensors, one after the other in the order of the calls.
pub(in crate::ops) trait Backend: Send + Sync {
    /// A contiguous tensor with anything in it; a `leaf` is where candle's own graph of gradients begins.
    fn empty(&self, shape: Shape, dtype: DType, leaf: bool) -> Result<Tensor>;

    /// Where the numbers of a contiguous tensor begin.
    fn address(&self, tensor: &Tensor) -> Result<u64>;

    /// Runs a kernel. The arguments are those of its declaration, in order and in type.
    fn launch(&self, launch: &Launch, arguments: &[Argument]) -> Result<()>;

    /// Whether it can run kernels that are not ours.
    fn runs(&self, _kernels: &'static Kernels) -> bool {
        false
    }

    /// Multiplies matrices.
    fn multiply(&self, product: &Product) -> Result<()>;
}

/// One CUDA file of somebody's own kernels, which includes `common.cuh` and exports them by its `EXPORT`.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernels {
    /// What messages call it.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
}

/// A GPU and the type of activations on it. A value, cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Gpu {
    pub(in crate::ops) backend: &'static dyn Backend,
    pub(in crate::ops) dtype: DType,
    pub(in crate::ops) tf32: bool,
}

impl Gpu {
    /// The same with activations of another type.
    ///
    /// # Errors
    /// For anything but f32 and bf16.
    pub fn with_dtype(self, dtype: DType) -> Result<Self> {
        match dtype {
            DType::F32 | DType::BF16 => Ok(Self { dtype, ..self }),
            other => bail!("the kernels compute in f32 or bf16, not in {other:?}"),
        }
    }

    /// The same with f32 factors of products rounded to TF32.
    pub fn with_tf32(self, tf32: bool) -> Self {
        Self { tf32, ..self }
    }

    /// Whether it can run somebody's own kernels.
    pub fn runs(self, kernels: &'static Kernels) -> bool {
        self.backend.runs(kernels)
    }

    /// Runs one of somebody's own kernels, by its name, grid and threads of a block.
    pub(in crate::ops) fn launch_own(
        self,
        kernels: &'static Kernels,
        (kernel, grid, threads): (&str, [usize; 3], u32),
        arguments: &[Argument],
    ) -> Result<()> {
        Kernel::of(kernels.name, kernel)
            .blocks(grid, threads)
            .of(kernels)
            .run(self, arguments)
    }

    /// A contiguous tensor with anything in it.
    pub(in crate::ops) fn empty(self, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        self.backend.empty(shape.into(), dtype, false)
    }
}

/// A kernel of one of the files (`files.rs`), and how many threads run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Launch {
    /// The file's module.
    pub module: &'static str,
    /// That file, where it is not ours.
    pub own: Option<&'static Kernels>,
    /// The kernel's name.
    pub kernel: String,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Shared memory of a block beside what the kernel declares, in bytes.
    pub shared_bytes: u32,
}

/// One argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) enum Argument<'a> {
    /// The numbers of a tensor that is read.
    Read(&'a Tensor),
    /// The numbers of a tensor that is written.
    Write(&'a Tensor),
    /// No numbers.
    Null,
    /// `int` or `unsigned`.
    Int(i32),
    /// `long long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// A struct, laid out as in C.
    Struct(&'a dyn Plain),
}

impl Argument<'_> {
    /// Bytes of its value, as the kernel declares it.
    pub fn bytes(&self) -> usize {
        match self {
            Argument::Read(_) | Argument::Write(_) | Argument::Null | Argument::Long(_) => 8,
            Argument::Int(_) | Argument::Float(_) => 4,
            Argument::Struct(x) => x.bytes(),
        }
    }

    /// Where the value of an argument that is no tensor lies.
    pub fn address(&self) -> *const c_void {
        match self {
            Argument::Read(_) | Argument::Write(_) | Argument::Null => std::ptr::null(),
            Argument::Int(x) => std::ptr::from_ref(x).cast(),
            Argument::Long(x) => std::ptr::from_ref(x).cast(),
            Argument::Float(x) => std::ptr::from_ref(x).cast(),
            Argument::Struct(x) => x.address(),
        }
    }
}

/// A struct that is laid out as in C and holds no references.
///
/// # Safety
/// `#[repr(C)]` and field by field what the kernel declares.
pub(in crate::ops) unsafe trait Plain: Sync + std::fmt::Debug {
    /// Its size in bytes.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }

    /// Where it lies.
    fn address(&self) -> *const c_void {
        std::ptr::from_ref(self).cast()
    }
}

/// An argument for the numbers of a contiguous tensor that is read.
pub(in crate::ops) fn read(tensor: &Tensor) -> Result<Argument<'_>> {
    contiguous(tensor).map(Argument::Read)
}

/// An argument for the numbers of a contiguous tensor that is written.
pub(in crate::ops) fn write(tensor: &Tensor) -> Result<Argument<'_>> {
    contiguous(tensor).map(Argument::Write)
}

fn contiguous(tensor: &Tensor) -> Result<&Tensor> {
    if !tensor.is_contiguous() {
        bail!(
            "a kernel got a tensor that is not contiguous: {:?}",
            tensor.layout()
        );
    }
    Ok(tensor)
}

/// A tensor that may be absent.
pub(in crate::ops) fn read_if(tensor: Option<&Tensor>) -> Result<Argument<'_>> {
    tensor.map_or(Ok(Argument::Null), read)
}

/// A size, as kernels count those that may be large.
pub(in crate::ops) fn count<'a>(count: usize) -> Argument<'a> {
    Argument::Long(count as i64)
}

/// A size, as kernels count those that stay below 2^31.
pub(in crate::ops) fn int<'a>(size: usize) -> Result<Argument<'a>> {
    match i32::try_from(size) {
        Ok(size) => Ok(Argument::Int(size)),
        Err(_) => bail!("a kernel takes sizes up to 2^31, not {size}"),
    }
}

/// A kernel before it has a geometry.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Kernel {
    pub module: &'static str,
    pub name: String,
}

/// Threads of a block where nothing speaks for another number.
pub(in crate::ops) const THREADS: u32 = 256;

/// Most blocks along y and z that every GPU takes (CUDA C++ programming guide, "Compute capabilities").
const MOST_BLOCKS_ACROSS: usize = 65535;

impl Kernel {
    /// By its name.
    pub fn of(module: &'static str, name: &str) -> Self {
        Self {
            module,
            name: name.to_owned(),
        }
    }

    /// For a type, and a number of numbers that a thread takes at once.
    pub fn packed(module: &'static str, name: &str, dtype: DType, at_once: usize) -> Self {
        Self::of(module, &format!("{name}_{}_{at_once}", name_of(dtype)))
    }

    /// One thread for each `at_once` of `count` numbers.
    pub fn each(self, count: usize, at_once: usize) -> Geometry {
        self.blocks(
            [count.div_ceil(at_once).div_ceil(THREADS as usize), 1, 1],
            THREADS,
        )
    }

    /// So many blocks of so many threads.
    pub fn blocks(self, grid: [usize; 3], threads: u32) -> Geometry {
        Geometry {
            kernel: self,
            own: None,
            grid,
            threads,
            shared_bytes: 0,
        }
    }
}

/// A kernel with its geometry.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Geometry {
    kernel: Kernel,
    own: Option<&'static Kernels>,
    grid: [usize; 3],
    threads: u32,
    shared_bytes: usize,
}

impl Geometry {
    /// With so much shared memory beside what the kernel declares.
    pub fn shared(self, bytes: usize) -> Self {
        Self {
            shared_bytes: bytes,
            ..self
        }
    }

    /// Of a file that is not ours.
    pub fn of(self, own: &'static Kernels) -> Self {
        Self {
            own: Some(own),
            ..self
        }
    }

    /// Runs it; nothing happens where there is nothing to do.
    pub fn run(self, gpu: Gpu, arguments: &[Argument]) -> Result<()> {
        let [x, y, z] = self.grid;
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        if x > i32::MAX as usize || y > MOST_BLOCKS_ACROSS || z > MOST_BLOCKS_ACROSS {
            bail!(
                "{}: a grid of {x} x {y} x {z} blocks is more than a GPU takes",
                self.kernel.name
            );
        }
        let launch = Launch {
            module: self.kernel.module,
            own: self.own,
            kernel: self.kernel.name,
            grid: self.grid.map(|blocks| blocks as u32),
            threads: self.threads,
            shared_bytes: self.shared_bytes as u32,
        };
        gpu.backend.launch(&launch, arguments)
    }
}

/// How many numbers a thread may take at once: all of 16 bytes where rows and addresses fit, else one.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Fit {
    most: usize,
    fits: bool,
}

/// What a pack of numbers must be aligned to, in bytes.
const ALIGNMENT: u64 = 16;

impl Fit {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        Self { most, fits: true }
    }

    /// As many of that type as 16 bytes hold.
    pub fn of(dtype: DType) -> Self {
        Self::new(if dtype == DType::BF16 { 8 } else { 4 })
    }

    /// Rows, halves of rows or periods of that many numbers must not split a pack.
    pub fn numbers(self, count: usize) -> Self {
        Self {
            fits: self.fits && count.is_multiple_of(self.most),
            ..self
        }
    }

    /// Packs of these are read and written.
    pub fn tensors(self, gpu: Gpu, tensors: &[&Tensor]) -> Result<Self> {
        let mut fits = self.fits;
        for tensor in tensors {
            fits &= gpu.backend.address(tensor)?.is_multiple_of(ALIGNMENT);
        }
        Ok(Self { fits, ..self })
    }

    /// The number.
    pub fn at_once(self) -> usize {
        if self.fits { self.most } else { 1 }
    }
}

/// How result files and kernels' names spell a type.
pub(in crate::ops) fn name_of(dtype: DType) -> &'static str {
    if dtype == DType::BF16 { "bf16" } else { "f32" }
}

/// A matrix product as the vendor's library takes it, column by column: `C = op(A) op(B)`, or with `C` added, where op(A) is
/// (m, k), op(B) is (k, n) and C is (m, n).
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Product<'a> {
    pub a: Factor<'a>,
    pub b: Factor<'a>,
    pub c: Factor<'a>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Whether C is added to.
    pub adds: bool,
    /// Whether f32 factors are rounded to TF32.
    pub tf32: bool,
}

/// A factor: stored by columns, which begin `leading` numbers apart.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Factor<'a> {
    pub numbers: &'a Tensor,
    /// Whether op transposes it.
    pub transposed: bool,
    pub leading: usize,
}

impl<'a> Product<'a> {
    /// `out = left right`, all stored by rows, as tensors are; a factor may be given as its transpose. Stored by rows, a matrix
    /// is the transpose of what the library sees in it, so it is asked for `out^T = right^T left^T`.
    pub fn by_rows(
        out: Rows<'a>,
        left: Rows<'a>,
        right: Rows<'a>,
        [adds, tf32]: [bool; 2],
    ) -> Result<Self> {
        let ((n, k), (k_of_right, m)) = (left.dims()?, right.dims()?);
        let fits = out.dims()? == (n, m) && !out.transposed && k == k_of_right;
        if !fits || left.numbers.dtype() != right.numbers.dtype() {
            bail!("{left:?} times {right:?} does not give {out:?}");
        }
        for rows in [out, left, right] {
            contiguous(rows.numbers)?;
        }
        Ok(Self {
            a: right.factor()?,
            b: left.factor()?,
            c: out.factor()?,
            m,
            n,
            k,
            adds,
            tf32,
        })
    }
}

/// A matrix stored by rows, perhaps as its transpose; perhaps only the first columns of what is stored.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Rows<'a> {
    numbers: &'a Tensor,
    transposed: bool,
    columns: Option<usize>,
}

impl<'a> Rows<'a> {
    /// The matrix as it is stored.
    pub fn of(numbers: &'a Tensor) -> Self {
        Self {
            numbers,
            transposed: false,
            columns: None,
        }
    }

    /// The transpose of what is stored.
    pub fn t(numbers: &'a Tensor) -> Self {
        Self {
            numbers,
            transposed: true,
            columns: None,
        }
    }

    /// The first columns of what is stored.
    pub fn first(self, columns: usize) -> Self {
        Self {
            columns: Some(columns),
            ..self
        }
    }

    fn dims(self) -> Result<(usize, usize)> {
        let (rows, stored) = self.numbers.dims2()?;
        let columns = self.columns.unwrap_or(stored).min(stored);
        Ok(if self.transposed {
            (columns, rows)
        } else {
            (rows, columns)
        })
    }

    fn factor(self) -> Result<Factor<'a>> {
        Ok(Factor {
            numbers: self.numbers,
            transposed: self.transposed,
            leading: self.numbers.dims2()?.1,
        })
    }
}
