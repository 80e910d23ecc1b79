//! Tests of `csv`.

use super::*;

fn read(text: &str, map: &[(&str, &str)]) -> Result<Points> {
    let map: Vec<(String, String)> = map
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    points(text, "t.csv", &map, &Units::default())
}

#[test]
fn tables_of_many_kinds_are_read_alike() {
    let plain = read("flops,loss\n1e18,3.5\n2E18,3.25\n", &[]).unwrap();
    assert_eq!(
        plain.points,
        [
            Point::new("all".into(), 1e18, 3.5),
            Point::new("all".into(), 2e18, 3.25)
        ]
    );
    let rows = [
        "\u{feff}flops,loss\r\n1e18,3.5\r\n\r\n2e18,3.25\r\n",
        "flops;loss\n1e18;3.5\n2e18;3.25\n",
        "flops\tloss\n1e18\t3.5\n\n2e18\t3.25\n\n",
        "# of two runs\nFLOPs,Val Loss\n1e18,3.5\n2e18,3.25\n",
        "flops;loss\n1,000e+18;3,5\n2,000e+18;3,25\n",
        "flops,loss\n1e18,3.5,\n2e18,3.25,\n",
        "Training FLOP,loss\n\"1,000,000,000,000,000,000\",3.5\n\"2,000,000,000,000,000,000.0\",3.25\n",
        "C,L\n1e18,3.5\n2e18,3.25\n",
        "\"flops\",\"loss\"\n\"1e18\", 3.5\n 2000000000000000000 ,+3.25,\n",
        "name,flops,loss\n\"a, \"\"b\"\"\nc\",1e18,3.5\nd,2e18,3.25\n",
        "flops,loss\r1e18,3.5\r2e18,3.25\r",
    ];
    for text in rows {
        assert_eq!(read(text, &[]).unwrap().points, plain.points, "{text:?}");
    }
}

#[test]
fn what_is_not_there_is_derived_or_left_out_and_said() {
    let found = read("params,tokens,loss\n1e8,2e9,3\n1e8,nan,3\n", &[]).unwrap();
    assert_eq!((found.points.len(), found.points[0].flops), (1, 1.2e18));
    assert!(
        found
            .notes
            .iter()
            .any(|n| n == "C is 6 N D, as the table has no FLOPs"),
        "{:?}",
        found.notes
    );
    assert!(
        found
            .notes
            .iter()
            .any(|n| n == "1 row left out for want of a figure (line 3)"),
        "{:?}",
        found.notes
    );
    let map = [
        ("params", "Model Size"),
        ("flops", "Training FLOP"),
        ("repeat", "seed"),
        ("group", "who"),
    ];
    let found = read(
        "who,Model Size,Training FLOP,loss,seed\nme,1e8,1.2e18,3,7\n",
        &map,
    )
    .unwrap();
    let point = &found.points[0];
    assert_eq!(
        (point.tokens, point.repeat, point.group.as_str()),
        (Some(2e9), Some(7), "me")
    );
}

#[test]
fn losses_in_other_units_become_nats() {
    let flops_of = |header: &str, loss| {
        let units = Units {
            loss,
            ..Units::default()
        };
        points(&format!("flops,{header}\n1e18,32\n"), "t.csv", &[], &units).unwrap()
    };
    let rows = [
        (
            "ppl",
            None,
            5.0 * std::f64::consts::LN_2,
            "is in perplexity",
        ),
        (
            "loss",
            Some(LossUnit::Bits),
            32.0 * std::f64::consts::LN_2,
            "is in bits",
        ),
        (
            "bits_per_byte",
            None,
            32.0 * std::f64::consts::LN_2,
            "nats per byte",
        ),
        (
            "loss",
            None,
            32.0,
            "worse than guessing: is it a perplexity",
        ),
    ];
    for (header, unit, nats, says) in rows {
        let found = flops_of(header, unit);
        assert!(
            (found.points[0].loss - nats).abs() < 1e-12,
            "{header}: {:?}",
            found.points
        );
        assert!(
            found.notes.iter().any(|note| note.contains(says)),
            "{header}: {:?}",
            found.notes
        );
    }
    let perplexity = Units {
        loss: Some(LossUnit::Perplexity),
        ..Units::default()
    };
    let error = points("flops,loss\n1e18,0.5\n", "t.csv", &[], &perplexity).unwrap_err();
    assert_eq!(
        error.message,
        "t.csv:2: column `loss`: `0.5` is no perplexity"
    );
}

type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

/// A table, its mapping, and what is said of it: the sentence, and the hint.
const REFUSED: [Row<'static>; 11] = [
    ("", &[], "t.csv: empty", "expected a header"),
    (
        "flops,score\n1,2\n",
        &[],
        "t.csv: no column `loss` among `flops`, `score`",
        "--map loss=COLUMN",
    ),
    (
        "params,loss\n1,2\n",
        &[],
        "t.csv: no column `flops`, nor both",
        "--map flops=COLUMN",
    ),
    (
        "flops,loss\n1,2\n",
        &[("loss", "los")],
        "t.csv: --map loss=los: no such column",
        "did you mean `loss`?",
    ),
    (
        "flops,loss,loss\n1,2,3\n",
        &[],
        "t.csv: two columns are called `loss`",
        "",
    ),
    (
        "flops,loss\n1e18,3\n\n\"1,000\",3\n",
        &[],
        "t.csv:4: column `flops`: `1,000` is no number",
        "thousands",
    ),
    (
        "flops,loss\n1.5B,3\n",
        &[],
        "t.csv:2: column `flops`: `1.5B` is no number",
        "1.5e9",
    ),
    (
        "flops,loss\n1e18,-3\n",
        &[],
        "t.csv:2: column `loss`: `-3` is not a positive finite number",
        "",
    ),
    (
        "flops,loss\n1e18,inf\n",
        &[],
        "t.csv:2: column `loss`: `inf` is not a positive",
        "",
    ),
    (
        "flops,loss\n1e18,3,4\n",
        &[],
        "t.csv:2: 3 cells under 2 columns",
        "needs quotes",
    ),
    (
        "flops,loss\n\"1e18,3\n",
        &[],
        "t.csv:2: a quote is opened and not closed",
        "",
    ),
];

#[test]
fn what_cannot_be_read_is_refused_where_it_stands() {
    for (text, map, message, hint) in REFUSED {
        let error = read(text, map).unwrap_err();
        assert!(error.message.starts_with(message), "{}", error.message);
        assert!(error.hint.unwrap_or_default().contains(hint), "{message}");
    }
}
