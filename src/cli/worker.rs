//! The hidden commands that a run starts as its own children: one trial, one calibration.

use clap::Args;

#[cfg(feature = "run")]
use crate::error::Error;
use crate::error::Result;

/// Arguments of the hidden `effbench trial`: none, the job is on standard input.
#[derive(Debug, Clone, Args)]
pub struct TrialArgs {}

/// Arguments of the hidden `effbench calibrate`: none, the device is on standard input.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {}

/// Runs one trial.
#[cfg(not(feature = "run"))]
pub fn trial(_args: &TrialArgs) -> Result<()> {
    Err(super::judge_only("trial"))
}

/// Runs one trial.
#[cfg(feature = "run")]
pub fn trial(_args: &TrialArgs) -> Result<()> {
    Err(Error::internal("`trial` is not joined to the runner"))
}

/// Measures the peaks of a device.
#[cfg(not(feature = "run"))]
pub fn calibrate(_args: &CalibrateArgs) -> Result<()> {
    Err(super::judge_only("calibrate"))
}

/// Measures the peaks of a device.
#[cfg(feature = "run")]
pub fn calibrate(_args: &CalibrateArgs) -> Result<()> {
    Err(Error::internal("`calibrate` is not joined to the instruments"))
}
