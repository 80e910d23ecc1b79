//! What tasks with exact answers share: the answers follow from the tokens before, so that a window is written by its questions alone
//! and judged by answering them again. The oracle needs 0 nats.
//!
//! Windows that judge may ask for more than those that train: longer words, more digits, pairs that were left out. Their answers are
//! labelled apart.

use super::generated::Process;
use super::{HeldOut, IGNORE};
use crate::stream::Stream;

/// Whom a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Training,
    Judging,
}

/// An answer within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// The token that asks for it.
    pub at: usize,
    pub token: u32,
    /// Whether no window that trains asks for as much.
    pub beyond: bool,
    /// Of what it takes, where that is counted: 3 from 8 to 15.
    pub octave: usize,
}

/// A task. Token 0 is nothing: what a window has left over.
pub(super) trait Task: Send + Sync + 'static {
    /// Of its streams.
    const NAME: &'static str;

    /// Token ids are below this.
    fn vocab(&self) -> usize;

    /// Whether windows that judge ask for more than those that train.
    fn goes_beyond(&self) -> bool;

    /// Octaves of what answers take; one where that is not counted.
    fn octaves(&self) -> usize {
        1
    }

    /// Writes the tokens of one window, all 0 before.
    fn ask(&self, whom: For, stream: &mut Stream, inputs: &mut [u32]);

    /// Answers what the tokens ask; each answer depends on those up to its own.
    fn answer(&self, inputs: &[u32], say: &mut dyn FnMut(Answer));
}

/// A task as a process.
pub(super) struct Exact<T>(pub T);

impl<T: Task> Exact<T> {
    /// An index into the labels.
    fn label(&self, answer: Answer) -> u8 {
        let stages = 1 + usize::from(self.0.goes_beyond());
        (answer.octave * stages + usize::from(answer.beyond)) as u8
    }

    fn window(&self, whom: For, stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        inputs.fill(0);
        targets.fill(IGNORE);
        self.0.ask(whom, stream, inputs);
        self.0
            .answer(inputs, &mut |answer| targets[answer.at] = answer.token);
    }
}

impl<T: Task> Process for Exact<T> {
    const NAME: &'static str = T::NAME;
    const IS_TASK: bool = true;
    type State<'a> = ();

    fn vocab(&self) -> usize {
        self.0.vocab()
    }

    fn labels(&self) -> Vec<String> {
        let stages: &[&str] = match self.0.goes_beyond() {
            true => &["as trained", "beyond training"],
            false => &["as trained"],
        };
        let named = |octave: usize, stage: &str| match self.0.octaves() {
            1 => stage.to_owned(),
            _ => format!("{} to {}, {stage}", 1 << octave, (2 << octave) - 1),
        };
        let octaves = 0..self.0.octaves();
        octaves
            .flat_map(|octave| stages.iter().map(move |stage| named(octave, stage)))
            .collect()
    }

    fn state(&self) {}

    fn write(&self, _: &mut (), stream: &mut Stream, inputs: &mut [u32], targets: &mut [u32]) {
        self.window(For::Training, stream, inputs, targets);
    }

    fn write_unseen(
        &self,
        _: &mut (),
        _: HeldOut,
        stream: &mut Stream,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) {
        self.window(For::Judging, stream, inputs, targets);
    }

    fn judge(&self, _: &mut (), inputs: &[u32], targets: &[u32], say: &mut dyn FnMut(f64, u8)) {
        let mut answers = vec![None; inputs.len()];
        self.0
            .answer(inputs, &mut |answer| answers[answer.at] = Some(answer));
        for (&target, answer) in targets.iter().zip(answers) {
            let known = target == IGNORE || answer.is_some_and(|answer| answer.token == target);
            let label = answer.map_or(0, |answer| self.label(answer));
            say(if known { 0.0 } else { f64::INFINITY }, label);
        }
    }
}

/// What the tests of tasks share.
#[cfg(test)]
pub(super) mod testing {
    use super::super::testing::source;
    use super::super::{Batch, HeldOut, IGNORE, Source};
    use std::sync::Arc;

    /// A task's source.
    pub fn task(data: serde_json::Value, context: usize) -> Arc<dyn Source> {
        let source = source(data, context).unwrap();
        assert!(source.is_task());
        source
    }

    /// The tokens of each window, and where it asks for what.
    pub fn asked(batch: &Batch) -> Vec<(Vec<u32>, Vec<(usize, u32)>)> {
        let windows = batch.inputs.chunks(batch.context);
        let both = windows.zip(batch.targets.chunks(batch.context));
        let of_window = |(inputs, targets): (&[u32], &[u32])| {
            let asked = (0..targets.len()).filter(|&at| targets[at] != IGNORE);
            let asked = asked.map(|at| (at, targets[at])).collect();
            (inputs.to_vec(), asked)
        };
        both.map(of_window).collect()
    }

    /// The first batch that judges, with its labels.
    pub fn judged(source: &Arc<dyn Source>, context: usize) -> (Batch, Vec<u8>) {
        let test = source.held_out(HeldOut::Test, 64, context).unwrap();
        let first = test.into_iter().next().unwrap();
        (first.batch, first.oracle.unwrap().labels)
    }
}
