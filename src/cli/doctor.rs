//! `effbench doctor`: what can be measured here, what not, why, and the remedy.

use std::time::Duration;

use clap::Args;

use super::{Format, print, print_json, style, to_json};
use crate::device;
use crate::error::Result;
use crate::measure::board;
use crate::measure::disturbance::{self, Disturbance};
use crate::measure::energy::meter::About;
use crate::measure::energy::{self, Found, Missing};
use crate::measure::{memory, temperature};
use crate::reading::Channel;
use crate::report::listing::{self, Checked};
use crate::runner::build_info;
use crate::runner::machine::{child_environment, default_threads, describe};
use crate::trial::Registry;
use crate::unit::{Bytes, Joules, Seconds, Share};

mod boards;

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
pub fn execute(args: &DoctorArgs, registry: &Registry) -> Result<()> {
    let rows = checks(registry)?;
    match args.format {
        Format::Text => print(&listing::checkup(&rows, style())),
        Format::Json => print_json(&to_json(&rows)?),
    }
}

fn checks(registry: &Registry) -> Result<Vec<Checked>> {
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
    rows.extend(boards::rows(&board::boards(), board::drivers()));
    rows.extend(energy::look(&registry.meters).iter().map(meter));
    rows.push(estimate(&energy::modelled_processor()));
    rows.push(match temperature::processor_c() {
        Some(now_c) => {
            Checked::yes("cooling", &format!("{now_c:.0} °C now; trials wait until it is as cool as at the start"))
        }
        None => Checked::no("cooling", "not known", "this machine shows no temperature", "none known"),
    });
    rows.extend(quiet());
    Ok(rows)
}

/// How long the machine is watched for what would disturb a measurement.
const WATCHED: Duration = Duration::from_secs(1);

/// What would be flagged if a trial ran just now; effbench itself does nothing meanwhile.
fn quiet() -> Vec<Checked> {
    let before = disturbance::snapshot(0.0);
    std::thread::sleep(WATCHED);
    let seen = disturbance::between(&before, &disturbance::snapshot(WATCHED.as_secs_f64()));
    let row = |seen: &Disturbance| {
        let (what, why, remedy, share) = disturbing(seen.code);
        let found = if share { Share(seen.value).to_string() } else { format!("{} in a second", seen.value) };
        if seen.value > seen.limit { Checked::no(what, &found, why, remedy) } else { Checked::yes(what, &found) }
    };
    let unseen = disturbance::unseen(&seen).into_iter().map(|code| {
        Checked::no(disturbing(code).0, "not known", "this system, or this machine, has no counter of it", "none known")
    });
    seen.iter().map(row).chain(unseen).collect()
}

/// A disturbance in words: what it is, why it matters, what helps, and whether it is a share of the time.
fn disturbing(code: &str) -> (&'static str, &'static str, &'static str, bool) {
    match code {
        "cpu_steal" => ("quiet: other guests", "the hypervisor takes processor time away", "a dedicated machine", true),
        "foreign_load" => ("quiet: other programs", "they take processor time away", "end them, or wait", true),
        "swapping" => ("quiet: swapping", "memory is short", "end other programs; smaller models or batches", false),
        "quota_throttled" => (
            "quiet: CPU quota",
            "the control group's quota stops the program again and again",
            "a larger quota, or --set compute.threads=N for what it allows",
            true,
        ),
        _ => ("quiet: heat", "the processor slows down for heat", "better cooling, or fewer threads", false),
    }
}

/// One row for each instrument, also where another one reads the same.
fn meter(found: &Found) -> Checked {
    match found {
        Found::Open(meter) => {
            let About { id, source, scope, update_s, resolution_j, .. } = meter.about();
            let steps = resolution_j.map(|joules| format!(" in steps of {}", Joules(joules))).unwrap_or_default();
            let renewed = format!("renewed every {}{steps}", Seconds(*update_s));
            Checked::yes(&format!("energy of {id} by {source}"), &format!("{scope}; {renewed}"))
        }
        Found::Missing(Missing { id, source, why, remedy, .. }) => {
            Checked::no(&format!("energy of {id} by {source}"), "not measured", why, remedy)
        }
    }
}

/// What stands in where nothing measures the processor.
fn estimate(channel: &Channel) -> Checked {
    let name = "energy estimate";
    match channel.bounds_j {
        Some([low, high]) => {
            let source = channel.source.split_once(": ").map_or(channel.source.as_str(), |(_, source)| source);
            Checked::yes(name, &format!("{low:.1} to {high:.1} W, where nothing is measured: {source}"))
        }
        None => Checked::no(
            name,
            "none",
            "no rated power is known of this processor's model",
            "--price FILE with idle_w and max_w under [modelled]",
        ),
    }
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
