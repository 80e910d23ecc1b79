//! Faulty parts of models: what ships, with one thing wrong.

use candle_core::{DType, Tensor};
use effbench::config::knob::{Number, Whole};
use effbench::config::{Declarations, Knob, Library, Named, Origin};
use effbench::error::Result;
use effbench::law;
use effbench::model::{
    Aside, Build, Declare, Ffn, FfnKind, Init, Linear, LinearKind, LinearSpec, Loss, LossKind,
    Mixer, MixerKind, Norm, NormKind, ParamId, Pass, Position, PositionKind, Role, Site, Span,
    State, Trunk, Work,
};
use effbench::ops::IGNORED;
use effbench::trial::Registry;
use serde_json::json;

use crate::caught;

const NAME: &str = "faulty";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    HalfTheForward,
    HalfTheBackward,
    LooksAhead,
    MixesWindows,
    DeadParameter,
    ZeroGradient,
    StateNotClaimed,
    StateBeside,
    WrongWithACache,
    OtherThanItsReference,
    CountsThreads,
    WritesAnotherKnob,
    NeverReadsItsKnob,
    ReadsWhatItDoesNotDeclare,
    Panics,
}

struct Faulty(Fault);

const RATIO: Knob<Number> = Knob::number("ratio", "Is written as another one.").default(2.0);

impl Named for Faulty {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "attention with one thing wrong"
    }
    fn knobs(&self) -> Declarations {
        match self.0 {
            Fault::WritesAnotherKnob | Fault::NeverReadsItsKnob => &[&RATIO],
            _ => &[],
        }
    }
}

impl MixerKind for Faulty {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let knobs = &site.knobs;
        if self.0 == Fault::WritesAnotherKnob {
            let ratio = knobs.read(&RATIO)?;
            knobs.write(&RATIO, json!(2.0 * ratio));
        }
        if self.0 == Fault::ReadsWhatItDoesNotDeclare {
            knobs.read(&RATIO)?;
        }
        let attention = Registry::builtin().slots.mixers;
        let attention = attention.find("attention").expect("it ships").clone();
        let inner = attention.settle(site, build)?;
        let has_a_parameter = matches!(self.0, Fault::DeadParameter | Fault::ZeroGradient);
        let extra = has_a_parameter
            .then(|| build.param("extra", &[site.shape.width], Role::Gain, Init::Ones));
        Ok(Box::new(Wrong {
            fault: self.0,
            inner,
            extra,
        }))
    }
}

struct Wrong {
    fault: Fault,
    inner: Box<dyn Mixer>,
    extra: Option<ParamId>,
}

/// Row t becomes row t + 1 of its window; the last is 0.
fn next_tokens(x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
    let (n, c) = x_nc.dims2()?;
    let x = x_nc.reshape((pass.batch, pass.time, c))?;
    let later = x.narrow(1, 1, pass.time - 1)?.pad_with_zeros(1, 0, 1)?;
    Ok(later.reshape((n, c))?)
}

/// The mean over windows of what stands at the same place in each.
fn mean_of_windows(x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
    let (n, c) = x_nc.dims2()?;
    let (b, t) = (pass.batch, pass.time);
    let mean = x_nc.reshape((b, t, c))?.mean_keepdim(0)?;
    Ok(mean.broadcast_as((b, t, c))?.reshape((n, c))?)
}

impl Wrong {
    /// What is wrong with whole windows and with a cache alike.
    #[allow(clippy::eq_op, reason = "its gradient is there, and is zero")]
    fn spoilt(&self, x_nc: &Tensor, y: Tensor, pass: &Pass) -> Result<Tensor> {
        Ok(match self.fault {
            Fault::MixesWindows => (y + mean_of_windows(x_nc, pass)?)?,
            Fault::ZeroGradient => {
                let extra = &pass.weights[self.extra.expect("declared")];
                y.broadcast_add(&(extra - extra)?.to_dtype(y.dtype())?)?
            }
            Fault::OtherThanItsReference if pass.ops.is_fused() => (y * 1.01)?,
            Fault::CountsThreads => (y * (1.0 + 1e-3 * rayon::current_num_threads() as f64))?,
            Fault::Panics => unreachable!("a mistake"),
            _ => y,
        })
    }
}

