//! A magnitude in a column's name that makes of all of its figures what nobody has trained is a symbol: `M` is what DeepSeek calls the
//! FLOPs of a token, and `T` the tokens.

use crate::analysis::fit::points::Point;
use crate::error::{Error, Result};

/// More parameters, or training tokens, than any model has or has seen.
const MOST: [f64; 2] = [1e14, 1e15];

/// Refuses it, of parameters and of tokens: what the name is, what its figures are multiplied by, and the column.
pub(super) fn refuse(
    file: &str,
    named: [Option<(&str, f64, &str)>; 2],
    points: &[Point],
) -> Result<()> {
    let of: [fn(&Point) -> Option<f64>; 2] = [|p| p.params, |p| p.tokens];
    for ((named, of), most) in named.into_iter().zip(of).zip(MOST) {
        let least = points.iter().filter_map(of).fold(f64::INFINITY, f64::min);
        let Some((name, unit, column)) = named.filter(|_| least.is_finite() && least > most) else {
            continue;
        };
        let column = column.escape_debug();
        return Err(Error::input(format!(
            "{file}: `{column}` multiplied by {unit:e}, as its name says, has no figure below {least:.1e}"
        ))
        .hint(format!("`--unit {name}=1` takes its figures as they are")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Units, points};

    #[test]
    fn a_symbol_is_no_magnitude() {
        let read = |text: &str| points(text, "x.csv", &[], &Units::default());
        let refused = read("params M,tokens,loss\n1e10,1e9,3\n2e10,1e9,2.9\n").unwrap_err();
        assert!(refused.hint.unwrap().contains("--unit params=1"));
        assert!(read("params M,tokens,loss\n124,1e9,3\n350,1e9,2.9\n").is_ok());
    }
}
