//! Optimizers, on parameters of every role: far from a minimum that is known, and inside a model.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use serde_json::json;

use super::keys::every_key_is_read;
use super::learning::{every_parameter_learns, settles_to_itself, threads_change_no_bit};
use super::recipe::{Recipe, distance, of_settled, values};
use super::rule::{Outcome, Rule, broken, expect, is_listed};
use crate::config::Broken;
use crate::error::Result;
use crate::model::{Decl, Declare, Init, Part, Place, Role, Scaling};
use crate::ops::counted;
use crate::stream::stream;
use crate::train::{Now, Optimizer, OptimizerPlan, View};
use crate::trial::Registry;

/// The rules that the optimizer of that name breaks.
pub fn optimizer(registry: &Registry, name: &str) -> Vec<Broken> {
    let recipe = Recipe::of(registry, &json!({"train": {"optimizer": {"kind": name}}}));
    let mut found = is_listed(&registry.optimizers, name);
    found.extend(broken(&IN_A_MODEL, &recipe));
    found.extend(of_settled(&recipe, |experiment| {
        broken(&RULES, &experiment.optimizer)
    }));
    found
}

type Plan = Arc<dyn OptimizerPlan>;

const IN_A_MODEL: [Rule<Recipe>; 4] = [
    ("defaults settle to themselves", settles_to_itself),
    ("every declared key is read", every_key_is_read),
    ("every parameter learns", every_parameter_learns),
    ("threads change no bit, seeds do", threads_change_no_bit),
];

const RULES: [Rule<Plan>; 8] = [
    ("state is what is held", state_is_what_is_held),
    ("a step goes down a slope", a_step_goes_down),
    (
        "clipping is part of the gradient",
        clipping_scales_gradients,
    ),
    ("a rate of 0 moves nothing", a_rate_of_zero_moves_nothing),
    (
        "a role's rate moves its role alone",
        a_factor_is_of_its_parameter,
    ),
    ("a resumed run is the same run", resumes_to_the_bit),
    ("a look changes nothing", looks_change_nothing),
    ("work is at least its products", work_holds_its_products),
];

/// One parameter of every role; a wide, a tall and a stacked matrix.
fn decls() -> Vec<Decl> {
    let (mut declare, scaling) = (Declare::default(), Scaling::standard(2));
    let start = Init::Normal(1.0);
    declare.enter("law", Part::Mixer, &scaling, Place::Branch);
    declare.param("table", &[7, 6], Role::Embedding, start);
    declare.stacked("stacked", &[12, 6], Role::Matrix, start, &[6, 4, 2]);
    declare.param("tall", &[40, 6], Role::Matrix, start);
    declare.param("wide", &[6, 40], Role::Matrix, start);
    declare.param("head", &[7, 6], Role::Head, start);
    declare.param("gain", &[6], Role::Gain, Init::Ones);
    declare.param("bias", &[6], Role::Bias, Init::Zeros);
    declare.finish()
}

/// Small enough that no step goes beyond the minimum.
const RATE: f64 = 1e-3;

/// A step at that rate, with gradients multiplied by that.
fn now(lr: f64, scale: f64) -> Now {
    Now {
        step: 0,
        steps: 1,
        lr,
        scale,
    }
}

/// Parameters and the minimum of half the squared distance to it, whose gradient is the difference.
struct Slope {
    vars: Vec<Var>,
    lowest: Vec<Tensor>,
}

impl Slope {
    fn new(decls: &[Decl]) -> Result<Self> {
        let tensor = |decl: &Decl, part: u64| -> Result<Tensor> {
            let mut stream = stream(&format!("law/{}", decl.name), part, 0);
            let numbers: Vec<f32> = (0..decl.count()).map(|_| stream.normal() as f32).collect();
            Ok(Tensor::from_vec(
                numbers,
                decl.shape.as_slice(),
                &Device::Cpu,
            )?)
        };
        let var = |decl| Ok(Var::from_tensor(&tensor(decl, 0)?)?);
        Ok(Self {
            vars: decls.iter().map(var).collect::<Result<_>>()?,
            lowest: decls.iter().map(|d| tensor(d, 1)).collect::<Result<_>>()?,
        })
    }

