//! Linear attention against published vectors, finite differences, its recurrence, and what it counts.

use super::*;
use crate::ops::check::{agrees, check, distance, flat, odd_shapes, random};
use crate::ops::{Ops, counted};
use candle_core::{Device, Var};
use proptest::prelude::*;

/// One head of one window, of which nothing decays and all is written.
fn plain(time: usize, key_width: usize, value_width: usize) -> LinearAxes {
    LinearAxes {
        batch: 1,
        time,
        heads: 1,
        key_heads: 1,
        key_width,
        value_width,
        decay: Decay::None,
        delta: false,
        writes: false,
        features: Features::Plain,
        scale: 0.5,
        chunk: 8,
    }
}

/// Every combination of decay, rule and gate.
fn switches(of: LinearAxes) -> Vec<LinearAxes> {
    let mut all = Vec::new();
    for decay in [Decay::None, Decay::Head, Decay::Channel] {
        for delta in [false, true] {
            for writes in [false, true] {
                all.push(LinearAxes {
                    decay,
                    delta,
                    writes,
                    ..of
                });
            }
        }
    }
    all
}

fn shapes(axes: LinearAxes, skip: bool) -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![axes.rows(), axes.packed_width()]];
    if axes.gates_width() > 0 {
        shapes.push(vec![axes.rows(), axes.gates_width()]);
    }
    if skip {
        shapes.push(vec![axes.heads]);
    }
    shapes
}

fn inputs<'a>(axes: LinearAxes, x: &'a [Tensor]) -> LinearInputs<'a> {
    let gated = usize::from(axes.gates_width() > 0);
    LinearInputs {
        qkv: &x[0],
        gates: x.get(gated).filter(|_| gated > 0),
        skip: x.get(1 + gated),
    }
}

fn run(axes: LinearAxes) -> impl Fn(Ops, &[Tensor]) -> Result<Tensor> + Sync {
    // Gates within what they can be: a state neither explodes nor is gone at once.
    move |ops, x| {
        let mut x = x.to_vec();
        if axes.gates_width() > 0 {
            x[1] = (&x[1] * 0.3)?;
        }
        if axes.delta && axes.features == Features::Plain {
            x[0] = (&x[0] * 0.3)?;
        }
        ops.linear_attention(inputs(axes, &x), axes)
    }
}

fn as_slices(shapes: &[Vec<usize>]) -> Vec<&[usize]> {
    shapes.iter().map(Vec::as_slice).collect()
}

#[test]
fn gradients_of_every_switch_are_those_of_finite_differences() {
    for axes in switches(LinearAxes {
        batch: 2,
        heads: 2,
        key_heads: 2,
        chunk: 2,
        ..plain(5, 3, 2)
    }) {
        check(&as_slices(&shapes(axes, true)), run(axes));
    }
    // Shared keys, features, blocks within a chunk.
    for features in [Features::Plain, Features::Unit, Features::Elu] {
        let axes = LinearAxes {
            heads: 4,
            key_heads: 2,
            chunk: 3,
            decay: Decay::Channel,
            delta: true,
            writes: true,
            features,
            ..plain(4, 2, 3)
        };
        check(&as_slices(&shapes(axes, false)), run(axes));
    }
}

/// Chunks of several blocks, and what is left over.
#[test]
fn long_windows_agree_with_the_recurrence() {
    for axes in switches(LinearAxes {
        batch: 2,
        heads: 2,
        key_heads: 1,
        chunk: 40,
        features: Features::Unit,
        ..plain(93, 12, 10)
    }) {
        agrees(&as_slices(&shapes(axes, true)), run(axes));
    }
}

proptest! {
    #![proptest_config(odd_shapes())]
    #[test]
    fn any_shape(
        time in 1..40usize,
        chunk in 1..50usize,
        dk in 1..20usize,
        dv in 1..20usize,
        which in 0..12usize,
        group in 1..3usize,
    ) {
        let axes = LinearAxes {
            batch: 2,
            heads: 2 * group,
            key_heads: 2,
            chunk,
            features: Features::Unit,
            ..plain(time, dk, dv)
        };
        let axes = switches(axes)[which];
        agrees(&as_slices(&shapes(axes, false)), run(axes));
    }
}

