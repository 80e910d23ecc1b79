//! Tests of `runs`.

use super::*;
use crate::import::delimited::Table;

fn read(text: &str, columns: &[&str]) -> Result<Vec<LoggedRun>> {
    let columns: Vec<String> = columns.iter().map(|text| (*text).to_owned()).collect();
    let table = Table::parse("x.csv", text, ',').unwrap();
    let log = Log {
        name: "x.csv".to_owned(),
        stem: "x".to_owned(),
        blake3: String::new(),
        path: "x.csv".to_owned(),
        written_at: String::new(),
        table,
        passed: Default::default(),
        dialect: "table",
    };
    Ok(read_runs(&log, 0, &Mapping::parse(&columns, &[], &[]).unwrap())?.runs)
}

#[test]
fn rows_are_gathered_run_by_run() {
    let text = "variant,seed,step,val,train,t\na,1,10,,5.5,900ms\nb,1,10,4.5,,1s\na,1,10,5,,1000ms\na,2,10,6,,1\n\
                a,1,30,NaN,,3\na,1,20,4,3.9,2\nb,1,20,,,7\n";
    let runs = read(text, &["loss=val", "train_loss=train", "seconds=t"]).unwrap();
    let names: Vec<String> = runs.iter().map(|run| describe(&run.identity)).collect();
    assert_eq!(names, ["a, seed 1", "b, seed 1", "a, seed 2"]);
    let first = &runs[0];
    assert!(first.sorted && !runs[1].sorted);
    assert_eq!(
        first.points.iter().map(|p| p.step).collect::<Vec<_>>(),
        [Some(10), Some(20), Some(30)]
    );
    assert_eq!(
        first.points[0].loss.zip(first.points[0].train_loss),
        Some((5.0, 5.5))
    );
    assert_eq!(
        (first.points[0].seconds, first.points[2].line),
        (Some(1.0), 6)
    );
    assert!(first.points[2].loss.unwrap().is_nan());
    assert_eq!(
        runs[1].points.len(),
        1,
        "a row without any loss is no point"
    );
}

/// A log, its columns, and what is said of it: the sentence, and the hint.
const NONSENSE: [(&str, &[&str], &str, &str); 15] = [
    (
        "variant,step,l\na,1,2\n",
        &[],
        "x.csv: nothing says what the loss is",
        "The file has: variant, step, l",
    ),
    (
        "step,loss\n1,2\n",
        &[],
        "x.csv: nothing says what the variant is",
        "--map variant=@file",
    ),
    ("variant,loss\n", &[], "x.csv: a header and no rows", ""),
    (
        "variant,loss\n,2\n",
        &[],
        "x.csv:2: column `variant`: is empty",
        "",
    ),
    (
        "variant,loss\na\u{7},2\n",
        &[],
        "x.csv:2: column `variant`: holds a control",
        "",
    ),
    (
        "v,l\na,2\n",
        &["variant=v", "loss=x"],
        "x.csv: no column `x`",
        "v, l",
    ),
    (
        "variant,v\na,3.x\n",
        &["loss=v"],
        "x.csv:2: column `v` (loss): `3.x` is not a number",
        "",
    ),
    (
        "variant,loss\na,-3\n",
        &[],
        "x.csv:2: column `loss`: -3: a loss in nats is not below zero",
        "",
    ),
    (
        "variant,step,loss\na,1.5,3\n",
        &[],
        "x.csv:2: column `step`: 1.5 is not a whole number",
        "",
    ),
    (
        "variant,step,loss\na,inf,3\n",
        &[],
        "x.csv:2: column `step`: inf is no amount",
        "",
    ),
    (
        "variant,step,loss\na,1,3\na,1,4\n",
        &[],
        "x.csv:3: a has two losses at step 1, here and at line 2",
        "seed",
    ),
    (
        "variant,loss\na,3\na,4\n",
        &[],
        "x.csv:3: 2 rows for a, and nothing that orders them",
        "--map run=@row",
    ),
    (
        "variant,step,loss\na,1,3\na,,4\n",
        &[],
        "x.csv:3: a loss without its step",
        "",
    ),
    (
        "variant,step,tokens,loss\na,1,9,3\na,2,8,4\n",
        &[],
        "x.csv:3: tokens fall from 9e0 (line 2) to 8e0",
        "run",
    ),
    (
        "run,variant,loss\n7,a,3\n7,b,4\n",
        &[],
        "x.csv:3: run `7` is b here and a at line 2",
        "one run has",
    ),
];

#[test]
fn what_makes_no_sense_is_placed() {
    for (text, columns, says, hint) in NONSENSE {
        let error = read(text, columns).unwrap_err();
        assert!(error.message.starts_with(says), "{text:?}: {error}");
        assert!(
            error.hint.clone().unwrap_or_default().contains(hint),
            "{text:?}: {error}"
        );
    }
}
