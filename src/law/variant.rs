//! What a whole model with its optimizer obeys, whatever it is made of.

use super::keys::every_key_is_read;
use super::learning::{
    every_parameter_learns, fused_is_the_reference, one_batch_is_overfitted, settles_to_itself,
    threads_change_no_bit, windows_are_strangers,
};
use super::passes::{
    a_gpu_computes_the_same, decoding_is_the_forward_pass, nothing_is_seen_ahead,
    state_is_what_is_held, work_is_what_is_counted,
};
use super::recipe::Recipe;
use super::rule::{Rule, broken};
use crate::config::{Broken, Tree};
use crate::trial::Registry;

/// The rules that a spec's model breaks, with sizes of the law's own: a variant's tree, or any keys beside the defaults.
pub fn variant(registry: &Registry, given: &Tree) -> Vec<Broken> {
    broken(&RULES, &Recipe::new(registry, given.clone()))
}

pub(super) const RULES: [Rule<Recipe>; 12] = [
    ("defaults settle to themselves", settles_to_itself),
    ("every declared key is read", every_key_is_read),
    ("every parameter learns", every_parameter_learns),
    ("one batch is overfitted", one_batch_is_overfitted),
    ("work is what is counted", work_is_what_is_counted),
    ("state is what is held", state_is_what_is_held),
    ("nothing is seen before it comes", nothing_is_seen_ahead),
    ("decoding is the forward pass", decoding_is_the_forward_pass),
    ("fused is the reference", fused_is_the_reference),
    ("a GPU computes what the CPU does", a_gpu_computes_the_same),
    ("windows are strangers", windows_are_strangers),
    ("threads change no bit, seeds do", threads_change_no_bit),
];
