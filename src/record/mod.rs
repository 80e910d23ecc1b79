//! THE WAIST: what a run leaves behind. A small, dull, versioned, serialisable type that everything on the left writes and
//! everything on the right reads. SI units with the unit in the key; unknown is `null` beside a reason, never 0.
//!
//! [`origin`], [`trial`], [`answers`] and [`gpu`] hold the types, [`asked`] reads single keys of a settled spec, [`metric`] the one registry of metric names, [`validate`] what the types alone
//! cannot promise, [`store`] files, [`journal`] what survives a kill, [`pool`] several files as one and [`identity`] what is one cell
//! and one trial, [`parents`] adds the costs of what a trial goes back to, [`copies`] finds repeats that are none, [`folder`] folders in place of files.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::record::{metric, store};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
//! let file = store::read_valid(std::path::Path::new(path))?;
//! for trial in &file.trials {
//!     let (loss, flops) = (trial.metric(metric::VAL_LOSS_NATS), trial.train_flops());
//!     println!("{} seed {}: {loss:?} nats for {flops:?} FLOP", trial.cell, trial.seed);
//! }
//! # assert!(file.trials.iter().all(|trial| trial.train_flops().is_some()));
//! # Ok(())
//! # }
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[cfg(test)]
pub mod example;
pub mod gpu;
mod layout;
mod file;
pub mod loss;
pub mod metric;
pub mod origin;
pub mod answers;
mod choices;
mod drafted;
mod token_flops;
pub mod trial;
pub mod asked;
pub mod swept;
mod executed;
pub mod utilisation;
pub mod parents;
pub mod copies;
pub mod identity;
pub mod validate;
pub mod journal;
pub mod store;
pub mod folder;
pub mod pool;

pub use crate::config::RateSource;
pub use answers::Answers;
pub use asked::Asked;
pub use choices::Choices;
pub use drafted::Drafted;
pub use gpu::{GpuRange, GpuState};
pub use loss::LossUnit;
pub use metric::{Better, Kind, Metric, finite};
pub use origin::{At, Build, Calibration, Cpu, Gpu, Headline, Machine, Run};
pub use token_flops::TokenFlops;
pub use trial::{
    BySixND, Channel, Cost, Curve, Energy, Flag, PhaseEnergy, Severity, Skill, Stated, Status,
    Trial, Validity,
};

/// Training FLOPs by the rule of thumb 6 N D (Kaplan et al. 2020), N counting every parameter.
pub fn six_n_d(params: u64, tokens: u64) -> f64 {
    6.0 * params as f64 * tokens as f64
}

/// The schema this build writes.
pub const SCHEMA: &str = "effbench.result/2";

/// Older schemas that this build reads, and writes as [`SCHEMA`]: in `effbench.result/1` `lr_source` is a sentence.
pub const OLDER: [&str; 1] = ["effbench.result/1"];

/// One JSON document: machines, builds, calibrations, trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "effbench result file")]
pub struct ResultFile {
    /// `effbench.result/2`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// What was asked for.
    pub run: Run,
    /// Builds of effbench that trials point to.
    pub builds: Vec<Build>,
    /// Machines that trials point to.
    pub machines: Vec<Machine>,
    /// Measured peaks, before and after.
    pub calibrations: Vec<Calibration>,
    /// One arm at one repeat each.
    pub trials: Vec<Trial>,
}

/// The JSON Schema of [`ResultFile`].
pub fn json_schema() -> Value {
    schemars::schema_for!(ResultFile).to_value()
}

/// The SHA-256, in hexadecimal, of a settled spec: of its compact JSON with every object's keys sorted, so that the order in
/// which knobs were settled does not matter.
pub fn spec_sha256(spec: &Value) -> String {
    let mut canonical = spec.clone();
    canonical.sort_all_objects();
    format!("{:x}", Sha256::digest(canonical.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `printf '{"a":[1,2.5,"x\\""],"b":{"c":null,"d":true}}' | sha256sum`.
    #[test]
    fn a_specs_hash_ignores_the_order_of_its_keys() {
        let expected = "a2d38ccf1d69583cd65ca98ad81c1ae6fcb1d27e9b7092f1f836b5e7fce38d52";
        let one = json!({"b": {"d": true, "c": null}, "a": [1, 2.5, "x\""]});
        let other = json!({"a": [1, 2.5, "x\""], "b": {"c": null, "d": true}});
        assert_eq!(spec_sha256(&one), expected);
        assert_eq!(spec_sha256(&other), expected);
        assert_ne!(
            spec_sha256(&json!({"a": [2.5, 1, "x\""], "b": {"c": null, "d": true}})),
            expected
        );
    }
}
