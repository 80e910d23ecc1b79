//! The only timed code: clock, window, memory, calibration, energy. It sees [`Work`], never a model.

mod work;
pub mod clock;
pub mod control_groups;
pub mod disturbance;
pub mod memory;
pub mod processor;
pub mod poll;
pub mod temperature;
pub mod virtualization;
pub mod window;
pub mod calibrate;
pub mod gpu;
pub mod energy;

pub use clock::{Clock, Monotonic};
pub use window::Window;
pub use work::Work;
