//! Work: a repeatable unit of doing. All that `measure` sees of training and inference.

use crate::error::Result;

/// Something that can be done again and again, and timed from outside.
pub trait Work {
    /// Does it once and waits until the device is done.
    fn once(&mut self) -> Result<()>;
}

impl<F: FnMut() -> Result<()>> Work for F {
    fn once(&mut self) -> Result<()> {
        self()
    }
}
