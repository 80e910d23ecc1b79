//! Every op, fused against reference: forward, and forward and backward, at the shape of suite `throughput`'s `m` and at that
//! of suite `quick`; first the machine's own limits, the f32 matrix product and a copy of memory, to hold them against, and single
//! products in f32 and bf16 (`-- product/`).
//! `cargo bench --bench ops -- m/attention` runs one; `-- peak` the limits. An op's throughput is in FLOPs where it multiplies
//! matrices, else in bytes of its inputs and its output, each touched once (and twice more backwards).
//!
//! The gradient handed back is all ones; its making, and a sum over the output, are part of the time.

use candle_core::{DType, Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use effbench::device::{Gemm, Precision, StreamCopy};
use effbench::ops::{
    Axes, Decay, Factors, Features, LinearAxes, LinearInputs, Narrowed, Ops, RopeTable, Routing,
    Score, Tape,
};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    axes: Axes,
    vocabulary: usize,
}

const SHAPES: [Shape; 2] = [
    shape("m", 8, 256, 6, 64, 256),
    shape("quick", 16, 64, 2, 16, 128),
];

const fn shape(
    name: &'static str,
    batch: usize,
    time: usize,
    heads: usize,
    head_width: usize,
    vocabulary: usize,
) -> Shape {
    Shape {
        name,
        axes: Axes {
            batch,
            time,
            heads,
            kv_heads: heads,
            head_width,
            value_width: None,
            scale: None,
            window: None,
        },
        vocabulary,
    }
}

type Run = Box<dyn Fn(Ops, &[Tensor]) -> Result<Tensor>>;

/// An op of inputs of given shapes.
struct Case {
    name: &'static str,
    inputs: Vec<Vec<usize>>,
    run: Run,
    /// Of a forward pass, where it multiplies matrices.
    flops: Option<usize>,
}

impl Case {
    /// Where its cost is counted in FLOPs.
    fn flops(self, flops: usize) -> Self {
        Self {
            flops: Some(flops),
            ..self
        }
    }
}

