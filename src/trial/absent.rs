//! Figures that are absent where a part of a trial did not happen.

use crate::record::metric as name;

/// Why a model that is measured as it is has no figures of training.
pub(super) const NOTHING_TRAINED: &str = "nothing was trained";

pub(super) const TRAINING: [&str; 7] = [
    name::TRAIN_TOKENS_PER_S,
    name::TRAIN_STEP_S,
    name::TRAIN_WALL_S,
    name::MFU,
    name::STEP_OPS,
    name::STEP_TENSOR_BYTES,
    name::TRAIN_LOSS_NATS,
];

pub(super) const QUALITY: [&str; 10] = [
    name::VAL_LOSS_NATS,
    name::VAL_LOSS_BEFORE_NATS,
    name::VAL_LOSS_MIXED_NATS,
    name::VAL_BITS_PER_BYTE,
    name::PERPLEXITY,
    name::ORACLE_LOSS_NATS,
    name::EXCESS_LOSS_NATS,
    name::NEXT_TOKEN_ACCURACY,
    name::TASK_ACCURACY,
    name::MAX_VIOLATION,
];

pub(super) const SERVING: [&str; 10] = [
    name::PREFILL_TOKENS_PER_S,
    name::DECODE_TOKENS_PER_S,
    name::TTFT_S,
    name::WEIGHTS_READ_BYTES,
    name::PACKED_EXCESS_NATS,
    name::PACKED_PERPLEXITY,
    name::PACKED_KL_NATS,
    name::PACKED_TOP1_AGREEMENT,
    name::CACHE_READ_BYTES,
    name::MBU,
];
