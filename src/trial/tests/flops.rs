//! Claimed work is held against the products that were made.

use std::sync::Arc;

use super::*;
use crate::config::{Knobs, Named};
use crate::model::{
    Declare, Init, Mixer, MixerKind, Model, ParamId, Pass, Role, Shape, State, WindowFlops,
};
use crate::ops::counted;

/// FLOPs counted of a forward pass alone, and of one with its gradient, per window.
fn products_of(model: &Arc<Model>, experiment: &Experiment) -> (i64, i64) {
    const WINDOWS: usize = 3;
    // One thread, so that all is counted where it is asked for.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    pool.install(|| {
        let (context, ops) = (model.shape.context, experiment.ops);
        let params = Params::init(model.decls(), 1, &Device::Cpu).unwrap();
        let batch = experiment.source.train(1, 0, WINDOWS, context);
        let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
        let targets =
            Tensor::from_slice(&batch.targets, batch.targets.len(), &Device::Cpu).unwrap();
        counted::take();
        model
            .logits(&params.detached(), &ids, WINDOWS, context, ops)
            .unwrap();
        let forward = counted::take();
        let tape = ops.tape();
        let loss = model
            .loss(
                &params.tracked(),
                (&ids, &targets),
                WINDOWS,
                context,
                ops.on(&tape),
            )
            .unwrap();
        tape.backward(&loss, 1.0).unwrap();
        let train = counted::take();
        assert_eq!((forward % WINDOWS as i64, train % WINDOWS as i64), (0, 0));
        (forward / WINDOWS as i64, train / WINDOWS as i64)
    })
}

fn claims_what_it_does(name: &str, registry: &Registry, sets: Value) {
    let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    let prepared = settle(registry, &tree).unwrap();
    let (model, context) = (
        &prepared.experiment.model,
        prepared.experiment.model.shape.context,
    );
    let claimed = model.flops(context);
    let made = products_of(model, &prepared.experiment);
    assert_eq!(
        (claimed.forward as i64, claimed.train() as i64),
        made,
        "{name} of {context} tokens"
    );
    let windows = prepared.cost.train_tokens as f64 / context as f64;
    assert_eq!(prepared.cost.train_flops, windows * claimed.train() as f64);
    assert!(claimed.full_square > 0 && claimed.forward < claimed.backward);
}

#[test]
fn claimed_work_is_the_products_that_are_made() {
    let registry = Registry::builtin().mixer(WindowKind);
    let mixers: Vec<&str> = registry
        .slots
        .mixers
        .iter()
        .map(|kind| kind.name())
        .collect();
    assert_eq!(mixers, ["attention", "window-test"]);
    for mixer in mixers {
        for ffn in registry.slots.ffns.iter().map(|kind| kind.name()) {
            // Within a tile of 64 queries, over one, over two; one key head for all and one for each.
            for (context, kv_heads) in [(12, 3), (66, 1), (132, 3)] {
                let model = json!({"layers": 2, "width": 24, "heads": 3, "kv_heads": kv_heads, "context": context,
                                   "mixer": {"kind": mixer}, "ffn": {"kind": ffn}});
                let data = json!({"kind": "markov", "states": 11});
                claims_what_it_does(
                    &format!("{mixer}, {ffn}"),
                    &registry,
                    json!({"model": model, "data": data}),
                );
            }
        }
    }
}

#[test]
fn a_window_is_billed_its_window_and_a_full_square_stands_beside() {
    let registry = Registry::builtin().mixer(WindowKind);
    let cost = |kind: &str| {
        let sets = json!({"model": {"layers": 2, "width": 24, "heads": 3, "context": 120, "mixer": {"kind": kind}},
                          "data": {"kind": "markov", "states": 11}});
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
        settle(&registry, &tree).unwrap().cost
    };
    let (attention, window) = (cost("attention"), cost("window-test"));
    assert_eq!(
        attention.train_flops_full_square,
        window.train_flops_full_square
    );
    // 2 layers of 120 queries: 7 products of the pairs before them against 6 of up to 12.
    let pairs = |products: u64, pairs: u64| (2 * products * 2 * pairs * 24) as f64;
    let less = pairs(7, 120 * 121 / 2) - pairs(6, 120 * 12);
    let windows = attention.train_tokens as f64 / 120.0;
    assert!((attention.train_flops - window.train_flops - windows * less).abs() < 1.0);
}