    fn gradients(&self) -> Result<Vec<Tensor>> {
        let of = |(var, lowest): (&Var, &Tensor)| Ok((var.as_detached_tensor() - lowest)?);
        self.vars.iter().zip(&self.lowest).map(of).collect()
    }

    /// Of each parameter.
    fn heights(&self) -> Result<Vec<f64>> {
        let square = |g: &Tensor| -> Result<f64> {
            let numbers = values(g)?;
            Ok(numbers.iter().map(|x| f64::from(x * x) / 2.0).sum())
        };
        self.gradients()?.iter().map(square).collect()
    }

    fn numbers(&self) -> Result<Vec<Vec<f32>>> {
        self.vars.iter().map(|var| values(var)).collect()
    }

    fn steps(&self, optimizer: &mut dyn Optimizer, steps: usize) -> Result<()> {
        (0..steps).try_for_each(|_| optimizer.step(&self.vars, &self.gradients()?, &now(RATE, 1.0)))
    }
}

fn start(plan: &Plan, decls: &[Decl]) -> Result<Box<dyn Optimizer>> {
    plan.start(decls, &Device::Cpu, DType::F32)
}

/// What a snapshot holds, after a step: an optimizer that makes its state late has made it then.
fn state_is_what_is_held(plan: &Plan) -> Outcome {
    let decls = decls();
    let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
    slope.steps(&mut *optimizer, 1)?;
    let claimed = plan.state_scalars(&decls);
    let state = optimizer.state()?.unwrap_or_default();
    let held: u64 = state.iter().map(|tensor| tensor.elem_count() as u64).sum();
    expect(
        held == claimed,
        format!("the {claimed} numbers that it is said to keep"),
        format!("{held}"),
    )
}

fn a_step_goes_down(plan: &Plan) -> Outcome {
    const STEPS: usize = 20;
    let decls = decls();
    let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
    let first = slope.heights()?;
    let mut last: f64 = first.iter().sum();
    for step in 1..=STEPS {
        slope.steps(&mut *optimizer, 1)?;
        let height: f64 = slope.heights()?.iter().sum();
        expect(
            height < last,
            format!("step {step} at a rate of {RATE} to end below {last:.6}"),
            format!("{height:.6}"),
        )?;
        last = height;
    }
    for ((decl, first), last) in decls.iter().zip(first).zip(slope.heights()?) {
        expect(
            last < first,
            format!("{} below where it began, {first:.6}", decl.name),
            format!("{last:.6}"),
        )?;
    }
    Ok(())
}

fn clipping_scales_gradients(plan: &Plan) -> Outcome {
    const SCALE: f64 = 0.5;
    let decls = decls();
    let run = |clipped: bool| -> Result<Vec<f32>> {
        let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
        for step in 0..3 {
            // The first step's whole, so that a factor on what is kept of it would show.
            let scale = if step == 0 { 1.0 } else { SCALE };
            let mut gradients = slope.gradients()?;
            if clipped {
                optimizer.step(&slope.vars, &gradients, &now(RATE, scale))?;
                continue;
            }
            for gradient in &mut gradients {
                *gradient = (&*gradient * scale)?;
            }
            optimizer.step(&slope.vars, &gradients, &now(RATE, 1.0))?;
        }
        Ok(slope.numbers()?.concat())
    };
    let far = distance(&run(true)?, &run(false)?);
    expect(
        far < 1e-5,
        format!("a gradient of {SCALE} times its size, where that is asked for"),
        format!("parameters off by {far:e}"),
    )
}

fn a_rate_of_zero_moves_nothing(plan: &Plan) -> Outcome {
    let decls = decls();
    let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
    let before = slope.numbers()?;
    for _ in 0..2 {
        optimizer.step(&slope.vars, &slope.gradients()?, &now(0.0, 1.0))?;
    }
    for ((decl, before), after) in decls.iter().zip(before).zip(slope.numbers()?) {
        expect(
            before == after,
            format!("{} where it was", decl.name),
            "that it moved",
        )?;
    }
    Ok(())
}

