//! The machine, as far as it decides what is measured, without anything that identifies a person or a host.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sysinfo::System;

use super::{memory, settings};
use crate::error::{Error, Result};
use crate::measure::gpu::{self, Drivers, Facts};
use crate::measure::{processor, virtualization};
use crate::ops::tile_unit;
use crate::record::{Cpu, Gpu, Machine};

/// Threads that a trial uses unless told otherwise: what the system lets this process have. On Linux that is the
/// smallest of the processors there are, the affinity mask and the control groups' quota, versions 1 and 2.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What is set in a trial's environment, and recorded.
///
/// One thread pool of `threads` (rayon's, which gemm uses too); candle's own element-wise pool off, for it spins beside
/// rayon's; and an allocator that gives no page back (`purge_delay` below 0), because each op allocates and a page that
/// was given back must be faulted in again.
pub fn child_environment(threads: usize) -> BTreeMap<String, String> {
    let set = [
        ("RAYON_NUM_THREADS", threads.to_string()),
        ("CANDLE_NUM_THREADS", "1".to_owned()),
        ("CANDLE_BARRIER_POOL_SPIN_LIMIT", "0".to_owned()),
        ("MIMALLOC_PURGE_DELAY", "-1".to_owned()),
    ];
    set.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Describes this machine, for trials that use `threads` and `environment`. What cannot be told is left out; an error
/// only where the system is one that nothing at all is known about.
pub fn describe(threads: usize, environment: &BTreeMap<String, String>) -> Result<Machine> {
    let mut system = System::new()
        .map_err(|error| Error::internal(format!("cannot tell this machine's memory: {error}")))?;
    system.refresh_memory();
    let mut machine = Machine {
        class_id: String::new(),
        strict_id: String::new(),
        cpu: cpu(),
        memory_bytes: Some(memory::limit_bytes().map_or(system.total_memory(), |most| {
            most.min(system.total_memory())
        })),
        gpus: gpus(),
        os: os(),
        kernel: System::kernel_version().ok(),
        virtualization: virtualization(),
        threads: Some(threads as u64),
        allocator: allocator(environment),
        environment: environment.clone(),
        settings: settings::read(Path::new("/")),
    };
    machine.class_id = class_id(&machine);
    machine.strict_id = strict_id(&machine);
    Ok(machine)
}

fn os() -> Option<String> {
    let name = System::name().ok()?;
    Some(match System::os_version() {
        Ok(version) => format!("{name} {version}"),
        Err(_) => name,
    })
}

/// The hypervisor, with the platform's own name for the machine where firmware gives one: `kvm (Amazon EC2 m7i.large)`.
fn virtualization() -> Option<String> {
    let hypervisor = virtualization::hypervisor()?;
    let read = |name| fs::read_to_string(Path::new("/sys/class/dmi/id").join(name)).ok();
    let platform = [read("sys_vendor"), read("product_name")]
        .map(|text| text.unwrap_or_default().trim().to_owned());
    let platform = platform.join(" ").trim().to_owned();
    Some(if hypervisor == "none" || platform.is_empty() {
        hypervisor
    } else {
        format!("{hypervisor} ({platform})")
    })
}

fn allocator(environment: &BTreeMap<String, String>) -> String {
    match environment.get("MIMALLOC_PURGE_DELAY") {
        Some(delay) => format!("mimalloc, purge delay {delay}"),
        None => "mimalloc".to_owned(),
    }
}

fn cpu() -> Cpu {
    Cpu {
        model: processor::brand().unwrap_or_else(|| "unknown".to_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        cores: System::physical_core_count().ok().map(|cores| cores as u64),
        threads: Some(default_threads() as u64),
        features: features()
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_owned())
            .collect(),
        cache_bytes: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
    }
}

/// Vendor, family, model and stepping, where the processor numbers itself: tells apart what a hypervisor calls by one name.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn signature() -> Option<(String, [u8; 3])> {
    let cpuid = raw_cpuid::CpuId::new();
    let info = cpuid.get_feature_info()?;
    let vendor = cpuid.get_vendor_info()?.as_str().to_owned();
    Some((
        vendor,
        [info.family_id(), info.model_id(), info.stepping_id()],
    ))
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn signature() -> Option<(String, [u8; 3])> {
    None
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn features() -> Vec<(&'static str, bool)> {
    vec![
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512fp16", is_x86_feature_detected!("avx512fp16")),
        ("amx-bf16", tile_unit().is_ok()),
    ]
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected;
    vec![
        ("neon", is_aarch64_feature_detected!("neon")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("bf16", is_aarch64_feature_detected!("bf16")),
        ("i8mm", is_aarch64_feature_detected!("i8mm")),
        ("sve", is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// Sizes of the data and unified caches that one processor sees, from the first level up; empty where Linux does not say.
fn caches(root: &Path) -> Vec<u64> {
    let read = |path: &Path, name: &str| {
        fs::read_to_string(path.join(name))
            .map(|text| text.trim().to_owned())
            .ok()
    };
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut levels: Vec<(u64, u64)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let holds_data = read(&path, "type")? != "Instruction";
            let kibibytes: u64 = read(&path, "size")?.strip_suffix('K')?.parse().ok()?;
            holds_data.then_some((read(&path, "level")?.parse().ok()?, kibibytes * 1024))
        })
        .collect();
    levels.sort_unstable();
    levels.into_iter().map(|(_, bytes)| bytes).collect()
}

/// What NVML shows; none where its library does not load.
fn gpus() -> Vec<Gpu> {
    let drivers = gpu::drivers().unwrap_or_default();
    gpu::gpus()
        .iter()
        .filter_map(|gpu| recorded(gpu.facts(), &drivers))
        .collect()
}

/// A GPU as it is recorded: its place on the bus and its number are nobody's business.
fn recorded(facts: Facts, drivers: &Drivers) -> Option<Gpu> {
    Some(Gpu {
        model: facts.model?,
        memory_bytes: facts.memory_bytes,
        driver: drivers.driver.clone(),
        cuda: drivers.cuda.clone(),
        compute_capability: facts.compute_capability,
        power_limit_w: facts.power_limit_w,
        default_power_limit_w: facts.default_power_limit_w,
        persistence: facts.persistence,
        max_clock_mhz: facts.max_clock_mhz.map(u64::from),
        max_memory_clock_mhz: facts.max_memory_clock_mhz.map(u64::from),
        ecc: facts.ecc,
        mig: facts.mig,
    })
}

/// `ryzen-9-7950x-32c-linux`, `xeon-platinum-8488c-8c-linux-h100-80gb-hbm3`. A processor whose name holds no number, as
/// hypervisors like it, gets its family: `epyc-19h-2c-linux`.
fn class_id(machine: &Machine) -> String {
    let mut cpu = slug(&machine.cpu.model);
    if !cpu.contains(|c: char| c.is_ascii_digit())
        && let Some((_, [family, ..])) = signature()
    {
        cpu.push_str(&format!("-{family:x}h"));
    }
    let processors = machine
        .cpu
        .threads
        .map(|n| format!("-{n}c"))
        .unwrap_or_default();
    let mut id = format!("{cpu}{processors}-{}", std::env::consts::OS);
    if let Some(gpu) = machine.gpus.first() {
        let count = machine.gpus.len();
        let times = if count > 1 {
            format!("{count}x")
        } else {
            String::new()
        };
        id.push_str(&format!("-{times}{}", slug(&gpu.model)));
    }
    id
}

/// The telling words of a processor's or accelerator's name, four at most: `Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz` is
/// `core-i7-9750h`.
fn slug(model: &str) -> String {
    const SAYS_NOTHING: [&str; 7] = [
        "amd",
        "intel",
        "nvidia",
        "cpu",
        "processor",
        "with",
        "virtual",
    ];
    let name = model
        .split('@')
        .next()
        .unwrap_or_default()
        .to_lowercase()
        .replace("(r)", "")
        .replace("(tm)", "");
    let words = name
        .split_whitespace()
        .filter(|word| !SAYS_NOTHING.contains(word) && !word.ends_with("-core"));
    let clean = words.map(|word| {
        word.chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect::<String>()
    });
    let words: Vec<String> = clean.filter(|word| !word.is_empty()).take(4).collect();
    if words.is_empty() {
        "cpu".to_owned()
    } else {
        words.join("-")
    }
}

/// A hash of all that is recorded, with the processor's own numbers; memory to the GiB, since kernels keep a little.
fn strict_id(machine: &Machine) -> String {
    let to_gibibytes = |bytes: u64| ((bytes as f64 / f64::from(1 << 30)).round() as u64) << 30;
    let memory_bytes = machine.memory_bytes.map(to_gibibytes);
    let described = Machine {
        memory_bytes,
        strict_id: String::new(),
        // A governor can be set otherwise every day, and the machine is the same.
        settings: BTreeMap::new(),
        ..machine.clone()
    };
    let text = serde_json::json!([described, signature()]).to_string();
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_keep_the_telling_words() {
        for (model, expected) in [
            ("AMD EPYC", "epyc"),
            ("AMD EPYC 9R14 96-Core Processor", "epyc-9r14"),
            ("AMD Ryzen 9 7950X 16-Core Processor", "ryzen-9-7950x"),
            ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "core-i7-9750h"),
            ("Intel(R) Xeon(R) Platinum 8488C", "xeon-platinum-8488c"),
            ("Apple M2 Pro", "apple-m2-pro"),
            ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
            ("/weird\\..name", "weirdname"),
            ("", "cpu"),
        ] {
            assert_eq!(slug(model), expected);
        }
    }

    #[test]
    fn a_board_is_recorded_as_it_is_set_and_without_its_place() {
        let facts = Facts {
            model: Some("NVIDIA H100 80GB HBM3".to_owned()),
            bus: Some("00000000:0A:00.0".to_owned()),
            power_limit_w: Some(500.0),
            default_power_limit_w: Some(700.0),
            max_clock_mhz: Some(1980),
            persistence: Some(true),
            ..Facts::default()
        };
        let drivers = Drivers {
            driver: Some("580.95.05".to_owned()),
            cuda: Some("13.0".to_owned()),
        };
        let text = serde_json::to_string(&recorded(facts, &drivers).unwrap()).unwrap();
        let expected = r#"{"model":"NVIDIA H100 80GB HBM3","memory_bytes":null,"driver":"580.95.05","cuda":"13.0","#
            .to_owned()
            + r#""power_limit_w":500.0,"default_power_limit_w":700.0,"persistence":true,"max_clock_mhz":1980}"#;
        assert_eq!(text, expected);
        let old = r#"{"model":"Tesla T4","memory_bytes":1,"driver":"535.1"}"#;
        assert_eq!(
            serde_json::from_str::<Gpu>(old).unwrap().compute_capability,
            None
        );
        assert!(
            recorded(Facts::default(), &drivers).is_none(),
            "a GPU without a name says nothing"
        );
    }

    #[test]
    fn caches_come_from_the_first_level_up_without_instructions() {
        let root = tempfile::tempdir().unwrap();
        for (index, level, kind, size) in [
            (3, 3, "Unified", "32768K"),
            (0, 1, "Data", "48K"),
            (1, 1, "Instruction", "32K"),
            (2, 2, "Unified", "1024K"),
        ] {
            let folder = root.path().join(format!("index{index}"));
            fs::create_dir(&folder).unwrap();
            for (file, text) in [
                ("level", level.to_string()),
                ("type", kind.to_owned()),
                ("size", size.to_owned()),
            ] {
                fs::write(folder.join(file), text + "\n").unwrap();
            }
        }
        assert_eq!(caches(root.path()), [48 << 10, 1 << 20, 32 << 20]);
        assert!(caches(&root.path().join("nowhere")).is_empty());
    }

    #[test]
    fn this_machine_is_described_the_same_twice_and_names_no_host() {
        let environment = child_environment(2);
        let machine = describe(2, &environment).unwrap();
        assert_eq!(machine, describe(2, &environment).unwrap());
        assert!(
            machine.memory_bytes > Some(1 << 20)
                && machine.cpu.threads >= Some(1)
                && machine.threads == Some(2)
        );
        assert!(
            machine
                .class_id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{}",
            machine.class_id
        );
        assert_ne!(
            machine.strict_id,
            describe(1, &child_environment(1)).unwrap().strict_id
        );
        let host = System::host_name().unwrap_or_default();
        let text = serde_json::to_string(&machine).unwrap();
        assert!(host.len() < 5 || !text.contains(&host), "{text}");
    }
}
