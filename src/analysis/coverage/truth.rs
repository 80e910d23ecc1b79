//! What simulated studies are drawn from.

/// Loss lost per squared distance of ln rate below its optimum, in nats ...
pub const CURVATURE: f64 = 0.11;
/// ... and so many times that above.
pub const STEEPER: f64 = 4.8;
/// Of the luck of a seed, in nats.
pub const NOISE: f64 = 0.013;
/// Share of that variance that the arms of a repeat have in common.
pub const SHARED: f64 = 0.3;

/// The world that a study is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    pub gain: f64,
    pub floor: f64,
    pub exponent: f64,
    /// Whether the judge knows the floor, as an oracle does.
    pub known: bool,
    /// Of what all repeats of a cell share besides their rate, in nats.
    pub cell: f64,
    /// Of the luck of a seed, in nats.
    pub noise: f64,
    /// Whether the base ran at three widths, and is read on its frontier.
    pub sized: bool,
    /// Whether rates come from a surface and are drawn in each repeat, or from a parabola a cell and one seed.
    pub surface: bool,
}

/// The best log rate of an arm whose rates lie `own` from the base's.
pub fn best(steps: u64, own: f64) -> f64 {
    0.015_f64.ln() + own - 0.25 * (steps as f64 / 400.0).ln()
}

/// What a log rate off the optimum costs, in nats.
pub fn penalty(off: f64) -> f64 {
    let steep = if off > 0.0 { STEEPER } else { 1.0 };
    CURVATURE * steep * off * off
}
