//! AdamW with a mask (Liang et al. 2024, arXiv 2411.16085, algorithm 2): of an update only the numbers that go down the present
//! gradient are made, and these are as much larger as they are fewer: u <- u [u g > 0] / max(mean [u g > 0], 0.001).

use candle_core::Tensor;

use super::Now;
use super::elementwise::{Of, Rule};

/// The least share of an update's numbers that the others are divided by (the authors' code).
const LEAST_SHARE: f64 = 1e-3;

/// Arithmetic of one number's update: AdamW's, a look, and the mask.
pub const FLOPS_PER_SCALAR: f64 = 23.0;

/// The rule; state m and v.
#[derive(Debug, Clone, Copy)]
pub struct Cautious {
    /// Of the mean of gradients.
    pub beta1: f64,
    /// Of the mean of squared gradients.
    pub beta2: f64,
    /// Added to a root.
    pub eps: f64,
    /// Per unit of learning rate.
    pub weight_decay: f64,
}

pub struct Coefficients {
    beta1: f64,
    beta2: f64,
    rate: f64,
    root2: f64,
    eps: f64,
    kept: f64,
    scale: f64,
}

impl Rule<2> for Cautious {
    type Coefficients = Coefficients;

    fn coefficients(&self, of: &Of, step: u64, now: &Now) -> Coefficients {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let lr = now.lr * of.lr;
        Coefficients {
            beta1: self.beta1,
            beta2: self.beta2,
            rate: lr / (1.0 - self.beta1.powi(step)),
            root2: (1.0 - self.beta2.powi(step)).sqrt(),
            eps: self.eps * of.eps,
            kept: 1.0 - lr * self.weight_decay * of.decay,
            scale: now.scale,
        }
    }

    /// How many numbers agree: the next mean of gradients has the sign of the update.
    fn look(with: &Coefficients, g: &[f32], [m, _]: [&[f32]; 2]) -> Option<f64> {
        let (beta1, scale) = (with.beta1 as f32, with.scale as f32);
        let agrees = |(g, m): (&f32, &f32)| {
            let g = g * scale;
            (beta1 * m + (1.0 - beta1) * g) * g > 0.0
        };
        Some(g.iter().zip(m).filter(|pair| agrees(*pair)).count() as f64)
    }

    fn seen(with: &mut Coefficients, agreeing: f64, count: usize) {
        with.rate /= (agreeing / count as f64).max(LEAST_SHARE);
    }

    fn numbers(with: &Coefficients, w: &mut [f32], g: &[f32], [m, v]: [&mut [f32]; 2]) {
        let (beta1, beta2, scale) = (with.beta1 as f32, with.beta2 as f32, with.scale as f32);
        let (rate, root2, eps) = (with.rate as f32, with.root2 as f32, with.eps as f32);
        let kept = with.kept as f32;
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let update = rate * *m / (v.sqrt() / root2 + eps);
            *w = kept * *w - if *m * g > 0.0 { update } else { 0.0 };
        }
    }

    fn tensors(
        with: &Coefficients,
        w: &Tensor,
        g: &Tensor,
        [m, v]: [&Tensor; 2],
    ) -> candle_core::Result<(Tensor, [Tensor; 2])> {
        let g = (g * with.scale)?;
        let m = ((m * with.beta1)? + (&g * (1.0 - with.beta1))?)?;
        let v = ((v * with.beta2)? + (g.sqr()? * (1.0 - with.beta2))?)?;
        let agrees = (&m * &g)?.gt(0.0)?.to_dtype(w.dtype())?;
        let share = agrees.mean_all()?.maximum(LEAST_SHARE)?;
        let root = ((v.sqrt()? * (1.0 / with.root2))? + with.eps)?;
        let update = ((&m / root)? * agrees)?.broadcast_div(&share)?;
        let w = ((w * with.kept)? - (update * with.rate)?)?;
        Ok((w, [m, v]))
    }
}