impl Mixer for Wrong {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let y = self.spoilt(x_nc, self.inner.forward(x_nc, pass)?, pass)?;
        Ok(match self.fault {
            Fault::LooksAhead => (y + (next_tokens(x_nc, pass)? * 0.1)?)?,
            _ => y,
        })
    }

    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor> {
        let beside = state.0.split_off(state.0.len().min(2));
        let y = self.inner.advance(x_nc, pass, state)?;
        if self.fault == Fault::StateBeside {
            state.0.extend(beside);
            state.0.push(y.clone());
        }
        let y = self.spoilt(x_nc, y, pass)?;
        Ok(match self.fault {
            Fault::WrongWithACache if pass.offset > 0 => (y * 1.01)?,
            _ => y,
        })
    }

    fn work(&self, span: Span) -> Work {
        let claimed = self.inner.work(span);
        match self.fault {
            Fault::HalfTheForward => Work {
                forward: claimed.forward / 2,
                ..claimed
            },
            Fault::HalfTheBackward => Work {
                backward: claimed.backward / 2,
                ..claimed
            },
            _ => claimed,
        }
    }

    fn state_scalars(&self, tokens: usize) -> u64 {
        match self.fault {
            Fault::StateNotClaimed => 0,
            _ => self.inner.state_scalars(tokens),
        }
    }
}

#[test]
fn faulty_mixers() {
    const DECODING: &str = "decoding is the forward pass";
    const STATE: &str = "state is what is held";
    let check = |fault: Fault, by: &[&str]| {
        let broken = law::mixer(&Registry::builtin().mixer(Faulty(fault)), NAME);
        caught(&format!("{fault:?}"), &broken, by);
    };
    check(Fault::None, &[]);
    check(Fault::HalfTheForward, &["work is what is counted"]);
    check(Fault::HalfTheBackward, &["work is what is counted"]);
    check(
        Fault::LooksAhead,
        &["nothing is seen before it comes", DECODING],
    );
    check(Fault::MixesWindows, &["windows are strangers"]);
    check(Fault::ZeroGradient, &["every parameter learns"]);
    check(Fault::StateNotClaimed, &[STATE]);
    check(Fault::StateBeside, &[STATE]);
    check(Fault::WrongWithACache, &[DECODING]);
    check(Fault::OtherThanItsReference, &["fused is the reference"]);
    check(Fault::CountsThreads, &["threads change no bit, seeds do"]);
    check(Fault::WritesAnotherKnob, &["defaults settle to themselves"]);
    check(Fault::NeverReadsItsKnob, &["every declared key is read"]);
}

/// A key that is read and not declared could be neither listed nor explained.
#[test]
fn what_is_not_declared_cannot_be_read() {
    let registry = Registry::builtin().mixer(Faulty(Fault::ReadsWhatItDoesNotDeclare));
    let broken = law::mixer(&registry, NAME);
    let found = "model.mixer.ratio is read, but is not among the keys";
    assert!(broken[0].found.starts_with(found), "{}", broken[0]);
}

/// What cannot be trained at all breaks every rule that trains.
#[test]
fn mixers_that_do_not_run() {
    for (fault, found) in [
        (
            Fault::DeadParameter,
            "blocks.00.mixer.extra has no gradient",
        ),
        // In a worker, or where there is a single thread in this one.
        (Fault::Panics, "panic"),
    ] {
        let broken = law::mixer(&Registry::builtin().mixer(Faulty(fault)), NAME);
        assert_eq!(broken[0].rule, "every parameter learns", "{fault:?}");
        assert!(broken[0].to_string().contains(found), "{}", broken[0]);
    }
}

/// A feed-forward layer that looks at the token before, which decoding does not give it.
struct Shifted;

