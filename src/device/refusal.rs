//! Why a CUDA device does not open, in a sentence with a remedy.

use crate::error::Error;

/// What is known of one kind of refusal: a word of the driver's message, what it means, and what helps.
struct Refusal {
    words: &'static [&'static str],
    means: &'static str,
    remedy: &'static str,
}

const OUT_OF_MEMORY: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];

/// Names from `cuda.h`, `CUresult`, and cuBLAS' status.
const REFUSALS: [Refusal; 7] = [
    Refusal {
        words: &["CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_STUB_LIBRARY"],
        means: "CUDA shows no NVIDIA GPU",
        remedy: "`nvidia-smi` must list one; a container needs `--gpus all`, and CUDA_VISIBLE_DEVICES must not be empty",
    },
    Refusal {
        words: &["CUDA_ERROR_INVALID_DEVICE"],
        means: "there are fewer",
        remedy: "`nvidia-smi -L` lists them, from 0 on",
    },
    Refusal {
        words: &[
            "CUDA_ERROR_INSUFFICIENT_DRIVER",
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        ],
        means: "the NVIDIA driver is too old for this build",
        remedy: "`nvidia-smi` shows the newest CUDA that the driver runs: install a newer driver, or build with a toolkit of that CUDA",
    },
    Refusal {
        words: &[
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "CUDA_ERROR_INVALID_PTX",
            "CUDA_ERROR_INVALID_IMAGE",
        ],
        means: "this build has no kernels for this GPU",
        remedy: "build with CUDA_COMPUTE_CAP set to its compute capability, which `effbench doctor` shows, without the dot",
    },
    Refusal {
        words: &OUT_OF_MEMORY,
        means: "its memory is taken (CUDA_ERROR_OUT_OF_MEMORY)",
        remedy: "`nvidia-smi` lists who holds it: end them, or take another device with --device cuda:N",
    },
    Refusal {
        words: &["CUDA_ERROR_DEVICE_UNAVAILABLE"],
        means: "another process has it for itself",
        remedy: "wait for that process, take another device, or share it: `nvidia-smi -c DEFAULT`",
    },
    Refusal {
        words: &["CUDA_ERROR_SYSTEM_NOT_READY"],
        means: "the links between the GPUs are not up",
        remedy: "start the service: `systemctl start nvidia-fabricmanager`",
    },
];

/// The error of a device that does not open, by what the driver said.
pub fn explain(ordinal: usize, said: &str) -> Error {
    let known = REFUSALS
        .iter()
        .find(|refusal| refusal.words.iter().any(|word| said.contains(word)));
    let (means, remedy) = known.map_or_else(
        || {
            (
                said.lines().next().unwrap_or("no reason given"),
                "`nvidia-smi` lists the devices and the driver",
            )
        },
        |refusal| (refusal.means, refusal.remedy),
    );
    Error::input(format!("CUDA device {ordinal} does not open: {means}"))
        .hint(format!("{remedy}; --device cpu needs none of it"))
}

/// Whether a failure's last words say that a GPU's memory ran out.
pub fn is_out_of_memory(words: &str) -> bool {
    OUT_OF_MEMORY.iter().any(|word| words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_refusal_is_a_sentence_with_a_remedy() {
        let check = |said: &str, want: &str| {
            let error = explain(1, said);
            assert_eq!((error.kind, error.message.as_str()), (Kind::Input, want));
            assert!(
                error
                    .hint
                    .unwrap()
                    .ends_with("--device cpu needs none of it")
            );
        };
        let driver = |name: &str| {
            format!("DriverError({name}, \"what the driver says\")\n   0: a backtrace")
        };
        let opens = "CUDA device 1 does not open:";
        check(
            &driver("CUDA_ERROR_NO_DEVICE"),
            &format!("{opens} CUDA shows no NVIDIA GPU"),
        );
        check(
            &driver("CUDA_ERROR_INVALID_DEVICE"),
            &format!("{opens} there are fewer"),
        );
        let old = format!("{opens} the NVIDIA driver is too old for this build");
        check(&driver("CUDA_ERROR_INSUFFICIENT_DRIVER"), &old);
        check(&driver("CUDA_ERROR_UNSUPPORTED_PTX_VERSION"), &old);
        check(
            &driver("CUDA_ERROR_INVALID_PTX"),
            &format!("{opens} this build has no kernels for this GPU"),
        );
        check(
            &driver("CUDA_ERROR_OUT_OF_MEMORY"),
            &format!("{opens} its memory is taken (CUDA_ERROR_OUT_OF_MEMORY)"),
        );
        let unknown = "CUDA device 1 does not open: DriverError(CUDA_ERROR_UNKNOWN, \"what the driver says\")";
        check(&driver("CUDA_ERROR_UNKNOWN"), unknown);
        check("", "CUDA device 1 does not open: no reason given");
    }
}
