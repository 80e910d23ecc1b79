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
    /// The step of the last training loss.
    pub trained: Option<String>,
    /// The step of the last validation, or what it gave.
    pub judged: Option<String>,
    /// What a line said that a later one says the step of, or lines of one step that has not ended.
    pub held: Option<Cells>,
    /// Samples of one optimizer step.
    pub batch: Option<f64>,
    /// Tokens of a sample.
    pub length: Option<f64>,
    /// When the run began, in milliseconds since 1970.
    pub began_ms: Option<f64>,
    /// The epoch that its lines are of, from 1.
    pub epoch: Option<u64>,
    /// What the rows below a header hold.
    pub columns: Vec<String>,
    /// What a block of figures has said so far, where its end is still to come.
    pub block: Option<Cells>,
    /// Whether what the program calls its accuracy is a loss.
    pub of_loss: bool,
    /// What a meter has counted in the block so far.
    pub meter: Meter,
    /// Steps that are counted within epochs.
    pub epochs: Epochs,
}

/// Steps that may begin anew with each epoch.
#[derive(Debug, Default)]
pub struct Epochs {
    /// The last epoch.
    pub epoch: u64,
    /// Steps of the epochs that have ended.
    pub offset: u64,
    /// The first step of this epoch.
    pub first: u64,
    /// The last step within its epoch, and how many after the one before.
    pub last: Option<(u64, Option<u64>)>,
}

/// Energy that is still being counted.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of package and memory.
    pub joules: Option<f64>,
    /// Of the whole platform, where nothing else is told.
    pub platform: Option<f64>,
    /// How long.
    pub seconds: Option<f64>,
    /// Which counters were told.
    pub seen: Vec<String>,
    /// Whether the figures below are measured, and not foretold.
    pub actual: bool,
}

/// Begins the lines of a step; those of the step before it are a row.
pub fn begun(before: &mut Before, step: Cells) -> Cells {
    before.held.replace(step).unwrap_or_default()
}

/// Adds a cell.
pub fn push(cells: &mut Cells, name: &str, value: &str) {
    cells.push((name.to_owned(), value.to_owned()));
}

/// What a row says under a name.
pub fn cell_of<'c>(cells: &'c Cells, name: &str) -> Option<&'c str> {
    let found = cells.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}
