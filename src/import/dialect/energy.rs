//! Energy as meters print it: `perf stat` in all its forms (for people, `-x,`, `-I 1000`, per socket), EnergiBridge's sentence, CodeCarbon's
//! and carbontracker's logs, pyJoules' lines, `powermetrics`, `powerstat`, `turbostat`. A measurement is a row; of a sampled power its last
//! line has the energy of all.

use super::line::{Before, Cells, Meter, push};
use super::words::is_figure;
use crate::import::shape::{PRINTED, domain_joules};

/// Of `perf`'s domains those whose sum is the machine's: cores and a GPU of the processor's own are part of its package.
const COUNTED: [&str; 2] = ["energy-pkg", "energy-ram"];
/// What holds the package and more.
const PLATFORM: &str = "energy-psys";

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let readers = [
        perf,
        ends,
        said,
        codecarbon,
        carbontracker,
        pyjoules,
        powermetrics,
        powerstat,
        turbostat,
    ];
    readers.iter().find_map(|read| read(text.trim(), before))
}

/// A row of a measurement.
fn row(program: &str, joules: f64, seconds: Option<f64>) -> Cells {
    let mut cells = Vec::new();
    push(&mut cells, PRINTED, program);
    push(&mut cells, "joules", &joules.to_string());
    if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
        push(&mut cells, "seconds", &seconds.to_string());
    }
    cells
}

/// Sets what the block has come to, which its end or the file's makes a row.
fn told(program: &str, before: &mut Before) {
    let meter = &before.meter;
    let joules = meter.joules.or(meter.platform);
    before.block = joules.map(|joules| row(program, joules, meter.seconds));
}

/// Ends a block: its row, and a new meter.
fn ended(before: &mut Before) -> Cells {
    before.meter = Meter::default();
    before.block.take().unwrap_or_default()
}

/// Adds the energy of a power that held for some seconds.
fn add(program: &str, before: &mut Before, watts: f64, seconds: f64) -> Option<Cells> {
    if !(watts >= 0.0 && seconds >= 0.0 && watts.is_finite() && seconds.is_finite()) {
        return None;
    }
    let meter = &mut before.meter;
    meter.joules = Some(meter.joules.unwrap_or(0.0) + watts * seconds);
    meter.seconds = Some(meter.seconds.unwrap_or(0.0) + seconds);
    told(program, before);
    Some(Vec::new())
}

/// An event of `perf stat`: when, on which socket, how much of what.
struct Event<'t> {
    time: Option<f64>,
    socket: &'t str,
    /// `None` where it was not counted.
    value: Option<f64>,
    unit: &'t str,
    name: &'t str,
}

fn perf(text: &str, before: &mut Before) -> Option<Cells> {
    if text.starts_with("# started on ") || text.starts_with("Performance counter stats for ") {
        return Some(ended(before));
    }
    if text.starts_with('#') {
        return (text.contains("time") && text.contains("events")).then(Vec::new);
    }
    let event = by_separators(text).or_else(|| by_blanks(text))?;
    let is_time = event.name == "duration_time" && event.unit == "ns";
    if !is_time && !event.name.contains("energy-") {
        return Some(Vec::new());
    }
    let domain = event.name.trim_end_matches('/').rsplit('/').next()?;
    let key = format!("{} {domain}", event.socket);
    // Seconds that fall are another run's, and so is a counter that was told of already.
    let fell = event
        .time
        .zip(before.meter.seconds)
        .is_some_and(|(now, last)| now < last);
    let anew = fell || (event.time.is_none() && before.meter.seen.contains(&key));
    let last = if anew { ended(before) } else { Vec::new() };
    let meter = &mut before.meter;
    meter.seen.push(key);
    meter.seconds = event.time.or(meter.seconds);
    let sum = match domain {
        _ if is_time => {
            meter.seconds = event.value.map(|ns| ns / 1e9).or(meter.seconds);
            told("perf stat", before);
            return Some(last);
        }
        domain if COUNTED.contains(&domain) => &mut meter.joules,
        PLATFORM => &mut meter.platform,
        _ => return Some(last),
    };
    if let Some(value) = event.value {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
    told("perf stat", before);
    Some(last)
}

/// `43.26,Joules,power/energy-pkg/,1001041336,100.00,,`, with its time and its socket before it where they were asked for.
fn by_separators(text: &str) -> Option<Event<'_>> {
    [',', ';', '|', '\t'].iter().find_map(|separator| {
        let fields: Vec<&str> = text.split(*separator).map(str::trim).collect();
        let at = fields
            .iter()
            .position(|field| ["Joules", "ns"].contains(field))?;
        let name = fields.get(at + 1)?;
        let mut head = &fields[..at];
        let (time, socket, value) = match head {
            // A decimal comma between commas: `43,26,Joules`, `1,000110,43,26,Joules`.
            [seconds, part, whole, tenths]
                if *separator == ',' && digits(&[seconds, part, whole, tenths]) =>
            {
                return Some(Event {
                    time: Some(format!("{seconds}.{part}").parse().ok()?),
                    socket: "",
                    value: format!("{whole}.{tenths}").parse().ok(),
                    unit: fields[at],
                    name,
                });
            }
            [whole, tenths] if *separator == ',' && digits(&[whole, tenths]) => {
                (None, "", format!("{whole}.{tenths}").parse().ok())
            }
            [.., value] => {
                let value = figure(value);
                head = &head[..at - 1];
                let time = head.first().and_then(|time| plain_seconds(time));
                head = &head[usize::from(time.is_some())..];
                (time, *head.first().unwrap_or(&""), value)
            }
            [] => return None,
        };
        Some(Event {
            time,
            socket,
            value,
            unit: fields[at],
            name,
        })
    })
}

