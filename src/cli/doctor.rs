//! `effbench doctor`: what can be measured here, what not, why, and the remedy.

use std::time::Duration;

use clap::Args;

use super::out::OutArgs;
use super::print::to_json;
use crate::device;
use crate::error::Result;
use crate::measure::disturbance::{self, Disturbance};
use crate::measure::energy::account::Account;
use crate::measure::energy::meter::About;
use crate::measure::energy::{self, Found, Missing};
use crate::measure::gpu;
use crate::measure::{memory, temperature};
use crate::reading::{Absent, Channel};
use crate::report::listing::{self, Checked};
use crate::runner::build_info;
use crate::runner::machine::{child_environment, default_threads, describe};
use crate::trial::Registry;
use crate::unit::{Bytes, Joules, Seconds, Share};

mod gpus;

/// Arguments of `effbench doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  effbench doctor")]
pub struct DoctorArgs {
    // A doc comment here would replace the command's own words.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub out: OutArgs,
}

/// Looks at this machine and says what a run would be able to measure.
pub fn execute(args: &DoctorArgs, registry: &Registry) -> Result<()> {
    let rows = checks(registry)?;
    args.out
        .show(|| Ok(listing::checkup(&rows)), || Ok(Some(to_json(&rows)?)))
}

fn checks(registry: &Registry) -> Result<Vec<Checked>> {
    let mut rows = of_machine()?;
    rows.push(match device::open("cuda") {
        Ok(opened) => Checked::yes("CUDA", &opened.name),
        Err(error) => Checked::no(
            "CUDA",
            "not used",
            &error.message,
            error.hint.as_deref().unwrap_or(""),
        ),
    });
    rows.extend(gpus::rows(&gpu::gpus(), gpu::drivers()));
    let mut meters = Watched::begin(energy::look(&registry.meters));
    let estimate = estimate(&energy::modelled_processor());
    let cooling = match temperature::processor_c() {
        Some(now_c) => Checked::yes(
            "cooling",
            &format!("{now_c:.0} °C now; trials wait until it is as cool as at the start"),
        ),
        None => Checked::no(
            "cooling",
            "not known",
            "this machine shows no temperature",
            "none known",
        ),
    };
    let quiet = quiet();
    rows.extend(meters.rows());
    rows.extend([estimate, cooling]);
    rows.extend(quiet);
    Ok(rows)
}

/// The machine and this build of the program.
fn of_machine() -> Result<Vec<Checked>> {
    let threads = default_threads();
    let machine = describe(threads, &child_environment(threads))?;
    let build = build_info();
    let processors = machine
        .cpu
        .threads
        .map_or_else(|| "?".to_owned(), |n| n.to_string());
    let memory_bytes = machine
        .memory_bytes
        .map_or_else(|| "not known".to_owned(), |b| Bytes(b as f64).to_string());
    Ok(vec![
        Checked::yes(
            "machine",
            &format!("{}, {}", machine.class_id, machine.cpu.model),
        ),
        Checked::yes(
            "threads",
            &format!("{threads} of {processors} logical processors"),
        ),
        Checked::yes("memory", &format!("{memory_bytes} installed")),
        simd(&machine.cpu.features),
        match build.profile.as_str() {
            "release" => Checked::yes("build", "release"),
            other => Checked::no(
                "build",
                other,
                "speed figures of a debug build mean little",
                "cargo build --release",
            ),
        },
        match memory::peak_bytes() {
            Some(_) => Checked::yes(
                "peak memory",
                "the kernel's high-water mark of each trial's process",
            ),
            None => Checked::no(
                "peak memory",
                "not measured",
                "this system does not tell",
                "none known",
            ),
        },
    ])
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
        let found = if share {
            Share(seen.value).to_string()
        } else {
            format!("{} in a second", seen.value)
        };
        if seen.value > seen.limit {
            Checked::no(what, &found, why, remedy)
        } else {
            Checked::yes(what, &found)
        }
    };
    let unseen = disturbance::unseen(&seen).into_iter().map(|code| {
        Checked::no(
            disturbing(code).0,
            "not known",
            "this system, or this machine, has no counter of it",
            "none known",
        )
    });
    seen.iter().map(row).chain(unseen).collect()
}

/// A disturbance in words: what it is, why it matters, what helps, and whether it is a share of the time.
fn disturbing(code: &str) -> (&'static str, &'static str, &'static str, bool) {
    match code {
        "cpu_steal" => (
            "quiet: other guests",
            "the hypervisor takes processor time away",
            "a dedicated machine",
            true,
        ),
        "foreign_load" => (
            "quiet: other programs",
            "they take processor time away",
            "end them, or wait",
            true,
        ),
        "swapping" => (
            "quiet: swapping",
            "memory is short",
            "end other programs; smaller models or batches",
            false,
        ),
        "quota_throttled" => (
            "quiet: CPU quota",
            "the control group's quota stops the program again and again",
            "a larger quota, or --set compute.threads=N for what it allows",
            true,
        ),
        _ => (
            "quiet: heat",
            "the processor slows down for heat",
            "better cooling, or fewer threads",
            false,
        ),
    }
}

/// The meters that there are, read before the quiet second and after it: a counter that opens may stand still for ever, as
/// those do that a hypervisor shows its guests without feeding them.
struct Watched(Vec<(Found, Option<Account>)>);

