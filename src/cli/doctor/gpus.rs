//! What `effbench doctor` says of NVIDIA's GPUs: what each is, how it is set, and what would disturb a measurement on it.

use std::sync::Arc;

use crate::measure::gpu::watch::CAUSES;
use crate::measure::gpu::{Drivers, Facts, GpuSensors};
use crate::reading::Absent;
use crate::report::listing::Checked;
use crate::unit::Bytes;

/// A row for the driver, and some for each GPU.
pub(super) fn rows(gpus: &[Arc<dyn GpuSensors>], drivers: Result<Drivers, String>) -> Vec<Checked> {
    let each = gpus
        .iter()
        .enumerate()
        .flat_map(|(index, gpu)| of_board(index, gpu.as_ref()));
    [driver(drivers, gpus.len())]
        .into_iter()
        .chain(each)
        .collect()
}

fn driver(drivers: Result<Drivers, String>, gpus: usize) -> Checked {
    const NAME: &str = "NVIDIA driver";
    const REMEDY: &str =
        "a machine with an NVIDIA GPU and its driver; a container needs `--gpus all`";
    match drivers {
        Err(why) => Checked::no(NAME, "none", &why, REMEDY),
        Ok(_) if gpus == 0 => Checked::no(
            NAME,
            "no GPU",
            "the driver shows no GPU to this user",
            REMEDY,
        ),
        Ok(Drivers { driver, cuda }) => {
            let of = |version: Option<String>| {
                version.unwrap_or_else(|| "of a version not known".to_owned())
            };
            Checked::yes(
                NAME,
                &format!("{}, runs CUDA up to {}", of(driver), of(cuda)),
            )
        }
    }
}

fn of_board(index: usize, gpu: &dyn GpuSensors) -> Vec<Checked> {
    let facts = gpu.facts();
    let name = |part: &str| format!("GPU {index}{part}");
    let mut rows = vec![
        Checked::yes(&name(""), &description(&facts)),
        state(&name(": state"), gpu),
    ];
    rows.push(others(&name(": others"), index, gpu));
    if let (Some(limit_w), Some(default_w)) = (facts.power_limit_w, facts.default_power_limit_w)
        && limit_w < default_w
    {
        let found = format!("{limit_w:.0} W instead of {default_w:.0} W");
        let why = "it is set below what the GPU is delivered with";
        rows.push(Checked::no(
            &name(": power limit"),
            &found,
            why,
            &format!("nvidia-smi -i {index} -pl {default_w:.0}"),
        ));
    }
    if facts.persistence == Some(false) {
        let why = "the driver goes when nobody uses the GPU: the energy counter begins anew, and each trial starts late";
        rows.push(Checked::no(
            &name(": persistence"),
            "off",
            why,
            &format!("nvidia-smi -i {index} -pm 1"),
        ));
    }
    if facts.mig == Some(true) {
        let why = "energy, power, clock and temperature are the whole GPU's, of all its instances together";
        rows.push(Checked::no(
            &name(": MIG"),
            "split",
            why,
            &format!("nvidia-smi -i {index} -mig 0"),
        ));
    }
    rows
}