impl Named for Shifted {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a layer of two tokens"
    }
    fn knobs(&self) -> Declarations {
        let ffns = Registry::builtin().slots.ffns;
        ffns.find("gelu").expect("it ships").knobs()
    }
}

struct ShiftedFfn(Box<dyn Ffn>);

impl FfnKind for Shifted {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Ffn>> {
        let gelu = Registry::builtin().slots.ffns;
        let gelu = gelu.find("gelu").expect("it ships").clone();
        Ok(Box::new(ShiftedFfn(gelu.settle(site, build)?)))
    }
}

impl Ffn for ShiftedFfn {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (n, c) = x_nc.dims2()?;
        let x = x_nc.reshape((pass.batch, pass.time, c))?;
        let before = x.narrow(1, 0, pass.time - 1)?.pad_with_zeros(1, 1, 0)?;
        let x = (x + before)?.reshape((n, c))?;
        self.0.forward(&x, pass)
    }

    fn work(&self, span: Span) -> Work {
        self.0.work(span)
    }
}

/// A frozen matrix and a trained update of rank 4 beside it, W + A B: LoRA (Hu et al. 2021, arXiv 2106.09685), but from a normal
/// start, so that both factors have a gradient at once.
struct LowRank {
    /// Of the work that it claims.
    claims: u64,
}

struct Update {
    base: Box<dyn Linear>,
    factors: [ParamId; 2],
    /// Of a row, in the first product and in the second.
    multiply_adds: [u64; 2],
    claims: u64,
}

const RANK: Knob<Whole> = Knob::count("rank", "Rank of the update.").default(4);

impl Named for LowRank {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a matrix and an update of low rank"
    }
    fn knobs(&self) -> Declarations {
        &[&RANK]
    }
}

impl LinearKind for LowRank {
    fn settle(
        &self,
        site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>> {
        let rank = site.knobs.read(&RANK)?;
        let dense = Registry::builtin().slots.linears;
        let dense = dense.find("dense").expect("it ships").clone();
        let (outputs, start) = (spec.outputs(), Init::Normal(spec.start));
        let (down, up) = (format!("{name}_down"), format!("{name}_up"));
        Ok(Box::new(Update {
            base: dense.settle(site, name, spec, declare)?,
            factors: [
                declare.param(&down, &[rank, spec.inputs], Role::Matrix, start),
                declare.param(&up, &[outputs, rank], Role::Matrix, start),
            ],
            multiply_adds: [rank * spec.inputs, rank * outputs].map(|n| n as u64),
            claims: self.claims,
        }))
    }
}

impl Linear for Update {
    fn forward(&self, x_nk: &Tensor, pass: &Pass) -> Result<Tensor> {
        let [down, up] = self.factors.map(|id| &pass.weights[id]);
        let low = pass.ops.linear(x_nk, down, None)?;
        let update = pass.ops.linear(&low, up, None)?;
        Ok(pass.ops.add(&self.base.forward(x_nk, pass)?, &update)?)
    }

    fn work(&self, rows: u64, learns: bool) -> Work {
        let [down, up] = self.multiply_adds.map(|of_row| self.claims * rows * of_row);
        // Whatever comes in, the second product's input learns.
        self.base.work(rows, learns)
            + Work::of_product(down, learns, true)
            + Work::of_product(up, true, true)
    }

    fn trains(&self) -> bool {
        true
    }
}

#[test]
fn a_kind_of_product_from_outside() {
    let registry = |claims| Registry::builtin().linear(LowRank { claims });
    caught("none", &law::linear(&registry(1), NAME), &[]);
    let doubled = law::linear(&registry(2), NAME);
    caught("twice its work", &doubled, &["work is what is counted"]);
    // As it is meant: nothing but the updates trains.
    let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
    let origin = Origin::named("test");
    tree.set("model.linear.kind", json!(NAME), origin.clone());
    let frozen = json!([
        "embedding",
        "blocks.*.*.*_bias",
        "blocks.*.*.qkv",
        "blocks.*.*.out",
        "blocks.*.ffn.up",
        "blocks.*.ffn.down"
    ]);
    tree.set("train.freeze", frozen, origin.clone());
    tree.set("model.head.tied", json!(false), origin);
    assert_eq!(law::variant(&registry(1), &tree), []);
}

/// A loss that wants the residual stream small.
struct Small {
    /// Whether it divides by all places, asked for or not.
    of_all: bool,
}

impl Named for Small {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "the mean square of the residual stream"
    }
}