/// What is decoded, several tokens and one at a time, is what a whole window gives, and work is what is counted.
#[test]
fn a_state_goes_on_where_a_window_ended() -> Result<()> {
    for axes in switches(LinearAxes {
        batch: 2,
        heads: 4,
        key_heads: 2,
        chunk: 4,
        features: Features::Unit,
        ..plain(15, 6, 5)
    }) {
        let all: Vec<Tensor> = shapes(axes, true)
            .iter()
            .zip(1..)
            .map(|(shape, seed)| random(shape, DType::F64, seed))
            .collect::<Result<_>>()?;
        let whole = run(axes)(Ops::fused(), &all)?.reshape((2, 15, axes.width()))?;
        for ops in [Ops::fused(), Ops::reference()] {
            let mut state = Tensor::zeros((8, 6, 5), DType::F64, &Device::Cpu)?;
            let mut at = 0;
            for time in [6, 1, 1, 5, 2] {
                let part = LinearAxes { time, ..axes };
                let mut x = all.clone();
                for x in &mut x[..shapes(axes, false).len()] {
                    let width = x.dim(1)?;
                    let rows = x.reshape((2, 15, width))?.narrow(1, at, time)?;
                    *x = rows.reshape((2 * time, width))?;
                }
                if axes.gates_width() > 0 {
                    x[1] = (&x[1] * 0.3)?;
                }
                let (made, flops) =
                    counted(|| ops.linear_attention_after(inputs(axes, &x), &state, part))?;
                let [y, after] = made?;
                let truth = flat(&whole.narrow(1, at, time)?)?;
                assert!(distance(&flat(&y)?, &truth) < 1e-12, "{axes:?} at {at}");
                if ops.is_fused() {
                    let products = axes.products_after(time).forward;
                    assert_eq!(flops, 8 * 2 * products, "{axes:?} of {time}");
                }
                (state, at) = (after, at + time);
            }
        }
    }
    Ok(())
}

#[test]
fn work_is_what_is_counted() -> Result<()> {
    for time in [1, 7, 8, 9, 40] {
        for axes in switches(LinearAxes {
            heads: 2,
            key_heads: 2,
            chunk: if time == 40 { 33 } else { 8 },
            ..plain(time, 3, 5)
        }) {
            let vars: Vec<Var> = shapes(axes, false)
                .iter()
                .map(|shape| Var::from_tensor(&random(shape, DType::F64, 1)?))
                .collect::<Result<_>>()?;
            let (done, flops) = counted(|| -> Result<u64> {
                let tape = Tape::new();
                let x: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
                let ops = Ops::fused().on(&tape);
                let y = ops.linear_attention(inputs(axes, &x), axes)?;
                tape.backward(&y, 1.0)?;
                Ok(0)
            })?;
            done?;
            let products = axes.products(time);
            let claimed = 2 * 2 * (products.forward + products.backward);
            assert_eq!(flops, claimed, "{axes:?}");
        }
    }
    Ok(())
}

/// The sizes and vectors of the checks below: `x(d, c)[t, i] = sin(0.3 (t d + i) + c)`.
fn wave(d: usize, c: f64) -> Vec<f64> {
    (0..8 * d).map(|i| (0.3 * i as f64 + c).sin()).collect()
}

fn unit(k: &[f64]) -> Vec<f64> {
    let row = |k: &[f64]| {
        let root = (k.iter().map(|k| k * k).sum::<f64>() + 1e-6).sqrt();
        k.iter().map(|k| k / root).collect::<Vec<_>>()
    };
    k.chunks(4).flat_map(row).collect()
}

fn columns(parts: &[(&[f64], usize)]) -> Result<Tensor> {
    let parts = parts
        .iter()
        .map(|(x, d)| Tensor::from_slice(x, (8, *d), &Device::Cpu))
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 1)
}

