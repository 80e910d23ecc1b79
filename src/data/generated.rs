//! What all generated sources share: windows drawn one by one, each from its own stream, without end.
//!
//! Window number `step * rows + row` of a seed is the same whatever the batch size, so that arms with different batches see
//! the same windows in the same order. Validation windows come from a stream of another name, which no seed can reach:
//! they are independent draws, and that one equals a training window is as unlikely as drawing the same document twice. Test
//! windows come from a stream of a third name, so that no sweep has seen what judges.

use super::problems::Problems;
use super::{Batch, HeldOut, Oracle, Source, Validation};
use crate::error::Result;
use crate::stream::{Stream, stream};

/// A random process that writes windows and knows its own probabilities.
pub(super) trait Process: Send + Sync {
    /// Of its streams: `language`.
    const NAME: &'static str;
    /// Whether the answers are the point: see [`Source::is_task`].
    const IS_TASK: bool = false;
    /// What writing needs to remember, kept from window to window to save allocations; it must not carry anything over.
    type State<'a>
    where
        Self: 'a;

    /// Token ids are below this.
    fn vocab(&self) -> usize;

    /// Names of the labels.
    fn labels(&self) -> Vec<String>;

    /// Fresh memory for one thread.
    fn state(&self) -> Self::State<'_>;

    /// Writes one window and the token that follows each of its tokens.
    fn write(
        &self,
        state: &mut Self::State<'_>,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    );

    /// The same of a window that judges, where that asks for more than those that train, or for what they leave out.
    fn write_unseen(
        &self,
        state: &mut Self::State<'_>,
        part: HeldOut,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) {
        let _ = part;
        self.write(state, stream, inputs, targets);
    }

    /// Says for each target of a window its exact -ln p in nats, given the inputs up to there, and its label; 0 where nothing is
    /// asked, infinite where a target cannot be.
    fn judge(
        &self,
        state: &mut Self::State<'_>,
        inputs: &[u32],
        targets: &[u32],
        say: &mut dyn FnMut(f64, u8),
    );

    /// See [`Source::problems`].
    fn problems(&self) -> Option<&dyn Problems> {
        None
    }
}

/// A process as a data source.
pub(super) struct Generated<P> {
    pub process: P,
    pub validation_tokens: usize,
}

impl<P: Process> Generated<P> {
    /// Windows of a part that judges, or those that train.
    fn batch(
        &self,
        part: Option<HeldOut>,
        seed: u64,
        first: u64,
        rows: usize,
        context: usize,
    ) -> Batch {
        let named = match part {
            Some(HeldOut::Validation) => "validation",
            Some(_) => "test",
            None => "train",
        };
        let name = format!("data/{}/{named}", P::NAME);
        let (mut inputs, mut targets) = (vec![0; rows * context], vec![0; rows * context]);
        let mut state = self.process.state();
        for row in 0..rows {
            let window = row * context..(row + 1) * context;
            let mut stream = stream(&name, seed, first.wrapping_add(row as u64));
            let (inputs, targets) = (&mut inputs[window.clone()], &mut targets[window]);
            let process = &self.process;
            match part {
                None => process.write(&mut state, &mut stream, inputs, targets),
                Some(part) => process.write_unseen(&mut state, part, &mut stream, inputs, targets),
            }
        }
        Batch {
            rows,
            context,
            inputs,
            targets,
        }
    }

    /// Windows of a stream that no seed of a training can reach.
    fn unseen(&self, part: HeldOut, rows: usize, context: usize) -> Vec<Validation> {
        let windows = self.validation_tokens.div_ceil(context);
        let batches = (0..windows).step_by(rows).map(|first| {
            let batch = self.batch(
                Some(part),
                0,
                first as u64,
                rows.min(windows - first),
                context,
            );
            let oracle = Some(self.oracle(&batch));
            Validation { batch, oracle }
        });
        batches.collect()
    }

    /// The exact probabilities of a batch.
    pub fn oracle(&self, batch: &Batch) -> Oracle {
        let mut oracle = Oracle {
            nats: Vec::with_capacity(batch.inputs.len()),
            labels: Vec::new(),
        };
        let mut state = self.process.state();
        for (inputs, targets) in batch
            .inputs
            .chunks(batch.context)
            .zip(batch.targets.chunks(batch.context))
        {
            self.process
                .judge(&mut state, inputs, targets, &mut |nats, label| {
                    oracle.nats.push(nats);
                    oracle.labels.push(label);
                });
        }
        oracle
    }
}

impl<P: Process> Source for Generated<P> {
    fn vocab(&self) -> usize {
        self.process.vocab()
    }

    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch {
        self.batch(None, seed, step.wrapping_mul(rows as u64), rows, context)
    }

    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>> {
        Ok(self.unseen(HeldOut::Validation, rows, context))
    }

    /// Each part has as many windows as the validation set, and none of the other's.
    fn held_out(&self, part: HeldOut, rows: usize, context: usize) -> Result<Vec<Validation>> {
        let of = |part| self.unseen(part, rows, context);
        Ok(match part {
            HeldOut::All => [of(HeldOut::Validation), of(HeldOut::Test)].concat(),
            part => of(part),
        })
    }

    fn validation_tokens(&self) -> Option<u64> {
        Some(self.validation_tokens as u64)
    }

    fn oracle(&self, batch: &Batch) -> Option<Oracle> {
        Some(Generated::oracle(self, batch))
    }

    fn labels(&self) -> Vec<String> {
        self.process.labels()
    }

    fn is_task(&self) -> bool {
        P::IS_TASK
    }

    fn problems(&self) -> Option<&dyn Problems> {
        self.process.problems()
    }
}
