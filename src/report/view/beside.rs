//! What variants want and take beside the base at the same size and length: rates, FLOPs, seconds, memory, what is kept of old data.

use super::gain_axes::asked;
use super::sentence::ends;
use crate::analysis::beside::{Beside, Rates, Ratio};
use crate::analysis::study::Study;
use crate::report::page::{Block, Table};
use crate::stat::Estimate;
use crate::unit::{Nats, Times};

/// The question's own variant in a sentence, and all at its place in a table.
pub(super) fn of_study(study: &Study) -> Vec<Block> {
    let Some(asked) = asked(study) else {
        return Vec::new();
    };
    let here = |one: &&Beside| one.scale == asked.scale && one.budget == asked.budget;
    let all: Vec<&Beside> = study.besides.iter().filter(here).collect();
    let own = all.iter().find(|one| one.variant == asked.variant);
    let said = own.and_then(|one| sentence(one, &study.base));
    let mut blocks: Vec<Block> = said.map(Block::Text).into_iter().collect();
    if all.len() > 1 {
        blocks.push(Block::Details(head(study, all[0]), table(&all)));
    }
    blocks
}

/// `w32@400`.
fn place(one: &Beside) -> String {
    let budget = one.budget.map(|budget| format!("@{budget}"));
    format!("{}{}", one.scale, budget.unwrap_or_default())
}

fn head(study: &Study, one: &Beside) -> String {
    format!(
        "Beside {} at {}, as many steps of the same size (times its own, 95% intervals; state: parameters, gradients, optimizer)",
        study.base,
        place(one)
    )
}

