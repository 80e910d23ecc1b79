//! A layer against published numbers, finite differences and candle's plain operations.

use super::*;
use crate::ops::check::{agrees, check, odd_shapes};
use candle_core::{Device, Var};
use proptest::prelude::*;

/// Numbers of f32 in f64.
fn table(rows: usize, columns: usize, of: impl Fn(f64) -> f64) -> Result<Var> {
    let rounded = |at: usize| f64::from(of(at as f64) as f32);
    let numbers = (0..rows * columns).map(rounded).collect();
    let table: Tensor = Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?;
    Var::from_tensor(&table)
}

fn near(found: &[f64], truth: &[f64], what: &str) {
    for (found, truth) in found.iter().zip(truth) {
        assert!((found - truth).abs() < 1e-9, "{what}: {found} {truth}");
    }
}

/// Made with PyTorch's `LSTM`, in f64 of numbers that are rounded to f32: three channels, eight tokens, forget biases of 1 in both of its bias vectors.
#[test]
fn outputs_and_gradients_are_pytorchs() -> Result<()> {
    let x = table(8, 3, |at| (0.3 * at).sin())?;
    let w_ih = table(12, 3, |at| 0.3 * (at + 1.0).sin())?;
    let w_hh = table(12, 3, |at| 0.3 * (at + 1.0).cos())?;
    let lstm = Lstm {
        time: 8,
        forget: 2.0,
    };
    for ops in [Ops::fused(), Ops::reference()] {
        let tape = ops.tape();
        let on = ops.on(&tape);
        let (y, cells) = on.lstm(&on.linear(&x, &w_ih, None)?, &w_hh, None, lstm)?;
        let weights = table(8, 3, |at| (0.7 * at).sin())?;
        let loss = (&y * weights.as_detached_tensor())?.sum_all()?;
        let last: Vec<f64> = y.get(7)?.to_vec1()?;
        near(&last, &[0.062636168, 0.086626547, 0.075497043], "h");
        let cells: Vec<f64> = cells.flatten_all()?.to_vec1()?;
        near(&cells, &[0.145440929, 0.154497031, 0.174395956], "c");
        near(&[y.sum_all()?.to_scalar()?], &[1.661184626], "sum");
        near(&[loss.to_scalar()?], &[0.085217321], "loss");
        let mut gradients = tape.backward(&loss, 1.0)?;
        let mut of = |var: &Var| -> Result<Vec<f64>> {
            let gradient = gradients.take(var).expect("it has one");
            gradient.flatten_all()?.to_vec1()
        };
        near(&of(&x)?, &[0.015604132, 0.026119288, 0.012620492], "dx");
        near(&of(&w_ih)?, &[0.0189113672], "dW_ih");
        near(&of(&w_hh)?[9..], &[0.0048494484], "dW_hh");
    }
    Ok(())
}

fn run(time: usize) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
    move |ops, x| {
        let lstm = Lstm { time, forget: 0.7 };
        Ok(ops.lstm(&x[0], &x[1], None, lstm)?.0)
    }
}

#[test]
fn gradients_are_right() {
    check(&[&[6, 8], &[8, 2]], run(3));
    check(&[&[5, 12], &[12, 3]], |ops, x| {
        // No recurrence has no gradient of its weights, which `check` asks for: they are used beside it.
        let (y, _) = ops.lstm(
            &x[0],
            &x[1],
            None,
            Lstm {
                time: 5,
                forget: 0.0,
            },
        )?;
        ops.linear(&y, &x[1], None)
    });
    // More windows than go together, on two threads.
    agrees(&[&[90, 4 * 33], &[4 * 33, 33]], run(10));
}

proptest! {
    #![proptest_config(odd_shapes())]
    #[test]
    fn any_shape(windows in 1..10usize, time in 2..9usize, c in 1..40usize) {
        agrees(&[&[windows * time, 4 * c], &[4 * c, c]], run(time));
    }
}

/// A window in pieces, each begun with the cells and the output of the one before, is the window whole.
#[test]
fn pieces_are_the_whole() -> Result<()> {
    let (time, c) = (7, 5);
    for (ops, windows) in [(Ops::fused(), 3), (Ops::fused(), 6), (Ops::reference(), 3)] {
        let z = table(windows * time, 4 * c, |at| (1.3 * at).sin())?.as_detached_tensor();
        let w = table(4 * c, c, |at| (0.7 * at).cos())?.as_detached_tensor();
        let lstm = |time: usize| Lstm { time, forget: 1.0 };
        let (whole, last) = ops.lstm(&z, &w, None, lstm(time))?;
        let z = z.reshape((windows, time, 4 * c))?;
        let (mut pieces, mut state) = (Vec::new(), None::<(Tensor, Tensor)>);
        for (from, new) in [(0, 3), (3, 1), (4, 1), (5, 2)] {
            let mut piece = z.narrow(1, from, new)?.contiguous()?;
            if let Some((before, _)) = &state {
                let product = ops.linear(before, &w, None)?.unsqueeze(1)?;
                let first = (piece.narrow(1, 0, 1)? + product)?;
                piece = Tensor::cat(&[&first, &piece.narrow(1, 1, new - 1)?], 1)?;
            }
            let piece = piece.reshape((windows * new, 4 * c))?;
            let cells = state.as_ref().map(|(_, cells)| cells);
            let (y, cells) = ops.lstm(&piece, &w, cells, lstm(new))?;
            let y = y.reshape((windows, new, c))?;
            let before = y.narrow(1, new - 1, 1)?.squeeze(1)?.contiguous()?;
            state = Some((before, cells));
            pieces.push(y);
        }
        let numbers = |x: &Tensor| x.flatten_all()?.to_vec1::<f64>();
        let pieces = Tensor::cat(&pieces, 1)?;
        near(&numbers(&pieces)?, &numbers(&whole)?, "outputs");
        near(
            &numbers(&state.expect("pieces").1)?,
            &numbers(&last)?,
            "cells",
        );
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (z, w) = (table(6, 8, f64::sin)?, table(8, 2, f64::sin)?);
    let lstm = |time: usize| Lstm { time, forget: 1.0 };
    let refused = |z: &Tensor, w: &Tensor, cells: Option<&Tensor>, time: usize| {
        let error = Ops::reference().lstm(z, w, cells, lstm(time));
        error.expect_err("it does not fit").to_string()
    };
    assert!(refused(&z, &w, None, 4).contains("windows of 4 tokens"));
    assert!(refused(&z, &z, None, 3).contains("windows of 3 tokens"));
    let cells = table(3, 2, f64::sin)?;
    assert!(refused(&z, &w, Some(&cells), 3).contains("do not begin"));
    assert!(refused(&z, &w, Some(&cells), 2).contains("no gradient"));
    Ok(())
}
