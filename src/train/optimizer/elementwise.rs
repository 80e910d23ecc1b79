//! Optimizers that move each number by its own gradient and its own state: what they have in common.

use candle_core::{DType, Device, Tensor, Var};

use super::{Now, Optimizer, in_place, take};
use crate::error::{Error, Result};
use crate::model::Decl;

/// How one number moves, with `S` numbers of state.
pub trait Rule<const S: usize>: Send + Sync + 'static {
    /// What the update of one parameter needs to know, beside its numbers.
    type Coefficients: Sync;

    /// Before update `step`, from 1.
    fn coefficients(&self, of: &Of, step: u64, now: &Now) -> Self::Coefficients;

    /// The update of a slice on the CPU: weights, gradients, state.
    fn numbers(with: &Self::Coefficients, w: &mut [f32], g: &[f32], state: [&mut [f32]; S]);

    /// The same on any device: new weights, new state.
    ///
    /// # Errors
    /// The operations'.
    fn tensors(
        with: &Self::Coefficients,
        w: &Tensor,
        g: &Tensor,
        state: [&Tensor; S],
    ) -> candle_core::Result<(Tensor, [Tensor; S])>;

    /// What a slice says before its numbers move, added up over the parameter and given to [`seen`](Self::seen); `None` where no
    /// update depends on more than its own numbers.
    fn look(with: &Self::Coefficients, g: &[f32], state: [&[f32]; S]) -> Option<f64> {
        let _ = (with, g, state);
        None
    }

    /// What was looked for, over a parameter of so many numbers.
    fn seen(with: &mut Self::Coefficients, sum: f64, count: usize) {
        let _ = (with, sum, count);
    }

    /// What the state of a parameter starts as, of how the parameter starts: zero, but where a stream says otherwise.
    fn starts_as_weights(stream: usize) -> bool {
        let _ = stream;
        false
    }
}

/// What an optimizer with decay has of a parameter.
#[derive(Debug, Clone, Copy)]
pub struct Of {
    /// Factor on the learning rate.
    pub lr: f64,
    /// Factor on what is added to a root.
    pub eps: f64,
    /// Factor on the decay; 0 where it is spared.
    pub decay: f64,
    /// Whether it is a vector: a gain, a bias.
    pub vector: bool,
}

impl Of {
    /// For updates that do not depend on the size of a gradient.
    pub fn adaptive(decl: &Decl) -> Self {
        let factors = decl.adaptive();
        Self {
            lr: factors.lr,
            eps: factors.eps,
            decay: if decl.decays() { factors.decay } else { 0.0 },
            vector: decl.shape.len() < 2,
        }
    }
}

enum Store<const S: usize> {
    Host([Vec<f32>; S]),
    Device([Var; S]),
}

/// The state of all parameters.
pub struct Elementwise<R, const S: usize> {
    /// How one number moves.
    pub rule: R,
    of: Vec<Of>,
    stores: Vec<Store<S>>,
    started: bool,
    steps: u64,
}

impl<R: Rule<S>, const S: usize> Elementwise<R, S> {
    /// State at zero.
    ///
    /// # Errors
    /// Where the device has no room.
    pub fn start(rule: R, decls: &[Decl], device: &Device) -> Result<Self> {
        let store = |decl: &Decl| -> Result<Store<S>> {
            let count = decl.count() as usize;
            if device.is_cpu() {
                return Ok(Store::Host(std::array::from_fn(|_| vec![0.0; count])));
            }
            let zeros = (0..S).map(|_| Ok(Var::zeros(decl.shape.as_slice(), DType::F32, device)?));
            let zeros = zeros.collect::<Result<Vec<Var>>>()?;
            let full = zeros.try_into();
            Ok(Store::Device(full.map_err(|_| {
                Error::internal("the state of an optimizer has another size")
            })?))
        };
        Ok(Self {
            rule,
            of: decls.iter().map(Of::adaptive).collect(),
            stores: decls.iter().map(store).collect::<Result<_>>()?,
            started: false,
            steps: 0,
        })
    }