/// `At w32@400 gpt2+lora’s best learning rate is 0.018, 1.6 times gpt2’s 0.011 (95% 1.1 to 2.4). Its training ...`
fn sentence(one: &Beside, base: &str) -> Option<String> {
    let rate = one.rate.as_ref().map(|rates| rates_words(one, rates, base));
    let ranged = |estimate: &Estimate| {
        let interval = estimate.interval.as_ref();
        let interval = interval.map(|i| format!(" (95% {})", ends(i)));
        format!(
            "{} times{}",
            Times(estimate.value),
            interval.unwrap_or_default()
        )
    };
    let plain = |value: &f64| format!("{} times", Times(*value));
    let costs = [
        one.flops
            .as_ref()
            .map(|x| format!("{} the FLOPs", plain(x))),
        one.seconds
            .as_ref()
            .map(|x| format!("{} the seconds a step", ranged(x))),
        one.memory
            .as_ref()
            .map(|x| format!("{} the memory at its peak", ranged(x))),
        one.state.as_ref().map(|x| {
            format!(
                "{} the bytes of parameters, gradients and optimizer state",
                plain(x)
            )
        }),
    ];
    let costs: Vec<String> = costs.into_iter().flatten().collect();
    let costs = (!costs.is_empty())
        .then(|| format!("As many steps take, {base} being 1: {}.", costs.join(", ")));
    let kept = one.before_nats.as_ref().map(|lost| {
        let side = if lost.value < 0.0 { "lower" } else { "higher" };
        let interval = lost
            .interval
            .map(|i| format!(" (95% {} to {})", Nats(i.low), Nats(i.high)));
        format!(
            "On the data before, its loss ends {} nats {side} than {base}’s{}.",
            Nats(lost.value.abs()),
            interval.unwrap_or_default()
        )
    });
    let parts: Vec<String> = [rate, costs, kept].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn rates_words(one: &Beside, rates: &Rates, base: &str) -> String {
    let (lr, of_base) = (rate(rates.lr), rate(rates.of_base));
    let of = format!("At {} {}’s best learning rate is", place(one), one.variant);
    match &rates.ratio {
        Ratio::Told { value, interval } => {
            let interval = interval.map(|i| format!(" (95% {})", ends(&i)));
            format!(
                "{of} {lr}, {} times {base}’s {of_base}{}.",
                Times(*value),
                interval.unwrap_or_default()
            )
        }
        Ratio::AtLeast { bound } => format!(
            "{of} at least {} times {base}’s: of {lr} and {of_base} one lies at the edge of the rates that were tried.",
            Times(*bound)
        ),
        Ratio::AtMost { bound } => format!(
            "{of} at most {} times {base}’s: of {lr} and {of_base} one lies at the edge of the rates that were tried.",
            Times(*bound)
        ),
        Ratio::Open => format!(
            "How {}’s best learning rate at {} compares with {base}’s cannot be told: {lr} and {of_base} lie at the edges of the \
             rates that were tried.",
            one.variant,
            place(one)
        ),
    }
}

/// Two digits: nobody's sweep knows more.
fn rate(lr: f64) -> String {
    let decimals = (1.0 - lr.log10().floor()).max(0.0) as usize;
    format!("{lr:.decimals$}")
}

fn table(all: &[&Beside]) -> Table {
    let mut table = Table::new([
        "variant",
        "best rate",
        "best rate, times",
        "FLOPs",
        "seconds a step",
        "peak memory",
        "state",
        "loss on the data before, more",
    ]);
    let ranged = |estimate: &Option<Estimate>| {
        let estimate = estimate.as_ref();
        let words = estimate.map(|x| match &x.interval {
            Some(interval) => format!("{} ({})", Times(x.value), ends(interval)),
            None => Times(x.value).to_string(),
        });
        words.unwrap_or_default()
    };
    let plain = |value: Option<f64>| value.map(|x| Times(x).to_string()).unwrap_or_default();
    for one in all {
        let told = one.rate.as_ref().map(|rates| match &rates.ratio {
            Ratio::Told { value, interval } => ranged(&Some(Estimate {
                value: *value,
                interval: *interval,
                n: 0,
            })),
            Ratio::AtLeast { bound } => format!("> {}", Times(*bound)),
            Ratio::AtMost { bound } => format!("< {}", Times(*bound)),
            Ratio::Open => "cannot tell".to_owned(),
        });
        let lr = one.rate.as_ref().map(|rates| rate(rates.lr));
        let kept = one.before_nats.as_ref().map(|x| Nats(x.value).to_string());
        table.row([
            one.variant.clone(),
            lr.unwrap_or_default(),
            told.unwrap_or_default(),
            plain(one.flops),
            ranged(&one.seconds),
            ranged(&one.memory),
            plain(one.state),
            kept.unwrap_or_default(),
        ]);
    }
    table.without_empty_columns()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::Interval;

    fn lora(ratio: Ratio) -> Beside {
        let about = |value: f64| {
            Some(Estimate {
                value,
                interval: Some(Interval {
                    low: value - 0.1,
                    high: value + 0.1,
                    level: 0.95,
                }),
                n: 3,
            })
        };
        Beside {
            variant: "gpt2+lora".to_owned(),
            scale: "w32".to_owned(),
            budget: Some(400),
            rate: Some(Rates {
                lr: 0.0181,
                of_base: 0.0113,
                ratio,
            }),
            flops: Some(0.75),
            seconds: about(0.9),
            memory: None,
            state: Some(0.54),
            before_nats: about(-0.2),
        }
    }

    #[test]
    fn two_optimum_rates_are_told_with_their_ratio_or_that_one_lies_at_an_edge() {
        let interval = Some(Interval {
            low: 1.1,
            high: 2.4,
            level: 0.95,
        });
        let told = sentence(
            &lora(Ratio::Told {
                value: 1.6,
                interval,
            }),
            "gpt2",
        )
        .unwrap();
        assert_eq!(
            told,
            "At w32@400 gpt2+lora’s best learning rate is 0.018, 1.60 times gpt2’s 0.011 (95% 1.10 to 2.4). As many steps take, \
             gpt2 being 1: 0.75 times the FLOPs, 0.90 times (95% 0.80 to 1.00) the seconds a step, 0.54 times the bytes of \
             parameters, gradients and optimizer state. On the data before, its loss ends 0.20 nats lower than gpt2’s (95% -0.30 \
             to -0.10)."
        );
        let open = sentence(&lora(Ratio::AtLeast { bound: 1.6 }), "gpt2").unwrap();
        assert!(open.starts_with(
            "At w32@400 gpt2+lora’s best learning rate is at least 1.60 times gpt2’s: of 0.018"
        ));
        let open = sentence(&lora(Ratio::Open), "gpt2").unwrap();
        assert!(open.contains("cannot be told: 0.018 and 0.011 lie at the edges"));
    }

    #[test]
    fn a_rate_has_two_digits() {
        let rows = [
            (0.0181, "0.018"),
            (0.00251, "0.0025"),
            (0.3, "0.30"),
            (12.4, "12"),
        ];
        for (lr, want) in rows {
            assert_eq!(rate(lr), want);
        }
    }
}
