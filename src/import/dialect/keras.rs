//! Keras's progress bars: `Epoch 2/10`, then `100/100 ━━━━━━━━━━ 5s 45ms/step - loss: 2.1012 - val_loss: 2.0512`, an epoch's last frame.
//! The frames before it are no rows: their losses are means of an epoch that has not ended.

use super::line::{Before, Cells, push};
use super::words::{count, is_figure};

/// Reads a frame.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let text = text.trim_matches(['\u{8}', ' ']);
    if let Some(rest) = text.strip_prefix("Epoch ") {
        let (epoch, rest) = count(rest)?;
        rest.strip_prefix('/')?.trim().parse::<u64>().ok()?;
        before.epoch = epoch.parse().ok();
        return Some(Vec::new());
    }
    let epoch = before.epoch?;
    let (done, rest) = count(text)?;
    let (all, rest) = count(rest.strip_prefix('/')?)?;
    let (done, all): (u64, u64) = (done.parse().ok()?, all.parse().ok()?);
    let pairs: Vec<(&str, &str)> = rest
        .split(" - ")
        .filter_map(|part| part.split_once(": "))
        .map(|(name, figure)| (name.trim(), figure.trim()))
        .collect();
    let find = |name: &str| {
        let found = pairs.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, figure)| *figure)
            .filter(|figure| is_figure(figure))
    };
    let loss = find("loss")?;
    if done < all || rest.contains("ETA:") {
        return Some(Vec::new());
    }
    let mut cells = Vec::new();
    // Older ones count samples, of which nothing says how many a step takes.
    match rest.contains("s/sample") {
        true => push(&mut cells, "epoch", &epoch.to_string()),
        false => push(&mut cells, "step", &epoch.checked_mul(all)?.to_string()),
    }
    push(&mut cells, "train_loss", loss);
    if let Some(loss) = find("val_loss") {
        push(&mut cells, "val_loss", loss);
    }
    Some(cells)
}
