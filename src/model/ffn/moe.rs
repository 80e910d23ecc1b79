//! A mixture of fine-grained experts beside shared ones (DeepSeekMoE, Dai et al. 2024, arXiv 2401.06066; DeepSeek-V3, arXiv
//! 2412.19437, equations 12 to 20): `y = F_shared(x) + sum of g_e F_e(x)` over the K experts of E whose scores, plus a bias, are highest;
//! every expert is a SwiGLU layer, no token is dropped, and a gate is the share of its score, without the bias, in those of the
//! chosen.
//!
//! Loads are balanced by that bias alone, which each step moves by one size towards experts with less than the mean (Wang et al. 2024,
//! arXiv 2408.15664, algorithm 1), or by a loss, or not at all.

use std::sync::Arc;

use candle_core::{D, Device, Tensor};

use super::{Ffn, FfnKind};
use crate::config::knob::{Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::linear::{Linear, LinearSpec};
use crate::model::{After, Build, Init, Loads, ParamId, Pass, Role, Site, Span, Work};
use crate::ops::{Routing, Score};

const EXPERTS: Knob<Whole> = Knob::count(
    "experts",
    "Experts of a layer of which each token takes a few.",
)
.default(16);
const CHOSEN: Knob<Whole> =
    Knob::count("chosen", "Experts that each token goes to (top-k).").default(4);
const SHARED: Knob<Whole> =
    Knob::whole("shared", "Experts beside those, which every token goes to.").default(1);
const RATIO: Knob<Number> = Knob::number(
    "ratio",
    "Hidden width of one expert over the model's width, rounded to a multiple of 4 channels.",
)
.within(1e-3, 1e3)
.default(0.5);
const ROUTER: Knob<Word> = Knob::word(
    "router",
    "What scores experts: sigmoid, each alone, or softmax, all of a token together.",
    &["sigmoid", "softmax"],
)
.default("sigmoid");
const SCALE: Knob<Number> = Knob::number(
    "scale",
    "Sum of a token's gate weights (routed_scaling_factor).",
)
.above(0.0)
.default(1.0);
const BALANCE: Knob<Word> = Knob::word(
    "balance",
    "Load balancing: a bias on the choice (DeepSeek-V3, no auxiliary loss), an auxiliary loss, or none.",
    &["bias", "loss", "none"],
)
.default("bias");
const BIAS_STEP: Knob<Number> = Knob::number(
    "bias_step",
    "What each step adds to the bias of an expert with less than the mean load, and takes from others, in place of bias_reach: 1e-3 \
     over tens of thousands of steps (DeepSeek-V3).",
)
.within(0.0, 1e3)
.optional();
const BIAS_REACH: Knob<Number> = Knob::number(
    "bias_reach",
    "How far biases can move in a whole run, by steps that fall in a line to nothing: a short run needs larger ones at first and fine \
     ones at the end.",
)
.within(0.0, 1e3)
.default(4.0);
const BIAS_UNTIL: Knob<Number> = Knob::number(
    "bias_until",
    "Share of the steps after which biases stay as they are.",
)
.within(0.0, 1.0)
.default(1.0);
const LOSS_WEIGHT: Knob<Number> = Knob::number(
    "loss_weight",
    "Weight of the loss that evens loads within each window, 1 where they are even.",
)
.within(0.0, 1e3)
.default(0.01);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "moe"
    }
    fn about(&self) -> &'static str {
        "a mixture of experts, of which each token takes the few that a router scores highest, beside shared ones (Dai et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &EXPERTS,
            &CHOSEN,
            &SHARED,
            &RATIO,
            &ROUTER,
            &SCALE,
            &BALANCE,
            &BIAS_STEP,
            &BIAS_UNTIL,
            &BIAS_REACH,
            &LOSS_WEIGHT,
        ]
    }
}

impl FfnKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Ffn>> {
        let (shape, c, knobs) = (site.shape, site.shape.width, &site.knobs);
        let (experts, chosen) = counts(knobs)?;
        let hidden = ((knobs.read(&RATIO)? * c as f64 / 4.0).round() as usize).max(1) * 4;
        let score = match knobs.read(&ROUTER)? {
            "softmax" => Score::Softmax,
            _ => Score::Sigmoid,
        };
        let scale = knobs.read(&SCALE)?;
        let shared = match knobs.read(&SHARED)? {
            0 => None,
            count => Some(Shared::settle(count * hidden, site, build)?),
        };
        let (matrix, start) = (Role::Matrix, Init::Normal(shape.init_std));
        let router = build.param("router", &[experts, c], matrix, start);
        let of_each = vec![hidden; 2 * experts];
        let up = build.routed(
            ("experts_gate_up", &[2 * experts * hidden, c], &of_each),
            start,
            (chosen, experts),
        );
        let down = build.routed(
            ("experts_down", &[experts * c, hidden], &vec![c; experts]),
            Init::Normal(shape.residual_std()),
            (chosen, experts),
        );
        let (bias, loss_weight) = balanced(knobs, (router, experts), build)?;
        Ok(Box::new(Moe {
            experts,
            chosen,
            width: c,
            hidden,
            gate: (score, scale),
            trains: [router, up, down].map(|id| build.trains(id)),
            shared,
            router,
            up,
            down,
            bias,
            loss_weight,
        }))
    }
}

