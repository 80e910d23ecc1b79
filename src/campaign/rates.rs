//! Whether trials trained at the rates that their own sweep speaks for. The surface follows from the sweep's trials and a repeat's
//! rate from the surface and the seed, so that whoever has a result file has both again, by the very code that chose them.

use crate::config::rate::four_digits;
use crate::record::swept::Position;
use crate::record::{RateSource, ResultFile, Trial};
use crate::runner::plan::draw;
use crate::runner::sweep::Swept;

/// What a rate may be off by, of itself: it has four digits, and another processor's logarithms may end in another last one.
const OFF: f64 = 2e-3;

/// The trials of a variant that judge and whose learning rates are not those that the variant's own sweep in the file gives, each in
/// a sentence. All of its cells are one arm, as in a challenge: one surface speaks for them.
pub fn misrated(file: &ResultFile, variant: &str) -> Vec<String> {
    let own = file.trials.iter().filter(|trial| trial.variant == variant);
    let (swept, judged): (Vec<&Trial>, Vec<&Trial>) = own.partition(|trial| trial.in_sweep());
    let swept = match Swept::of(variant, &swept, None) {
        Ok(swept) => swept,
        Err(why) => return vec![format!("{}: not comparable", why.message)],
    };
    let judged = judged.iter();
    judged.filter_map(|trial| by_hand(trial, &swept)).collect()
}

fn by_hand(trial: &Trial, swept: &Swept) -> Option<String> {
    let place = || format!("{}, repeat {}", trial.cell, trial.repeat);
    if !matches!(trial.lr_source, RateSource::Surface { from: None, .. }) {
        return Some(format!(
            "{}: rate chosen by hand: not comparable (the file says of it: {})",
            place(),
            trial.lr_source
        ));
    }
    let spec_says = trial.asked().lr();
    let cost = trial.cost.as_ref();
    let position = cost.and_then(|cost| Position::of(&trial.spec, cost));
    let (Some(said), Some(position)) = (spec_says, position) else {
        return Some(format!(
            "{}: its spec does not say at what rate or for how long it trained",
            place()
        ));
    };
    let choice = swept.choose(position);
    let ln_lr = match choice.source {
        RateSource::Surface { ln_lr, .. } => ln_lr,
        _ => choice.lr.ln(),
    };
    // Programs of before drew by the variant's name.
    let [gives, before] = [swept.key(), &trial.variant].map(|key| {
        let drawn = ln_lr + draw(key, choice.loadings, trial.seed);
        four_digits(drawn.exp())
    });
    let is = |gives: f64| (said / gives - 1.0).abs() <= OFF;
    (!is(gives) && !is(before)).then(|| {
        format!(
            "{}: rate chosen by hand: not comparable (it trained at {said}, and the sweep in the file gives {gives})",
            place()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::metric;
    use crate::record::store::read_valid;

    const MUON: &str = "gpt2+muon";

    fn committed() -> ResultFile {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/results/zoo-epyc-19h-1c-linux.json"
        );
        read_valid(std::path::Path::new(path)).unwrap()
    }

    /// The rates of every variant of a committed file follow from its sweeps.
    #[test]
    fn what_a_sweep_chose_follows_from_it_again() {
        let file = committed();
        let mut variants: Vec<&str> = file.trials.iter().map(|t| t.variant.as_str()).collect();
        variants.sort_unstable();
        variants.dedup();
        assert_eq!(variants.len(), 20);
        for variant in variants {
            assert_eq!(misrated(&file, variant), Vec::<String>::new());
        }
    }

    #[test]
    fn a_rate_that_the_sweep_did_not_choose_is_named() {
        let of = |sweep: bool| move |t: &&mut Trial| t.variant == MUON && t.in_sweep() == sweep;
        // By hand, on the seeds that judge.
        let mut file = committed();
        let one = file.trials.iter_mut().find(of(false)).unwrap();
        let lr = one.asked().lr().unwrap();
        one.spec["train"]["optimizer"]["lr"] = (1.25 * lr).into();
        let said = misrated(&file, MUON);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("rate chosen by hand: not comparable (it trained at 0.0"));
        // The sweep's losses lowered where another rate was wanted: then the rates are those of no sweep.
        let mut file = committed();
        let high = |t: &&mut Trial| of(true)(t) && t.asked().lr() > Some(0.04);
        for trial in file.trials.iter_mut().filter(high) {
            let loss = trial.metrics.get_mut(metric::VAL_LOSS_NATS).unwrap();
            loss.value = Some(2.5);
        }
        assert_eq!(misrated(&file, MUON).len(), 12);
        // Said to be another's choice, or nobody's.
        let mut file = committed();
        file.trials.iter_mut().find(of(false)).unwrap().lr_source = RateSource::Set;
        assert!(misrated(&file, MUON)[0].contains("rate chosen by hand: not comparable (the file"));
        // Without a sweep there is nothing to compare with.
        file.trials.retain(|t| t.variant != MUON || !t.in_sweep());
        assert!(misrated(&file, MUON)[0].ends_with("so none can be chosen: not comparable"));
    }
}
