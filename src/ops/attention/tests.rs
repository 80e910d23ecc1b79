//! Tests of `attention`.

use super::*;
use crate::ops::check::{agrees, check, odd_shapes, random};
use crate::ops::{DType, Ops};
use candle_core::Device;
use proptest::prelude::*;

fn packed(axes: Axes) -> [usize; 2] {
    [axes.rows(), axes.packed_width()]
}

#[test]
fn gradients_are_right() {
    for (batch, time, heads, kv_heads, head_width) in [
        (1, 1, 1, 1, 3),
        (2, 5, 2, 2, 3),
        (2, 4, 4, 2, 2),
        (1, 6, 3, 1, 4),
    ] {
        let axes = Axes {
            batch,
            time,
            heads,
            kv_heads,
            head_width,
            value_width: None,
            scale: None,
            window: None,
        };
        check(&[&packed(axes)], |ops, x| {
            ops.causal_attention(&(&x[0] * 2.0)?, axes)
        });
    }
    let scaled = Axes {
        batch: 2,
        time: 5,
        heads: 2,
        kv_heads: 1,
        head_width: 3,
        value_width: None,
        scale: Some(0.7),
        window: None,
    };
    check(&[&packed(scaled)], |ops, x| {
        ops.causal_attention(&(&x[0] * 2.0)?, scaled)
    });
    for (time, kv_heads) in [(64, 4), (65, 2), (130, 1)] {
        let axes = Axes {
            batch: 3,
            time,
            heads: 4,
            kv_heads,
            head_width: 16,
            value_width: None,
            scale: Some(0.125),
            window: None,
        };
        agrees(&[&packed(axes)], |ops, x| ops.causal_attention(&x[0], axes));
    }
}

#[test]
fn a_window_is_the_reference_with_a_mask() {
    let of = |time, head_width, window| Axes {
        batch: 2,
        time,
        heads: 4,
        kv_heads: 2,
        head_width,
        value_width: None,
        scale: None,
        window: Some(window),
    };
    for (time, window) in [(6, 1), (6, 2), (6, 5), (6, 6), (6, 9)] {
        let axes = of(time, 2, window);
        check(&[&packed(axes)], |ops, x| {
            ops.causal_attention(&(&x[0] * 2.0)?, axes)
        });
    }
    // Blocks of 64 queries: windows that end within one, at its end, beyond it.
    for (time, window) in [
        (65, 1),
        (130, 3),
        (130, 64),
        (200, 65),
        (200, 100),
        (64, 200),
    ] {
        let axes = of(time, 8, window);
        agrees(&[&packed(axes)], |ops, x| ops.causal_attention(&x[0], axes));
    }
}

#[test]
fn a_window_as_long_as_the_text_changes_no_bit() -> Result<()> {
    let all = Axes {
        batch: 2,
        time: 100,
        heads: 2,
        kv_heads: 1,
        head_width: 8,
        value_width: None,
        scale: None,
        window: None,
    };
    let x = random(&packed(all), DType::F32, 1)?;
    let run = |window| -> Result<Vec<Vec<f32>>> {
        let axes = Axes { window, ..all };
        Ops::fused().causal_attention(&x, axes)?.to_vec2()
    };
    assert_eq!(run(None)?, run(Some(100))?);
    assert_ne!(run(None)?, run(Some(99))?);
    assert!(run(Some(0)).is_err(), "a query sees at least itself");
    Ok(())
}

#[test]
fn views_are_right() {
    let axes = Axes {
        batch: 2,
        time: 3,
        heads: 2,
        kv_heads: 1,
        head_width: 2,
        value_width: None,
        scale: None,
        window: None,
    };
    let [rows, width] = packed(axes);
    check(&[&[width, rows]], |ops, x| {
        ops.causal_attention(&x[0].t()?, axes)
    });
}

#[test]
fn nothing_is_learnt_from_the_future() -> Result<()> {
    let axes = Axes {
        batch: 1,
        time: 70,
        heads: 2,
        kv_heads: 1,
        head_width: 4,
        value_width: None,
        scale: None,
        window: None,
    };
    let x = random(&packed(axes), DType::F32, 1)?;
    let y = Ops::fused().causal_attention(&x, axes)?.to_vec2::<f32>()?;
    let mut rows = x.to_vec2::<f32>()?;
    rows[67..].iter_mut().flatten().for_each(|x| *x += 1.0);
    let z = Ops::fused()
        .causal_attention(&Tensor::new(rows, &Device::Cpu)?, axes)?
        .to_vec2::<f32>()?;
    assert_eq!(y[..67], z[..67]);
    assert_ne!(y[67], z[67]);
    Ok(())
}

