//! The rows of the catalog, and what each sets a layer's switches to.

use super::gating::{self, Source};
use super::layer::{Layer, OutputGate, Plan, Taps};
use crate::config::knob::{Flag, Whole};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::mixer::{Mixer, MixerKind};
use crate::model::{Build, Site};
use crate::ops::{Decay, DecayGate, Features, GatedNorm, Gates, NormGate, WriteGate};

const HEADS: Knob<Whole> =
    Knob::count("heads", "Heads, each with a state of its own.").follows("as many as model.heads");
const KEY_WIDTH: Knob<Whole> = Knob::count(
    "key_width",
    "Numbers of a head's query and key: rows of its state.",
)
.unit("channels")
.within(1, 1 << 14)
.follows("the kind's published share of model.width over heads");
const VALUE_WIDTH: Knob<Whole> = Knob::count(
    "value_width",
    "Numbers of a head's value: columns of its state.",
)
.unit("channels")
.within(1, 1 << 14)
.follows("the kind's published share of model.width over heads");
const CONV: Knob<Whole> = Knob::whole(
    "conv",
    "Tokens that a short convolution over queries, keys and values spans; 0 is no convolution.",
)
.unit("tokens")
.at_most(64)
.default(4);
const NO_CONV: Knob<Whole> = CONV.default(0);
const NEGATIVE: Knob<Flag> = Knob::flag(
    "negative",
    "Whether write gates reach 2, so that the delta rule may turn what a key holds to its negative.",
)
.default(false);
const RANK: Knob<Whole> = Knob::count("rank", "Rank of the matrix that makes the decays.")
    .within(1, 1 << 14)
    .default(16);
const OWN_RANK: Knob<Whole> = Knob::count(
    "rank",
    "Rank of the matrices that make decays and the output's gate.",
)
.within(1, 1 << 14)
.follows("value_width");
const EXPAND: Knob<Whole> =
    Knob::count("expand", "Channels of all values, over the model's width.")
        .within(1, 64)
        .default(2);
const STATE: Knob<Whole> = Knob::count(
    "state",
    "Numbers of a query and a key, which all heads share: rows of each head's state.",
)
.unit("channels")
.within(1, 1 << 14)
.follows("twice head_width");
const HEAD_WIDTH: Knob<Whole> = Knob::count(
    "head_width",
    "Numbers of a head's value: columns of its state; they divide the channels of all values.",
)
.unit("channels")
.within(1, 1 << 14)
.follows("model.width over model.heads");

/// Rows of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing decays, all is written.
    Linear,
    /// Fixed decays.
    RetNet,
    /// A decay for each channel.
    Gla,
    /// A decay for each head, by which what is written is weighed too.
    Mamba2,
    /// The delta rule.
    DeltaNet,
    /// It with a decay for each head.
    GatedDeltaNet,
    /// It with a decay for each channel.
    Kda,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Linear => "linear",
            Kind::RetNet => "retnet",
            Kind::Gla => "gla",
            Kind::Mamba2 => "mamba2",
            Kind::DeltaNet => "deltanet",
            Kind::GatedDeltaNet => "gated-deltanet",
            Kind::Kda => "kda",
        }
    }
    fn about(&self) -> &'static str {
        match self {
            Kind::Linear => {
                "linear attention: each head sums keys times values, through elu + 1 (Katharopoulos et al. 2020), and an RMSNorm in place of the denominator (Qin et al. 2022)"
            }
            Kind::RetNet => {
                "linear attention whose heads forget at fixed rates, with values twice as wide as keys, rotated where the model rotates (Sun et al. 2023)"
            }
            Kind::Gla => {
                "linear attention whose state forgets channel by channel, as the token says (Yang et al. 2023)"
            }
            Kind::Mamba2 => {
                "a state space with one decay a head, whose step also weighs what is written (Dao and Gu 2024), in the place of attention: the feed-forward layer stays"
            }
            Kind::DeltaNet => {
                "linear attention that writes only what the state does not hold under a key yet: the delta rule (Yang et al. 2024)"
            }
            Kind::GatedDeltaNet => {
                "the delta rule over a state that forgets, one decay a head, as the token says (Yang et al. 2024)"
            }
            Kind::Kda => {
                "the delta rule over a state that forgets channel by channel: Kimi Delta Attention (Kimi Team 2025)"
            }
        }
    }
    fn knobs(&self) -> Declarations {
        match self {
            Kind::Linear => &[&HEADS, &KEY_WIDTH, &VALUE_WIDTH, &NO_CONV],
            Kind::RetNet => &[&NO_CONV],
            Kind::Gla => &[&HEADS, &KEY_WIDTH, &VALUE_WIDTH, &NO_CONV, &RANK],
            Kind::Mamba2 => &[&EXPAND, &STATE, &HEAD_WIDTH, &CONV],
            Kind::DeltaNet | Kind::GatedDeltaNet => {
                &[&HEADS, &KEY_WIDTH, &VALUE_WIDTH, &CONV, &NEGATIVE]
            }
            Kind::Kda => &[
                &HEADS,
                &KEY_WIDTH,
                &VALUE_WIDTH,
                &CONV,
                &NEGATIVE,
                &OWN_RANK,
            ],
        }
    }
}

