//! Tests of `attention`.

use super::*;
use crate::ops::check::{agrees, check, odd_shapes, random};
use crate::ops::{DType, Ops};
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
            scale: None,
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
        scale: Some(0.7),
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
            scale: Some(0.125),
        };
        agrees(&[&packed(axes)], |ops, x| ops.causal_attention(&x[0], axes));
    }
}

#[test]
fn views_are_right() {
    let axes = Axes {
        batch: 2,
        time: 3,
        heads: 2,
        kv_heads: 1,
        head_width: 2,
        scale: None,
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
        scale: None,
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
        scale: None,
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
    ) {
        let heads = kv_heads * group;
        let axes = Axes { batch, time, heads, kv_heads, head_width, scale: None };
        agrees(&[&packed(axes)], |ops, x| ops.causal_attention(&x[0], axes));
    }
}
