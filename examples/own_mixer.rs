//! A mixer of one's own with the whole command line around it:
//!
//! ```text
//! cargo run --release --example own_mixer -- run quick --set model.mixer.kind=causal-mean --dry-run
//! cargo run --release --example own_mixer -- list mixers
//! ```
//!
//! The mixer replaces attention by the plain mean of everything so far, between two learned projections: no parameters
//! decide where to look. It is a fair question how much attention is worth above that.

use std::process::ExitCode;

use candle_core::{DType, Tensor};
use effbench::config::{Knobs, Named};
use effbench::error::Result;
use effbench::model::{
    Declare, Init, Mixer, MixerKind, ParamId, Pass, Role, Shape, State, WindowFlops,
};
use effbench::trial::Registry;

struct CausalMeanKind;

impl Named for CausalMeanKind {
    fn name(&self) -> &'static str {
        "causal-mean"
    }
    fn about(&self) -> &'static str {
        "the mean of all earlier tokens between two projections: attention that cannot choose"
    }
}

impl MixerKind for CausalMeanKind {
    fn settle(
        &self,
        _knobs: &Knobs,
        shape: &Shape,
        declare: &mut Declare,
    ) -> Result<Box<dyn Mixer>> {
        let square = [shape.width, shape.width];
        Ok(Box::new(CausalMean {
            width: shape.width,
            value: declare.param("value", &square, Role::Matrix, Init::Normal(shape.init_std)),
            out: declare.param(
                "out",
                &square,
                Role::Matrix,
                Init::Normal(shape.residual_std()),
            ),
        }))
    }
}

struct CausalMean {
    width: usize,
    value: ParamId,
    out: ParamId,
}

impl Mixer for CausalMean {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.width);
        let value = pass.ops.linear(x_nc, &pass.weights[self.value], None)?;
        // Row t of the averaging matrix is 1/(t + 1) up to t and 0 after it.
        let rows = (0..t)
            .flat_map(|i| (0..t).map(move |j| if j <= i { 1.0 / (i + 1) as f32 } else { 0.0 }));
        let average = Tensor::from_vec(rows.collect(), (t, t), x_nc.device())?;
        let average = average.broadcast_as((b, t, t))?.contiguous()?;
        let mean = pass.ops.matmul(&average, &value.reshape((b, t, c))?)?;
        Ok(pass
            .ops
            .linear(&mean.reshape((b * t, c))?, &pass.weights[self.out], None)?)
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.width);
        let value = pass
            .ops
            .linear(x_nc, &pass.weights[self.value], None)?
            .reshape((b, t, c))?;
        // All that must be kept is the sum so far: a state of fixed size.
        let mut sum = match state.0.pop() {
            Some(sum) => sum,
            None => Tensor::zeros((b, 1, c), DType::F32, x_nc.device())?,
        };
        let mut means = Vec::with_capacity(t);
        for step in 0..t {
            sum = (sum + value.narrow(1, step, 1)?)?;
            means.push((&sum / (pass.offset + step + 1) as f64)?);
        }
        state.0.push(sum);
        let mean = Tensor::cat(&means, 1)?.reshape((b * t, c))?;
        Ok(pass.ops.linear(&mean, &pass.weights[self.out], None)?)
    }

    fn flops(&self, time: usize) -> WindowFlops {
        let (t, c) = (time as u64, self.width as u64);
        // The mean is a plain product with a T x T matrix, zeros and all; candle makes both of its gradients.
        WindowFlops::of_weights(2 * t * c * c) + WindowFlops::of_weights(t * t * c)
    }

    fn cache_scalars_per_token(&self) -> u64 {
        0
    }

    fn cache_scalars_per_window(&self) -> u64 {
        self.width as u64
    }
}

fn main() -> ExitCode {
    effbench::cli::main(Registry::builtin().mixer(CausalMeanKind))
}

/// Every promise that a mixer makes: it learns, looks at nothing ahead, decodes what it computes, and takes the work and the
/// memory that it claims.
#[test]
fn it_obeys_the_law() {
    let registry = Registry::builtin().mixer(CausalMeanKind);
    assert_eq!(effbench::law::mixer(&registry, "causal-mean"), []);
}
