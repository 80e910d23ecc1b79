//! What a trial did cost, by instrument. Unknown is an absence with its reason, never a 0.

/// Why a meter gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A hypervisor hides the counters.
    VirtualMachine,
    /// A counter is there, and this user may not read it.
    NoPermission,
    /// The machine has no such counter.
    NoSensor,
    /// A counter is there and readable, and this version does not meter with it.
    Unsupported,
}

impl Absent {
    /// The word that result files use.
    pub fn code(self) -> &'static str {
        match self {
            Self::VirtualMachine => "virtual_machine",
            Self::NoPermission => "no_permission",
            Self::NoSensor => "no_sensor",
            Self::Unsupported => "unsupported",
        }
    }
}

/// One energy meter's reading of one component.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// `cpu`, `gpu0`.
    pub id: String,
    /// `cpu_package`, `gpu`.
    pub component: &'static str,
    /// Where a reading would come from: `rapl.powercap`, `nvml.total_energy`.
    pub source: &'static str,
    /// Joules, or why there are none.
    pub energy_j: Result<f64, Absent>,
}

/// All meters of a machine over one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Energy {
    /// One per meter and component.
    pub channels: Vec<Channel>,
}

impl Energy {
    /// Sum of what was measured; `None` where nothing was.
    pub fn measured_j(&self) -> Option<f64> {
        self.channels.iter().filter_map(|channel| channel.energy_j.ok()).reduce(|a, b| a + b)
    }

    /// Why nothing was measured: the first meter's reason.
    pub fn reason(&self) -> Option<Absent> {
        match self.measured_j() {
            Some(_) => None,
            None => Some(self.channels.iter().find_map(|c| c.energy_j.err()).unwrap_or(Absent::NoSensor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_an_absence_with_a_reason() {
        let channel =
            |energy_j| Channel { id: "cpu".into(), component: "cpu_package", source: "rapl.powercap", energy_j };
        for (channels, sum, reason) in [
            (vec![], None, Some(Absent::NoSensor)),
            (vec![channel(Err(Absent::NoPermission))], None, Some(Absent::NoPermission)),
            (vec![channel(Err(Absent::NoPermission)), channel(Ok(2.0)), channel(Ok(1.0))], Some(3.0), None),
        ] {
            let energy = Energy { channels };
            assert_eq!((energy.measured_j(), energy.reason()), (sum, reason));
        }
    }
}
