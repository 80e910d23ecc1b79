//! Which rows are fitted: `tokens/params=20 and params<1e9 or tokens/params=320`. Conditions are joined by `and` and `or`, `and`
//! first; each compares two products or quotients of columns and numbers by `<`, `<=`, `>`, `>=`, `=` or `!=`; `group=NAME`
//! compares names. Two numbers are equal within one in a hundred, as nobody's ratio of tokens to parameters is exact.

use super::csv;
use super::points::{Point, Points};
use crate::error::{Error, Result};

/// Numbers this close are equal.
const ALIKE: f64 = 0.01;
/// The columns, and what follows from them.
const COLUMNS: [&str; 9] = [
    "params",
    "tokens",
    "flops",
    "loss",
    "repeat",
    "unique_tokens",
    "epochs",
    "lr",
    "batch",
];
/// Longest first, so that `<=` is not read as `<`.
const OPERATORS: [&str; 6] = ["<=", ">=", "!=", "<", ">", "="];

/// A condition on rows: any of several lists of comparisons that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    any: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    operator: &'static str,
    sides: Sides,
}

#[derive(Debug, Clone, PartialEq)]
enum Sides {
    Numbers(Product, Product),
    Group(String),
}

/// Factors and divisors.
#[derive(Debug, Clone, PartialEq)]
struct Product(Vec<(Factor, bool)>);

#[derive(Debug, Clone, PartialEq)]
enum Factor {
    Number(f64),
    Column(&'static str),
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("write a condition such as `tokens/params=20 and params<1e9`".to_owned());
        }
        let any = words(text, "or").into_iter().map(|all| {
            words(&all, "and")
                .iter()
                .map(|one| comparison(one))
                .collect()
        });
        Ok(Self {
            text: text.to_owned(),
            any: any.collect::<std::result::Result<_, String>>()?,
        })
    }
}

/// Parts of a text between a word that stands alone.
fn words(text: &str, word: &str) -> Vec<String> {
    let mut parts = vec![Vec::new()];
    for one in text.split_whitespace() {
        if one.eq_ignore_ascii_case(word) {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(one);
        }
    }
    parts.iter().map(|part| part.join(" ")).collect()
}

fn comparison(text: &str) -> std::result::Result<Comparison, String> {
    let found = text.char_indices().find_map(|(at, _)| {
        OPERATORS
            .iter()
            .find(|operator| text[at..].starts_with(**operator))
            .map(|operator| (at, *operator))
    });
    let Some((at, operator)) = found else {
        return Err(format!(
            "`{text}` compares nothing: write one of {} between two sides",
            OPERATORS.join(" ")
        ));
    };
    let (left, right) = (
        text[..at].trim(),
        text[at + operator.len()..].trim().trim_start_matches('='),
    );
    if left == "group" {
        if right.is_empty() || !["=", "!="].contains(&operator) {
            return Err(format!(
                "`{text}`: a group is compared by = or != with a name"
            ));
        }
        return Ok(Comparison {
            operator,
            sides: Sides::Group(right.trim().to_owned()),
        });
    }
    Ok(Comparison {
        operator,
        sides: Sides::Numbers(product(left, text)?, product(right, text)?),
    })
}

fn product(side: &str, text: &str) -> std::result::Result<Product, String> {
    let mut factors = Vec::new();
    let (mut rest, mut divides) = (side, false);
    loop {
        let end = rest.find(['*', '/']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let column = COLUMNS
            .iter()
            .find(|column| **column == name)
            .map(|column| Factor::Column(column));
        let number = name
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite())
            .map(Factor::Number);
        let Some(factor) = column.or(number) else {
            return Err(format!(
                "`{text}`: `{name}` is neither a number nor one of {}",
                COLUMNS.join(", ")
            ));
        };
        factors.push((factor, divides));
        if end == rest.len() {
            return Ok(Product(factors));
        }
        divides = rest[end..].starts_with('/');
        rest = &rest[end + 1..];
    }
}

