//! What lets a long trial go on after a kill, to the same bits: parameters, optimizer state, position and what was seen so
//! far, in one file that is replaced as a whole. Batches are functions of seed and step, so the position is all that the
//! random streams need.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::device::Opened;
use crate::error::{Error, Result};
use crate::train::Snapshot;

/// Seconds of training between checkpoints unless a run says otherwise: what a kill costs at most. Shorter trials never write one.
pub const EVERY_S: f64 = 60.0;

/// Where a trial's checkpoint lies, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// The trial's id: a file of another trial is not taken.
    pub id: String,
    /// Seconds between two.
    pub every_s: f64,
}

/// What stands beside the tensors.
#[derive(Serialize, Deserialize)]
struct Note {
    id: String,
    log: Value,
}

impl Checkpoint {
    /// Writes one in place of the last. Not being able to (a full disk) is no reason to lose the trial: then the last one, or
    /// none, stays.
    pub fn save(&self, snapshot: &Snapshot, log: Value) -> Result<()> {
        let note = serde_json::to_vec(&Note {
            id: self.id.clone(),
            log,
        });
        let note =
            note.map_err(|error| Error::internal(format!("a checkpoint's note: {error}")))?;
        snapshot.write(&self.path, &note).map(drop)
    }

    /// The last one of this trial; `None` where there is none, or none that can be read: the trial then begins again.
    pub fn load(&self, opened: &Opened) -> Option<(Snapshot, Value)> {
        let (snapshot, note) = Snapshot::read(&self.path, &opened.device)?;
        let note: Note = serde_json::from_slice(&note).ok()?;
        (note.id == self.id).then_some((snapshot, note.log))
    }
}