impl MixerKind for Kind {
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>> {
        let plan = match self {
            Kind::Linear => linear(site),
            Kind::RetNet => retnet(site),
            Kind::Gla => gla(site),
            Kind::Mamba2 => mamba2(site),
            Kind::DeltaNet => delta(site),
            Kind::GatedDeltaNet => gated_delta(site),
            Kind::Kda => kda(site),
        }?;
        Ok(Box::new(Layer::settle(plan, site.shape, build)?))
    }
}

/// Heads with these quarters of model.width over heads in a key and in a value: plain linear attention, with a norm of each head.
fn heads(site: &Site, [key, value]: [usize; 2], conv: &Knob<Whole>) -> Result<Plan> {
    let (knobs, shape) = (&site.knobs, site.shape);
    let heads = knobs.read_or(&HEADS, shape.heads)?;
    let share = |quarters: usize| (quarters * shape.width / (4 * heads)).max(1);
    let key_width = knobs.read_or(&KEY_WIDTH, share(key))?;
    let value_width = knobs.read_or(&VALUE_WIDTH, share(value))?;
    plain(site, heads, (key_width, value_width), conv)
}

/// Nothing decays, all is written.
fn plain(
    site: &Site,
    heads: usize,
    (key_width, value_width): (usize, usize),
    conv: &Knob<Whole>,
) -> Result<Plan> {
    let taps = match site.knobs.read(conv)? {
        0 => None,
        count => Some(Taps { count, bias: false }),
    };
    Ok(Plan {
        heads,
        key_heads: heads,
        key_width,
        value_width,
        decay: Decay::None,
        delta: false,
        features: Features::Plain,
        scale: (key_width as f64).powf(-0.5),
        taps,
        gating: None,
        gate: None,
        norm: GatedNorm {
            gate: NormGate::Silu,
            first: false,
            eps: 1e-5,
        },
        wide_norm: false,
        skip: false,
        rotates: false,
    })
}

fn linear(site: &Site) -> Result<Plan> {
    Ok(Plan {
        features: Features::Elu,
        ..heads(site, [4, 4], &NO_CONV)?
    })
}

/// What makes the gates of a layer.
fn gates(plan: &Plan, decay: DecayGate, write: WriteGate, source: Source) -> Option<gating::Plan> {
    let width = match plan.decay {
        Decay::Channel => plan.key_width,
        Decay::Head | Decay::None => 1,
    };
    let gates = Gates {
        decay,
        write,
        heads: plan.heads,
        width,
    };
    Some(gating::Plan { gates, source })
}

fn retnet(site: &Site) -> Result<Plan> {
    let d = site.shape.head_width();
    let plan = Plan {
        decay: Decay::Head,
        gate: Some(OutputGate { rank: None }),
        rotates: true,
        ..plain(site, site.shape.heads, (d, 2 * d), &NO_CONV)?
    };
    Ok(Plan {
        gating: gates(&plan, DecayGate::Step, WriteGate::None, Source::Fixed),
        ..plan
    })
}

