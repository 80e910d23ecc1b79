//! The slots of a model and the losses beside it: each kind in its place, in a model that is otherwise the default.

use serde_json::json;

use super::recipe::Recipe;
use super::rule::{broken, is_listed};
use super::variant::RULES;
use crate::config::Broken;
use crate::trial::Registry;

/// The rules that the token mixer of that name breaks: those of [`variant`](super::variant()), with it as `model.mixer.kind`.
pub fn mixer(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.mixers, name);
    found.extend(in_slot(registry, "mixer", name));
    found
}

/// The rules that the feed-forward layer of that name breaks.
pub fn feed_forward(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.ffns, name);
    found.extend(in_slot(registry, "ffn", name));
    found
}

/// The rules that the norm of that name breaks.
pub fn norm(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.norms, name);
    found.extend(in_slot(registry, "norm", name));
    found
}

/// The rules that the position encoding of that name breaks.
pub fn position(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.positions, name);
    found.extend(in_slot(registry, "position", name));
    found
}

/// The rules that the block of that name breaks.
pub fn stream(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.streams, name);
    let keys = json!({"model": {"norm": {"place": name}}});
    found.extend(broken(&RULES, &Recipe::of(registry, &keys)));
    found
}

/// The rules that the product of that name breaks, as the product of every part.
pub fn linear(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.linears, name);
    found.extend(in_slot(registry, "linear", name));
    found
}

/// The rules that the loss of that name breaks, added with the weight that its authors give it.
pub fn loss(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.slots.losses, name);
    let weight = registry.slots.losses.find(name).map(|kind| kind.weight());
    let keys = json!({"train": {"loss": {name: {"weight": weight}}}});
    found.extend(broken(&RULES, &Recipe::of(registry, &keys)));
    found
}

fn in_slot(registry: &Registry, slot: &str, name: &str) -> Vec<Broken> {
    let recipe = Recipe::of(registry, &json!({"model": {slot: {"kind": name}}}));
    broken(&RULES, &recipe)
}
