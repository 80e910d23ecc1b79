//! Norms. LayerNorm: (x - mean) / sqrt(var + eps) * gain + bias (Ba et al. 2016). RMSNorm: x / sqrt(mean(x^2) + eps) * gain
//! (Zhang & Sennrich 2019).

use candle_core::Tensor;

use super::{Declare, Pass, Site};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::param::{Init, ParamId, Role};

/// A settled norm.
pub trait Norm: Send + Sync {
    /// (B*T, C) to the same shape.
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor>;
}

/// A kind of norm: one row in the registry.
pub trait NormKind: Named {
    /// Reads the knobs below `model.norm`, declares the parameters of one norm of so many columns and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn settle(&self, site: &Site, width: usize, declare: &mut Declare) -> Result<Box<dyn Norm>>;
}

const EPS: Knob<Number> = Knob::number(
    "eps",
    "Added to the variance, so that nothing is divided by zero.",
)
.within(0.0, 1.0)
.default(1e-5);

/// Row of the catalog: `layernorm`.
pub struct LayerNormKind;

/// Row of the catalog: `rmsnorm`.
pub struct RmsNormKind;

/// Row of the catalog: `none`.
pub struct NoneKind;

impl Named for LayerNormKind {
    fn name(&self) -> &'static str {
        "layernorm"
    }
    fn about(&self) -> &'static str {
        "subtract the mean, divide by the standard deviation, scale, and shift where model.bias is on (Ba et al. 2016)"
    }
    fn knobs(&self) -> Declarations {
        &[&EPS]
    }
}

impl Named for RmsNormKind {
    fn name(&self) -> &'static str {
        "rmsnorm"
    }
    fn about(&self) -> &'static str {
        "divide by the root mean square and scale: no mean, no shift (Zhang & Sennrich 2019)"
    }
    fn knobs(&self) -> Declarations {
        &[&EPS]
    }
}

impl Named for NoneKind {
    fn name(&self) -> &'static str {
        "none"
    }
    fn about(&self) -> &'static str {
        "no norm: activations stay of the size that they have"
    }
}

impl NormKind for NoneKind {
    fn settle(&self, _site: &Site, _width: usize, _declare: &mut Declare) -> Result<Box<dyn Norm>> {
        Ok(Box::new(Nothing))
    }
}

impl NormKind for LayerNormKind {
    fn settle(&self, site: &Site, width: usize, declare: &mut Declare) -> Result<Box<dyn Norm>> {
        let eps = site.knobs.read(&EPS)?;
        let gain = declare.param("gain", &[width], Role::Gain, Init::Ones);
        let bias = site
            .shape
            .bias
            .then(|| declare.param("bias", &[width], Role::Bias, Init::Zeros));
        Ok(Box::new(LayerNorm { eps, gain, bias }))
    }
}

impl NormKind for RmsNormKind {
    fn settle(&self, site: &Site, width: usize, declare: &mut Declare) -> Result<Box<dyn Norm>> {
        let eps = site.knobs.read(&EPS)?;
        Ok(Box::new(RmsNorm {
            eps,
            gain: declare.param("gain", &[width], Role::Gain, Init::Ones),
        }))
    }
}

/// Changes nothing.
pub(super) struct Nothing;

impl Norm for Nothing {
    fn forward(&self, x_nc: &Tensor, _pass: &Pass) -> Result<Tensor> {
        Ok(x_nc.clone())
    }
}

struct LayerNorm {
    eps: f64,
    gain: ParamId,
    bias: Option<ParamId>,
}

impl Norm for LayerNorm {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        let w = pass.weights;
        Ok(pass
            .ops
            .layer_norm(x_nc, &w[self.gain], self.bias.map(|b| &w[b]), self.eps)?)
    }
}

struct RmsNorm {
    eps: f64,
    gain: ParamId,
}

impl Norm for RmsNorm {
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor> {
        Ok(pass
            .ops
            .rms_norm(x_nc, &pass.weights[self.gain], self.eps)?)
    }
}
