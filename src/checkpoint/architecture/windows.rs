//! What a checkpoint says of layers that see a window of the last tokens alone.

use serde_json::Value;

use super::described::Keys;
use crate::checkpoint::facts::Facts;

/// The window, and of each layer whether it has it.
pub(super) struct Windows {
    window: usize,
    slides: Vec<bool>,
}

impl Windows {
    /// Of so many layers; where a file does not say which, all have it, or all but every so many-th.
    pub fn read(
        facts: &Facts,
        layers: usize,
        all_but_every: Option<usize>,
    ) -> Result<Option<Self>, String> {
        let off = facts.named("use_sliding_window").and_then(Value::as_bool) == Some(false);
        let window = facts.count_or_none(("attention.sliding_window", "sliding_window"))?;
        let Some(window) = window.filter(|_| !off) else {
            return Ok(None);
        };
        let slides = match types(facts, layers)? {
            Some(slides) => slides,
            None => by_number(facts, layers, all_but_every)?,
        };
        let any = slides.contains(&true);
        Ok(any.then_some(Self { window, slides }))
    }

    /// The keys that say so.
    pub fn keys(&self) -> Keys {
        let word = |slides: &bool| match slides {
            true => "sliding",
            false => "attention",
        };
        let count = self.slides.len();
        let repeats =
            |&period: &usize| (0..count).all(|i| self.slides[i] == self.slides[i % period]);
        let period = (1..count).find(repeats).unwrap_or(count);
        let words: Vec<&str> = self.slides[..period].iter().map(word).collect();
        vec![
            ("model.pattern", words.into()),
            ("model.layer.sliding.mixer.window", self.window.into()),
        ]
    }
}

/// As `layer_types` says.
fn types(facts: &Facts, layers: usize) -> Result<Option<Vec<bool>>, String> {
    let Some(types) = facts.named("layer_types").and_then(Value::as_array) else {
        return Ok(None);
    };
    if types.len() != layers {
        return Err(format!(
            "its layer_types are {}, and its layers {layers}",
            types.len()
        ));
    }
    let slides = types.iter().map(|kind| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(format!(
            "a layer of it is of kind {kind}, which is not known here"
        )),
    });
    slides.collect::<Result<_, _>>().map(Some)
}

/// As a period says, or the layer from which on windows begin (Qwen2's).
fn by_number(
    facts: &Facts,
    layers: usize,
    all_but_every: Option<usize>,
) -> Result<Vec<bool>, String> {
    let period =
        facts.count_or_none(("attention.sliding_window_pattern", "sliding_window_pattern"))?;
    let own = facts.count_or_none(("", "_sliding_window_pattern"))?;
    let from = match facts.is_gguf() {
        true => None,
        false => facts.named("max_window_layers").and_then(Value::as_u64),
    };
    Ok((0..layers)
        .map(|layer| match (period.or(own).or(all_but_every), from) {
            (Some(period), _) => !(layer + 1).is_multiple_of(period),
            (None, Some(from)) => layer as u64 >= from,
            (None, None) => true,
        })
        .collect())
}