/// A kind, whether write gates are there and what multiplies them, the last row of the output, its sum, and the 2-norm of the state: of
/// naive recurrences in f64, which for every row agree with flash-linear-attention's reference code (commit bc3b101d) to that
/// code's rounding in f32.
const KNOWN: [(&str, Decay, Option<f64>, &str); 7] = [
    (
        "linear attention",
        Decay::None,
        None,
        "3.1052143851 3.1187053380 2.8536116314 16.5004449607 9.6670369531",
    ),
    (
        "one decay a head",
        Decay::Head,
        None,
        "1.4002999433 1.5708518316 1.6010842041 8.2726758687 4.6936201624",
    ),
    (
        "GLA",
        Decay::Channel,
        None,
        "1.8127004060 1.9461119447 1.9056830994 10.1461640297 5.9040296242",
    ),
    (
        "DeltaNet",
        Decay::None,
        Some(1.0),
        "0.3302333479 0.3147235481 0.2711004312 0.4677650062 1.0457072376",
    ),
    (
        "Gated DeltaNet",
        Decay::Head,
        Some(1.0),
        "0.1627398381 0.1709099770 0.1638132368 -0.2158983088 0.7078761150",
    ),
    (
        "the same, beta doubled",
        Decay::Head,
        Some(2.0),
        "0.1800471957 0.1894859069 0.1819984063 -1.0469998540 1.3691650080",
    ),
    (
        "KDA",
        Decay::Channel,
        Some(1.0),
        "0.2030494846 0.2057009596 0.1899777804 -0.0623448014 0.7785584635",
    ),
];

/// What goes into the vectors' recurrences.
fn known_inputs(decay: Decay, beta: Option<f64>) -> Result<(Tensor, Option<Tensor>)> {
    let by = |f: &dyn Fn(usize) -> f64, count: usize| (0..count).map(f).collect::<Vec<f64>>();
    let (q, k, v) = (wave(4, 0.0), wave(4, 1.0), wave(3, 2.0));
    let k = if beta.is_some() { unit(&k) } else { k };
    let qkv = columns(&[(&q, 4), (&k, 4), (&v, 3)])?;
    let g = by(&|t| -0.1 * (1 + t % 3) as f64, 8);
    let gk = by(&|i| -0.05 * (1 + (i / 4 + i % 4) % 4) as f64, 32);
    let betas = beta.map(|factor| by(&|t| factor * (0.2 + 0.1 * (t % 5) as f64), 8));
    let mut parts: Vec<(&[f64], usize)> = Vec::new();
    match decay {
        Decay::None => {}
        Decay::Head => parts.push((&g, 1)),
        Decay::Channel => parts.push((&gk, 4)),
    }
    parts.extend(betas.iter().map(|betas| (&betas[..], 1)));
    let gates = (!parts.is_empty()).then(|| columns(&parts));
    Ok((qkv, gates.transpose()?))
}

#[test]
fn outputs_and_states_are_those_of_reference_code() -> Result<()> {
    for (name, decay, beta, expected) in KNOWN {
        let (qkv, gates) = known_inputs(decay, beta)?;
        for chunk in [1, 2, 4, 8] {
            let axes = LinearAxes {
                decay,
                delta: beta.is_some(),
                writes: beta.is_some(),
                chunk,
                ..plain(8, 4, 3)
            };
            let inputs = LinearInputs {
                qkv: &qkv,
                gates: gates.as_ref(),
                skip: None,
            };
            let state = Tensor::zeros((1, 4, 3), DType::F64, &Device::Cpu)?;
            let [_, state] = Ops::fused().linear_attention_after(inputs, &state, axes)?;
            let o = flat(&Ops::fused().linear_attention(inputs, axes)?)?;
            let norm = flat(&state)?.iter().map(|s| s * s).sum::<f64>().sqrt();
            let found = [o[21], o[22], o[23], o.iter().sum(), norm];
            for (found, expected) in found.into_iter().zip(expected.split(' ')) {
                let far = (found - expected.parse::<f64>().unwrap()).abs();
                assert!(far < 1e-9, "{name} by {chunk}: {found} {expected}");
            }
        }
    }
    Ok(())
}

