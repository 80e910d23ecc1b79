//! What a dialect makes of a line.

/// Cells of a line by name.
pub type Cells = Vec<(String, String)>;

/// What was read so far, where a line means something by those before it.
#[derive(Debug, Default)]
pub struct Before {
    /// The last optimizer step.
    pub step: Option<String>,
    /// Where the longest progress bar so far ends.
    pub end: u64,
}
