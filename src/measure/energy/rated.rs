//! Rated power of common processors and GPUs, by the name that they give themselves.
//!
//! Each figure is what the vendor states (AMD's "Default TDP"; Intel's "TDP" or, from the twelfth generation on, "Processor Base
//! Power" and "Maximum Turbo Power"; NVIDIA's "Max Thermal Design Power" or "Total Graphics Power"), looked up where its source
//! says: for most rows that is somebody who repeats the vendor. A part whose figure could not be found has no row. Where a hypervisor hides the model, a row holds a range of watts per
//! hardware thread over the whole product line.

/// Power that a vendor states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rated {
    /// Words of the name, in order, as the part itself says them.
    pub name: &'static str,
    /// Rated watts and highest stated watts.
    pub watts: [f64; 2],
    /// Hardware threads that these watts feed.
    pub threads: u32,
    /// Who says so.
    pub source: &'static str,
}

const AMD: &str = "AMD's Default TDP, by CodeCarbon 3.3.2, cpu_power.csv";
const INTEL: &str = "Intel's TDP, by CodeCarbon 3.3.2, cpu_power.csv";
const ALDER_LAKE: &str =
    "Intel's base and turbo power, by CodeCarbon 3.3.2 and club386.com, Core i9-12900K at 125W";
const RAPTOR_LAKE: &str = "Intel's base and turbo power, by techspot.com/news/95914 and techpowerup.com's review of the i9-14900K";
const ARROW_LAKE: &str = "Intel's base and turbo power, by CodeCarbon 3.3.2 and digitalphablet.com on the Core Ultra 9 285K";
const IMPACT: &str = "NVIDIA's maximum power, by github.com/mlco2/impact, data/gpus.csv";
const HOPPER: &str =
    "NVIDIA's maximum power, by hawkvelt.id.au on the H100 and hmc-tech.com on the H200 SXM";
const H100_PCIE: &str = "NVIDIA's product brief PB-11133-001 of the H100 PCIe";
const A100: &str = "NVIDIA's maximum power, by thundercompute.com's table of the A100 and mlco2/impact, data/gpus.csv";
const ADA: &str = "NVIDIA's maximum power, by mullet.se's data sheet of the L40 and L40S";
const L4: &str = "NVIDIA's maximum power, by grokipedia.com, NVIDIA L4 vs L40S";
const A40: &str = "NVIDIA's maximum power, by technical.city and hmc-tech.com on the A40";
const VOLTA: &str =
    "NVIDIA's maximum power, by hwupgrade.it/news/69475 and mlco2/impact, data/gpus.csv";
const RTX_6000: &str = "NVIDIA's maximum power, by huggingface.co/datasets/ohdoking/gpu_spec";
const GEFORCE: &str = "NVIDIA's total graphics power, by nvidiareview.com's table";

const fn row(name: &'static str, watts: [f64; 2], threads: u32, source: &'static str) -> Rated {
    Rated {
        name,
        watts,
        threads,
        source,
    }
}

const fn one(name: &'static str, watts: f64, threads: u32, source: &'static str) -> Rated {
    row(name, [watts, watts], threads, source)
}