#[test]
fn axes_that_do_not_fit_are_refused() -> Result<()> {
    let axes = Axes {
        batch: 1,
        time: 2,
        heads: 3,
        kv_heads: 2,
        head_width: 4,
        value_width: None,
        scale: None,
        window: None,
    };
    let qkv = Tensor::zeros(&packed(axes), DType::F32, &Device::Cpu)?;
    for ops in [Ops::fused(), Ops::reference()] {
        assert!(ops.causal_attention(&qkv, axes).is_err(), "heads");
        assert!(
            ops.causal_attention(&qkv, Axes { time: 3, ..axes })
                .is_err(),
            "rows"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(odd_shapes())]
    #[test]
    fn any_shape(
        batch in 1..4usize,
        time in 1..140usize,
        kv_heads in 1..4usize,
        group in 1..4usize,
        head_width in 1..24usize,
        window in proptest::option::of(1..160usize),
    ) {
        let heads = kv_heads * group;
        let axes = Axes { batch, time, heads, kv_heads, head_width, value_width: None,
            scale: None, window };
        agrees(&[&packed(axes)], |ops, x| ops.causal_attention(&x[0], axes));
    }
}

/// Values narrower and wider than keys, with sinks and without, within a block of queries and over several.
#[test]
fn sinks_and_values_of_another_width() {
    let of = |time, kv_heads, value_width, window| Axes {
        batch: 2,
        time,
        heads: 4,
        kv_heads,
        head_width: 3,
        value_width,
        scale: None,
        window,
    };
    for axes in [
        of(5, 4, None, None),
        of(5, 2, Some(2), Some(3)),
        of(4, 1, Some(5), None),
    ] {
        check(&[&packed(axes), &[4]], |ops, x| {
            ops.attention_with(&(&x[0] * 2.0)?, Some(&x[1]), axes)
        });
        check(&[&packed(axes)], |ops, x| {
            ops.causal_attention(&(&x[0] * 2.0)?, axes)
        });
    }
    for axes in [of(70, 2, Some(7), None), of(140, 1, None, Some(66))] {
        agrees(&[&packed(axes), &[4]], |ops, x| {
            ops.attention_with(&x[0], Some(&x[1]), axes)
        });
    }
}

/// Row 7 of the output, and its sum, of one head with q, k of 4 and v of 3 numbers: sin(0.3 (t width + i) + c), c = 0, 1, 2. Computed
/// apart from this program, in f64 by NumPy.
#[test]
fn sinks_and_windows_give_the_numbers_known() -> Result<()> {
    let axes = |window| Axes {
        batch: 1,
        time: 8,
        heads: 1,
        kv_heads: 1,
        head_width: 4,
        value_width: Some(3),
        scale: None,
        window,
    };
    let row = |t: usize| {
        [(4, 0.0), (4, 1.0), (3, 2.0)]
            .into_iter()
            .flat_map(move |(d, c)| (0..d).map(move |i| (0.3 * (t * d + i) as f64 + c).sin()))
    };
    let qkv: Vec<f64> = (0..8).flat_map(row).collect();
    let qkv = Tensor::from_vec(qkv, (8, 11), &Device::Cpu)?;
    let sink = Tensor::zeros(1, DType::F64, &Device::Cpu)?;
    for (window, sinks, last, sum) in [
        (
            None,
            None,
            [0.4107689761, 0.3962002971, 0.3462402256],
            2.1281368530,
        ),
        (
            Some(3),
            None,
            [0.6056030398, 0.7383311927, 0.8051064191],
            2.5461153395,
        ),
        (
            None,
            Some(&sink),
            [0.3779712338, 0.3645657873, 0.3185947647],
            1.5618941254,
        ),
        (
            Some(3),
            Some(&sink),
            [0.5096060040, 0.6212947823, 0.6774851480],
            1.8097340576,
        ),
    ] {
        for ops in [Ops::fused(), Ops::reference()] {
            let y = ops.attention_with(&qkv, sinks, axes(window))?;
            let (y, total) = (y.to_vec2::<f64>()?, y.sum_all()?.to_scalar::<f64>()?);
            let far = y[7].iter().zip(last).map(|(y, known)| (y - known).abs());
            let far = far.fold((total - sum).abs(), f64::max);
            assert!(far < 1e-9, "{window:?} {sinks:?}: {far:e}");
        }
    }
    Ok(())
}