/// How many experts there are, and how many of them a token takes.
fn counts(knobs: &Knobs) -> Result<(usize, usize)> {
    let (experts, chosen) = (knobs.read(&EXPERTS)?, knobs.read(&CHOSEN)?);
    if chosen > experts {
        let why = format!("of {experts} experts no token can take {chosen}");
        return Err(knobs
            .refuse(&CHOSEN, &why)
            .hint("at most model.ffn.experts"));
    }
    if chosen == 1 && experts > 1 {
        let why = "the gate of a single expert is always the same, and its router learns nothing";
        return Err(knobs.refuse(&CHOSEN, why).hint("at least 2"));
    }
    Ok((experts, chosen))
}

/// The bias on the choice, or the weight of a loss.
fn balanced(
    knobs: &Knobs,
    (router, experts): (ParamId, usize),
    build: &mut Build,
) -> Result<(Option<ParamId>, Option<f64>)> {
    let step = knobs.find(&BIAS_STEP)?;
    match knobs.read(&BALANCE)? {
        "bias" => {
            let until = knobs.read(&BIAS_UNTIL)?;
            let reach = match step {
                Some(_) => 0.0,
                None => knobs.read(&BIAS_REACH)?,
            };
            let rule = move |bias: &mut [f32], loads: &Loads, at: After| {
                let moving = until * at.steps as f64;
                let left = 1.0 - at.step as f64 / moving;
                let Some(loads) = loads.of(router).filter(|_| left > 0.0) else {
                    return;
                };
                // A triangle as long as the movement and twice its mean high has the reach for its area.
                balance(bias, loads, step.unwrap_or(2.0 * reach / moving * left));
            };
            let rule = Box::new(rule);
            let bias = build.buffer("router_bias", &[experts], Init::Zeros, rule);
            Ok((Some(bias), None))
        }
        "loss" => Ok((None, Some(knobs.read(&LOSS_WEIGHT)?))),
        _ => Ok((None, None)),
    }
}

/// `b_e += u sign(mean load - load_e)`, and the mean of all taken off, which changes no choice.
fn balance(bias: &mut [f32], loads: &[u64], step: f64) {
    let (all, count) = (loads.iter().sum::<u64>(), loads.len() as u64);
    for (bias, &load) in bias.iter_mut().zip(loads) {
        // The mean load less this one, times their number.
        let lacks = all as i128 - i128::from(load) * i128::from(count);
        *bias += (step * lacks.signum() as f64) as f32;
    }
    let mean = bias.iter().map(|&b| f64::from(b)).sum::<f64>() / bias.len() as f64;
    bias.iter_mut().for_each(|bias| *bias -= mean as f32);
}

/// A SwiGLU layer for every token.
struct Shared {
    up: Box<dyn Linear>,
    down: Box<dyn Linear>,
}

impl Shared {
    fn settle(hidden: usize, site: &Site, build: &mut Build) -> Result<Self> {
        let (shape, c) = (site.shape, site.shape.width);
        let spec = |rows, inputs, start| LinearSpec {
            rows,
            inputs,
            bias: false,
            start,
        };
        Ok(Self {
            up: build.linear("shared_gate_up", spec(&[hidden, hidden], c, shape.init_std))?,
            down: build.linear("shared_down", spec(&[c], hidden, shape.residual_std()))?,
        })
    }

    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let hidden = pass.ops.swiglu(&self.up.forward(x_nc, pass)?)?;
        self.down.forward(&hidden, pass)
    }

    fn work(&self, span: Span) -> Work {
        let learns = span.learns || self.up.trains();
        self.up.work(span.new, span.learns) + self.down.work(span.new, learns)
    }
}

struct Moe {
    /// E.
    experts: usize,
    /// K.
    chosen: usize,
    /// C.
    width: usize,
    /// F.
    hidden: usize,
    gate: (Score, f64),
    shared: Option<Shared>,
    router: ParamId,
    /// `[gate | up]` of each expert.
    up: ParamId,
    down: ParamId,
    bias: Option<ParamId>,
    loss_weight: Option<f64>,
    /// Whether the router, up and down train.
    trains: [bool; 3],
}