fn digits(fields: &[&str]) -> bool {
    let all = |field: &&str| !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
    fields.iter().all(all)
}

/// Seconds with their decimals, as `-I` prints them.
fn plain_seconds(text: &str) -> Option<f64> {
    let sound = text.contains(['.', ',']) && text.starts_with(|c: char| c.is_ascii_digit());
    text.replace(',', ".").parse().ok().filter(|_| sound)
}

/// `S0  1  1,234.56 Joules power/energy-pkg/  ( +- 0.1% )`.
fn by_blanks(text: &str) -> Option<Event<'_>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| ["Joules", "ns"].contains(word))?;
    let name = *words.get(at + 1)?;
    let value = figure(words.get(at.checked_sub(1)?)?);
    let head = &words[..at.checked_sub(1)?];
    let time = head.first().and_then(|time| plain_seconds(time));
    // Only a socket, or a node, may stand between, with how many of its processors counted.
    let socket = match &head[usize::from(time.is_some())..] {
        [] | ["<not"] => "",
        [socket, _] | [socket, _, "<not"] if socket.starts_with(['S', 'N']) => socket,
        _ => return None,
    };
    Some(Event {
        time,
        socket,
        value,
        unit: words[at],
        name,
    })
}

/// A figure with two decimals, whichever mark sets them apart.
fn figure(text: &str) -> Option<f64> {
    let marks = text.bytes().filter(|b| [b',', b'.'].contains(b)).count();
    let at = text.rfind([',', '.']);
    let plain = match at.filter(|at| marks > 0 && text.len() - at - 1 != 3) {
        Some(at) => format!("{}.{}", text[..at].replace([',', '.'], ""), &text[at + 1..]),
        None => text.replace([',', '.'], ""),
    };
    plain
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

/// `10.001041336 seconds time elapsed`, or with `+- 0.003` before the unit: the end of what `perf stat` prints.
fn ends(text: &str, before: &mut Before) -> Option<Cells> {
    let (head, _) = text.split_once("seconds time elapsed")?;
    let seconds = head
        .split_whitespace()
        .next()?
        .replace(',', ".")
        .parse()
        .ok()?;
    before.block.as_ref()?;
    before.meter.seconds = Some(seconds);
    told("perf stat", before);
    Some(ended(before))
}

/// EnergiBridge's summary.
fn said(text: &str, _before: &mut Before) -> Option<Cells> {
    let said = text.strip_prefix("Energy consumption in joules: ")?;
    let (joules, rest) = said.split_once(" for ")?;
    let seconds = rest.split_whitespace().next()?.parse().ok()?;
    Some(row("EnergiBridge", joules.parse().ok()?, Some(seconds)))
}

/// CodeCarbon's log: `0.000375 kWh of electricity used since the beginning.`, again and again; what falls is another run's.
fn codecarbon(text: &str, before: &mut Before) -> Option<Cells> {
    let (head, rest) = text.split_once(" kWh of electricity")?;
    rest.contains("since the begin").then_some(())?;
    let kwh: f64 = head.split_whitespace().next_back()?.parse().ok()?;
    let joules = kwh * 3.6e6;
    let anew = before.meter.joules.is_some_and(|last| joules < last);
    let last = if anew { ended(before) } else { Vec::new() };
    before.meter.joules = Some(joules);
    told("CodeCarbon", before);
    Some(last)
}

/// carbontracker: `Actual consumption for 10 epoch(s):`, `Time:  0:10:34`, `Energy:  0.038096 kWh`; what it predicts is none.
fn carbontracker(text: &str, before: &mut Before) -> Option<Cells> {
    if text.contains("consumption for") && text.contains("epoch") {
        before.meter = Meter {
            actual: text.contains("Actual"),
            ..Meter::default()
        };
        return Some(Vec::new());
    }
    let behind = |name: &str| text.strip_prefix(name).map(str::trim);
    if let Some(clock) = behind("Time:") {
        let mut seconds = 0.0;
        for part in clock.split(':') {
            seconds = 60.0 * seconds + part.parse::<f64>().ok()?;
        }
        before.meter.seconds = Some(seconds);
        return Some(Vec::new());
    }
    let kwh: f64 = behind("Energy:")?
        .strip_suffix("kWh")?
        .trim()
        .parse()
        .ok()?;
    let seconds = before.meter.seconds;
    let actual = std::mem::take(&mut before.meter.actual);
    let cells = actual.then(|| row("carbontracker", kwh * 3.6e6, seconds));
    Some(cells.unwrap_or_default())
}

/// `begin timestamp : 1675697491.3; tag : foo; duration : 3.76; package_0 : 153976351.0; dram_0 : ..; nvidia_gpu_0 : 192276`: microjoules,
/// and of a GPU millijoules. Times are seconds, before 2020 nanoseconds.
fn pyjoules(text: &str, _before: &mut Before) -> Option<Cells> {
    let rest = text.strip_prefix("begin timestamp :")?;
    let mut parts = rest.split(';');
    let begin: f64 = parts.next()?.trim().parse().ok()?;
    let (mut tag, mut seconds, mut joules) = ("", None, None);
    for part in parts {
        let (name, value) = part.split_once(" : ")?;
        let figure = value.trim().parse::<f64>().ok();
        match name.trim() {
            "tag" => tag = value.trim(),
            "duration" => seconds = figure.map(|time| if begin > 1e15 { time / 1e9 } else { time }),
            name => {
                let unit = domain_joules(name);
                joules = unit.map_or(joules, |unit| Some(joules.unwrap_or(0.0) + unit * figure?));
            }
        }
    }
    let mut cells = row("pyJoules", joules?, seconds);
    if !tag.is_empty() {
        push(&mut cells, "part", tag);
    }
    Some(cells)
}

/// macOS's `powermetrics`: `*** Sampled system activity (..) (1003.22ms elapsed) ***` and a mean power of that time.
fn powermetrics(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, rest)) = text.split_once("Sampled system activity") {
        let elapsed = rest.rsplit_once("ms elapsed)")?.0.rsplit('(').next()?;
        before.began_ms = elapsed.parse().ok();
        return Some(Vec::new());
    }
    let names = ["Combined Power (CPU + GPU + ANE):", "Package Power:"];
    let milliwatts = names
        .iter()
        .find_map(|name| text.strip_prefix(name)?.trim().strip_suffix(" mW"));
    let intel = text.strip_prefix("Intel energy model derived package power (CPUs+GT+SA):");
    let watts = match (milliwatts, intel) {
        (Some(milliwatts), _) => milliwatts.parse::<f64>().ok()? / 1e3,
        (None, Some(watts)) => watts.trim().strip_suffix('W')?.parse().ok()?,
        _ => return None,
    };
    let seconds = before.began_ms.take()? / 1e3;
    add("powermetrics", before, watts, seconds)
}

