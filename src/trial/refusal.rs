//! What can be planned, and is refused when it is to run: it would measure nothing here.

use std::sync::LazyLock;

use serde_json::Value;

use super::settle::Experiment;
use crate::error::{Error, Result};
use crate::foreign;
use crate::measure::energy;
use crate::measure::{Clock, Monotonic};
use crate::ops::bf16_unit;
use crate::record::Asked;

/// Seconds of a clock that never goes back.
pub(super) fn now_s() -> f64 {
    static START: LazyLock<Monotonic> = LazyLock::new(Monotonic::start);
    START.now_s()
}

/// Refuses to run what would say nothing: bf16 on a CPU, and rounded factors on one that is not faster by them. Both may be planned
/// and counted.
pub fn refuse_emulation(spec: &Value) -> Result<()> {
    let asked = Asked::of(spec);
    if asked.products() == Some("bf16") {
        bf16_unit(now_s).map_err(|why| {
            Error::input(format!("compute.products = \"bf16\": {why}"))
                .hint("--set compute.products=f32, which is the default")
        })?;
    }
    match (asked.device(), asked.dtype()) {
        (Some("cpu"), Some("bf16")) => {
            let why =
                "on the CPU it is emulated, slower than f32 and with another rounding than a GPU's";
            Err(Error::input(format!("compute.dtype = \"bf16\": {why}"))
                .hint("--device cuda, or --set compute.dtype=f32"))
        }
        _ => Ok(()),
    }
}

/// Refuses what is to measure and is not there, or is no wattmeter's log.
pub fn refuse_no_meter(experiment: &Experiment) -> Result<()> {
    let Some(external) = &experiment.measure.external else {
        return Ok(());
    };
    let refuse = |why: &str| {
        let path = external.path.display();
        Error::input(format!("measure.external_meter = \"{path}\": {why}"))
    };
    if let Some(why) = foreign::once(&external.path) {
        return Err(refuse(why));
    }
    let found = energy::external::read(&external.path, external.offset_s);
    found.map(drop).map_err(|error| {
        let refused = refuse(&error.message);
        error
            .hint
            .map_or(refused.clone(), |hint| refused.hint(hint))
    })
}
