//! `effbench doctor`: what can be measured here, what not, why, and the remedy.

use clap::Args;

use super::{Format, print, print_json, style, to_json};
use crate::device;
use crate::error::Result;
use crate::measure::{energy, memory};
use crate::reading::Absent;
use crate::report::listing::{self, Checked};
use crate::runner::build_info;
use crate::runner::machine::{child_environment, default_threads, describe};
use crate::unit::Bytes;

/// Arguments of `effbench doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench doctor")]
pub struct DoctorArgs {
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Looks at this machine and says what a run would be able to measure.
pub fn execute(args: &DoctorArgs) -> Result<()> {
    let rows = checks()?;
    match args.format {
        Format::Text => print(&listing::checkup(&rows, style())),
        Format::Json => print_json(&to_json(&rows)?),
    }
}

fn checks() -> Result<Vec<Checked>> {
    let threads = default_threads();
    let machine = describe(threads, &child_environment(threads))?;
    let build = build_info();
    let processors = machine.cpu.threads.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let memory_bytes = machine.memory_bytes.map_or_else(|| "not known".to_owned(), |b| Bytes(b as f64).to_string());
    let mut rows = vec![
        Checked::yes("machine", &format!("{}, {}", machine.class_id, machine.cpu.model)),
        Checked::yes("threads", &format!("{threads} of {processors} logical processors")),
        Checked::yes("memory", &format!("{memory_bytes} installed")),
        simd(&machine.cpu.features),
        match build.profile.as_str() {
            "release" => Checked::yes("build", "release"),
            other => Checked::no("build", other, "speed figures of a debug build mean little", "cargo build --release"),
        },
        match memory::peak_bytes() {
            Some(_) => Checked::yes("peak memory", "the kernel's high-water mark of each trial's process"),
            None => Checked::no("peak memory", "not measured", "this system does not tell", "none known"),
        },
    ];
    rows.push(match device::open("cuda") {
        Ok(opened) => Checked::yes("CUDA", &opened.name),
        Err(error) => Checked::no("CUDA", "not used", &error.message, error.hint.as_deref().unwrap_or("")),
    });
    rows.extend(energy::channels().channels.iter().map(|channel| {
        let name = format!("energy of {}", channel.id);
        match channel.energy_j {
            Ok(_) => Checked::yes(&name, channel.source),
            Err(absent) => Checked::no(&name, "not measured", why(absent), remedy(absent)),
        }
    }));
    Ok(rows)
}

fn simd(features: &[String]) -> Checked {
    let has = |name: &str| features.iter().any(|feature| feature == name);
    match (has("avx512f"), has("avx2") && has("fma")) {
        (true, _) => Checked::yes("vector unit", "AVX-512"),
        (_, true) => Checked::yes("vector unit", "AVX2 and FMA"),
        _ if cfg!(target_arch = "x86_64") => {
            Checked::no("vector unit", "SSE2 only", "the processor, or the hypervisor, offers no more", "none known")
        }
        _ => Checked::yes("vector unit", std::env::consts::ARCH),
    }
}

fn why(absent: Absent) -> &'static str {
    match absent {
        Absent::VirtualMachine => "this is a virtual machine, and its hypervisor hides the counters",
        Absent::NoPermission => "the counter is there, and this user may not read it",
        Absent::NoSensor => "this machine shows no such counter",
        Absent::Unsupported => "the counter can be read, and this version of effbench does not meter with it yet",
    }
}

fn remedy(absent: Absent) -> &'static str {
    match absent {
        Absent::VirtualMachine => "run on the host, or on a machine of your own",
        Absent::NoPermission => "sudo chmod -R a+r /sys/class/powercap/*/energy_uj",
        Absent::NoSensor | Absent::Unsupported => "none known",
    }
}
