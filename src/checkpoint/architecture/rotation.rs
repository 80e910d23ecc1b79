//! What a checkpoint says of how its queries and keys are rotated.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::described::Keys;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

/// GGUF's divisors of each pair's angle: what its converter makes of Llama 3.1's scaling.
const FACTORS: &str = "rope_freqs.weight";

/// The keys of a rotation; `theta` is what it has where nothing is said. Takes the tensor of divisors out of the others.
pub(super) fn keys(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
    theta: f64,
) -> Result<Keys, String> {
    let table = table(facts, "full_attention");
    let mut keys: Keys = vec![("model.position.kind", "rope".into())];
    let said = number(table, "rope_theta")?;
    let theta = match said {
        Some(theta) => theta,
        None => facts.number_or(("rope.freq_base", "rope_theta"), theta)?,
    };
    keys.push(("model.position.theta", theta.into()));
    keys.extend(match facts.is_gguf() {
        true => scaling_of_gguf(facts, tensors)?,
        false => scaling(table)?,
    });
    Ok(keys)
}

/// Base of the wavelengths of layers with windows, where it is another; `theta` where nothing is said.
pub(super) fn local_theta(facts: &Facts, theta: f64) -> Result<f64, String> {
    let table = facts.table("rope_parameters");
    let local = table.and_then(|table| table.get("sliding_attention")?.as_object());
    if let Some(kind) = local.and_then(kind_of) {
        return Err(refused(kind));
    }
    match number(local, "rope_theta")? {
        Some(theta) => Ok(theta),
        None => facts.number_or(("rope.freq_base_swa", "rope_local_base_freq"), theta),
    }
}

/// The table of a kind of layer where there are several, or of all; of older configurations that of the scaling alone.
fn table<'a>(facts: &'a Facts, layers: &str) -> Option<&'a Map<String, Value>> {
    let all = facts.table("rope_parameters");
    let own = all.and_then(|all| all.get(layers)?.as_object());
    own.or(all).or_else(|| facts.table("rope_scaling"))
}

type Table<'a> = Option<&'a Map<String, Value>>;

fn number(table: Table, key: &str) -> Result<Option<f64>, String> {
    let value = table.and_then(|table| table.get(key));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(number) => Ok(Some(number)),
        None => Err(format!("its rotation's {key} = {value}: no number")),
    }
}

/// How a table scales angles, unless it does not.
fn kind_of(table: &Map<String, Value>) -> Option<&str> {
    let kind = table.get("rope_type").or(table.get("type"))?.as_str()?;
    (kind != "default").then_some(kind)
}

fn refused(kind: &str) -> String {
    format!("its rotation is scaled ({kind}), which no position here does")
}

fn scaling(table: Table) -> Result<Keys, String> {
    if number(table, "partial_rotary_factor")?.is_some_and(|share| share != 1.0) {
        return Err("it rotates a part of each head, which no position here does".to_owned());
    }
    let needed = |key: &str| -> Result<Value, String> {
        let found = number(table, key)?;
        let found = found.ok_or_else(|| format!("its rotation is scaled without a {key}"))?;
        Ok(found.into())
    };
    match table.and_then(kind_of) {
        None => Ok(Vec::new()),
        Some("linear") => Ok(linear(needed("factor")?)),
        Some("llama3") => {
            let longest = table.and_then(|t| t.get("original_max_position_embeddings"));
            let longest = longest.and_then(Value::as_u64);
            let longest = longest.ok_or("its rotation does not say what it is scaled from")?;
            Ok(vec![
                ("model.position.scaling", "llama3".into()),
                ("model.position.scaling_factor", needed("factor")?),
                ("model.position.scaling_low", needed("low_freq_factor")?),
                ("model.position.scaling_high", needed("high_freq_factor")?),
                ("model.position.scaling_context", longest.into()),
            ])
        }
        Some(other) => Err(refused(other)),
    }
}

fn linear(factor: Value) -> Keys {
    vec![
        ("model.position.scaling", "linear".into()),
        ("model.position.scaling_factor", factor),
    ]
}

fn scaling_of_gguf(facts: &Facts, tensors: &mut BTreeMap<String, Stored>) -> Result<Keys, String> {
    let kind = facts.word(("rope.scaling.type", ""));
    let kind = kind.filter(|kind| *kind != "none");
    if let Some(stored) = tensors.remove(FACTORS) {
        if let Some(kind) = kind {
            return Err(refused(kind));
        }
        let factors = stored
            .numbers()
            .map_err(|why| format!("{FACTORS}: {why}"))?;
        if let Some(odd) = factors.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            return Err(format!("{FACTORS}: angles cannot be divided by {odd}"));
        }
        let factors: Vec<f64> = factors.into_iter().map(f64::from).collect();
        return Ok(vec![
            ("model.position.scaling", "factors".into()),
            ("model.position.scaling_factors", factors.into()),
        ]);
    }
    match kind {
        None => Ok(Vec::new()),
        Some("linear") => {
            let factor = facts.number_or(("rope.scaling.factor", ""), 1.0)?;
            Ok(linear(factor.into()))
        }
        Some(other) => Err(refused(other)),
    }
}