fn a_factor_is_of_its_parameter(plan: &Plan) -> Outcome {
    for held in 0..decls().len() {
        let mut decls = decls();
        decls[held].lr_scale = 0.0;
        let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
        let before = slope.numbers()?;
        slope.steps(&mut *optimizer, 2)?;
        for (i, (before, after)) in before.iter().zip(slope.numbers()?).enumerate() {
            let moved = *before != after;
            expect(
                moved == (i != held),
                format!(
                    "with the rate of {} at 0, {} {}",
                    decls[held].name,
                    decls[i].name,
                    if i == held { "still" } else { "to move" }
                ),
                if moved { "that it moved" } else { "it still" },
            )?;
        }
    }
    Ok(())
}

fn resumes_to_the_bit(plan: &Plan) -> Outcome {
    const BEFORE: usize = 3;
    let decls = decls();
    let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
    slope.steps(&mut *optimizer, BEFORE)?;
    let Some(state) = optimizer.state()? else {
        return expect(
            false,
            "its state, for a checkpoint",
            "none: its trials cannot be continued",
        );
    };
    let copies = slope
        .vars
        .iter()
        .map(|var| Ok(Var::from_tensor(&var.copy()?)?));
    let other = Slope {
        vars: copies.collect::<Result<_>>()?,
        lowest: slope.lowest.clone(),
    };
    slope.steps(&mut *optimizer, 2)?;
    let mut resumed = start(plan, &decls)?;
    resumed.restore(&state, BEFORE as u64)?;
    other.steps(&mut *resumed, 2)?;
    for ((decl, whole), resumed) in decls.iter().zip(slope.numbers()?).zip(other.numbers()?) {
        expect(
            whole == resumed,
            format!("{} as in the run that never stopped", decl.name),
            "other bits",
        )?;
    }
    Ok(())
}

/// Where it keeps its model apart from where it learns, a look at the model leaves both.
fn looks_change_nothing(plan: &Plan) -> Outcome {
    let decls = decls();
    let looking = (Slope::new(&decls)?, start(plan, &decls)?);
    let (slope, mut optimizer) = looking;
    let (still, mut other) = (Slope::new(&decls)?, start(plan, &decls)?);
    let mut looks = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            optimizer.view(&slope.vars, View::Evaluate)?;
            looks.push(slope.numbers()?);
        }
        optimizer.view(&slope.vars, View::Train)?;
        slope.steps(&mut *optimizer, 1)?;
        still.steps(&mut *other, 1)?;
    }
    let same = looks.chunks(2).all(|pair| pair[0] == pair[1]);
    expect(same, "a second look like the first", "other numbers")?;
    for ((decl, seen), unseen) in decls.iter().zip(slope.numbers()?).zip(still.numbers()?) {
        expect(
            seen == unseen,
            format!("{} as in the run that nobody looked at", decl.name),
            "other bits",
        )?;
    }
    Ok(())
}

/// Number by number an update is some operations, and what is more must be products: no fewer than are counted, in the mean over
/// updates, as some renew what they work with now and then.
fn work_holds_its_products(plan: &Plan) -> Outcome {
    /// Operations on each number: AdamW's are 15, Muon's beside its products up to 34.
    const MOST_PER_NUMBER: f64 = 60.0;
    const STEPS: usize = 10;
    let decls = decls();
    let claimed = plan.flops_per_step(&decls);
    let (slope, mut optimizer) = (Slope::new(&decls)?, start(plan, &decls)?);
    // What is made once, at the first, is not of every step.
    slope.steps(&mut *optimizer, 1)?;
    let (done, products) = counted(|| slope.steps(&mut *optimizer, STEPS))?;
    done?;
    let products = products as f64 / STEPS as f64;
    let numbers: u64 = decls.iter().map(Decl::count).sum();
    let beside = claimed - products;
    expect(
        beside > 0.0 && beside <= MOST_PER_NUMBER * numbers as f64,
        format!(
            "the {products} FLOPs of its products, and up to {MOST_PER_NUMBER} for each of {numbers} numbers"
        ),
        format!("{claimed}"),
    )
}
