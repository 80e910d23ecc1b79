//! A token mixer of one's own, with an operation of its own, in the whole command line, from outside the crate:
//!
//! ```text
//! cargo run --release --example own_mixer -- run quick --set model.mixer.kind=causal-mean --dry-run
//! cargo run --release --example own_mixer -- list mixers
//! cargo test --example own_mixer
//! ```
//!
//! The mixer is the mean of all earlier tokens between two projections: attention that cannot choose. Everything else (norms,
//! optimizers, data, measurement, reports) is what ships. The tests at the end are the law that everything that ships obeys.

use std::process::ExitCode;

use candle_core::{Result as CandleResult, Shape as Axes, Tensor, bail};
use effbench::config::{Declarations, Knob, Named, knob};
use effbench::error::Result;
use effbench::model::{Build, Linear, LinearSpec, Mixer, MixerKind, Pass, Site, Span, State, Work};
use effbench::ops::{Arg, Kernels, Launch, Made, Number, OnGpu, OnGpuMade, Op, View};
use effbench::trial::Registry;

/// `y_t = (x_0 + .. + x_t) / (t + 1)` within each window, (B*T, C) to the same shape.
///
/// Forwards a running sum, backwards another one from the end: `dx_s` is the sum of `g_t / (t + 1)` over t from s on. As a product
/// with a T x T matrix, the reference, it takes T times as long.
#[derive(Clone, Copy)]
struct MeanSoFar {
    /// Tokens of a window.
    time: usize,
}

static KERNELS: Kernels = Kernels {
    name: "own_mixer",
    source: include_str!("own_mixer.cu"),
};

impl Op<1> for MeanSoFar {
    const NAME: &'static str = "mean so far";

    fn shape(&self, [x]: [&Axes; 1]) -> CandleResult<Axes> {
        match x.dims() {
            [rows, _] if rows.is_multiple_of(self.time) => Ok(x.clone()),
            _ => bail!("{x:?} is not windows of {} tokens", self.time),
        }
    }

    fn reference(&self, [x_nc]: [&Tensor; 1]) -> CandleResult<Tensor> {
        let ((n, c), t) = (x_nc.dims2()?, self.time);
        // Row t of the averaging matrix is 1/(t + 1) up to t and 0 after it.
        let row = |i: usize| (0..t).map(move |j| if j <= i { 1.0 / (i + 1) as f32 } else { 0.0 });
        let average = Tensor::from_vec((0..t).flat_map(row).collect(), (t, t), x_nc.device())?;
        let average = average.to_dtype(x_nc.dtype())?;
        let average = average.broadcast_as((n / t, t, t))?.contiguous()?;
        average
            .matmul(&x_nc.reshape((n / t, t, c))?)?
            .reshape((n, c))
    }

    fn cpu<F: Number>(&self, [x]: [View<F>; 1], y: &mut [F], _kept: &mut [Vec<F>]) {
        let width = x.dims[1];
        let windows = x.numbers.chunks_exact(self.time * width);
        for (x, y) in windows.zip(y.chunks_exact_mut(self.time * width)) {
            let mut sums = vec![F::default(); width];
            let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
            for (t, (x, y)) in rows.enumerate() {
                let tokens = F::of((t + 1) as f64);
                for ((sum, &x), y) in sums.iter_mut().zip(x).zip(y) {
                    *sum += x;
                    *y = *sum / tokens;
                }
            }
        }
    }

    fn cpu_back<F: Number>(
        &self,
        [x]: [View<F>; 1],
        _made: Made<F>,
        g: &[F],
    ) -> [Option<Vec<F>>; 1] {
        let width = x.dims[1];
        let mut d = vec![F::default(); g.len()];
        let windows = g.chunks_exact(self.time * width);
        for (g, d) in windows.zip(d.chunks_exact_mut(self.time * width)) {
            let mut sums = vec![F::default(); width];
            let rows = g.chunks_exact(width).zip(d.chunks_exact_mut(width));
            for (t, (g, d)) in rows.enumerate().rev() {
                let tokens = F::of((t + 1) as f64);
                for ((sum, &g), d) in sums.iter_mut().zip(g).zip(d) {
                    *sum += g / tokens;
                    *d = *sum;
                }
            }
        }
        [Some(d)]
    }

