//! Every operation on a GPU, forwards and backwards, against the same on the CPU in f64: on an emulated one always, on a real
//! one where there is one (`cargo test --release --features cuda on_the_gpu -- --ignored`).

use super::gpu::emulator::{self, Turns};
use super::optimizer::tests::updates;
use super::{Gpu, Narrowed};
use crate::ops::check::{distance, flat, ids, random, targets};
use crate::ops::{Axes, Cached, IGNORED, Ops, RopeTable};
use candle_core::{DType, Device, Result, Tensor, Var};

/// Where operations are tried: backends that must agree to the bit, and where their tensors lie.
pub(super) struct Place {
    name: &'static str,
    pub(super) device: Device,
    pub(super) backends: fn(DType, &Device) -> Vec<Gpu>,
}

/// An emulated GPU with threads in either order; `None` without a C++ compiler.
fn emulated() -> Option<Place> {
    fn backends(dtype: DType, _: &Device) -> Vec<Gpu> {
        [Turns::Rising, Turns::Falling]
            .into_iter()
            .filter_map(|turns| emulator::gpu(turns, dtype))
            .collect()
    }
    let there = !backends(DType::F32, &Device::Cpu).is_empty();
    there.then_some(Place {
        name: "emulated",
        device: Device::Cpu,
        backends,
    })
}

/// The first real one, twice: it must give the same bits again.
#[cfg(feature = "cuda")]
fn real() -> Place {
    fn backends(dtype: DType, device: &Device) -> Vec<Gpu> {
        let gpu = Gpu::of(device).unwrap().with_dtype(dtype).unwrap();
        vec![gpu, gpu]
    }
    Place {
        name: "real",
        device: crate::device::open("cuda").unwrap().device,
        backends,
    }
}

/// An operation of activations and parameters.
trait Run: Fn(Ops, &[Tensor]) -> Result<Tensor> {}
impl<R: Fn(Ops, &[Tensor]) -> Result<Tensor>> Run for R {}

