//! What serving was seen to be, as metrics.

use super::figure::{mean, perplexity, to_tenth_us};
use super::quality::{Packed, Quality};
use super::serving::Serving;
use super::settle::Experiment;
use crate::measure::window;
use crate::record::Metric;
use crate::record::metric as name;

/// Why nothing is said of packing.
const NOT_PACKED: &str = "the weights serve as they were trained";
const AS_IN_FILE: &str = "the weights serve as their file has them";

/// Every metric of serving.
pub(super) fn put(
    experiment: &Experiment,
    trained: Option<&Quality>,
    serving: &Serving,
    put: &mut impl FnMut(&str, Metric),
) {
    let infer = &experiment.infer;
    put(
        name::PREFILL_TOKENS_PER_S,
        rate(
            name::PREFILL_TOKENS_PER_S,
            infer.batch * infer.prompt,
            &serving.prefill_s,
        ),
    );
    put(
        name::DECODE_TOKENS_PER_S,
        rate(name::DECODE_TOKENS_PER_S, infer.batch, &serving.decode_s),
    );
    for (name, bytes) in [
        (name::WEIGHTS_READ_BYTES, serving.bytes_read),
        (name::CACHE_READ_BYTES, serving.cache_read),
    ] {
        put(name, Metric::value(name, bytes as f64));
    }
    let unknown = "no calibration of this device's bandwidth";
    put(name::MBU, Metric::absent(name::MBU, unknown));
    packing(experiment, trained, serving, put);
    let ttft_s = warm(&serving.ttft_s);
    put(
        name::TTFT_S,
        Metric::samples(
            name::TTFT_S,
            window::median(&ttft_s).unwrap_or(f64::NAN),
            ttft_s,
        ),
    );
}

/// What packing costs: of the loss, of every distribution, and of the first places.
fn packing(
    experiment: &Experiment,
    trained: Option<&Quality>,
    serving: &Serving,
    put: &mut impl FnMut(&str, Metric),
) {
    let why = match experiment.serves_the_file() {
        true => AS_IN_FILE,
        false => NOT_PACKED,
    };
    let packed = serving.packed.as_ref();
    let excess = packed
        .zip(trained)
        .map(|(packed, trained)| packed.quality.above(trained));
    for (name, found) in [
        (name::PACKED_EXCESS_NATS, excess.as_ref()),
        (name::PACKED_KL_NATS, packed.map(|packed| &packed.kl)),
        (
            name::PACKED_TOP1_AGREEMENT,
            packed.map(|packed| &packed.same_first),
        ),
    ] {
        put(
            name,
            found.map_or_else(|| Metric::absent(name, why), |found| mean(name, found)),
        );
    }
    let name = name::PACKED_PERPLEXITY;
    let of = |packed: &Packed| perplexity(name, experiment.source.is_text(), &packed.quality);
    put(name, packed.map_or_else(|| Metric::absent(name, why), of));
}

/// The first of each pays for first touches of memory.
fn warm(samples: &[f64]) -> Vec<f64> {
    let warm = &samples[1.min(samples.len())..];
    warm.iter().map(|&s| to_tenth_us(s)).collect()
}

fn rate(name: &str, tokens: usize, samples_s: &[f64]) -> Metric {
    match window::median(&warm(samples_s)) {
        Some(seconds) => {
            let rates = warm(samples_s).iter().map(|s| tokens as f64 / s).collect();
            Metric::samples(name, tokens as f64 / seconds, rates)
        }
        None => Metric::absent(name, "nothing was generated"),
    }
}
