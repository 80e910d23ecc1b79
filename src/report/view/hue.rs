//! Which colour is whose, and what an axis of losses is called.

use crate::analysis::findings::Findings;
use crate::record::metric;
use crate::report::page::Hue;

/// Whose colour is whose.
pub(super) type Hues<'a> = &'a dyn Fn(&str) -> Hue;

/// The colour and sign of a variant.
pub(super) fn hue(findings: &Findings, variant: &str) -> Hue {
    findings
        .variants
        .iter()
        .position(|known| known == variant)
        .map_or(Hue::Neutral, Hue::Variant)
}

/// What a plot's axis says of the loss that the findings are told in.
pub(super) fn loss_label(findings: &Findings) -> &'static str {
    if findings.loss() == metric::EXCESS_LOSS_NATS {
        "loss above the oracle (nats)"
    } else {
        "validation loss (nats)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn hues_follow_the_variants() {
        let mut file = example();
        file.run.base = Some("modern".to_owned());
        let findings = Findings::of(&file);
        assert_eq!(hue(&findings, "modern"), Hue::Variant(0));
        assert_eq!(hue(&findings, "gpt2"), Hue::Variant(1));
        assert_eq!(hue(&findings, "llama"), Hue::Neutral);
    }
}
