//! Scarce data: what each cell paid for data and for compute, and the price of data at which fresh ones would have cost as much.

use crate::analysis::findings::Findings;
use crate::analysis::scarce::{Row, Scarce, Trade, scarce};
use crate::config::Price;
use crate::report::page::{Block, Quantity, Table};
use crate::unit::{Count, Times};

/// A section of the report.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let price = findings.price?;
    let found = scarce(findings.file, &findings.cells, price)?;
    let mut blocks: Vec<Block> = found
        .trades
        .iter()
        .map(|trade| Block::Lead(sentence(trade, &found, price)))
        .collect();
    let mut table = Table::new([
        "cell",
        "different tokens",
        "times read",
        "val (nats)",
        "machine and energy",
        "data",
        "together",
        "n",
    ]);
    table
        .rows
        .extend(found.rows.iter().map(|one| row(one, &found)));
    blocks.push(Block::Table(table.without_empty_columns()));
    let note = match &price.data {
        Some(_) => "Data are paid for once, however often they are read; one repeat's training.",
        None => {
            "Data have no price here: `data.per_m_tokens` in a price file gives them one, and `--price` names the file."
        }
    };
    blocks.push(Block::Text(note.to_owned()));
    Some(blocks)
}

fn row(one: &Row, found: &Scarce) -> Vec<String> {
    let money = |value: Option<f64>| value.map(|v| found.unit.show(v)).unwrap_or_default();
    let together = one.compute.zip(one.data).map(|(a, b)| a + b);
    vec![
        one.cell.clone(),
        Count(one.unique).to_string(),
        Times(one.epochs).to_string(),
        Quantity::Nats.cell(one.loss.value),
        money(one.compute),
        money(one.data),
        money(together),
        one.n.to_string(),
    ]
}

fn sentence(trade: &Trade, found: &Scarce, price: &Price) -> String {
    let Trade {
        again,
        fresh,
        loss,
        unique,
        break_even,
    } = trade;
    let show = |value: f64| found.unit.show(value);
    let ends = break_even.interval;
    let said = ends.map_or(String::new(), |i| {
        format!(
            " (95% interval {} to {}, n = {})",
            show(i.low),
            show(i.high),
            break_even.n
        )
    });
    let verdict = match ends.map_or([break_even.value; 2], |i| [i.low, i.high]) {
        [low, _] if low > 0.0 => format!(
            "fresh data are the cheaper way as long as a million tokens cost less than {}{said}",
            show(break_even.value)
        ),
        [_, high] if high < 0.0 => {
            "reading again is the cheaper way whatever data cost, for it took less of the machine too".to_owned()
        }
        _ => format!(
            "which is cheaper where data cost nothing cannot be told: both cost the same at {} for a million tokens{said}",
            show(break_even.value)
        ),
    };
    let own = price
        .data
        .as_ref()
        .and_then(|data| data.per_m_tokens.as_ref());
    let own = own.map_or(String::new(), |own| {
        format!("; here they cost {}", show(own.value))
    });
    format!(
        "{again} reads {} tokens again and again to {:.3} nats, and {fresh} reads {} once to {:.3}: {verdict}{own}.",
        Count(unique[0]),
        loss[0],
        Count(unique[1]),
        loss[1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Library;
    use crate::record::example::example;
    use crate::record::{Flag, Metric, Severity, metric};

    /// Two repeats of a cell that read 10,000 tokens ten times and of one that read 110,000 once, a cent and a half against half a cent.
    #[test]
    fn data_and_compute_stand_in_one_bill() {
        let mut file = example();
        let cells = ["gpt2/w32@400", "gpt2/w32@800"];
        file.trials
            .retain(|t| cells.contains(&t.cell.as_str()) && t.repeat < 2);
        for trial in &mut file.trials {
            let again = trial.cell == cells[0];
            trial.spec["compute"]["threads"] = 1.into();
            let cost = trial.cost.as_mut().unwrap();
            cost.train_tokens = if again { 100_000 } else { 110_000 };
            if again {
                trial.spec["data"]["unique_tokens"] = 10_000.into();
                let (code, severity) = ("repeated_data".to_owned(), Severity::Info);
                let value = Some(10.0);
                trial.validity.flags.push(Flag {
                    code,
                    severity,
                    value,
                    limit: None,
                });
            }
            let hours = if again { 3.0 } else { 1.0 } + 0.01 * trial.repeat as f64;
            for (name, value) in [
                (metric::TRAIN_WALL_S, 3600.0 * hours),
                (metric::VAL_LOSS_NATS, 2.0),
            ] {
                trial
                    .metrics
                    .insert(name.to_owned(), Metric::value(name, value));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(
            &path,
            "[hardware]\nrent_per_h = 0.005\n[data]\nper_m_tokens = 0.3\n",
        )
        .unwrap();
        let price = Library::builtin().price(&path.to_string_lossy()).unwrap();
        let blocks = build(&Findings::at(&file, Some(&price))).unwrap();
        let Block::Lead(said) = &blocks[0] else {
            panic!()
        };
        // A cent more of the machine for 100,000 tokens less.
        assert!(said.contains("less than 0.10 USD"), "{said}");
        assert!(said.ends_with("here they cost 0.30 USD."), "{said}");
        let Block::Table(table) = &blocks[1] else {
            panic!()
        };
        // 10,000 and 110,000 tokens at 0.30 a million.
        let data: Vec<&str> = table.rows.iter().map(|row| row[5].as_str()).collect();
        assert_eq!(data, ["0.0030 USD", "0.033 USD"]);
        assert!(build(&Findings::at(&example(), Some(&price))).is_none());
    }
}
