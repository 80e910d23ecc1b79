//! What a dialect makes of a line.

/// Cells of a line by name.
pub type Cells = Vec<(String, String)>;

/// What was read so far, where a line means something by those before it.
#[derive(Debug, Default)]
pub struct Before {
    /// The last optimizer step.
    pub step: Option<String>,
    /// Where the training's progress bar ends.
    pub end: u64,
    /// The step of the last validation.
    pub judged: Option<String>,
    /// What a line said that a later one says the step of.
    pub held: Option<Cells>,
}
