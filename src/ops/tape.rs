//! The record of a forward pass, walked back for the gradients.
//!
//! candle's own `backward` pays for every edge of the graph: a tensor of zeros, then a sum on one thread into a third tensor,
//! also for the arguments that nobody needs a gradient of; and it keeps every activation alive until its end. Here the first
//! gradient of a tensor is taken as it is, the next is added into it in place, and what a step back no longer needs is freed.
//!
//! Both kinds of operation mix. To candle, what a fused op puts on the tape is a variable: a leaf, where its own graph of plain
//! operations begins and where its `backward` stops. A fused op that takes a tensor made by plain operations hands its gradient
//! to candle, and what arrives at the leaves goes on along the tape.
//!
//! A fused op on tracked tensors without a tape is an error: its gradient would be lost without a word.

use super::cpu::rows::add_into;
use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage,
    Tensor, TensorId, bail,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a forward pass did, in order. One tape, one backward pass.
#[derive(Default)]
pub struct Tape {
    entries: Mutex<Vec<Entry>>,
    /// Adds gradients up, where they do not lie on the host.
    device: Option<Arc<dyn AddInto>>,
}

/// A device that adds one tensor to another of its shape and type, in place. The numbers of the first must be nobody else's.
pub(super) trait AddInto: Send + Sync {
    /// `sum += x`.
    fn add_into(&self, sum: &Tensor, x: &Tensor) -> Result<()>;
}

/// From the gradient of an output to those of the inputs; `None` where there is none.
pub(super) type Back =
    Box<dyn FnOnce(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send>;

struct Entry {
    inputs: Vec<Tensor>,
    output: Tensor,
    back: Back,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tape for operations on another device.
    pub(super) fn adding(device: impl AddInto + 'static) -> Self {
        Self {
            device: Some(Arc::new(device)),
            ..Self::default()
        }
    }

    /// Records that `output` came of `inputs`, and how its gradient becomes theirs.
    pub(super) fn put(&self, inputs: Vec<Tensor>, output: Tensor, back: Back) {
        super::dispatch::count(&output);
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Entry {
                inputs,
                output,
                back,
            });
    }

    /// The gradient of `seed` times the sum over `loss`, usually a scalar, with respect to every variable behind it.
    ///
    /// # Errors
    /// Where an operation has no gradient.
    pub fn backward(self, loss: &Tensor, seed: f64) -> Result<Gradients> {
        let mut gradients = Gradients {
            of: HashMap::new(),
            device: self.device,
        };
        let seed = (loss.ones_like()? * seed)?;
        gradients.add(loss, seed, Owner::Shared)?;
        let mut entries = self
            .entries
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some(Entry {
            inputs,
            output,
            back,
        }) = entries.pop()
        {
            // An output that the loss does not depend on has no gradient.
            let Some(Held { tensor: g, .. }) = gradients.of.remove(&output.id()) else {
                continue;
            };
            let of_inputs = back(&inputs, &output, &g)?;
            drop(output);
            let mut seen = vec![address(&g)];
            for (input, gradient) in inputs.iter().zip(of_inputs) {
                let Some(gradient) = gradient else { continue };
                // A residual hands on the very gradient it got: then several readers share its numbers.
                let address = address(&gradient);
                let owner = if seen.contains(&address) {
                    Owner::Shared
                } else {
                    Owner::Alone
                };
                seen.push(address);
                gradients.add(input, gradient, owner)?;
            }
        }
        Ok(gradients)
    }
}

/// Where a tensor's numbers are held: equal for tensors that share them.
fn address(tensor: &Tensor) -> usize {
    let (storage, _) = tensor.storage_and_layout();
    std::ptr::from_ref::<Storage>(&storage).addr()
}

/// Whether the numbers of a gradient belong to nobody else, so that they may be changed in place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Alone,
    Shared,
}

struct Held {
    tensor: Tensor,
    owner: Owner,
}

/// Gradients by tensor.
#[derive(Default)]
pub struct Gradients {
    of: HashMap<TensorId, Held>,
    device: Option<Arc<dyn AddInto>>,
}

impl Gradients {
    /// Takes out the gradient of a variable; `None` where the loss does not depend on it.
    pub fn take(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.of.remove(&variable.id()).map(|held| held.tensor)
    }