    fn kernels(&self) -> Option<&'static Kernels> {
        Some(&KERNELS)
    }

    fn gpu(&self, gpu: OnGpu, [x]: [&Tensor; 1], made: OnGpuMade) -> CandleResult<()> {
        self.launch("mean_so_far", gpu, x, made.y)
    }

    fn gpu_back(
        &self,
        gpu: OnGpu,
        [x]: [&Tensor; 1],
        _made: OnGpuMade,
        g: &Tensor,
    ) -> CandleResult<[Option<Tensor>; 1]> {
        let d = gpu.empty(x.shape(), x.dtype())?;
        self.launch("mean_so_far_back", gpu, g, &d)?;
        Ok([Some(d)])
    }
}

impl MeanSoFar {
    fn launch(&self, kernel: &str, gpu: OnGpu, from: &Tensor, to: &Tensor) -> CandleResult<()> {
        const THREADS: usize = 256;
        let (rows, width) = from.dims2()?;
        let launch = Launch {
            kernel: &format!("{kernel}_{}", gpu.name_of(from.dtype())),
            grid: [width.div_ceil(THREADS), rows / self.time, 1],
            threads: THREADS as u32,
        };
        let sizes = [Arg::Int(self.time as i32), Arg::Int(width as i32)];
        let arguments = [Arg::Read(from), Arg::Write(to), sizes[0], sizes[1]];
        // SAFETY: a thread reads and writes a column of a window, and there are as many as the two tensors have.
        unsafe { gpu.launch(launch, &arguments) }
    }
}

/// What can be set: `--set model.mixer.expand=2`; `list keys model.mixer` explains it.
const EXPAND: Knob<knob::Number> = Knob::number(
    "expand",
    "Channels that are averaged, over the model's width.",
)
.within(0.1, 8.0)
.default(1.0);

struct CausalMeanKind;

impl Named for CausalMeanKind {
    fn name(&self) -> &'static str {
        "causal-mean"
    }
    fn about(&self) -> &'static str {
        "the mean of all earlier tokens between two projections: attention that cannot choose"
    }
    fn knobs(&self) -> Declarations {
        &[&EXPAND]
    }
}

impl MixerKind for CausalMeanKind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let width = site.shape.width;
        let inner = (site.knobs.read(&EXPAND)? * width as f64).round().max(1.0) as usize;
        let mut product = |name: &str, inputs: usize, outputs: usize, start: f64| {
            let spec = LinearSpec {
                rows: &[outputs],
                inputs,
                bias: false,
                start,
            };
            build.linear(name, spec)
        };
        Ok(Box::new(CausalMean {
            inner,
            value: product("value", width, inner, site.shape.init_std)?,
            out: product("out", inner, width, site.shape.residual_std())?,
        }))
    }
}

struct CausalMean {
    inner: usize,
    value: Box<dyn Linear>,
    out: Box<dyn Linear>,
}

impl Mixer for CausalMean {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let value = self.value.forward(x_nc, pass)?;
        let mean = pass.ops.run(MeanSoFar { time: pass.time }, [&value])?;
        self.out.forward(&mean, pass)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.inner);
        let value = self.value.forward(x_nc, pass)?.reshape((b, t, c))?;
        // All that must be kept is the sum so far: a state of fixed size.
        let mut sum = match state.0.pop() {
            Some(sum) => sum,
            None => Tensor::zeros((b, 1, c), value.dtype(), x_nc.device())?,
        };
        let mut means = Vec::with_capacity(t);
        for step in 0..t {
            sum = (sum + value.narrow(1, step, 1)?)?;
            means.push((&sum / (pass.offset + step + 1) as f64)?);
        }
        state.0.push(sum);
        let mean = Tensor::cat(&means, 1)?.reshape((b * t, c))?;
        self.out.forward(&mean, pass)
    }

    /// Two products with weights; the sums between them are no products.
    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.value.trains();
        self.value.work(span.new, span.learns) + self.out.work(span.new, learns)
    }

    fn state_scalars(&self, _tokens: usize) -> u64 {
        self.inner as u64
    }
}

fn main() -> ExitCode {
    effbench::cli::main(Registry::builtin().mixer(CausalMeanKind))
}

/// Every promise that a mixer makes: it learns, looks at nothing ahead, decodes what it computes, and takes the work and the
/// memory that it claims, on a CPU and on an emulated GPU.
#[test]
fn the_mixer_obeys_the_law() {
    let registry = Registry::builtin().mixer(CausalMeanKind);
    assert_eq!(effbench::law::mixer(&registry, "causal-mean"), []);
}

/// Every promise that an operation makes: its gradients, its reference, its bits, and a GPU's.
#[test]
fn its_operation_obeys_the_law() {
    for (time, shape) in [(1, [3, 2]), (4, [8, 3]), (5, [5, 1])] {
        assert_eq!(effbench::law::op(&MeanSoFar { time }, [&shape]), []);
    }
}
