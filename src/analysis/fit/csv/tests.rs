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

#[test]
fn a_columns_name_says_what_its_figures_are_counted_in() {
    let map = [("flops", "throughput/total_gflops")];
    let found = read("throughput/total_gflops,loss\n3e11,3\n3e12,2.9\n", &map).unwrap();
    assert_eq!(found.points[0].flops, 3e20);
    let says = |found: &Points, what: &str| {
        let said = found.notes.iter().any(|note| note.contains(what));
        assert!(said, "{what}: {:?}", found.notes);
    };
    says(
        &found,
        "`throughput/total_gflops` are multiplied by 1e9, as its name says",
    );
    let table = "params_m,Tokens (B),C (PF-days),loss_bits\n100,2,0.5,5\n0.2B,4,2,4.9\n";
    let found = read(table, &[]).unwrap();
    let point = &found.points[0];
    assert_eq!(
        (point.params, point.tokens, point.flops),
        (Some(1e8), Some(2e9), 4.32e19)
    );
    assert_eq!(point.loss, 5.0 * std::f64::consts::LN_2);
    assert_eq!(found.points[1].params, Some(2e8), "a cell's own unit holds");
    for what in [
        "`params_m`",
        "`Tokens (B)`",
        "`C (PF-days)`",
        "`loss_bits` is in bits",
    ] {
        says(&found, what);
    }
    // What somebody says holds, whatever the name says.
    for (factor, params) in [(1.0, 100.0), (1e6, 1e8)] {
        let units = Units {
            factors: vec![("params".to_owned(), factor)],
            loss: None,
        };
        let found = points(table, "t.csv", &[], &units).unwrap();
        assert_eq!(found.points[0].params, Some(params));
        assert!(found.notes.iter().all(|note| !note.contains("`params_m`")));
    }
    // A column called by a letter alone has no unit.
    let found = read("flops,loss,B\n1e18,3,64\n", &[("batch", "B")]).unwrap();
    assert_eq!(found.points[0].batch, Some(64.0));
}

#[test]
fn a_column_that_holds_the_flops_under_another_name_is_suggested() {
    let suggested = |header: &str, factor: f64| {
        let row = |k: u32| {
            let (n, d) = (1e8 * f64::from(k), 2e9 * f64::from(k));
            format!("{n},{d},{},{}\n", 6.0 * n * d * factor, 3.0 / f64::from(k))
        };
        let table: String = (1..5).map(row).collect();
        let found = read(&format!("{header}\n{table}"), &[]).unwrap();
        let note = found
            .notes
            .into_iter()
            .find(|note| note.contains("--map flops"));
        note.unwrap_or_default()
    };
    let note = suggested("params,tokens,budget,loss", 1.3);
    assert!(
        note.contains("`budget`")
            && note.contains("4 of 4 rows")
            && note.contains("`--map flops=budget`"),
        "{note}"
    );
    assert!(suggested("params,tokens,my budget,loss", 0.6).contains("`--map flops=\"my budget\"`"));
    assert_eq!(suggested("params,tokens,budget,loss", 3.0), "");
    assert_eq!(suggested("params,tokens,flops,loss", 1.3), "");
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
        "--map flops=\"params\" fits the loss as a power law in `params` alone",
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

/// Columns as papers and tools call them, each read as the same two runs, with what has to be told of it.
#[test]
fn published_tables_are_read_as_they_come() {
    let rows = [
        ("FLOPs,Test Loss\n1e18,3.5\n2e18,3.25\n", "`Test Loss`"),
        ("FLOPs,train_loss\n1e18,3.5\n2e18,3.25\n", "`train_loss`"),
        (
            "FLOPs,Loss (Pile),loss_std\n1e18,3.5,0.1\n2e18,3.25,0.1\n",
            "`Loss (Pile)`",
        ),
        (
            "Compute Budget C,loss\n1e18,3.5\n2e18,3.25\n",
            "`Compute Budget C`",
        ),
        ("FLOPs,loss\n1×10^18,3.5\n2·10¹⁸,3.25*\n", ""),
        ("FLOPs†,loss\n10**18,3.5†\n~2e18,3.25¶\n", ""),
    ];
    for (text, told) in rows {
        let found = read(text, &[]).unwrap();
        let losses: Vec<f64> = found.points.iter().map(|p| p.loss).collect();
        let flops: Vec<f64> = found.points.iter().map(|p| p.flops).collect();
        assert_eq!(
            (losses, flops),
            (vec![3.5, 3.25], vec![1e18, 2e18]),
            "{text}"
        );
        let said = found.notes.join("\n");
        assert!(said.contains(told), "{text}: {said}");
    }
    // What is no number costs the table where somebody asked for it.
    let batch = "FLOPs,loss,Batch Size\n1e18,3.5,0.5M tokens\n2e18,3.25,0.5M tokens\n";
    assert_eq!(read(batch, &[]).unwrap().points[0].batch, None);
    assert!(read(batch, &[("batch", "Batch Size")]).is_err());
    let perplexity = read("FLOPs,Perplexity (Pile)\n1e18,20\n2e18,19\n", &[]).unwrap();
    assert!((perplexity.points[0].loss - 20f64.ln()).abs() < 1e-12);
    let sized = [
        "Size,Tokens,loss\n70M,300B,3.5\n1.4B,300B,3\n",
        "N (B),throughput/total_tokens,loss\n0.07,3e11,3.5\n1.4,3e11,3\n",
        "Parameters N,Data Scale D (tokens),loss\n7e7,3e11,3.5\n1.4e9,3e11,3\n",
    ];
    for text in sized {
        let found = read(text, &[]).unwrap().points;
        assert_eq!(found[0].params, Some(7e7), "{text}");
        assert_eq!(found[1].tokens, Some(3e11), "{text}");
    }
    let ratio = read("params,D/N,loss\n1e8,20,3.5\n2e8,40,3\n", &[]).unwrap();
    assert_eq!(ratio.points[1].tokens, Some(8e9));
    assert!(
        ratio
            .notes
            .iter()
            .any(|note| note.contains("D is N times `D/N`"))
    );
}

/// Of two evaluation sets none is the loss; a spread, or a size without its magnitude, is none.
#[test]
fn what_may_be_two_things_is_asked_about() {
    let error = read("flops,loss_c4_val,loss_openlm_val\n1e18,3,4\n", &[]).unwrap_err();
    assert!(error.message.contains("`loss_c4_val` or `loss_openlm_val`"));
    for text in [
        "flops,loss_std\n1e18,3\n",
        "Size,Tokens,loss\n70,3e11,3.5\n",
    ] {
        assert!(read(text, &[]).is_err(), "{text}");
    }
}
