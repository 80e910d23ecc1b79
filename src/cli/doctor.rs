//! `effbench doctor`: what can be measured here, what not, why, and the remedy.

use clap::Args;

use super::Format;
#[cfg(feature = "run")]
use crate::error::Error;
use crate::error::Result;

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

/// Looks at this machine.
#[cfg(not(feature = "run"))]
pub fn execute(_args: &DoctorArgs) -> Result<()> {
    Err(super::judge_only("doctor"))
}

/// Looks at this machine.
#[cfg(feature = "run")]
pub fn execute(_args: &DoctorArgs) -> Result<()> {
    Err(Error::internal("`doctor` is not joined to the instruments"))
}