    /// Whether every gradient was taken. What is left over belongs to a variable that nobody asked for, or to an operation
    /// that was recorded on another tape.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Adds to the gradient of a tensor: of a leaf here, of one that plain operations made by candle, down to its leaves.
    /// Each call for the latter walks back all plain operations up to the next leaves, so a residual stream is best added up
    /// by [`Ops::add`](super::Ops::add).
    fn add(&mut self, tensor: &Tensor, gradient: Tensor, owner: Owner) -> Result<()> {
        if tensor.is_variable() {
            return self.add_to_leaf(tensor.id(), gradient, owner);
        }
        if tensor.track_op() {
            let injected = tensor.apply_op1(Inject(gradient))?;
            let mut store = injected.backward()?;
            for leaf in injected
                .sorted_nodes()
                .into_iter()
                .filter(|node| node.is_variable())
            {
                if let Some(gradient) = store.remove(leaf) {
                    self.add_to_leaf(leaf.id(), gradient.detach(), Owner::Shared)?;
                }
            }
        }
        Ok(())
    }

    fn add_to_leaf(&mut self, id: TensorId, gradient: Tensor, owner: Owner) -> Result<()> {
        let sum = match self.of.remove(&id) {
            None => Held {
                tensor: gradient,
                owner,
            },
            Some(Held {
                tensor: known,
                owner: Owner::Alone,
            }) => {
                self.add_in_place(&known, &gradient)?;
                Held {
                    tensor: known,
                    owner: Owner::Alone,
                }
            }
            Some(Held { tensor: known, .. }) if owner == Owner::Alone => {
                self.add_in_place(&gradient, &known)?;
                Held {
                    tensor: gradient,
                    owner,
                }
            }
            Some(Held { tensor: known, .. }) => Held {
                tensor: (known + gradient)?,
                owner: Owner::Shared,
            },
        };
        self.of.insert(id, sum);
        Ok(())
    }

    fn add_in_place(&self, sum: &Tensor, x: &Tensor) -> Result<()> {
        match &self.device {
            Some(device) => device.add_into(sum, x),
            None => add_into(sum, x),
        }
    }
}

/// A scalar whose backward pass hands a given gradient to its argument.
struct Inject(Tensor);

impl CustomOp1 for Inject {
    fn name(&self) -> &'static str {
        "inject a gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let zero = match storage {
            CpuStorage::F64(_) => CpuStorage::F64(vec![0.0]),
            _ => CpuStorage::F32(vec![0.0]),
        };
        Ok((zero, Shape::from(())))
    }

    fn cuda_fwd(&self, storage: &CudaStorage, _layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = Shape::from(());
        Ok((storage.device().zeros_impl(&shape, storage.dtype())?, shape))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, _g: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

/// Whether any of the inputs is tracked; an error if one is and there is no tape.
pub(super) fn tracked(tape: Option<&Tape>, inputs: &[&Tensor]) -> Result<bool> {
    let tracked = inputs.iter().any(|input| input.track_op());
    if tracked && tape.is_none() {
        bail!("a fused op on tracked tensors needs a tape, or their gradient would be lost");
    }
    Ok(tracked)
}

/// Runs an op and puts it on the tape, if any of its inputs is tracked.
pub(super) fn put<const N: usize>(
    tape: Option<&Tape>,
    inputs: [&Tensor; N],
    run: impl FnOnce([(&CpuStorage, &Layout); N]) -> Result<(CpuStorage, Shape)>,
    back: impl FnOnce(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + 'static,
) -> Result<Tensor> {
    let tracked = tracked(tape, &inputs)?;
    let (storage, shape) = {
        let held = inputs.map(Tensor::storage_and_layout);
        for (storage, _) in &held {
            if !matches!(&**storage, Storage::Cpu(_)) {
                bail!(
                    "a fused op got a tensor on {:?}",
                    storage.device().location()
                );
            }
        }
        run(held.each_ref().map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => (storage, *layout),
            _ => unreachable!("checked above"),
        }))?
    };
    let output = Tensor::from_storage(Storage::Cpu(storage), shape, BackpropOp::none(), tracked);
    if let Some(tape) = tape
        && tracked
    {
        tape.put(
            inputs.map(Tensor::clone).into(),
            output.clone(),
            Box::new(back),
        );
    }
    Ok(output)
}

/// [`CustomOp1`] on the tape.
pub(super) fn apply1<C>(tape: Option<&Tape>, op: C, x: &Tensor) -> Result<Tensor>
where
    C: CustomOp1 + Send + Sync + 'static,
{
    let op = Arc::new(op);
    let run = op.clone();
    put(
        tape,
        [x],
        |[(x, lx)]| run.cpu_fwd(x, lx),
        move |i, y, g| Ok(vec![op.bwd(&i[0], y, g)?]),
    )
}