impl LossKind for Small {
    fn weight(&self) -> f64 {
        0.03
    }

    fn settle(&self, _site: &Site, weight: f64, _build: &mut Aside) -> Result<Box<dyn Loss>> {
        let of_all = self.of_all;
        Ok(Box::new(OfStream { weight, of_all }))
    }
}

struct OfStream {
    weight: f64,
    of_all: bool,
}

impl Loss for OfStream {
    fn term(&self, trunk: &Trunk, _pass: &Pass) -> Result<Option<Tensor>> {
        let (places, width) = trunk.x_nc.dims2()?;
        let asked = trunk.targets.iter().map(|t| f32::from(*t != IGNORED));
        let asked = Tensor::from_iter(asked, trunk.x_nc.device())?;
        let known = f64::from(asked.sum_all()?.to_scalar::<f32>()?);
        let squares = trunk.x_nc.to_dtype(DType::F32)?.sqr()?.sum(1)?;
        let over = if self.of_all { places as f64 } else { known };
        let sum = (squares * asked)?.sum_all()?;
        Ok(Some((sum * (self.weight / width as f64 / over))?))
    }
}

#[test]
fn a_loss_from_outside() {
    let broken = |of_all| law::loss(&Registry::builtin().loss(Small { of_all }), NAME);
    caught("none", &broken(false), &[]);
    caught("another mean", &broken(true), &["windows are strangers"]);
}

/// A norm whose gradient points the other way.
struct Reversed;

impl Named for Reversed {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a norm that unlearns"
    }
    fn knobs(&self) -> Declarations {
        let norms = Registry::builtin().slots.norms;
        norms.find("layernorm").expect("it ships").knobs()
    }
}

struct ReversedNorm(Box<dyn Norm>);

impl NormKind for Reversed {
    fn settle(&self, site: &Site, width: usize, declare: &mut Declare) -> Result<Box<dyn Norm>> {
        let norm = Registry::builtin().slots.norms;
        let norm = norm.find("layernorm").expect("it ships").clone();
        Ok(Box::new(ReversedNorm(norm.settle(site, width, declare)?)))
    }
}

impl Norm for ReversedNorm {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let y = self.0.forward(x_nc, pass)?;
        Ok(((y.detach() * 2.0)? - y)?)
    }
}

/// Positions that begin anew with every token that is decoded.
struct Forgetful;

impl Named for Forgetful {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "positions that forget their offset"
    }
}

struct ForgetfulPosition(Box<dyn Position>);

impl PositionKind for Forgetful {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Position>> {
        let kinds = Registry::builtin().slots.positions;
        let kind = kinds.find("sinusoidal").expect("it ships").clone();
        let position = kind.settle(site, build)?;
        Ok(Box::new(ForgetfulPosition(position)))
    }
}

impl Position for ForgetfulPosition {
    fn embed(&self, x_nc: Tensor, pass: &Pass) -> Result<Tensor> {
        self.0.embed(x_nc, &Pass { offset: 0, ..*pass })
    }
}

#[test]
fn other_faulty_parts() {
    let registry = Registry::builtin()
        .ffn(Shifted)
        .norm(Reversed)
        .position(Forgetful);
    let (ffn, norm, position) = (
        law::feed_forward(&registry, NAME),
        law::norm(&registry, NAME),
        law::position(&registry, NAME),
    );
    caught("a shifted layer", &ffn, &["decoding is the forward pass"]);
    caught("a reversed norm", &norm, &["one batch is overfitted"]);
    caught(
        "forgetful positions",
        &position,
        &["decoding is the forward pass"],
    );
}
