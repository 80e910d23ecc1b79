//! The instruction sets that kernels are compiled for, and which of them this CPU has.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// What the compiled variant of a kernel can do.
pub(in crate::ops) trait Isa: Copy {
    /// A fused multiply-add is one instruction; otherwise it would be a slow library call.
    const FMA: bool;
}

/// Any CPU of the target.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Baseline;
impl Isa for Baseline {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
}

/// AVX2 or AVX-512: both come with FMA, and with F16C.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(in crate::ops) struct WithFma;
#[cfg(target_arch = "x86_64")]
impl Isa for WithFma {
    const FMA: bool = true;
}

/// The levels of x86-64 that kernels are compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Level {
    Avx512,
    Avx2,
    Baseline,
}

/// The best level of this CPU, looked up once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(in crate::ops) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("f16c")
        {
            Level::Avx512
        } else if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            Level::Avx2
        } else {
            Level::Baseline
        }
    })
}