fn case(
    name: &'static str,
    inputs: &[&[usize]],
    run: impl Fn(Ops, &[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    Case {
        name,
        inputs: inputs.iter().map(|shape| shape.to_vec()).collect(),
        run: Box::new(run),
        flops: None,
    }
}

fn cases(shape: Shape) -> Result<Vec<Case>> {
    let Shape {
        axes,
        vocabulary: v,
        ..
    } = shape;
    let (n, c, packed) = (axes.rows(), axes.width(), axes.packed_width());
    let table = RopeTable::new(axes.time, 0, axes.head_width, 1e4, DType::F32, &Device::Cpu)?;
    let ids: Vec<u32> = (0..n).map(|i| (i * 7919 % v) as u32).collect();
    let ids = Tensor::from_vec(ids, n, &Device::Cpu)?;
    let (targets, of_head) = (ids.clone(), ids.clone());
    let positions = axes.time;
    // Scores and values of the pairs that the mask leaves.
    let pairs = axes.batch * axes.time * (axes.time + 1) / 2;
    Ok(vec![
        case("linear", &[&[n, c], &[packed, c]], |ops, x| {
            ops.linear(&x[0], &x[1], None)
        })
        .flops(2 * n * c * packed),
        case(
            "linear_bias",
            &[&[n, c], &[4 * c, c], &[4 * c]],
            |ops, x| ops.linear(&x[0], &x[1], Some(&x[2])),
        )
        .flops(2 * n * c * 4 * c),
        case("layer_norm", &[&[n, c], &[c], &[c]], |ops, x| {
            ops.layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5)
        }),
        case("rms_norm", &[&[n, c], &[c]], |ops, x| {
            ops.rms_norm(&x[0], &x[1], 1e-5)
        }),
        case("add", &[&[n, c], &[n, c]], |ops, x| ops.add(&x[0], &x[1])),
        case("gelu", &[&[n, 4 * c]], |ops, x| ops.gelu(&x[0])),
        case("relu", &[&[n, 4 * c]], |ops, x| ops.relu(&x[0])),
        case("swiglu", &[&[n, 16 * c / 3]], |ops, x| ops.swiglu(&x[0])),
        case("relu2", &[&[n, 4 * c]], |ops, x| ops.relu2(&x[0])),
        case("geglu", &[&[n, 16 * c / 3]], |ops, x| ops.geglu(&x[0])),
        case("rope", &[&[n, packed]], move |ops, x| {
            ops.rope(&x[0], axes, &table)
        }),
        case("attention", &[&[n, packed]], move |ops, x| {
            ops.causal_attention(&x[0], axes)
        })
        .flops(4 * pairs * c),
        case(
            "gated_delta",
            &[&[n, packed], &[n, axes.heads], &[n, axes.heads]],
            move |ops, x| gated_delta(ops, x, axes),
        )
        .flops(2 * axes.batch * axes.heads * linear(axes).products(axes.time).forward as usize),
        case("embedding", &[&[v, c]], move |ops, x| {
            ops.embedding(&x[0], &ids)
        }),
        case("positions", &[&[n, c], &[axes.time, c]], move |ops, x| {
            ops.add_positions(&x[0], &x[1], positions)
        }),
        case("softcap", &[&[n, v]], |ops, x| ops.softcap(&x[0], 30.0)),
        case("cross_entropy", &[&[n, v]], move |ops, x| {
            ops.cross_entropy(&x[0], &targets, 0.0)
        }),
        case("head_loss", &[&[n, c], &[v, c]], move |ops, x| {
            ops.head_loss(&x[0], &x[1], &of_head, 0.0)
        })
        .flops(2 * n * c * v),
        experts(n, c)?,
    ])
}

/// Of 16 experts of half the width each token in four.
fn experts(n: usize, c: usize) -> Result<Case> {
    let (count, chosen, f) = (16, 4, c / 2);
    let logits = Tensor::randn(0f32, 1f32, (n, count), &Device::Cpu)?;
    let routing = Routing::top(Score::Sigmoid, &logits, None, chosen)?;
    let routing = Arc::new(routing);
    let shapes: [&[usize]; 4] = [&[n, c], &[n, chosen], &[count * 2 * f, c], &[count * c, f]];
    let case = case("experts", &shapes, move |ops, x| {
        ops.experts(&x[0], &x[1], [&x[2], &x[3]], &routing)
    });
    Ok(case.flops(2 * n * chosen * 3 * c * f))
}

/// Gated DeltaNet with heads of attention's sizes.
fn linear(axes: Axes) -> LinearAxes {
    LinearAxes {
        batch: axes.batch,
        time: axes.time,
        heads: axes.heads,
        key_heads: axes.heads,
        key_width: axes.head_width,
        value_width: axes.head_width,
        decay: Decay::Head,
        delta: true,
        writes: true,
        features: Features::Unit,
        scale: 1.0,
        chunk: 64,
    }
}

/// Of packed queries, keys and values, and numbers that decays and write gates are made of.
fn gated_delta(ops: Ops, x: &[Tensor], axes: Axes) -> Result<Tensor> {
    let gates = Tensor::cat(&[(x[1].sqr()? * -0.1)?, (x[2].sqr()? * 0.1)?], 1)?;
    let inputs = LinearInputs {
        qkv: &x[0],
        gates: Some(&gates),
        skip: None,
    };
    ops.linear_attention(inputs, linear(axes))
}

fn bench(criterion: &mut Criterion, shape: Shape, case: &Case) -> Result<()> {
    let vars: Vec<Var> = case
        .inputs
        .iter()
        .map(|shape| Var::randn(0f32, 1f32, shape.as_slice(), &Device::Cpu))
        .collect::<Result<_>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let detached: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    let read: usize = detached.iter().map(Tensor::elem_count).sum();
    let written = (case.run)(Ops::fused(), &detached)?.elem_count();
    let throughput = |times: u64| match case.flops {
        Some(flops) => Throughput::Elements(times * flops as u64),
        None => Throughput::Bytes(times * 4 * (read + written) as u64),
    };
    let mut group = criterion.benchmark_group(format!("{}/{}", shape.name, case.name));
    for (name, ops) in [("fused", Ops::fused()), ("reference", Ops::reference())] {
        group.throughput(throughput(1));
        group.bench_function(format!("{name}/forward"), |b| {
            b.iter(|| (case.run)(ops, &detached).unwrap())
        });
        group.throughput(throughput(3));
        group.bench_function(format!("{name}/both"), |b| {
            b.iter(|| {
                let tape = Tape::new();
                let y = (case.run)(ops.on(&tape), &tracked).unwrap();
                tape.backward(&y, 1.0).unwrap()
            });
        });
    }
    group.finish();
    Ok(())
}

/// What no op can be faster than.
fn peak(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peak");
    let gemm = Gemm::new(1024, 1, Precision::F32, &Device::Cpu).unwrap();
    group.throughput(Throughput::Elements(gemm.flops() as u64));
    group.bench_function("matrix_product", |b| b.iter(|| gemm.run().unwrap()));
    let mut copy = StreamCopy::new(256 << 20, &Device::Cpu).unwrap();
    group.throughput(Throughput::Bytes(copy.bytes() as u64));
    group.bench_function("copy", |b| b.iter(|| copy.run().unwrap()));
    group.finish();
}

/// Rows, inner dimension and columns of single products: of `w32` to a model of width 768.
const PRODUCTS: [[usize; 3]; 6] = [
    [256, 32, 96],
    [1024, 32, 128],
    [512, 128, 512],
    [2048, 384, 1536],
    [2048, 768, 768],
    [2048, 768, 3072],
];

/// Products of f32 and of factors rounded to bf16, packed each time or with weights that are kept packed.
fn products(criterion: &mut Criterion) {
    let rounded = Ops::fused().with_factors(Factors::Bf16);
    for [n, k, m] in PRODUCTS {
        let of = |rows| Tensor::randn(0f32, 1f32, (rows, k), &Device::Cpu).unwrap();
        let (x, w, kept) = (of(n), of(m), Narrowed::default());
        let mut group = criterion.benchmark_group(format!("product/{n}x{k}x{m}"));
        group.throughput(Throughput::Elements(2 * (n * k * m) as u64));
        for (name, ops) in [
            ("f32", Ops::fused()),
            ("bf16", rounded),
            ("bf16-kept", rounded.keeping(&kept)),
        ] {
            group.bench_function(name, |b| b.iter(|| ops.linear(&x, &w, None).unwrap()));
        }
        group.finish();
    }
}

fn ops(criterion: &mut Criterion) {
    for shape in SHAPES {
        for case in cases(shape).unwrap() {
            bench(criterion, shape, &case).unwrap();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000));
    targets = peak, products, ops
}
criterion_main!(benches);