/// Of the sum of `o_ti sin(0.7 (3 t + i))` of Gated DeltaNet, through the norm of its keys.
#[test]
fn gradients_are_those_of_reference_code() -> Result<()> {
    let var = |x: Vec<f64>, d: usize| Var::from_tensor(&Tensor::from_vec(x, (8, d), &Device::Cpu)?);
    let (q, k, v) = (
        var(wave(4, 0.0), 4)?,
        var(wave(4, 1.0), 4)?,
        var(wave(3, 2.0), 3)?,
    );
    let g = var((0..8).map(|t| -0.1 * (1 + t % 3) as f64).collect(), 1)?;
    let beta = var((0..8).map(|t| 0.2 + 0.1 * (t % 5) as f64).collect(), 1)?;
    let weights = Tensor::from_vec(
        (0..24).map(|i| (0.7 * i as f64).sin()).collect::<Vec<_>>(),
        (8, 3),
        &Device::Cpu,
    )?;
    for chunk in [1, 2, 4, 8] {
        let axes = LinearAxes {
            decay: Decay::Head,
            delta: true,
            writes: true,
            chunk,
            ..plain(8, 4, 3)
        };
        let tape = Tape::new();
        let qkv = Tensor::cat(&[q.as_tensor(), &featured(&k, Features::Unit)?, &v], 1)?;
        let gates = Tensor::cat(&[g.as_tensor(), &beta], 1)?;
        let inputs = LinearInputs {
            qkv: &qkv,
            gates: Some(&gates),
            skip: None,
        };
        let o = Ops::fused().on(&tape).linear_attention(inputs, axes)?;
        let loss = (o * &weights)?.sum_all()?;
        assert!((loss.to_scalar::<f64>()? + 0.1572335263).abs() < 1e-9);
        let mut gradients = tape.backward(&loss, 1.0)?;
        let mut of = |var: &Var| -> Result<Vec<f64>> { flat(&gradients.take(var).unwrap()) };
        let (q, k, v, g, beta) = (of(&q)?, of(&k)?, of(&v)?, of(&g)?, of(&beta)?);
        for (name, found, expected) in [
            ("dq00", q[0], 0.0442601168),
            ("dk00", k[0], -0.0346978813),
            ("dk31", k[13], -0.0103235845),
            ("dv00", v[0], 0.0763322576),
            ("dg3", g[3], -0.2877985110),
            ("dg0", g[0], 0.0),
            ("dbeta0", beta[0], 0.6433141174),
            ("dbeta3", beta[3], -0.8762385085),
        ] {
            assert!(
                (found - expected).abs() < 1e-9,
                "{name} by {chunk}: {found}"
            );
        }
    }
    Ok(())
}

/// Decays so strong that `exp(-G)` over a chunk is no number of f32, and so long that a state sinks below all that count.
#[test]
fn strong_decays_neither_overflow_nor_linger() -> Result<()> {
    for decay in [Decay::Head, Decay::Channel] {
        let axes = LinearAxes {
            decay,
            delta: true,
            writes: true,
            features: Features::Unit,
            chunk: 64,
            ..plain(300, 8, 8)
        };
        let qkv = random(&[300, 24], DType::F32, 1)?;
        let gates = Tensor::full(-9f32, (300, axes.gates_width()), &Device::Cpu)?;
        let inputs = LinearInputs {
            qkv: &qkv,
            gates: Some(&gates),
            skip: None,
        };
        let [fused, truth] = [Ops::fused(), Ops::reference()].map(|ops| {
            let y = ops.linear_attention(inputs, axes).unwrap();
            flat(&y).unwrap()
        });
        assert!(distance(&fused, &truth) < 1e-5, "{decay:?}");
        let nothing = (qkv.narrow(0, 0, 70)? * 0.0)?;
        let (part, state) = (
            LinearAxes { time: 70, ..axes },
            Tensor::full(1e-20f32, (1, 8, 8), &Device::Cpu)?,
        );
        let gates = gates.narrow(0, 0, 70)?;
        let inputs = LinearInputs {
            qkv: &nothing,
            gates: Some(&gates),
            skip: None,
        };
        let [_, state] = Ops::fused().linear_attention_after(inputs, &state, part)?;
        assert!(flat(&state)?.iter().all(|&s| s == 0.0), "{decay:?}");
    }
    Ok(())
}
