//! What computes: the device a name stands for, and what is said when it is not there.

#[cfg(feature = "cuda")]
mod cuda;
pub mod refusal;
pub mod workers;
pub mod probes;

pub use probes::{AttentionMix, Gemm, Precision, SmallOps, StreamCopy};
pub use workers::{STACK_BYTES, Workers};

use candle_core::Device;

use crate::error::{Error, Result};

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Error::internal(error.to_string())
    }
}

/// An opened device.
#[derive(Debug, Clone)]
pub struct Opened {
    /// candle's handle.
    pub device: Device,
    /// Its full name: `cpu`, `cuda:0`.
    pub name: String,
    /// Why this one, where `auto` chose.
    pub why: Option<String>,
    /// Its place on the PCI bus, where it is a GPU: what the driver's management library knows it by.
    pub bus: Option<String>,
}

impl Opened {
    /// The most of the device's own memory that this process has used at once, in bytes; `None` for the CPU and where the
    /// driver does not count.
    pub fn peak_bytes(&self) -> Option<u64> {
        #[cfg(feature = "cuda")]
        return cuda::peak_bytes(&self.device);
        #[cfg(not(feature = "cuda"))]
        None
    }
}

/// Opens `auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes the first CUDA device, and falls back to the CPU with a reason.
pub fn open(name: &str) -> Result<Opened> {
    let cpu = |why: Option<String>| Opened {
        device: Device::Cpu,
        name: "cpu".into(),
        why,
        bus: None,
    };
    match name {
        "cpu" => Ok(cpu(None)),
        "auto" => match cuda(0) {
            Ok(opened) => Ok(Opened {
                why: Some("the first CUDA device".into()),
                ..opened
            }),
            Err(error) => Ok(cpu(Some(error.message))),
        },
        _ => {
            let ordinal = match name.strip_prefix("cuda") {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse().ok()),
                None => None,
            };
            let Some(ordinal) = ordinal else {
                return Err(Error::input(format!("unknown device `{name}`"))
                    .hint("auto, cpu, cuda or cuda:N"));
            };
            cuda(ordinal)
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Opened> {
    let device =
        cuda::open(ordinal).map_err(|error| refusal::explain(ordinal, &error.to_string()))?;
    let bus = cuda::bus(&device);
    Ok(Opened {
        device,
        name: format!("cuda:{ordinal}"),
        why: None,
        bus,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_ordinal: usize) -> Result<Opened> {
    Err(Error::input("this build has no CUDA support").hint(
        "build with `cargo build --release --features cuda` where a CUDA toolkit is installed, or use --device cpu",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_a_sentence_with_a_remedy() {
        assert_eq!(open("cpu").unwrap().name, "cpu");
        for name in ["gpu", "cuda:x", "metal"] {
            assert!(open(name).unwrap_err().hint.is_some(), "{name}");
        }
        if cfg!(not(feature = "cuda")) {
            assert!(
                open("cuda")
                    .unwrap_err()
                    .message
                    .contains("no CUDA support")
            );
            let auto = open("auto").unwrap();
            assert_eq!((auto.name.as_str(), auto.why.is_some()), ("cpu", true));
        }
    }
}
