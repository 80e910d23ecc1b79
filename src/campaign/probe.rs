//! How fast this machine is, measured once in a short calibration and remembered.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::programs::programs;
use super::resolve::Campaign;
use crate::error::Result;
use crate::record::{Calibration, Machine, store};
use crate::runner::guess::Speed;
use crate::runner::local::{Calibrate, CalibrateInChild};
use crate::runner::machine::{child_environment, describe};
use crate::runner::{Interrupt, cache};

/// A calibration that takes longer measures a machine that is busy with something else.
const LIMIT: Duration = Duration::from_secs(60);

impl Campaign<'_> {
    /// The speed of the device that trials run on: as remembered for a machine of this kind, else by a calibration of a second or
    /// two. Where trials run elsewhere, or none can be made, what plans assume.
    pub fn speed(&self, interrupt: &Interrupt) -> Speed {
        let nominal = Speed::nominal(self.nominal_flops_per_s());
        if self.options.executor.is_elsewhere() {
            return nominal;
        }
        let measured = self.measured(interrupt);
        measured.ok().flatten().unwrap_or(nominal)
    }

    fn measured(&self, interrupt: &Interrupt) -> Result<Option<Speed>> {
        let environment = child_environment(self.threads);
        let machine = describe(self.threads, &environment)?;
        let key = self.key(&machine);
        let file = cache::folder().map(|folder| folder.join("speed.json"));
        let mut known = file.as_ref().map(remembered).unwrap_or_default();
        if let Some(calibration) = known.get(&key) {
            return Ok(Speed::of(calibration));
        }
        let worker =
            programs(&self.options)?[0].worker(&["calibrate", &self.device], &environment)?;
        let mut child = CalibrateInChild {
            worker,
            device: self.device.clone(),
            limit: LIMIT,
        };
        let calibration = child.measure(interrupt)?;
        let speed = Speed::of(&calibration);
        if let (Some(_), Some(file)) = (speed, file) {
            known.insert(key, calibration);
            // Not being able to remember it costs a second the next time.
            let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
            let _ = folder.map(|()| store::write_json(&file, &known));
        }
        Ok(speed)
    }

    /// What another speed is expected of: another kind of machine, another number of threads, another device.
    fn key(&self, machine: &Machine) -> String {
        let (threads, device) = (self.threads, &self.device);
        format!("{} {device} {threads}", machine.class_id)
    }
}

fn remembered(file: &PathBuf) -> BTreeMap<String, Calibration> {
    let bytes = fs::read(file).ok();
    let known = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    known.unwrap_or_default()
}
