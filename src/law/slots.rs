//! The slots of a model: each kind in its place, in a model that is otherwise the default.

use serde_json::{Value, json};

use super::recipe::Recipe;
use super::{Broken, is_listed};
use crate::config::{Origin, Tree};
use crate::trial::Registry;

/// The rules that the token mixer of that name breaks: those of [`recipe`](super::recipe()), with it as `model.mixer.kind`.
pub fn mixer(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut broken = is_listed(&registry.slots.mixers, name);
    broken.extend(in_slot(registry, "mixer", name));
    broken
}

/// The rules that the feed-forward layer of that name breaks.
pub fn feed_forward(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut broken = is_listed(&registry.slots.ffns, name);
    broken.extend(in_slot(registry, "ffn", name));
    broken
}

/// The rules that the norm of that name breaks.
pub fn norm(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut broken = is_listed(&registry.slots.norms, name);
    broken.extend(in_slot(registry, "norm", name));
    broken
}

/// The rules that the position encoding of that name breaks.
pub fn position(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut broken = is_listed(&registry.slots.positions, name);
    broken.extend(in_slot(registry, "position", name));
    broken
}

fn in_slot(registry: &Registry, slot: &str, name: &str) -> Vec<Broken> {
    let spec: Value = json!({"model": {slot: {"kind": name}}});
    match Tree::from_json(&spec, &Origin::named("law")) {
        Ok(tree) => Recipe::new(registry, tree).broken(),
        Err(_) => Vec::new(),
    }
}