/// Processors.
pub const PROCESSORS: &[Rated] = &[
    one("EPYC 7302", 155.0, 32, AMD),
    one("EPYC 7402", 180.0, 48, AMD),
    one("EPYC 7502", 180.0, 64, AMD),
    one("EPYC 7551", 180.0, 64, AMD),
    one("EPYC 7742", 225.0, 128, AMD),
    one("EPYC 7313", 155.0, 32, AMD),
    one("EPYC 7543", 225.0, 64, AMD),
    one("EPYC 7713", 225.0, 128, AMD),
    one("EPYC 7763", 280.0, 128, AMD),
    one("EPYC 9354", 280.0, 64, AMD),
    one("EPYC 9554", 360.0, 128, AMD),
    one("EPYC 9654", 360.0, 192, AMD),
    one("EPYC 9754", 360.0, 256, AMD),
    one("EPYC 9755", 500.0, 256, AMD),
    one("EPYC 9965", 500.0, 384, AMD),
    one("Ryzen 5 3600", 65.0, 12, AMD),
    one("Ryzen 7 3700X", 65.0, 16, AMD),
    one("Ryzen 9 3950X", 105.0, 32, AMD),
    one("Ryzen 5 5600X", 65.0, 12, AMD),
    one("Ryzen 7 5800X", 105.0, 16, AMD),
    one("Ryzen 9 5900X", 105.0, 24, AMD),
    one("Ryzen 9 5950X", 105.0, 32, AMD),
    one("Ryzen 5 7600X", 105.0, 12, AMD),
    one("Ryzen 7 7700X", 105.0, 16, AMD),
    one("Ryzen 7 7800X3D", 120.0, 16, AMD),
    one("Ryzen 9 7900X", 170.0, 24, AMD),
    one("Ryzen 9 7950X", 170.0, 32, AMD),
    one("Ryzen 7 9800X3D", 120.0, 16, AMD),
    one("Ryzen 9 9950X", 170.0, 32, AMD),
    one("Threadripper 3970X", 280.0, 64, AMD),
    one("Threadripper 3990X", 280.0, 128, AMD),
    one("Threadripper 7980X", 350.0, 128, AMD),
    one("E5-2680 v4", 120.0, 28, INTEL),
    one("E5-2698 v4", 135.0, 40, INTEL),
    one("Gold 6148", 150.0, 40, INTEL),
    one("Gold 6248", 150.0, 40, INTEL),
    one("Gold 6338", 205.0, 64, INTEL),
    one("Gold 6430", 270.0, 64, INTEL),
    one("Platinum 8168", 205.0, 48, INTEL),
    one("Platinum 8280", 205.0, 56, INTEL),
    one("Platinum 8380", 270.0, 80, INTEL),
    one("Platinum 8480+", 350.0, 112, INTEL),
    one("Platinum 8490H", 350.0, 120, INTEL),
    one("Platinum 8592+", 350.0, 128, INTEL),
    one("i7-8700K", 95.0, 12, INTEL),
    one("i7-9700K", 95.0, 8, INTEL),
    one("i9-9900K", 95.0, 16, INTEL),
    one("i7-9750H", 45.0, 12, INTEL),
    one("i7-10700K", 125.0, 16, INTEL),
    one("i9-10900K", 125.0, 20, INTEL),
    row("i7-12700K", [125.0, 190.0], 20, ALDER_LAKE),
    row("i9-12900K", [125.0, 241.0], 24, ALDER_LAKE),
    row("i5-13600K", [125.0, 181.0], 20, RAPTOR_LAKE),
    row("i7-13700K", [125.0, 253.0], 24, RAPTOR_LAKE),
    row("i9-13900K", [125.0, 253.0], 32, RAPTOR_LAKE),
    row("i9-14900K", [125.0, 253.0], 32, RAPTOR_LAKE),
    row("Ultra 9 285K", [125.0, 250.0], 24, ARROW_LAKE),
];

/// Processors whose model a hypervisor hides: watts of one hardware thread over the vendor's server parts.
pub const HIDDEN: &[Rated] = &[
    row(
        "AMD EPYC",
        [1.3, 11.3],
        1,
        "AMD's Default TDP of EPYC, from 9965, 500 W for 384 threads, to 72F3, 180 W for 16, by CodeCarbon 3.3.2",
    ),
    row(
        "Intel Xeon",
        [1.7, 13.2],
        1,
        "Intel's TDP of Xeon, from 6766E, 250 W for 144 threads, to Platinum 8256, 105 W for 8, by CodeCarbon 3.3.2",
    ),
];

/// NVIDIA's GPUs; a GPU is one thread of a kind.
pub const GPUS: &[Rated] = &[
    one("H200", 700.0, 1, HOPPER),
    one("H100 80GB HBM3", 700.0, 1, HOPPER),
    one("H100 PCIe", 350.0, 1, H100_PCIE),
    one("A100-SXM4-40GB", 400.0, 1, A100),
    one("A100-SXM4-80GB", 400.0, 1, A100),
    one("A100-PCIE-40GB", 250.0, 1, A100),
    one("A100 80GB PCIe", 300.0, 1, A100),
    one("A40", 300.0, 1, A40),
    one("L4", 72.0, 1, L4),
    one("L40", 300.0, 1, ADA),
    one("L40S", 350.0, 1, ADA),
    one("T4", 70.0, 1, IMPACT),
    one("V100-SXM2-16GB", 300.0, 1, VOLTA),
    one("V100-SXM2-32GB", 300.0, 1, VOLTA),
    one("V100-PCIE-16GB", 250.0, 1, VOLTA),
    one("P100-PCIE-16GB", 250.0, 1, IMPACT),
    one("RTX A6000", 300.0, 1, IMPACT),
    one("RTX 6000 Ada Generation", 300.0, 1, RTX_6000),
    one("GeForce RTX 2080 Ti", 250.0, 1, IMPACT),
    one("GeForce RTX 3080", 320.0, 1, IMPACT),
    one("GeForce RTX 3090", 350.0, 1, IMPACT),
    one("GeForce RTX 4070", 200.0, 1, GEFORCE),
    one("GeForce RTX 4080", 320.0, 1, GEFORCE),
    one("GeForce RTX 4090", 450.0, 1, GEFORCE),
    one("GeForce RTX 5090", 575.0, 1, GEFORCE),
];

/// Words after a name that make it another part.
const OTHER_PARTS: [&str; 6] = ["Ti", "SUPER", "Laptop", "Max-Q", "D", "NVL"];

/// The row of a processor's own name; of one whose model is hidden, that of its line.
pub fn processor(model: &str) -> Option<&'static Rated> {
    let words = words(model);
    PROCESSORS
        .iter()
        .find(|row| stands_in(row.name, &words))
        .or_else(|| hidden(&words))
}