/// [`CustomOp2`] on the tape.
pub(super) fn apply2<C>(tape: Option<&Tape>, op: C, [a, b]: [&Tensor; 2]) -> Result<Tensor>
where
    C: CustomOp2 + Send + Sync + 'static,
{
    let op = Arc::new(op);
    let run = op.clone();
    let forward = |[(a, la), (b, lb)]: [(&CpuStorage, &Layout); 2]| run.cpu_fwd(a, la, b, lb);
    put(tape, [a, b], forward, move |i, y, g| {
        let (a, b) = op.bwd(&i[0], &i[1], y, g)?;
        Ok(vec![a, b])
    })
}

/// [`CustomOp3`] on the tape.
pub(super) fn apply3<C>(tape: Option<&Tape>, op: C, [a, b, c]: [&Tensor; 3]) -> Result<Tensor>
where
    C: CustomOp3 + Send + Sync + 'static,
{
    let op = Arc::new(op);
    let run = op.clone();
    let forward =
        |[(a, la), (b, lb), (c, lc)]: [(&CpuStorage, &Layout); 3]| run.cpu_fwd(a, la, b, lb, c, lc);
    put(tape, [a, b, c], forward, move |i, y, g| {
        let (a, b, c) = op.bwd(&i[0], &i[1], &i[2], y, g)?;
        Ok(vec![a, b, c])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;
    use candle_core::{Device, Var};

    fn var(numbers: &[f64]) -> Result<Var> {
        Var::from_tensor(&Tensor::new(numbers, &Device::Cpu)?.reshape((1, numbers.len()))?)
    }

    fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
        tensor.flatten_all()?.to_vec1()
    }

    #[test]
    fn plain_operations_between_fused_ones_hand_the_gradient_on() -> Result<()> {
        let (a, b) = (var(&[1.0, 2.0])?, var(&[3.0, -1.0])?);
        let tape = Tape::new();
        let ops = Ops::fused().on(&tape);
        // y = relu(a * b + a) + a, with the product by candle, then squared by candle.
        let plain = ((a.as_tensor() * b.as_tensor())? + a.as_tensor())?;
        let y = ops.add(&ops.relu(&plain)?, &a)?;
        let loss = y.sqr()?.sum_all()?;
        let mut gradients = tape.backward(&loss, 0.5)?;
        // y = (4 + 1, 0 + 2); dloss/dy = y; relu passes the first number only (the second is 0).
        assert_eq!(
            numbers(&gradients.take(&a).unwrap())?,
            [5.0 * (3.0 + 1.0 + 1.0), 2.0]
        );
        assert_eq!(numbers(&gradients.take(&b).unwrap())?, [5.0, 0.0]);
        assert!(
            gradients.take(&a).is_none() && gradients.is_empty(),
            "taken out"
        );
        Ok(())
    }

    #[test]
    fn a_tensor_used_often_gets_the_sum_and_shared_gradients_stay_whole() -> Result<()> {
        let x = var(&[1.0, -2.0])?;
        let tape = Tape::new();
        let ops = Ops::fused().on(&tape);
        let mut y = x.as_tensor().clone();
        // Each step doubles, by a residual of y and y, then adds relu(x).
        for _ in 0..3 {
            y = ops.add(&ops.add(&y, &y)?, &ops.relu(&x)?)?;
        }
        let unused = ops.relu(&y)?;
        let mut gradients = tape.backward(&y, 1.0)?;
        assert_eq!(
            numbers(&gradients.take(&x).unwrap())?,
            [8.0 + 4.0 + 2.0 + 1.0, 8.0]
        );
        drop(unused);
        Ok(())
    }

    #[test]
    fn what_another_tape_recorded_is_left_over() -> Result<()> {
        let x = var(&[1.0])?;
        let (tape, other) = (Tape::new(), Tape::new());
        let y = Ops::fused()
            .on(&tape)
            .add(&x, &Ops::fused().on(&other).relu(&x)?)?;
        let mut gradients = tape.backward(&y, 1.0)?;
        assert_eq!(numbers(&gradients.take(&x).unwrap())?, [1.0]);
        assert!(
            !gradients.is_empty(),
            "the gradient of relu(x) went nowhere"
        );
        Ok(())
    }

    #[test]
    fn a_gradient_is_never_lost_in_silence() -> Result<()> {
        let x = var(&[1.0])?;
        let message = Ops::fused().relu(&x).unwrap_err().to_string();
        assert!(message.contains("needs a tape"), "{message}");
        let tape = Tape::new();
        let y = Ops::fused().on(&tape).relu(&x.as_detached_tensor())?;
        assert!(!y.track_op(), "nothing to track");
        assert!(tape.backward(&y, 1.0)?.take(&x).is_none());
        Ok(())
    }
}
