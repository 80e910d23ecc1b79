//! Reasons to doubt that lie in what models were taught by: data read over and over, words that nobody can tell apart, other models.

use super::Caveat;
use super::pairs::Pairs;
use crate::record::Trial;
use crate::record::parents::COUNTED;
use crate::unit::Share;

/// Up to four epochs are worth almost as much as new data (Muennighoff et al. 2023, arXiv 2305.16264, section 6).
const EPOCHS: f64 = 4.0;

pub(super) fn repeated_data(pairs: &Pairs) -> Option<Caveat> {
    let flags = pairs.trials.iter().flat_map(|t| &t.validity.flags);
    let epochs = flags.filter(|flag| flag.code == "repeated_data");
    let most = epochs.filter_map(|flag| flag.value).reduce(f64::max)?;
    (most > EPOCHS).then(|| Caveat {
        code: "repeated_data",
        message: format!(
            "the text is read up to {most:.0} times over: what is learned by heart is no gain of an algorithm"
        ),
        remedy: "a longer text, or fewer steps".to_owned(),
    })
}

/// Whose training a gain leaves out, or counts.
pub(super) fn parents(pairs: &Pairs) -> Option<Caveat> {
    let is_variant = |trial: &&&Trial| trial.variant == pairs.question.variant;
    let mut trials = pairs.trials.iter().filter(is_variant);
    let trial = trials.find(|trial| trial.parent.is_some() || trial.teacher.is_some())?;
    let variant = &pairs.question.variant;
    let how = match (&trial.parent, &trial.teacher) {
        (Some(_), Some(_)) => "begins with another model's weights and learns from a teacher",
        (Some(_), None) => "begins with another model's weights",
        (None, _) => "learns from a teacher",
    };
    let mut flags = trial.validity.flags.iter();
    let (code, message, remedy) = match flags.any(|flag| flag.code == COUNTED) {
        true => (
            "parents_counted",
            format!(
                "{variant} {how}: what that took to train is counted as if it had been trained for this alone"
            ),
            "without --parents it counts as there already",
        ),
        false => (
            "parents_free",
            format!("{variant} {how}: what that took to train is not counted"),
            "`effbench gain --parents` counts it",
        ),
    };
    Some(Caveat {
        code,
        message,
        remedy: remedy.to_owned(),
    })
}

/// A loss over words that nobody can tell apart is not a loss over the text.
pub(super) fn unknown_tokens(pairs: &Pairs) -> Option<Caveat> {
    let flags = pairs.trials.iter().flat_map(|t| &t.validity.flags);
    let shares = flags.filter(|flag| flag.code == "unknown_tokens");
    let most = shares.filter_map(|flag| flag.value).reduce(f64::max)?;
    Some(Caveat {
        code: "unknown_tokens",
        message: format!(
            "{} of the validation tokens are words that the tokenizer does not know: the losses are too low for the text",
            Share(most)
        ),
        remedy: "a tokenizer made for this text: `--set data.tokenizer=bpe` makes one".to_owned(),
    })
}