/// Shapes of activations, then of parameters.
type Shapes<'a> = (&'a [&'a [usize]], &'a [&'a [usize]]);

/// The output, and the gradient of each input, of the output times fixed random weights, summed. Inputs are the same numbers
/// whatever they are computed in: such as `rounding` can hold.
fn outcome(
    ops: Ops,
    device: &Device,
    (activations, parameters): Shapes,
    [rounding, dtype, of_parameters]: [DType; 3],
    run: &impl Run,
) -> Result<Vec<Vec<f64>>> {
    let given = activations.iter().map(|shape| (shape, dtype));
    let given = given.chain(parameters.iter().map(|shape| (shape, of_parameters)));
    let mut vars = Vec::new();
    for ((shape, dtype), seed) in given.zip(1..) {
        let numbers = random(shape, DType::F32, seed)?
            .to_dtype(rounding)?
            .to_dtype(dtype)?;
        vars.push(Var::from_tensor(&numbers.to_device(device)?)?);
    }
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let tape = ops.tape();
    let y = run(ops.on(&tape), &tensors)?;
    let weights = random(y.dims(), DType::F64, 99)?.to_device(device)?;
    let mut gradients = tape.backward(&(y.to_dtype(DType::F64)? * weights)?.sum_all()?, 1.0)?;
    let mut all = vec![flat(&y.detach())?];
    for var in &vars {
        all.push(flat(
            &gradients.take(var).expect("an input without gradient"),
        )?);
    }
    Ok(all)
}

impl Place {
    /// In f32 and in bf16.
    fn check(&self, shapes: Shapes, run: impl Run) {
        for (dtype, near) in [(DType::F32, 1e-5), (DType::BF16, 1e-2)] {
            let truth = outcome(
                Ops::fused(),
                &Device::Cpu,
                shapes,
                [dtype, DType::F64, DType::F64],
                &run,
            )
            .unwrap();
            let on = |gpu| {
                outcome(
                    Ops::fused().on_gpu(gpu),
                    &self.device,
                    shapes,
                    [dtype, dtype, DType::F32],
                    &run,
                )
            };
            let all: Vec<_> = (self.backends)(dtype, &self.device)
                .into_iter()
                .map(|gpu| on(gpu).unwrap())
                .collect();
            for (i, truth) in truth.iter().enumerate() {
                let name = if i == 0 {
                    "output".into()
                } else {
                    format!("gradient {}", i - 1)
                };
                let name = format!("{name} of {shapes:?} in {dtype:?}, {}", self.name);
                let far = distance(&all[0][i], truth);
                assert!(far < near, "{name}: {far:e} from the truth");
                assert!(
                    all.iter().all(|one| one[i] == all[0][i]),
                    "{name} is not the same to the bit"
                );
            }
        }
    }

    pub(super) fn on(&self, tensor: Tensor) -> Result<Tensor> {
        tensor.to_device(&self.device)
    }
}

/// Rows whose width splits packs of numbers, or does not, or is less than a warp's.
const WIDTHS: [usize; 4] = [1, 40, 67, 264];

fn number_by_number(place: &Place) {
    for c in WIDTHS {
        let x: &[usize] = &[6, c];
        place.check((&[x, x], &[]), |ops, x| ops.add(&x[0], &x[1]));
        place.check((&[x], &[]), |ops, x| ops.add(&x[0], &x[0]));
        place.check((&[x], &[]), |ops, x| ops.gelu(&x[0]));
        place.check((&[x], &[]), |ops, x| ops.relu(&x[0]));
        place.check((&[x], &[]), |ops, x| ops.relu2(&x[0]));
        place.check((&[x], &[]), |ops, x| ops.softcap(&x[0], 1.5));
        place.check((&[x], &[]), |ops, x| ops.scale(&x[0], 0.3));
        place.check((&[&[6, 2 * c]], &[]), |ops, x| ops.swiglu(&x[0]));
        place.check((&[&[6, 2 * c]], &[]), |ops, x| ops.geglu(&x[0]));
        place.check((&[x], &[&[5, c]]), |ops, x| {
            ops.add_positions(&x[0], &x[1], 3)
        });
        place.check((&[x], &[&[5, c]]), |ops, x| {
            ops.add_positions(&x[0], &x[1].narrow(0, 1, 3)?, 3)
        });
    }
    // What comes in between, by candle's operations.
    place.check((&[&[6, 8]], &[]), |ops, x| {
        ops.gelu(&(ops.relu(&x[0])? * 0.5)?)
    });
}

fn rotations(place: &Place) {
    for (head_width, kv_heads) in [(2, 1), (16, 2), (6, 2)] {
        let axes = Axes {
            batch: 2,
            time: 5,
            heads: 2,
            kv_heads,
            head_width,
            value_width: None,
            scale: None,
            window: None,
        };
        place.check((&[&[10, axes.packed_width()]], &[]), |ops, x| {
            let table = RopeTable::new(7, 3, head_width, 100.0, DType::F32, &Device::Cpu)?;
            let dtype = if x[0].dtype() == DType::F64 {
                DType::F64
            } else {
                DType::F32
            };
            ops.rope(&x[0], axes, &table.to(x[0].device(), dtype)?)
        });
    }
}

fn norms(place: &Place) {
    // Not over a column or two, whose gradients are differences of what is nearly equal.
    for c in [9, 40, 67, 264] {
        // More rows than one chunk of columns has.
        let (x, gain): (&[usize], &[usize]) = (&[70, c], &[c]);
        place.check((&[x], &[gain, gain]), |ops, x| {
            ops.layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5)
        });
        place.check((&[x], &[gain]), |ops, x| {
            ops.layer_norm(&x[0], &x[1], None, 1e-5)
        });
        place.check((&[x], &[gain]), |ops, x| ops.rms_norm(&x[0], &x[1], 1e-5));
    }
    for (head_width, heads, kv_heads) in [(16, 2, 1), (40, 4, 2), (67, 1, 1)] {
        let axes = Axes {
            batch: 2,
            time: 35,
            heads,
            kv_heads,
            head_width,
            value_width: None,
            scale: None,
            window: None,
        };
        let gains: [&[usize]; 2] = [&[head_width], &[head_width]];
        place.check((&[&[70, axes.packed_width()]], &gains), |ops, x| {
            ops.head_norm(&x[0], [&x[1], &x[2]], axes, 1e-5)
        });
    }
}

fn products(place: &Place) {
    for (n, k, m) in [(1, 1, 1), (5, 7, 3), (70, 32, 24)] {
        place.check((&[&[n, k]], &[&[m, k], &[m]]), |ops, x| {
            ops.linear(&x[0], &x[1], Some(&x[2]))
        });
        place.check((&[&[n, k]], &[&[m, k]]), |ops, x| {
            ops.linear(&x[0], &x[1], None)
        });
        place.check((&[&[n, k]], &[&[m, k]]), |ops, x| ops.logits(&x[0], &x[1]));
    }
    place.check((&[&[5, 7]], &[&[5, 4]]), |ops, x| {
        ops.linear(&x[0].t()?, &x[1].t()?, None)
    });
}

fn tables(place: &Place) {
    for (tokens, vocabulary, c) in [(1, 3, 1), (40, 7, 67), (300, 11, 40)] {
        place.check((&[], &[&[vocabulary, c]]), |ops, x| {
            ops.embedding(
                &x[0],
                &ids(tokens, vocabulary as u32)?.to_device(x[0].device())?,
            )
        });
    }
}

fn losses(place: &Place) {
    for (n, v) in [(1, 3), (7, 70), (3, 1500)] {
        for z in [0.0, 0.1] {
            // Both numbers in one sum, as a loss has them.
            place.check((&[&[n, 9]], &[&[v, 9]]), |ops, x| {
                let targets = targets(n, v)?.to_device(x[0].device())?;
                ops.head_loss(&(&x[0] * 2.0)?, &x[1], &targets, z)?
                    .sum_all()
            });
            place.check((&[], &[&[n, v]]), |ops, x| {
                let targets = targets(n, v)?.to_device(x[0].device())?;
                ops.cross_entropy(&(&x[0] * 3.0)?, &targets, z)?.sum_all()
            });
        }
    }
}

fn attentions(place: &Place) {
    let of = |time, heads, kv_heads, head_width| Axes {
        batch: 2,
        time,
        heads,
        kv_heads,
        head_width,
        value_width: None,
        scale: None,
        window: None,
    };
    let within = |window: usize, axes: Axes| Axes {
        window: Some(window),
        ..axes
    };
    let scaled = |axes: Axes| Axes {
        scale: Some(4.0 / axes.head_width as f64),
        ..axes
    };
    for axes in [
        // Widths with and without kernels on tensor cores, windows that do and do not fill tiles, shared key heads.
        of(1, 1, 1, 16),
        of(9, 2, 1, 5),
        of(40, 1, 1, 40),
        of(40, 1, 1, 48),
        of(70, 4, 2, 16),
        of(65, 1, 1, 128),
        of(130, 2, 2, 32),
        of(64, 1, 1, 64),
        of(33, 2, 1, 96),
        of(20, 1, 1, 160),
        of(34, 1, 1, 80),
        of(33, 1, 1, 112),
        // Of a sliding window: within a tile, over two, of one token, longer than all.
        within(1, of(9, 2, 1, 5)),
        within(7, of(80, 2, 1, 5)),
        within(33, of(80, 1, 1, 5)),
        within(5, of(150, 2, 1, 16)),
        within(64, of(140, 1, 1, 32)),
        within(100, of(200, 2, 1, 16)),
        within(500, of(70, 1, 1, 16)),
        scaled(of(9, 2, 1, 5)),
        scaled(of(33, 2, 1, 32)),
        scaled(of(20, 1, 1, 160)),
    ] {
        place.check((&[&[axes.rows(), axes.packed_width()]], &[]), |ops, x| {
            ops.causal_attention(&x[0], axes)
        });
    }
}

/// The mean of the losses that count, and what has none.
fn rows_of_losses(place: &Place) -> Result<()> {
    for (n, v) in [(1, 3), (40, 700)] {
        let (logits, targets) = (random(&[n, v], DType::F32, 3)?, targets(n, v)?);
        let truth = Ops::fused().cross_entropy_rows(&logits, &targets)?;
        for gpu in (place.backends)(DType::F32, &place.device) {
            let ops = Ops::fused().on_gpu(gpu);
            let rows =
                ops.cross_entropy_rows(&place.on(logits.clone())?, &place.on(targets.clone())?)?;
            for (row, truth) in rows.iter().zip(&truth) {
                let close = match (row, truth) {
                    (Some(a), Some(b)) => a.correct == b.correct && (a.nats - b.nats).abs() < 1e-5,
                    (None, None) => true,
                    _ => false,
                };
                assert!(close, "{row:?} {truth:?}");
            }
            // The first of several equals is the most probable; a target that cannot be has no loss.
            let equal = place.on(Tensor::ones((3, 70), DType::F32, &Device::Cpu)?)?;
            let rows = ops.cross_entropy_rows(
                &equal,
                &place.on(Tensor::new(&[0u32, 69, 70], &Device::Cpu)?)?,
            )?;
            assert_eq!(
                rows.iter()
                    .map(|row| row.unwrap().correct)
                    .collect::<Vec<_>>(),
                [true, false, false]
            );
            assert!(
                rows[2].unwrap().nats.is_nan() && (rows[0].unwrap().nats - 70f32.ln()).abs() < 1e-5
            );
            let nothing = ops.cross_entropy(
                &equal,
                &place.on(Tensor::new(&[IGNORED; 3], &Device::Cpu)?)?,
                0.0,
            )?;
            assert!(nothing.to_scalar::<f32>()?.is_nan(), "the mean of nothing");
        }
    }
    Ok(())
}

/// New tokens over a cache, against the CPU.
fn caches(place: &Place) -> Result<()> {
    let axes = |[batch, time, heads, kv_heads, head_width]: [usize; 5], scale| Axes {
        batch,
        time,
        heads,
        kv_heads,
        head_width,
        value_width: None,
        scale,
        window: None,
    };
    let within = |window: usize, axes: Axes| Axes {
        window: Some(window),
        ..axes
    };
    for (axes, offset, room) in [
        (axes([1, 1, 1, 1, 1], None), 0, 1),
        (axes([2, 1, 4, 2, 64], None), 300, 310),
        (axes([1, 3, 2, 2, 96], Some(4.0 / 96.0)), 2, 6),
        (within(5, axes([2, 1, 4, 2, 64], None)), 300, 310),
        (within(2, axes([1, 3, 2, 2, 8], None)), 2, 6),
    ] {
        for (dtype, near) in [(DType::F32, 1e-5), (DType::BF16, 1e-2)] {
            let rounded = |shape: &[usize], seed| random(shape, DType::F32, seed)?.to_dtype(dtype);
            let of_cache = [axes.batch * axes.kv_heads, room, axes.head_width];
            let all = [
                rounded(&[axes.rows(), axes.packed_width()], 1)?,
                rounded(&of_cache, 2)?,
                rounded(&of_cache, 3)?,
            ];
            let run = |ops: Ops, [qkv, keys, values]: [Tensor; 3]| {
                flat(
                    &ops.cached_attention(
                        &qkv,
                        Cached {
                            keys: &keys,
                            values: Some(&values),
                            sinks: None,
                            offset,
                        },
                        axes,
                    )
                    .unwrap(),
                )
            };
            let truth = run(
                Ops::fused(),
                all.each_ref().map(|x| x.to_dtype(DType::F64).unwrap()),
            )?;
            for gpu in (place.backends)(dtype, &place.device) {
                let made = run(
                    Ops::fused().on_gpu(gpu),
                    all.each_ref().map(|x| place.on(x.clone()).unwrap()),
                )?;
                let far = distance(&made, &truth);
                assert!(far < near, "{axes:?} in {dtype:?}: {far:e}");
            }
        }
    }
    Ok(())
}

fn weights_are_narrowed_once(place: &Place) -> Result<()> {
    let x = place.on(random(&[3, 8], DType::BF16, 1)?)?;
    let w = place.on(random(&[5, 8], DType::F32, 2)?)?;
    for gpu in (place.backends)(DType::BF16, &place.device) {
        let narrowed = Narrowed::default();
        let ops = Ops::fused().on_gpu(gpu);
        let (first, again, truth) = (
            ops.keeping(&narrowed).linear(&x, &w, None)?,
            ops.keeping(&narrowed).linear(&x, &w, None)?,
            ops.linear(&x, &w, None)?,
        );
        assert_eq!(flat(&first)?, flat(&truth)?);
        assert_eq!(flat(&again)?, flat(&truth)?);
        assert_eq!(narrowed.on_gpu.lock().unwrap().len(), 1);
    }
    Ok(())
}

/// TF32 rounds factors of f32 products, and only where it is asked for.
fn rounded_factors(place: &Place) -> Result<()> {
    let (x, w) = (
        random(&[256, 256], DType::F32, 1)?,
        random(&[256, 256], DType::F32, 2)?,
    );
    let truth =
        flat(&Ops::fused().linear(&x.to_dtype(DType::F64)?, &w.to_dtype(DType::F64)?, None)?)?;
    for gpu in (place.backends)(DType::F32, &place.device) {
        for (tf32, error) in [(false, 0.0..1e-6), (true, 1e-5..3e-3)] {
            let ops = Ops::fused().on_gpu(gpu.with_tf32(tf32));
            let far = distance(
                &flat(&ops.linear(&place.on(x.clone())?, &place.on(w.clone())?, None)?)?,
                &truth,
            );
            assert!(error.contains(&far), "TF32 {tf32}: {far:e}");
        }
    }
    Ok(())
}

#[test]
fn an_emulated_gpu_computes_what_the_cpu_does() {
    let Some(place) = emulated() else { return };
    number_by_number(&place);
    rotations(&place);
    norms(&place);
    products(&place);
    tables(&place);
    losses(&place);
    rows_of_losses(&place).unwrap();
    weights_are_narrowed_once(&place).unwrap();
    caches(&place).unwrap();
    updates(&place).unwrap();
    rounded_factors(&place).unwrap();
}

#[test]
fn attention_on_an_emulated_gpu() {
    if let Some(place) = emulated() {
        attentions(&place);
    }
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU"]
fn on_the_gpu_every_operation_computes_what_the_cpu_does() {
    let place = real();
    number_by_number(&place);
    rotations(&place);
    norms(&place);
    products(&place);
    tables(&place);
    losses(&place);
    attentions(&place);
    rows_of_losses(&place).unwrap();
    weights_are_narrowed_once(&place).unwrap();
    caches(&place).unwrap();
    updates(&place).unwrap();
    rounded_factors(&place).unwrap();
}
