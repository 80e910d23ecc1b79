//! What a header says, by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a header says of its model. GGUF and Hugging Face call the same thing by different names: questions give both.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    format: &'static str,
    architecture: String,
    values: BTreeMap<String, Value>,
}

/// A thing's names in GGUF, behind the architecture's, and in `config.json`.
pub type Both = (&'static str, &'static str);

impl Facts {
    /// Of a GGUF file's metadata.
    pub(super) fn of_gguf(values: BTreeMap<String, Value>) -> Result<Self, String> {
        let named = values.get("general.architecture").and_then(Value::as_str);
        let architecture =
            named.ok_or("it does not say its architecture (general.architecture)")?;
        Ok(Self {
            format: "GGUF",
            architecture: architecture.to_owned(),
            values,
        })
    }

    /// Of a `config.json`.
    pub(super) fn of_config(values: BTreeMap<String, Value>) -> Result<Self, String> {
        let named = values.get("model_type").and_then(Value::as_str);
        let architecture = named.ok_or("its config.json has no model_type")?;
        Ok(Self {
            format: "safetensors",
            architecture: architecture.to_owned(),
            values,
        })
    }

    /// `GGUF` or `safetensors`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Whether it is a GGUF file's.
    pub fn is_gguf(&self) -> bool {
        self.format == "GGUF"
    }

    /// What it calls its architecture.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// What it calls itself.
    pub fn title(&self) -> Option<String> {
        let name = self
            .values
            .get("general.name")
            .or(self.values.get("_name_or_path"));
        name.and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    /// By its full name.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A table of a `config.json`.
    pub fn table(&self, name: &str) -> Option<&Map<String, Value>> {
        self.named(name)?.as_object()
    }

    fn find(&self, (gguf, config): Both) -> Option<&Value> {
        match self.is_gguf() {
            true => self.named(&format!("{}.{gguf}", self.architecture)),
            false => self.named(config),
        }
    }

    fn name_of(&self, (gguf, config): Both) -> String {
        match self.is_gguf() {
            true => format!("{}.{gguf}", self.architecture),
            false => config.to_owned(),
        }
    }

    /// A count, where it is given.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn count_or_none(&self, names: Both) -> Result<Option<usize>, String> {
        let Some(value) = self.find(names) else {
            return Ok(None);
        };
        let count = value.as_u64().filter(|count| (1..=MOST).contains(count));
        match count {
            Some(count) => Ok(Some(count as usize)),
            None => Err(format!(
                "{} = {value}: no count that can be",
                self.name_of(names)
            )),
        }
    }

    /// A count that must be given.
    ///
    /// # Errors
    /// Where it is not, or is something else.
    pub fn count(&self, names: Both) -> Result<usize, String> {
        let found = self.count_or_none(names)?;
        found.ok_or_else(|| format!("it does not say {}", self.name_of(names)))
    }

    /// A number, or what stands for it where it is not given.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn number_or(&self, names: Both, default: f64) -> Result<f64, String> {
        match self.find(names) {
            None => Ok(default),
            Some(value) => {
                let number = value.as_f64().filter(|number| number.is_finite());
                number.ok_or_else(|| format!("{} = {value}: no number", self.name_of(names)))
            }
        }
    }

    /// A word, where it is given as one.
    pub fn word(&self, names: Both) -> Option<&str> {
        self.find(names)?.as_str()
    }

    /// Whether something is set.
    pub fn is_set(&self, names: Both) -> bool {
        self.find(names).and_then(Value::as_bool) == Some(true)
    }
}

/// No count of a model is larger.
const MOST: u64 = 1 << 31;