impl Filter {
    /// Whether a row is kept; `Err` names the column that it lacks.
    fn keeps(&self, point: &Point) -> std::result::Result<bool, &'static str> {
        for all in &self.any {
            let mut holds = true;
            for one in all {
                holds &= one.holds(point)?;
            }
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Splits points into those kept, with a note, and the others. A column that no point has is refused; a row that lacks one
    /// is left out.
    pub fn split(&self, points: Points) -> Result<(Points, Vec<Point>)> {
        let n = points.points.len();
        let (mut kept, mut others, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        for point in points.points {
            match self.keeps(&point) {
                Ok(true) => kept.push(point),
                Ok(false) => others.push(point),
                Err(column) => lacking.push(column),
            }
        }
        if let (true, Some(column)) = (kept.is_empty() && others.is_empty(), lacking.first()) {
            return Err(
                Error::input(format!("--where {}: no row has `{column}`", self.text)).hint(
                    format!(
                        "--map {column}=COLUMN says which column holds it; the names are {}",
                        csv::NAMES.join(", ")
                    ),
                ),
            );
        }
        if kept.is_empty() {
            return Err(
                Error::input(format!("--where {}: none of {n} rows is kept", self.text))
                    .hint("= holds within one in a hundred; <, >, and, or widen it"),
            );
        }
        let mut notes = points.notes;
        notes.push(format!(
            "fitted to the {} of {n} rows where {}",
            kept.len(),
            self.text
        ));
        if !lacking.is_empty() {
            notes.push(format!(
                "{} rows lack a figure that --where asks for and are left out",
                lacking.len()
            ));
        }
        Ok((
            Points {
                points: kept,
                notes,
            },
            others,
        ))
    }
}

impl Comparison {
    fn holds(&self, point: &Point) -> std::result::Result<bool, &'static str> {
        let (left, right) = match &self.sides {
            Sides::Group(name) => return Ok((point.group == *name) == (self.operator == "=")),
            Sides::Numbers(left, right) => (left.of(point)?, right.of(point)?),
        };
        let alike = (left - right).abs() <= ALIKE * left.abs().max(right.abs());
        Ok(match self.operator {
            "<" => left < right,
            "<=" => left < right || alike,
            ">" => left > right,
            ">=" => left > right || alike,
            "=" => alike,
            _ => !alike,
        })
    }
}

impl Product {
    fn of(&self, point: &Point) -> std::result::Result<f64, &'static str> {
        let mut value = 1.0;
        for (factor, divides) in &self.0 {
            let factor = match factor {
                Factor::Number(number) => *number,
                Factor::Column(name) => column(point, name).ok_or(*name)?,
            };
            if *divides {
                value /= factor;
            } else {
                value *= factor;
            }
        }
        Ok(value)
    }
}

fn column(point: &Point, name: &str) -> Option<f64> {
    match name {
        "params" => point.params,
        "tokens" => point.tokens,
        "flops" => Some(point.flops),
        "loss" => Some(point.loss),
        "repeat" => point.repeat.map(|repeat| repeat as f64),
        "unique_tokens" => point.unique_tokens,
        "epochs" => Some(point.tokens? / point.unique_tokens?),
        "lr" => point.rate,
        _ => point.batch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Points {
        let point = |params: f64, ratio: f64, group: &str| Point {
            params: Some(params),
            tokens: Some(ratio * params),
            ..Point::new(group.to_owned(), 6.0 * ratio * params * params, 3.0)
        };
        let points = vec![
            point(1e7, 20.0, "a"),
            point(1e7, 320.1, "b"),
            point(1e9, 19.9, "a"),
            point(1e9, 320.0, "b"),
        ];
        Points {
            points,
            notes: Vec::new(),
        }
    }

    fn kept(text: &str) -> Vec<usize> {
        let filter: Filter = text.parse().unwrap();
        (0..4)
            .filter(|&k| filter.keeps(&points().points[k]).unwrap())
            .collect()
    }

    #[test]
    fn rows_are_kept_as_asked() {
        let rows: [(&str, &[usize]); 9] = [
            ("params<1e8", &[0, 1]),
            ("tokens/params=20", &[0, 2]),
            (
                "tokens / params = 20 and params < 5e8 or tokens/params=320 and params<2e7",
                &[0, 1],
            ),
            ("tokens>=20*params", &[0, 1, 2, 3]),
            ("tokens/params!=320", &[0, 2]),
            ("6*params*tokens/flops=1", &[0, 1, 2, 3]),
            ("group=b", &[1, 3]),
            ("group!=b AND params>1e8", &[2]),
            ("loss<=3", &[0, 1, 2, 3]),
        ];
        for (text, expected) in rows {
            assert_eq!(kept(text), expected, "{text}");
        }
        let (kept, others) = "params<1e8"
            .parse::<Filter>()
            .unwrap()
            .split(points())
            .unwrap();
        assert_eq!((kept.points.len(), others.len()), (2, 2));
        assert!(
            kept.notes[0].contains("2 of 4 rows where params<1e8"),
            "{:?}",
            kept.notes
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, message) in [
            ("", "write a condition"),
            ("params", "compares nothing"),
            ("size<3", "`size` is neither a number nor one of params"),
            ("params<", "`` is neither"),
            ("params<1e8 and", "compares nothing"),
            ("group<a", "a group is compared by"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        let error = "lr<1"
            .parse::<Filter>()
            .unwrap()
            .split(points())
            .unwrap_err();
        assert!(error.message.contains("no row has `lr`"), "{error}");
        let error = "params>1e12"
            .parse::<Filter>()
            .unwrap()
            .split(points())
            .unwrap_err();
        assert!(error.message.contains("none of 4 rows is kept"), "{error}");
    }
}
