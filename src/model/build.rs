//! What a part declares itself with: parameters, products and norms, all under the name of the part.

use std::sync::Arc;

use super::id::ParamId;
use super::linear::{Linear, LinearKind, LinearSpec};
use super::norm::{Norm, NormKind};
use super::param::{Declare, Init, Role};
use super::rotation::Rotation;
use super::site::Site;
use super::told::Rule;
use crate::error::Result;

/// A kind of part that other parts are made of, and where it is put.
pub(super) struct Chosen<'a, K: ?Sized> {
    pub(super) kind: Arc<K>,
    pub(super) site: Site<'a>,
}

/// Declares what a part is made of.
pub struct Build<'a> {
    pub(super) declare: &'a mut Declare,
    pub(super) linear: &'a Chosen<'a, dyn LinearKind>,
    pub(super) norm: &'a Chosen<'a, dyn NormKind>,
}

impl Build<'_> {
    /// A product with weights, of the kind that the spec names (`model.linear.kind`).
    ///
    /// # Errors
    /// The kind's.
    pub fn linear(&mut self, name: &str, spec: LinearSpec) -> Result<Box<dyn Linear>> {
        let Chosen { kind, site } = self.linear;
        kind.settle(site, name, spec, self.declare)
    }

    /// A norm of so many columns, of the kind that the spec names (`model.norm.kind`).
    ///
    /// # Errors
    /// The kind's.
    pub fn norm(&mut self, name: &str, width: usize) -> Result<Box<dyn Norm>> {
        let Chosen { kind, site } = self.norm;
        self.declare
            .within(name, |declare| kind.settle(site, width, declare))
    }

    /// One parameter.
    pub fn param(&mut self, name: &str, shape: &[usize], role: Role, init: Init) -> ParamId {
        self.declare.param(name, shape, role, init)
    }

    /// Several matrices of these row counts stacked in one parameter.
    pub fn stacked(
        &mut self,
        name: &str,
        shape: &[usize],
        role: Role,
        init: Init,
        rows: &[usize],
    ) -> ParamId {
        self.declare.stacked(name, shape, role, init, rows)
    }

    /// The matrices of experts stacked in one parameter, its shape and row counts given, of which each token takes the first number
    /// of the second.
    pub fn routed(
        &mut self,
        (name, shape, rows): (&str, &[usize], &[usize]),
        init: Init,
        chosen: (usize, usize),
    ) -> ParamId {
        let id = self.declare.stacked(name, shape, Role::Matrix, init, rows);
        self.declare.decls[id.0].routed = Some(chosen);
        id
    }

    /// Numbers without a gradient, which the rule changes once after each step by what the passes told.
    pub fn buffer(&mut self, name: &str, shape: &[usize], init: Init, rule: Rule) -> ParamId {
        self.declare.buffer(name, shape, init, rule)
    }

    /// A vector that all heads share.
    pub fn of_all_heads(&mut self, name: &str, shape: &[usize], role: Role, init: Init) -> ParamId {
        self.declare.of_all_heads(name, shape, role, init)
    }

    /// A rotation, one for all parts of the model that turn by the same angles.
    pub(super) fn rotation(&mut self, wanted: Rotation) -> Arc<Rotation> {
        let known = &mut self.declare.rotations;
        match known.iter().find(|it| it.is_like(&wanted)) {
            Some(same) => same.clone(),
            None => {
                known.push(Arc::new(wanted));
                known[known.len() - 1].clone()
            }
        }
    }

    /// Whether a parameter trains: it does unless the spec freezes it.
    pub fn trains(&self, id: ParamId) -> bool {
        self.declare.trains(id)
    }
}
