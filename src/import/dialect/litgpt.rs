//! LitGPT: `Epoch 1 | iter 100 step 25 | loss train: 2.123, val: n/a | iter time: 400.12 ms (step) remaining time: 0:10:00` and
//! `iter 100: val loss 2.0123, val time: 1000.00 ms`; before 2024 `iter 100 | step 25: loss 2.123, iter time: 89.96 ms (optimizer.step)`.
//! A step is an optimizer's, of several iterations: a validation belongs to the last one.

use super::line::{Before, Cells};
use super::words::{after, count, is_figure, pair};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let cell = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    if let Some(rest) = after(text, "final evaluation") {
        let loss = after(rest, "val loss:")?.split('|').next()?.trim();
        let judged = before.judged == before.step;
        let step = before.step.clone().filter(|_| is_figure(loss) && !judged)?;
        return Some(vec![cell("step", &step), cell("val loss", loss)]);
    }
    let (iteration, rest) = count(after(text, "iter ")?)?;
    if let Some(judged) = rest.strip_prefix(':') {
        let (name, value) = pair(judged.split(',').next()?)?;
        let step = before.step.clone()?;
        before.judged = Some(step.clone());
        return (name == "val loss").then(|| {
            vec![
                cell("step", &step),
                cell("iter", iteration),
                cell("val loss", &value),
            ]
        });
    }
    let rest = rest.trim_start_matches([' ', '|']);
    let (step, rest) = count(after_exact(rest, "step ")?)?;
    before.step = Some(step.to_owned());
    // Of the iterations whose gradients make one step, the last says so.
    if rest.contains("iter time") && !rest.contains("step)") {
        return Some(Vec::new());
    }
    // The `val` beside it is that of an earlier step, or `n/a`.
    let loss = after(rest, "loss")?.trim_start_matches(|c: char| !c.is_ascii_digit() && c != ',');
    let loss = loss.split([',', ' ', '|']).next()?.trim();
    let loss = if is_figure(loss) {
        loss
    } else {
        not_a_number(rest)?
    };
    Some(vec![
        cell("step", step),
        cell("iter", iteration),
        cell("loss", loss),
    ])
}

/// What stands behind a word that a text begins with, whatever the case of its letters: `stEp` was printed once.
fn after_exact<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then_some(rest)
}

/// A loss that diverged: `loss train: nan`.
fn not_a_number(rest: &str) -> Option<&str> {
    let mut words = after(rest, "loss")?.split([',', ' ', ':', '|']);
    words.find(|word| word.eq_ignore_ascii_case("nan") || word.eq_ignore_ascii_case("inf"))
}