/// Decays are the sixteenth root of a sigmoid (section 4.4). Queries and keys have no size of their own here, so that a token's output may
/// be next to nothing, of which a norm would make rounding: its eps stands beside outputs of GPT-2's start (a mean square of about
/// 0.03), as the authors' 1e-5 does beside those of theirs, which is 2^-2.5 of Xavier's.
fn gla(site: &Site) -> Result<Plan> {
    let plain = heads(site, [2, 4], &NO_CONV)?;
    let plan = Plan {
        decay: Decay::Channel,
        gate: Some(OutputGate { rank: None }),
        norm: GatedNorm {
            eps: 1e-3,
            ..plain.norm
        },
        ..plain
    };
    let source = Source::LowRank(site.knobs.read(&RANK)?, true);
    Ok(Plan {
        gating: gates(&plan, DecayGate::Sigmoid(16.0), WriteGate::None, source),
        ..plan
    })
}

fn mamba2(site: &Site) -> Result<Plan> {
    let (knobs, shape) = (&site.knobs, site.shape);
    let inner = knobs.read(&EXPAND)? * shape.width;
    let head_width = knobs.read_or(&HEAD_WIDTH, shape.head_width())?;
    if !inner.is_multiple_of(head_width) {
        let why = format!("it does not divide {inner} channels of values");
        return Err(knobs.refuse(&HEAD_WIDTH, &why));
    }
    let state = knobs.read_or(&STATE, 2 * head_width)?;
    let plain = plain(site, inner / head_width, (state, head_width), &CONV)?;
    let plan = Plan {
        key_heads: 1,
        decay: Decay::Head,
        scale: 1.0,
        taps: plain.taps.map(|taps| Taps { bias: true, ..taps }),
        gate: Some(OutputGate { rank: None }),
        norm: GatedNorm {
            first: true,
            ..plain.norm
        },
        wide_norm: true,
        skip: true,
        ..plain
    };
    Ok(Plan {
        gating: gates(&plan, DecayGate::Step, WriteGate::Step, Source::Product),
        ..plan
    })
}

fn delta(site: &Site) -> Result<Plan> {
    let plan = Plan {
        delta: true,
        features: Features::Unit,
        ..heads(site, [4, 4], &CONV)?
    };
    let write = write_gate(site)?;
    Ok(Plan {
        gating: gates(&plan, DecayGate::None, write, Source::Product),
        ..plan
    })
}

fn write_gate(site: &Site) -> Result<WriteGate> {
    let negative = site.knobs.read(&NEGATIVE)?;
    Ok(WriteGate::Sigmoid(if negative { 2.0 } else { 1.0 }))
}

/// Keys three quarters of model.width over heads, values twice as wide.
fn gated_delta(site: &Site) -> Result<Plan> {
    let plan = Plan {
        decay: Decay::Head,
        delta: true,
        features: Features::Unit,
        gate: Some(OutputGate { rank: None }),
        ..heads(site, [3, 6], &CONV)?
    };
    let write = write_gate(site)?;
    Ok(Plan {
        gating: gates(&plan, DecayGate::Step, write, Source::Product),
        ..plan
    })
}

fn kda(site: &Site) -> Result<Plan> {
    let plain = heads(site, [4, 4], &CONV)?;
    let rank = site.knobs.read_or(&OWN_RANK, plain.value_width)?;
    let plan = Plan {
        decay: Decay::Channel,
        delta: true,
        features: Features::Unit,
        gate: Some(OutputGate { rank: Some(rank) }),
        norm: GatedNorm {
            gate: NormGate::Sigmoid,
            ..plain.norm
        },
        ..plain
    };
    let write = write_gate(site)?;
    Ok(Plan {
        gating: gates(&plan, DecayGate::Step, write, Source::LowRank(rank, false)),
        ..plan
    })
}