impl Watched {
    fn begin(found: Vec<Found>) -> Self {
        let first = |mut found: Found| {
            let account = read(&mut found, None, 0.0);
            (found, account)
        };
        Self(found.into_iter().map(first).collect())
    }

    /// One row for each instrument, also where another one reads the same.
    fn rows(&mut self) -> Vec<Checked> {
        let row = |(found, account): &mut (Found, Option<Account>)| {
            let account = read(found, account.take(), WATCHED.as_secs_f64());
            meter(found, account.and_then(|account| account.energy_j().err()))
        };
        self.0.iter_mut().map(row).collect()
    }
}

/// Enters an open meter's value in its account, a new one where there is none yet.
fn read(found: &mut Found, account: Option<Account>, at_s: f64) -> Option<Account> {
    let Found::Open(meter) = found else {
        return None;
    };
    let about = meter.about();
    let mut account =
        account.unwrap_or_else(|| Account::new(about.law, about.update_s, about.least_s));
    account.read(at_s, meter.read());
    Some(account)
}

/// A meter's row; `absent` is what its account says of the second in which it was watched.
fn meter(found: &Found, absent: Option<Absent>) -> Checked {
    match found {
        Found::Open(meter) => {
            let About {
                id,
                source,
                scope,
                update_s,
                resolution_j,
                ..
            } = meter.about();
            let name = format!("energy of {id} by {source}");
            match absent {
                Some(Absent::Frozen) => {
                    let why = "its counter can be opened and stands still: nothing feeds it";
                    Checked::no(
                        &name,
                        "not measured",
                        why,
                        &energy::meter::elsewhere(Absent::Frozen),
                    )
                }
                Some(Absent::Vanished) => Checked::no(
                    &name,
                    "not measured",
                    "it opens and cannot be read",
                    "none known",
                ),
                // Too short for its updates, and the like: the trial's own, longer windows decide.
                _ => {
                    let steps = resolution_j
                        .map(|j| format!(" in steps of {}", Joules(j)))
                        .unwrap_or_default();
                    Checked::yes(
                        &name,
                        &format!("{scope}; renewed every {}{steps}", Seconds(*update_s)),
                    )
                }
            }
        }
        Found::Missing(Missing {
            id,
            source,
            why,
            remedy,
            ..
        }) => Checked::no(
            &format!("energy of {id} by {source}"),
            "not measured",
            why,
            remedy,
        ),
    }
}

/// What stands in where nothing measures the processor.
fn estimate(channel: &Channel) -> Checked {
    let name = "energy estimate";
    match channel.bounds_j {
        Some([low, high]) => {
            let source = channel
                .source
                .split_once(": ")
                .map_or(channel.source.as_str(), |(_, source)| source);
            Checked::yes(
                name,
                &format!("{low:.1} to {high:.1} W, where nothing is measured: {source}"),
            )
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
        (true, _) if has("amx-bf16") => {
            Checked::yes("vector unit", "AVX-512, and AMX for compute.products=bf16")
        }
        (true, _) => Checked::yes("vector unit", "AVX-512"),
        (_, true) => Checked::yes("vector unit", "AVX2 and FMA"),
        _ if cfg!(target_arch = "x86_64") => Checked::no(
            "vector unit",
            "SSE2 only",
            "the processor, or the hypervisor, offers no more",
            "none known",
        ),
        _ => Checked::yes("vector unit", std::env::consts::ARCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::energy::Meter;
    use crate::measure::energy::meter::{Law, Value};
    use crate::reading::Quality;

    /// Says these values in turn.
    struct Script(About, Vec<std::result::Result<Value, Absent>>);

    impl Meter for Script {
        fn about(&self) -> &About {
            &self.0
        }
        fn read(&mut self) -> std::result::Result<Value, Absent> {
            self.1.remove(0)
        }
    }

    #[test]
    fn a_counter_that_opens_and_stands_still_is_no_meter() {
        let law = Law::Counter {
            per_joule: 4e9,
            wraps_at: None,
        };
        let about = |update_s| About {
            id: "psys".to_owned(),
            component: "platform",
            source: "rapl.perf",
            quality: Quality::FirmwareModel,
            scope: "the whole platform".to_owned(),
            overlaps: None,
            law,
            update_s,
            resolution_j: None,
            least_s: 10.0 * update_s,
        };
        let check = |update_s: f64,
                     values: [std::result::Result<u64, Absent>; 2],
                     yes: bool,
                     says: &str| {
            let script = Script(
                about(update_s),
                values.map(|v| v.map(Value::Count)).to_vec(),
            );
            let rows = Watched::begin(vec![Found::Open(Box::new(script))]).rows();
            let row = serde_json::to_value(&rows[0]).unwrap();
            assert_eq!(row["ok"], yes, "{row}");
            assert!(row.to_string().contains(says), "{row}");
        };
        check(0.001, [Ok(0), Ok(0)], false, "stands still");
        check(
            0.001,
            [Ok(5), Ok(5 + (4 << 30))],
            true,
            "the whole platform; renewed every 1.0 ms",
        );
        check(
            0.001,
            [Ok(5), Err(Absent::Vanished)],
            false,
            "cannot be read",
        );
        // Renewed once a minute: a second without a change says nothing.
        check(60.0, [Ok(5), Ok(5)], true, "renewed every");
    }
}
