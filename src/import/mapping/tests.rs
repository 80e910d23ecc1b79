//! Tests of `mapping`.

use super::*;

const NAMED: Named<'static> = Named {
    stem: "stem",
    path: "runs/adam/stem.csv",
};

fn parse(columns: &[&str], constants: &[&str]) -> Result<Mapping> {
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    Mapping::parse(&owned(columns), &owned(constants), &[])
}

#[test]
fn each_source_gives_its_text() {
    let table = Table::parse(
        "x.csv",
        "opt,norm,a+b,seed,\"loss, val\"\nadam,rms,7,3,2.5\nmuon,,8,NA,\n",
        ',',
    )
    .unwrap();
    let mapping = parse(
        &["variant=opt+norm,loss=loss, val,scale=a+b", "run=@row"],
        &["params=124e6"],
    )
    .unwrap();
    let bound = mapping.bind(&table, NAMED).unwrap();
    let rows = [
        (Role::Variant, 0, Some("adam-rms")),
        (Role::Scale, 0, Some("7")),
        (Role::Run, 1, Some("2")),
        (Role::Params, 1, Some("124e6")),
        (Role::Seed, 0, Some("3")),
        (Role::Seed, 1, None),
        (Role::Loss, 0, Some("2.5")),
        (Role::Loss, 1, None),
        (Role::Tokens, 0, None),
    ];
    for (role, row, expected) in rows {
        assert_eq!(
            bound.text(role, &table, row).as_deref(),
            expected,
            "{role:?} {row}"
        );
    }
    assert_eq!(
        mapping.document(&table).to_string(),
        r#"{"columns":{"run":"@row","variant":"opt+norm","scale":"a+b","seed":"seed","loss":"loss, val"},"constants":{"params":"124e6"}}"#
    );
    let by_file = parse(&["variant=@file"], &[]).unwrap();
    let bound = by_file.bind(&table, NAMED).unwrap();
    assert_eq!(
        bound.text(Role::Variant, &table, 0).as_deref(),
        Some("stem")
    );
}

#[test]
fn names_are_split_by_a_pattern() {
    let table = Table::parse("x.csv", "name,loss\nadamw-lr0.01-seed3,2\nodd,2\n", ',').unwrap();
    let split = |text: &str| Mapping::parse(&[], &[], &[text.to_owned()]);
    let rows = [
        ("@file={variant}", Role::Variant, Some("stem")),
        ("@file={variant}.csv", Role::Variant, Some("stem")),
        ("@file={variant}/{scale}", Role::Variant, Some("adam")),
        (
            "name={variant}-lr*-seed{seed}",
            Role::Variant,
            Some("adamw"),
        ),
        ("name={variant}-lr*-seed{seed}", Role::Seed, Some("3")),
    ];
    for (text, role, expected) in rows {
        let mapping = split(text).unwrap();
        let bound = mapping.bind(&table, NAMED).unwrap();
        assert_eq!(bound.text(role, &table, 0).as_deref(), expected, "{text}");
    }
    let mapping = split("name={variant}-lr*-seed{seed}").unwrap();
    let bound = mapping.bind(&table, NAMED).unwrap();
    assert_eq!(
        bound.unlike(Role::Seed, &table, 1),
        Some(("odd", "{variant}-lr*-seed{seed}"))
    );
    assert_eq!(
        mapping.document(&table)["columns"]["seed"],
        "name: {variant}-lr*-seed{seed}"
    );
    let error = split("@file={variant}_seed{seed}")
        .unwrap()
        .bind(&table, NAMED)
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "x.csv: its name does not look like `{variant}_seed{seed}`"
    );
    assert!(
        split("{variant}")
            .unwrap_err()
            .message
            .starts_with("--split {variant}: expected SOURCE=PATTERN")
    );
}

/// Charts' tables name a column after its run, with commas and equals signs.
#[test]
fn a_columns_name_may_hold_commas_and_equals_signs() {
    let table = Table::parse("x.csv", "Step,\"lr=0.001, wd=0.1 - loss\"\n0,4.6\n", ',').unwrap();
    let mapping = parse(
        &["step=Step,loss=lr=0.001, wd=0.1 - loss"],
        &["variant=lr=0.001, wd=0.1"],
    )
    .unwrap();
    let bound = mapping.bind(&table, NAMED).unwrap();
    assert_eq!(bound.text(Role::Loss, &table, 0).as_deref(), Some("4.6"));
    assert_eq!(
        bound.text(Role::Variant, &table, 0).as_deref(),
        Some("lr=0.001, wd=0.1")
    );
}

/// Beside a validation loss, `loss` is the training loss; a column that was asked for is not taken for something else.
#[test]
fn roles_that_nobody_mentioned_are_found_by_name() {
    let table = Table::parse("x.csv", "Step,loss,val_loss,PPL\n1,3,4,9\n", ',').unwrap();
    let text = |mapping: &Mapping, role| {
        mapping
            .bind(&table, NAMED)
            .unwrap()
            .text(role, &table, 0)
            .map(Cow::into_owned)
    };
    let found = Mapping::default();
    let roles = [Role::Step, Role::Loss, Role::TrainLoss];
    assert_eq!(
        roles.map(|role| text(&found, role)),
        ["1", "4", "3"].map(|text| Some(text.to_owned()))
    );
    let asked = parse(&["loss=PPL,train_loss=val_loss"], &[]).unwrap();
    assert_eq!(
        asked.bind(&table, NAMED).unwrap().unit(Role::Loss),
        LossUnit::Perplexity
    );
    assert_eq!(
        asked.bind(&table, NAMED).unwrap().unit(Role::TrainLoss),
        LossUnit::Nats
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rows: [(&[&str], &[&str], &str, &str); 7] = [
        (
            &["loss"],
            &[],
            "--map loss: expected ROLE=COLUMN",
            "loss=validation_loss",
        ),
        (&["=x"], &[], "--map =x: expected", ""),
        (
            &["varriant=x"],
            &[],
            "unknown role `varriant`",
            "did you mean `variant`?",
        ),
        (
            &["zzz=x"],
            &[],
            "unknown role `zzz`",
            "there is: run, variant",
        ),
        (&["loss=a", "loss=b"], &[], "`loss` is given twice", ""),
        (&["seed=a"], &["seed=1"], "`seed` is given twice", ""),
        (
            &["loss=@row"],
            &[],
            "--map loss=@row: `@row` is no source for loss",
            "@file",
        ),
    ];
    for (columns, constants, says, hint) in rows {
        let error = parse(columns, constants).unwrap_err();
        assert!(error.message.starts_with(says), "{error}");
        assert!(error.hint.unwrap_or_default().contains(hint), "{says}");
    }
    let table = Table::parse("x.csv", "opt,loss\n", ',').unwrap();
    let error = parse(&["variant=opt+nrm"], &[])
        .unwrap()
        .bind(&table, NAMED)
        .err()
        .unwrap();
    assert_eq!(error.message, "x.csv: no column `nrm`");
}