/// A mixer from outside: sums weighted by q k of the tokens since the last multiple of 6 before, in plain candle products.
struct WindowKind;

impl Named for WindowKind {
    fn name(&self) -> &'static str {
        "window-test"
    }
    fn about(&self) -> &'static str {
        "a window without softmax"
    }
}

impl MixerKind for WindowKind {
    fn settle(
        &self,
        _knobs: &Knobs,
        shape: &Shape,
        declare: &mut Declare,
    ) -> Result<Box<dyn Mixer>> {
        let (c, start) = (shape.width, Init::Normal(shape.init_std));
        // As many numbers as attention has, so that both bill the same full square.
        let kv = shape.kv_heads * shape.head_width();
        let packed = declare.param("packed", &[c + 2 * kv, c], Role::Matrix, start);
        let out = declare.param("out", &[c, c], Role::Matrix, start);
        Ok(Box::new(Window {
            shape: shape.clone(),
            packed,
            out,
        }))
    }
}

const WINDOW: usize = 6;

struct Window {
    shape: Shape,
    packed: ParamId,
    out: ParamId,
}

/// candle makes the gradients of both factors of a product that is tracked.
fn product(a: &Tensor, b: &Tensor) -> Tensor {
    let (batch, rows, inner) = a.dims3().unwrap();
    let backward = if a.track_op() || b.track_op() { 2 } else { 0 };
    counted::add(((1 + backward) * 2 * batch * rows * inner * b.dims()[2]) as i64);
    a.matmul(b).unwrap()
}

impl Mixer for Window {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (b, t, c) = (pass.batch, pass.time, self.shape.width);
        let packed = pass.ops.linear(x_nc, &pass.weights[self.packed], None)?;
        let width = packed.dim(1)?;
        let packed = packed
            .reshape((b, t, width))?
            .pad_with_zeros(1, WINDOW, 0)?;
        let chunks = (0..t / WINDOW).map(|i| {
            let queries = packed
                .narrow(1, WINDOW * (i + 1), WINDOW)?
                .narrow(2, 0, c)?
                .contiguous()?;
            let seen = packed.narrow(1, WINDOW * i, 2 * WINDOW)?.contiguous()?;
            let (keys, values) = (seen.narrow(2, width - c, c)?, seen.narrow(2, width - c, c)?);
            let scores = product(&queries, &keys.transpose(1, 2)?.contiguous()?);
            let mask = (0..WINDOW).flat_map(|q| {
                (0..2 * WINDOW).map(move |k| if k <= q + WINDOW { 1f32 } else { 0.0 })
            });
            let mask = Tensor::from_vec(
                mask.collect::<Vec<_>>(),
                (1, WINDOW, 2 * WINDOW),
                x_nc.device(),
            )?;
            Ok(product(
                &scores.broadcast_mul(&mask)?,
                &values.contiguous()?,
            ))
        });
        let mixed = Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 1)?.reshape((b * t, c))?;
        Ok(pass.ops.linear(&mixed, &pass.weights[self.out], None)?)
    }

    fn advance(&self, _x_nc: &Tensor, _flow: &Pass, _state: &mut State) -> Result<Tensor> {
        unreachable!("this test decodes nothing")
    }

    fn flops(&self, time: usize) -> WindowFlops {
        let (t, c) = (time as u64, self.shape.width as u64);
        let kv = (self.shape.kv_heads * self.shape.head_width()) as u64;
        let two_products = 2 * 2 * t * 2 * WINDOW as u64 * c;
        let mixed = WindowFlops {
            forward: two_products,
            backward: 2 * two_products,
            full_square: WindowFlops::of_attention(0, t * t, c).full_square,
        };
        WindowFlops::of_weights(t * c * (2 * c + 2 * kv)) + mixed
    }

    fn cache_scalars_per_token(&self) -> u64 {
        0
    }
}
