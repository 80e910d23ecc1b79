//! Optimizers that move each parameter by itself, with operations on tensors: what they have in common.

use candle_core::{Tensor, Var};

use super::adamw::Moments;
use super::{Now, Optimizer, take};
use crate::error::Result;
use crate::model::{Decl, Role};

/// (rows, columns) of the matrices stacked in a parameter that an optimizer of matrices moves: those inside blocks. `None` for
/// the others.
pub fn matrices(decl: &Decl) -> Option<Vec<(usize, usize)>> {
    let is_matrix = decl.role == Role::Matrix && decl.shape.len() == 2;
    is_matrix.then(|| parts(decl))
}

/// (rows, columns) of the matrices stacked in a parameter; a vector is one row.
pub fn parts(decl: &Decl) -> Vec<(usize, usize)> {
    match *decl.shape.as_slice() {
        [rows] => vec![(1, rows)],
        [_, columns] => decl.stacked_rows.iter().map(|&r| (r, columns)).collect(),
        _ => vec![(1, decl.count() as usize)],
    }
}

/// The matrices stacked in a tensor.
///
/// # Errors
/// Where they are not stacked in it.
pub fn split(stacked: &Tensor, parts: &[(usize, usize)]) -> Result<Vec<Tensor>> {
    let all: usize = parts.iter().map(|(rows, _)| rows).sum();
    let flat = stacked.reshape((all, ()))?;
    let mut row = 0;
    let part = |&(rows, _): &(usize, usize)| {
        row += rows;
        Ok(flat.narrow(0, row - rows, rows)?.contiguous()?)
    };
    parts.iter().map(part).collect()
}

/// The matrices stacked again, in the shape that they were in.
///
/// # Errors
/// Where they do not fit it.
pub fn join(parts: &[Tensor], shape: &[usize]) -> Result<Tensor> {
    Ok(match parts {
        [only] => only.reshape(shape)?,
        _ => Tensor::cat(parts, 0)?.reshape(shape)?,
    })
}

/// `beta` of a running mean's old value, the rest of the new.
///
/// # Errors
/// The operations'.
pub fn blend(mean: &Var, beta: f64, by: &Tensor) -> candle_core::Result<()> {
    mean.set(&((mean.as_detached_tensor() * beta)? + (by * (1.0 - beta))?)?)
}

/// Moves one parameter.
pub trait Mover: Send {
    /// Update number `update`, from 1, by a gradient that is clipped already.
    ///
    /// # Errors
    /// The operations'.
    fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, update: u64) -> Result<()>;

    /// What it keeps between updates, in an order that stays.
    fn held(&self) -> Vec<&Var>;
}

/// How one parameter moves.
pub enum Each {
    /// By the optimizer's own rule.
    Own(Box<dyn Mover>),
    /// As AdamW moves it.
    AdamW(Box<Moments>),
}

/// All parameters.
pub struct Movers {
    each: Vec<Each>,
    updates: u64,
}

impl Movers {
    /// Before the first update.
    pub fn new(each: Vec<Each>) -> Self {
        Self { each, updates: 0 }
    }
}

impl Optimizer for Movers {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        self.updates += 1;
        for ((each, var), grad) in self.each.iter_mut().zip(vars).zip(grads) {
            match each {
                Each::Own(mover) => mover.step(var, &(grad * now.scale)?, now.lr, self.updates)?,
                Each::AdamW(moments) => moments.step(var, grad, now.lr, now.scale)?,
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let mut state = Vec::new();
        for each in &self.each {
            match each {
                Each::Own(mover) => {
                    for var in mover.held() {
                        state.push(var.copy()?);
                    }
                }
                Each::AdamW(moments) => state.extend(moments.state()?),
            }
        }
        Ok(Some(state))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let mut given = state.iter();
        for each in &mut self.each {
            match each {
                Each::Own(mover) => {
                    for var in mover.held() {
                        let [given] = take(&mut given)?;
                        var.set(given)?;
                    }
                }
                Each::AdamW(moments) => moments.restore(take(&mut given)?, steps)?,
            }
        }
        self.updates = steps;
        Ok(())
    }
}