/// `Running for 60.0 seconds (30 samples at 2.0 second intervals).` and its table, a sample a row.
fn powerstat(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, rest)) = text.split_once(" samples at ") {
        before.length = rest.split_whitespace().next()?.parse().ok();
        return Some(ended(before));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.contains(&"Time") && words.contains(&"Watts") {
        before.columns = words.iter().map(|word| (*word).to_owned()).collect();
        return Some(Vec::new());
    }
    let at = before.columns.iter().position(|name| name == "Watts")?;
    let is_sample = words.first()?.bytes().filter(|b| *b == b':').count() == 2;
    let watts: f64 = words.get(at).filter(|_| is_sample)?.parse().ok()?;
    let seconds = before.length?;
    add("powerstat", before, watts, seconds)
}

/// `turbostat`: the machine's row of each sample, a mean power since the sample before; `5.03 sec` where it ran once.
fn turbostat(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some(seconds) = text
        .strip_suffix(" sec")
        .filter(|seconds| is_figure(seconds))
    {
        before.length = seconds.trim().parse().ok();
        return Some(Vec::new());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.contains(&"PkgWatt") {
        before.columns = words.iter().map(|word| (*word).to_owned()).collect();
        return Some(Vec::new());
    }
    let cell = |name: &str| {
        let at = before.columns.iter().position(|column| column == name)?;
        words.get(at).copied()
    };
    let watts: f64 = cell("PkgWatt")?.parse().ok()?;
    let memory: f64 = cell("RAMWatt")
        .and_then(|watts| watts.parse().ok())
        .unwrap_or(0.0);
    let of_machine = ["Package", "Core", "CPU"]
        .iter()
        .all(|name| cell(name).is_none_or(|is| is == "-"));
    if !of_machine {
        return Some(Vec::new());
    }
    let watts = watts + memory;
    let now = cell("Time_Of_Day_Seconds").and_then(|now| now.parse::<f64>().ok());
    match now {
        Some(now) => match before.began_ms.replace(now) {
            Some(last) => add("turbostat", before, watts, now - last),
            None => Some(Vec::new()),
        },
        None => {
            let known = before.length.take();
            let row = known.map(|seconds| row("turbostat", watts * seconds, Some(seconds)));
            Some(row.unwrap_or_default())
        }
    }
}
