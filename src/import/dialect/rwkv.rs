//! RWKV-LM's `train_log.txt`: an epoch a line, `3 3.523456 33.9013 0.00058000 2023-08-01 10:40:00.123456 3`: its training loss, the
//! perplexity of that, the rate and the time. The settings above say how many steps it calls an epoch.

use super::line::{Before, Cells, push};

/// How far the perplexity may be from the loss's.
const OFF: f64 = 0.01;

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let of_settings = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        rest.split([',', '}']).next()?.trim().parse::<f64>().ok()
    };
    if let Some(steps) = of_settings("'epoch_steps': ") {
        before.batch = Some(steps);
        return Some(Vec::new());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let [epoch, loss, perplexity, rate, date, time, own] = words[..] else {
        return None;
    };
    let epoch: u64 = epoch.parse().ok()?;
    let (nats, of_it): (f64, f64) = (loss.parse().ok()?, perplexity.parse().ok()?);
    rate.parse::<f64>().ok()?;
    own.parse::<u64>().ok()?;
    let dated = date.matches('-').count() == 2 && time.matches(':').count() == 2;
    if !dated || (nats.exp() / of_it - 1.0).abs() > OFF {
        return None;
    }
    let mut cells = Vec::new();
    match before.batch {
        Some(steps) => push(
            &mut cells,
            "step",
            &format!("{:.0}", (epoch as f64 + 1.0) * steps),
        ),
        None => push(&mut cells, "epoch", &(epoch + 1).to_string()),
    }
    push(&mut cells, "train_loss", loss);
    Some(cells)
}