impl Ffn for Moe {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (ops, (score, scale)) = (pass.ops, self.gate);
        let logits = ops.logits(x_nc, &pass.weights[self.router])?;
        let bias = self.bias.map(|id| pass.weights[id].to_vec1::<f32>());
        let bias = bias.transpose()?;
        let routing = Routing::top(score, &logits, bias.as_deref(), self.chosen)?;
        pass.beside.tell(self.router, routing.loads());
        if let Some(weight) = self.loss_weight.filter(|_| logits.track_op()) {
            let term = uneven(&logits, &routing, score, (pass.batch, pass.time))?;
            pass.beside.add_loss((term * weight)?);
        }
        let routing = Arc::new(routing);
        let gates = ops.expert_gates(&logits, &routing, score, scale)?;
        let weights = [self.up, self.down].map(|id| &pass.weights[id]);
        let routed = ops.experts(x_nc, &gates, weights, &routing)?;
        match &self.shared {
            Some(shared) => Ok(ops.add(&shared.forward(x_nc, pass)?, &routed)?),
            None => Ok(routed),
        }
    }

    fn work(&self, span: Span) -> Work {
        let [of_router, of_up, of_down] = self.trains;
        let (n, c, f) = (span.new, self.width as u64, self.hidden as u64);
        let (rows, learns) = (n * self.chosen as u64, span.learns);
        let router = Work::of_product(n * self.experts as u64 * c, learns, of_router);
        let up = Work::of_product(rows * 2 * f * c, learns, of_up);
        let down = Work::of_product(rows * f * c, learns || of_router || of_up, of_down);
        let shared = self.shared.as_ref();
        router + up + down + shared.map_or_else(Work::default, |shared| shared.work(span))
    }
}

/// How uneven the loads of each window are, (B): `sum of f_e P_e` with f the share of an expert in the choices, over that of even
/// loads, and P its mean share in the scores (DeepSeek-V3, equations 17 to 20): 1 where loads are even.
fn uneven(
    logits: &Tensor,
    routing: &Routing,
    score: Score,
    (batch, time): (usize, usize),
) -> candle_core::Result<Tensor> {
    let (count, chosen) = (logits.dim(1)?, routing.chosen());
    let even = time as f64 * chosen as f64 / count as f64;
    let mut shares = vec![0f64; batch * count];
    for (token, experts) in routing.experts().chunks_exact(chosen).enumerate() {
        let window = &mut shares[token / time * count..];
        experts
            .iter()
            .for_each(|&e| window[e as usize] += 1.0 / even);
    }
    let shares = Tensor::from_vec(shares, (batch, count), &Device::Cpu)?;
    let shares = shares
        .to_dtype(logits.dtype())?
        .to_device(logits.device())?;
    let scores = match score {
        Score::Sigmoid => {
            let scores = (logits.neg()?.exp()? + 1.0)?.recip()?;
            scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?
        }
        Score::Softmax => candle_nn::ops::softmax(logits, D::Minus1)?,
    };
    let scores = scores.reshape((batch, time, count))?.mean(1)?;
    (scores * shares)?.sum(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bias_moves_towards_experts_that_lack_tokens() {
        let mut bias = [0.0, 0.0, 0.0, 0.5];
        balance(&mut bias, &[10, 2, 4, 0], 0.25);
        // Mean load 4: down, up, as it is, up; then 0.1875 off each.
        assert_eq!(bias, [-0.4375, 0.0625, -0.1875, 0.5625]);
        balance(&mut bias, &[1, 0, 0, 0], 0.0);
        assert_eq!(bias, [-0.4375, 0.0625, -0.1875, 0.5625]);
    }

    /// Two windows of three tokens, four experts; the choice is held fixed.
    #[test]
    fn the_loss_of_uneven_loads_has_the_right_gradient() -> candle_core::Result<()> {
        let numbers: Vec<f64> = (0..24).map(|i| (0.9 * f64::from(i * i)).sin()).collect();
        let logits = candle_core::Var::from_vec(numbers.clone(), (6, 4), &Device::Cpu)?;
        for score in [Score::Sigmoid, Score::Softmax] {
            let routing = Routing::top(score, &logits, None, 2)?;
            let of = |logits: &Tensor| uneven(logits, &routing, score, (2, 3))?.sum_all();
            let grads = of(&logits)?.backward()?;
            let found: Vec<f64> = grads
                .get(&logits)
                .expect("tracked")
                .flatten_all()?
                .to_vec1()?;
            for (i, found) in found.into_iter().enumerate() {
                let moved = |step: f64| -> candle_core::Result<f64> {
                    let mut numbers = numbers.clone();
                    numbers[i] += step;
                    of(&Tensor::from_vec(numbers, (6, 4), &Device::Cpu)?)?.to_scalar()
                };
                let slope = (moved(1e-5)? - moved(-1e-5)?) / 2e-5;
                assert!(
                    (found - slope).abs() < 1e-9,
                    "{score:?} {i}: {found} {slope}"
                );
            }
            // Even scores are 1 whatever the loads.
            let even = Tensor::zeros((6, 4), candle_core::DType::F64, &Device::Cpu)?;
            let each: Vec<f64> = uneven(&even, &routing, score, (2, 3))?.to_vec1()?;
            assert!(each.iter().all(|one| (one - 1.0).abs() < 1e-12), "{each:?}");
        }
        Ok(())
    }
}