/// The row of a GPU's own name.
pub fn gpu(model: &str) -> Option<&'static Rated> {
    let words = words(model);
    GPUS.iter().find(|row| stands_in(row.name, &words))
}

/// A server's name without a number: `AMD EPYC`, `AMD EPYC-Milan Processor`, `Intel Xeon Processor (Skylake, IBRS)`.
fn hidden(model: &[String]) -> Option<&'static Rated> {
    if model
        .iter()
        .any(|word| word.chars().filter(char::is_ascii_digit).count() > 1)
    {
        return None;
    }
    HIDDEN.iter().find(|row| {
        let line: Vec<&str> = row.name.split(' ').collect();
        model.len() >= line.len()
            && line
                .iter()
                .zip(model)
                .all(|(want, word)| word.split('-').next() == Some(*want))
    })
}

/// `Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz` is `Intel Xeon Platinum 8380 CPU`.
fn words(model: &str) -> Vec<String> {
    let name = model
        .split('@')
        .next()
        .unwrap_or_default()
        .replace("(R)", "")
        .replace("(TM)", "");
    name.split([' ', ',', '(', ')'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn stands_in(name: &str, model: &[String]) -> bool {
    let name: Vec<&str> = name.split(' ').collect();
    model.windows(name.len()).enumerate().any(|(at, found)| {
        let next = model.get(at + name.len()).map(String::as_str);
        found.iter().zip(&name).all(|(found, name)| found == name)
            && !next.is_some_and(|n| OTHER_PARTS.contains(&n))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_the_names_they_give_themselves() {
        for (model, expected) in [
            (
                "AMD EPYC 7763 64-Core Processor",
                Some(([280.0, 280.0], 128)),
            ),
            (
                "AMD EPYC 9654 96-Core Processor",
                Some(([360.0, 360.0], 192)),
            ),
            (
                "AMD Ryzen 9 7950X 16-Core Processor",
                Some(([170.0, 170.0], 32)),
            ),
            ("AMD Ryzen 9 7950X3D 16-Core Processor", None),
            (
                "AMD Ryzen Threadripper 3990X 64-Core Processor",
                Some(([280.0, 280.0], 128)),
            ),
            (
                "Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz",
                Some(([270.0, 270.0], 80)),
            ),
            (
                "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
                Some(([120.0, 120.0], 28)),
            ),
            ("Intel(R) Core(TM) i9-13900K", Some(([125.0, 253.0], 32))),
            ("13th Gen Intel(R) Core(TM) i9-13900KS", None),
            ("Intel(R) Core(TM) Ultra 9 285K", Some(([125.0, 250.0], 24))),
            ("AMD EPYC", Some(([1.3, 11.3], 1))),
            ("AMD EPYC-Milan Processor", Some(([1.3, 11.3], 1))),
            (
                "Intel Xeon Processor (Skylake, IBRS)",
                Some(([1.7, 13.2], 1)),
            ),
            (
                "Intel(R) Xeon(R) Processor @ 2.70GHz",
                Some(([1.7, 13.2], 1)),
            ),
            // A model of its own that no page tells of.
            ("AMD EPYC 9R14 96-Core Processor", None),
            ("Intel(R) Xeon(R) Platinum 8488C", None),
            ("Apple M2 Pro", None),
            ("", None),
        ] {
            assert_eq!(
                processor(model).map(|row| (row.watts, row.threads)),
                expected,
                "{model}"
            );
        }
        for (model, expected) in [
            ("NVIDIA H100 80GB HBM3", Some(700.0)),
            ("NVIDIA L4", Some(72.0)),
            ("NVIDIA L40S", Some(350.0)),
            ("Tesla T4", Some(70.0)),
            ("NVIDIA GeForce RTX 3080", Some(320.0)),
            ("NVIDIA GeForce RTX 3080 Ti", None),
            ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
            ("NVIDIA A10G", None),
            // Figures that were not found.
            ("NVIDIA A10", None),
            ("NVIDIA GeForce RTX 3060", None),
        ] {
            assert_eq!(gpu(model).map(|row| row.watts[1]), expected, "{model}");
        }
    }

    #[test]
    fn every_row_makes_sense_and_stands_once() {
        let rows: Vec<&Rated> = PROCESSORS.iter().chain(HIDDEN).chain(GPUS).collect();
        for (index, row) in rows.iter().enumerate() {
            assert!(
                rows[..index].iter().all(|other| other.name != row.name),
                "{} stands twice",
                row.name
            );
            assert!(
                0.0 < row.watts[0] && row.watts[0] <= row.watts[1] && row.threads > 0,
                "{}",
                row.name
            );
            let vendor = ["AMD's ", "Intel's ", "NVIDIA's "]
                .iter()
                .any(|who| row.source.starts_with(who));
            assert!(
                vendor && (row.source.contains(", by ") || row.source.contains("product brief")),
                "{}",
                row.name
            );
        }
    }
}
