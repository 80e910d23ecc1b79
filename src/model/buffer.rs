//! Buffers: numbers of a part that are kept, saved and served with its parameters, but have no gradient: the part itself changes them
//! once after each update.

use candle_core::Tensor;

use super::id::ParamId;
use super::param::{Declare, Init, Params, Role};
use super::told::{After, Loads, Rule};
use crate::error::Result;

impl Declare {
    /// A buffer, which starts as `init` says. One that the spec freezes stays so.
    pub fn buffer(&mut self, name: &str, shape: &[usize], init: Init, rule: Rule) -> ParamId {
        let id = self.param(name, shape, Role::Bias, init);
        let decl = &mut self.decls[id.0];
        decl.buffer = true;
        if std::mem::take(&mut decl.trains) {
            self.rules.push((id, rule));
        }
        id
    }
}

/// Changes each buffer by its rule.
pub(super) fn after_step(
    rules: &[(ParamId, Rule)],
    params: &Params,
    loads: &Loads,
    at: After,
) -> Result<()> {
    for (id, rule) in rules {
        let var = &params.vars()[id.0];
        let mut numbers = var.as_detached_tensor().flatten_all()?.to_vec1::<f32>()?;
        rule(&mut numbers, loads, at);
        var.set(&Tensor::from_vec(numbers, var.shape(), var.device())?)?;
    }
    Ok(())
}