fn description(facts: &Facts) -> String {
    let model = facts
        .model
        .clone()
        .unwrap_or_else(|| "a GPU without a name".to_owned());
    let parts = [
        facts
            .memory_bytes
            .map(|bytes| Bytes(bytes as f64).to_string()),
        facts
            .compute_capability
            .as_ref()
            .map(|version| format!("compute capability {version}")),
        facts.max_clock_mhz.map(|mhz| format!("up to {mhz} MHz")),
        facts
            .max_memory_clock_mhz
            .map(|mhz| format!("memory {mhz} MHz")),
        facts
            .power_limit_w
            .map(|watts| format!("power limit {watts:.0} W")),
        facts
            .ecc
            .map(|on| if on { "ECC on" } else { "ECC off" }.to_owned()),
        facts
            .uncorrected_errors
            .filter(|count| *count > 0)
            .map(|count| format!("{count} uncorrected memory errors")),
    ];
    [Some(model)]
        .into_iter()
        .chain(parts)
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Clock, temperature and what holds the clock down, just now.
fn state(name: &str, gpu: &dyn GpuSensors) -> Checked {
    let told = || Ok((gpu.clock_mhz()?, gpu.temperature_c()?, gpu.held_down_by()?));
    let (clock_mhz, heat_c, held) = match told() {
        Ok(state) => state,
        Err(absent) => {
            let (why, remedy) = silence(absent);
            return Checked::no(name, "not reported", why, remedy);
        }
    };
    let found = format!("{clock_mhz} MHz, {heat_c} °C");
    match CAUSES.iter().find(|cause| cause.holds(held)) {
        None => Checked::yes(name, &format!("{found}, nothing holds the clock down")),
        Some(cause) => {
            let (why, remedy) = held_down(cause.code);
            Checked::no(name, &found, why, remedy)
        }
    }
}

fn held_down(code: &str) -> (&'static str, &'static str) {
    match code {
        "gpu_thermal_slowdown" => (
            "the clock is held down for heat",
            "better cooling, or a lower power limit",
        ),
        "gpu_power_brake" => (
            "the power supply brakes the clock",
            "a stronger supply, or a lower power limit",
        ),
        "gpu_power_capped" => (
            "the clock is held down by the power limit",
            "a higher limit: nvidia-smi -pl WATTS",
        ),
        "gpu_clocks_set" => (
            "the clock is held at a setting",
            "to let it go: nvidia-smi -rac; nvidia-smi -rgc",
        ),
        _ => (
            "the hardware halves the clock, for heat or power",
            "nvidia-smi -q -d PERFORMANCE says which",
        ),
    }
}

fn others(name: &str, index: usize, gpu: &dyn GpuSensors) -> Checked {
    match gpu.processes() {
        Ok(processes) if processes.is_empty() => {
            Checked::yes(name, "no other process computes on it")
        }
        Ok(processes) => {
            let remedy = format!(
                "end them, or wait: nvidia-smi -i {index} --query-compute-apps=pid,name --format=csv"
            );
            Checked::no(
                name,
                &format!("{} on it", processes.len()),
                "other processes take its time",
                &remedy,
            )
        }
        Err(absent) => {
            let (why, remedy) = silence(absent);
            Checked::no(name, "not reported", why, remedy)
        }
    }
}

fn silence(absent: Absent) -> (&'static str, &'static str) {
    match absent {
        Absent::NoPermission => (
            "the driver refuses this user",
            "start it as a user with the video or render group, or as root",
        ),
        Absent::Vanished => (
            "the GPU fell off the bus",
            "nvidia-smi -r, or a restart; dmesg says more",
        ),
        _ => ("the driver does not tell", "none known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::gpu::fake::{Answers, Fake};
    use nvml_wrapper::bitmasks::device::ThrottleReasons as Held;

    fn said(gpu: Fake) -> Vec<String> {
        let drivers = Drivers {
            driver: Some("580.95.05".to_owned()),
            cuda: Some("13.0".to_owned()),
        };
        let line = |row: Checked| match row.remedy {
            None => format!("{}: {}", row.what, row.found),
            Some(remedy) => format!(
                "{}: {}. {} -> {remedy}",
                row.what,
                row.found,
                row.why.unwrap()
            ),
        };
        rows(&[Arc::new(gpu)], Ok(drivers))
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn a_board_in_order_has_no_remedies() {
        let facts = Facts {
            model: Some("NVIDIA H100 80GB HBM3".to_owned()),
            memory_bytes: Some(85_520_809_984),
            compute_capability: Some("9.0".to_owned()),
            power_limit_w: Some(700.0),
            default_power_limit_w: Some(700.0),
            max_clock_mhz: Some(1980),
            max_memory_clock_mhz: Some(2619),
            persistence: Some(true),
            ecc: Some(true),
            uncorrected_errors: Some(0),
            mig: Some(false),
            ..Facts::default()
        };
        let expected = [
            "NVIDIA driver: 580.95.05, runs CUDA up to 13.0",
            "GPU 0: NVIDIA H100 80GB HBM3, 86 GB, compute capability 9.0, up to 1980 MHz, memory 2619 MHz, power limit 700 W, ECC on",
            "GPU 0: state: 1980 MHz, 50 °C, nothing holds the clock down",
            "GPU 0: others: no other process computes on it",
        ];
        assert_eq!(
            said(Fake {
                facts,
                ..Fake::default()
            }),
            expected
        );
    }

    #[test]
    fn everything_else_has_a_command_that_helps() {
        let facts = Facts {
            model: Some("NVIDIA A100-SXM4-40GB".to_owned()),
            power_limit_w: Some(250.0),
            default_power_limit_w: Some(400.0),
            persistence: Some(false),
            mig: Some(true),
            ..Facts::default()
        };
        let held_down_by = Answers::always(Ok(Held::HW_THERMAL_SLOWDOWN | Held::HW_SLOWDOWN));
        let rows = said(
            Fake {
                facts,
                held_down_by,
                ..Fake::default()
            }
            .with(&[7, 8]),
        );
        for (row, remedy) in rows[2..].iter().zip([
            "better cooling",
            "nvidia-smi -i 0 --query-compute-apps=pid,name --format=csv",
            "nvidia-smi -i 0 -pl 400",
            "nvidia-smi -i 0 -pm 1",
            "nvidia-smi -i 0 -mig 0",
        ]) {
            assert!(row.contains(remedy), "{row}");
        }
        assert_eq!(rows.len(), 7);
        let refused = Answers::always(Err(Absent::NoPermission));
        let rows = said(Fake {
            temperature_c: refused,
            ..Fake::default()
        });
        assert!(
            rows[2].contains("not reported. the driver refuses this user"),
            "{}",
            rows[2]
        );
        let none = super::rows(
            &[],
            Err("the driver's library libnvidia-ml.so.1 is not there".to_owned()),
        );
        assert!(
            none.len() == 1
                && !none[0].ok
                && none[0].remedy.as_deref().unwrap().contains("--gpus all")
        );
    }
}
