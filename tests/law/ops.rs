//! Faulty operations: the square of every number, with one thing wrong. It keeps its slope for the way back.

use candle_core::{DType, Result, Shape, Tensor};
use effbench::law;
use effbench::ops::{Arg, Kernels, Launch, Made, Number, OnGpu, OnGpuMade, Op, View};

use crate::caught;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    HalfTheGradient,
    NoGradient,
    OtherThanItsReference,
    CountsThreads,
    KeepsAnother,
    KeepsNothingOnAGpu,
    OtherOnAGpu,
    NotOneNumberMore,
}

#[derive(Clone, Copy)]
struct Square(Fault);

static RIGHT: Kernels = Kernels {
    name: "square",
    source: r#"
#include "common.cuh"
template <class T> DEVICE void square(const T *x, T *y, float *slope, int count) {
    long long i = thread_in_grid();
    if (i >= count) return;
    y[i] = from_float<T>(to_float(x[i]) * to_float(x[i]));
    slope[i] = 2.f * to_float(x[i]);
}
template <class T> DEVICE void square_back(const float *slope, const T *g, T *d, int count) {
    long long i = thread_in_grid();
    if (i < count) d[i] = from_float<T>(slope[i] * to_float(g[i]));
}
EXPORT(32, square_f32, (const float *x, float *y, float *slope, int n), square(x, y, slope, n))
EXPORT(32, square_bf16, (const bf16 *x, bf16 *y, float *slope, int n), square(x, y, slope, n))
EXPORT(32, square_back_f32, (const float *slope, const float *g, float *d, int n),
       square_back(slope, g, d, n))
EXPORT(32, square_back_bf16, (const float *slope, const bf16 *g, bf16 *d, int n),
       square_back(slope, g, d, n))
"#,
};

impl Square {
    /// On the square, where the fault is that threads count.
    fn factor(self) -> f64 {
        match self.0 {
            Fault::CountsThreads => 1.0 + 1e-6 * rayon::current_num_threads() as f64,
            _ => 1.0,
        }
    }

    /// One number too few where that is the fault: it stays what nobody wrote.
    fn launch(self, kernel: &str, gpu: OnGpu, from: &[&Tensor], to: &[&Tensor]) -> Result<()> {
        const THREADS: usize = 32;
        let less = usize::from(self.0 == Fault::NotOneNumberMore);
        let count = to[0].elem_count() - less;
        let kernel = format!("{kernel}_{}", gpu.name_of(to[0].dtype()));
        let launch = Launch {
            kernel: &kernel,
            grid: [count.div_ceil(THREADS), 1, 1],
            threads: THREADS as u32,
        };
        let mut arguments: Vec<Arg> = from.iter().map(|x| Arg::Read(x)).collect();
        arguments.extend(to.iter().map(|y| Arg::Write(y)));
        arguments.push(Arg::Int(count as i32));
        // SAFETY: a thread reads and writes the number of its own, of those that all tensors have.
        unsafe { gpu.launch(launch, &arguments) }
    }
}

impl Op<1> for Square {
    const NAME: &'static str = "square";

    fn shape(&self, [x]: [&Shape; 1]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn reference(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        match self.0 {
            Fault::OtherThanItsReference => x.sqr()? * 1.01,
            _ => x.sqr(),
        }
    }

    fn kept(&self, [x]: [&Shape; 1]) -> Vec<Shape> {
        vec![x.clone()]
    }

    fn cpu<F: Number>(&self, [x]: [View<F>; 1], y: &mut [F], kept: &mut [Vec<F>]) {
        let factor = self.factor();
        let slope = match self.0 {
            Fault::HalfTheGradient => F::of(1.0),
            Fault::KeepsAnother => F::of(2.1),
            _ => F::of(2.0 * factor),
        };
        let both = y.iter_mut().zip(&mut kept[0]);
        for ((y, kept), &x) in both.zip(x.numbers) {
            *y = x * x * F::of(factor);
            *kept = slope * x;
        }
    }

    fn cpu_back<F: Number>(&self, _: [View<F>; 1], made: Made<F>, g: &[F]) -> [Option<Vec<F>>; 1] {
        if self.0 == Fault::NoGradient {
            return [None];
        }
        let both = made.kept[0].iter().zip(g);
        [Some(both.map(|(&slope, &g)| slope * g).collect())]
    }

    fn kernels(&self) -> Option<&'static Kernels> {
        Some(&RIGHT)
    }

    fn gpu(&self, gpu: OnGpu, [x]: [&Tensor; 1], made: OnGpuMade) -> Result<()> {
        let spare = gpu.empty(x.shape(), DType::F32)?;
        // What is wrong: the slope is written elsewhere, and what is kept stays what nobody wrote.
        let kept = match self.0 {
            Fault::KeepsNothingOnAGpu => &spare,
            _ => &made.kept[0],
        };
        self.launch("square", gpu, &[x], &[made.y, kept])
    }

    fn gpu_back(
        &self,
        gpu: OnGpu,
        [x]: [&Tensor; 1],
        made: OnGpuMade,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 1]> {
        let d = gpu.empty(x.shape(), x.dtype())?;
        // What is wrong: the output in the slope's place.
        let slope = match self.0 {
            Fault::OtherOnAGpu => &made.y.to_dtype(DType::F32)?,
            _ => &made.kept[0],
        };
        self.launch("square_back", gpu, &[slope, g], &[&d])?;
        Ok([Some(d)])
    }
}

#[test]
fn faulty_operations() {
    const DIFFERENCES: &str = "gradients are those of finite differences";
    const REFERENCE: &str = "fused is the reference";
    const ON_A_GPU: &str = "a GPU computes what the CPU does";
    let emulated = effbench::ops::Ops::emulated(DType::F32).is_some();
    let check = |fault: Fault, by: &[&str]| {
        let mut broken = law::op(&Square(fault), [&[3, 5]]);
        broken.dedup_by_key(|broken| broken.rule);
        let by: Vec<&str> = by
            .iter()
            .copied()
            .filter(|rule| emulated || *rule != ON_A_GPU)
            .collect();
        caught(&format!("{fault:?}"), &broken, &by);
    };
    check(Fault::None, &[]);
    check(Fault::HalfTheGradient, &[DIFFERENCES, REFERENCE, ON_A_GPU]);
    check(Fault::NoGradient, &[DIFFERENCES, REFERENCE, ON_A_GPU]);
    check(Fault::OtherThanItsReference, &[REFERENCE]);
    check(Fault::CountsThreads, &["threads change no bit"]);
    check(Fault::KeepsAnother, &[DIFFERENCES, REFERENCE, ON_A_GPU]);
    check(Fault::KeepsNothingOnAGpu, &[ON_A_GPU]);
    check(Fault::OtherOnAGpu, &[ON_A_GPU]);
    check(Fault::NotOneNumberMore, &[ON_A_GPU]);
}
