//! Files of weights alone, given where a model is asked for.

use std::path::Path;

use serde_json::Value;

use crate::error::Error;

/// Whether a file is one of weights alone.
pub(super) fn is_weights(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("safetensors") && path.is_file()
}

/// What a file of weights alone is used by: of those that a run kept the spec beside them says whose they are.
pub(super) fn of_weights(what: &str, reference: &str) -> Error {
    let path = Path::new(reference);
    let spec = std::fs::read_to_string(path.with_extension("spec")).ok();
    let spec = spec.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let folder = path
        .parent()
        .filter(|folder| folder.join("config.json").is_file());
    let hint = match (spec, folder) {
        (Some(spec), _) => {
            let cell = spec["cell"].as_str().unwrap_or_default();
            let (variant, scale) = cell.split_once('/').unwrap_or(("VARIANT", "SCALE"));
            let scale = scale.split('@').next().unwrap_or_default();
            format!(
                "`--variants {variant} --scales {scale} --set model.from={reference}`; or `effbench export {reference} --to model.gguf`, which \
                 is a variant itself"
            )
        }
        (None, Some(folder)) => {
            format!("the folder that it lies in is one: `{}/`", folder.display())
        }
        (None, None) => {
            format!(
                "`--set model.from={reference}` with the variant that they are weights of, or a folder with its config.json"
            )
        }
    };
    Error::input(format!("{reference}: weights alone, which are no {what}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_weights_are_told_how_they_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("llama-w16-0-07d919e8.safetensors");
        std::fs::write(&kept, [0x80, 0, 0, 0, 0xff]).unwrap();
        let shown = kept.display().to_string();
        let hint = || of_weights("variant", &shown).hint.unwrap();
        assert!(is_weights(&kept) && hint().contains(&format!("`--set model.from={shown}`")));
        std::fs::write(kept.with_extension("spec"), r#"{"cell": "llama/w16@60"}"#).unwrap();
        let wanted = format!("`--variants llama --scales w16 --set model.from={shown}`");
        assert!(hint().starts_with(&wanted), "{}", hint());
        // Through the front door, and never `iconv`.
        let error = crate::config::Library::builtin()
            .variant(&shown)
            .unwrap_err();
        assert!(
            error
                .message
                .ends_with("weights alone, which are no variant"),
            "{error}"
        );
        assert!(!error.hint.unwrap().contains("iconv"));
    }
}
