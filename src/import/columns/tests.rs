//! Columns are found by what people call them, and refused where two could be meant.

use super::*;

fn found(header: &str, name: &str) -> Result<Option<String>> {
    let table = Table::parse("x.csv", header, ',').unwrap();
    Ok(find(&table, name)?.map(|place| table.columns[place].clone()))
}

#[test]
fn columns_are_found_by_what_people_call_them() {
    let rows = [
        ("Step,Loss", "loss", Some("Loss")),
        ("FLOPs,x", "flops", Some("FLOPs")),
        ("Model Size,Training FLOP", "params", Some("Model Size")),
        ("Model Size,Training FLOP", "flops", Some("Training FLOP")),
        ("N,D,n,d", "tokens", Some("D")),
        ("n,d", "params", None),
        ("_step,val/loss,loss", "step", Some("_step")),
        ("_step,val/loss,iter", "step", Some("iter")),
        (
            "x,throughput/total_tokens",
            "tokens",
            Some("throughput/total_tokens"),
        ),
        ("_step,val/loss,loss", "loss", Some("val/loss")),
        ("_step,val/loss,loss", "train_loss", Some("loss")),
        ("step,loss", "train_loss", None),
        ("step,steps", "step", Some("step")),
        ("step,ppl", "loss", Some("ppl")),
        ("step,ppl,loss", "loss", Some("loss")),
        ("x,y", "loss", None),
        ("params_m,params", "params", Some("params")),
        ("params_m,tokens (B)", "params", Some("params_m")),
        ("params_m,tokens (B)", "tokens", Some("tokens (B)")),
        ("N (B),N_b,D", "params", Some("N (B)")),
        ("step,N_b", "params", None),
        ("loss_bits,N", "loss", Some("loss_bits")),
        ("train_loss,L (bits)", "loss", Some("L (bits)")),
        ("total_gflops", "flops", Some("total_gflops")),
        ("Compute (PF-days)", "flops", Some("Compute (PF-days)")),
        ("FLOPs (P)", "flops", Some("FLOPs (P)")),
        ("tflops,compute_ms", "flops", None),
        (
            "Training compute (FLOP)",
            "flops",
            Some("Training compute (FLOP)"),
        ),
    ];
    for (header, name, expected) in rows {
        assert_eq!(
            found(header, name).unwrap().as_deref(),
            expected,
            "{header} {name}"
        );
    }
}

#[test]
fn two_columns_that_could_be_it_are_asked_about() {
    let error = found("eval_loss,val_loss", "loss").unwrap_err();
    assert_eq!(
        error.message,
        "x.csv: the column of loss could be `eval_loss` or `val_loss`"
    );
    assert!(error.hint.unwrap().contains("--map loss=\"val_loss\""));
    assert_eq!(
        found("loss,loss", "loss").unwrap_err().message,
        "x.csv: two columns are called `loss`"
    );
}

#[test]
fn every_name_is_plain_and_has_a_rank() {
    for (name, ranks) in NAMES {
        for known in ranks.iter().flat_map(|rank| rank.iter()) {
            assert!(
                known.len() == 1 || plain(known) == *known,
                "{name}: {known}"
            );
        }
    }
}