    /// Whether it has state yet.
    pub fn has_begun(&self) -> bool {
        self.started
    }

    /// State `stream` of each parameter, in its shape.
    ///
    /// # Errors
    /// Where there is no room for a copy.
    pub fn stream(&self, stream: usize, vars: &[Var]) -> Result<Vec<Tensor>> {
        let one = |(store, var): (&Store<S>, &Var)| {
            Ok(match store {
                Store::Host(all) => Tensor::from_slice(&all[stream], var.shape(), &Device::Cpu)?,
                Store::Device(all) => all[stream].as_detached_tensor(),
            })
        };
        self.stores.iter().zip(vars).map(one).collect()
    }

    /// `beta` of state `stream`, the rest of the squared gradients times `weight`.
    ///
    /// # Errors
    /// The operations'.
    pub fn see_squares(
        &mut self,
        stream: usize,
        beta: f64,
        grads: &[Tensor],
        weight: f64,
    ) -> Result<()> {
        for (store, grad) in self.stores.iter_mut().zip(grads) {
            let new = (grad.sqr()? * ((1.0 - beta) * weight))?;
            match store {
                Store::Host(all) => {
                    let new: Vec<f32> = new.flatten_all()?.to_vec1()?;
                    let both = all[stream].iter_mut().zip(new);
                    both.for_each(|(mean, new)| *mean = beta as f32 * *mean + new);
                }
                Store::Device(all) => {
                    let mean = &all[stream];
                    mean.set(&((mean.as_detached_tensor() * beta)? + new)?)?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, vars: &[Var]) -> Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        for stream in (0..S).filter(|stream| R::starts_as_weights(*stream)) {
            for (store, var) in self.stores.iter_mut().zip(vars) {
                match store {
                    Store::Host(all) => all[stream] = var.flatten_all()?.to_vec1()?,
                    Store::Device(all) => all[stream].set(var)?,
                }
            }
        }
        Ok(())
    }
}

impl<R: Rule<S>, const S: usize> Optimizer for Elementwise<R, S> {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        self.begin(vars)?;
        self.steps += 1;
        for (((of, store), var), grad) in self.of.iter().zip(&mut self.stores).zip(vars).zip(grads)
        {
            let mut with = self.rule.coefficients(of, self.steps, now);
            match store {
                Store::Host(state) => {
                    let views = state.each_ref().map(Vec::as_slice);
                    let sum = in_place::sum(grad, views, &|g, state| R::look(&with, g, state))?;
                    if let Some(sum) = sum {
                        R::seen(&mut with, sum, grad.elem_count());
                    }
                    let kernel = |w: &mut [f32], g: &[f32], state: [&mut [f32]; S]| {
                        R::numbers(&with, w, g, state);
                    };
                    in_place::update(var, grad, state.each_mut().map(Vec::as_mut_slice), &kernel)?;
                }
                Store::Device(state) => {
                    let before = state.each_ref().map(Var::as_detached_tensor);
                    let w = var.as_detached_tensor();
                    let (w, after) = R::tensors(&with, &w, grad, before.each_ref())?;
                    var.set(&w)?;
                    for (var, after) in state.iter().zip(&after) {
                        var.set(after)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let mut all = Vec::new();
        for store in &self.stores {
            match store {
                Store::Host(state) => {
                    for one in state {
                        all.push(Tensor::from_slice(one, one.len(), &Device::Cpu)?);
                    }
                }
                Store::Device(state) => {
                    for one in state {
                        all.push(one.copy()?);
                    }
                }
            }
        }
        Ok(Some(all))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let mut given = state.iter();
        for store in &mut self.stores {
            let from: [&Tensor; S] = take(&mut given)?;
            match store {
                Store::Host(all) => {
                    for (own, given) in all.iter_mut().zip(from) {
                        *own = given.flatten_all()?.to_vec1()?;
                    }
                }
                Store::Device(all) => {
                    for (own, given) in all.iter().zip(from) {
                        own.set(given)?;
                    }
                }
            }
        }
        (self.started, self.steps) = (true, steps);
        Ok(())
    }
}
