//! An amount as far as it is known: a value, a range because a part of it is modelled, or an absence with its reason.

use serde::Serialize;

/// What is known of an amount.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Amount {
    /// From readings alone, at the stated prices.
    Measured {
        /// The value.
        value: f64,
    },
    /// Between bounds: something in it is modelled, not read.
    Modelled {
        /// At least this.
        low: f64,
        /// At most this.
        high: f64,
    },
    /// Not known.
    Absent {
        /// Why.
        reason: String,
    },
}

impl Amount {
    /// Not known, and why.
    pub fn absent(reason: impl Into<String>) -> Self {
        Self::Absent {
            reason: reason.into(),
        }
    }

    /// A reading, or why there is none.
    pub(super) fn reading(value: Option<f64>, reason: impl FnOnce() -> String) -> Self {
        value.map_or_else(
            || Self::Absent { reason: reason() },
            |value| Self::Measured { value },
        )
    }

    /// The value where it is measured through and through: what a gain may be worked out from.
    pub fn value(&self) -> Option<f64> {
        if let Self::Measured { value } = self {
            Some(*value)
        } else {
            None
        }
    }

    /// Lowest and highest it may be.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        match self {
            Self::Measured { value } => Some([*value; 2]),
            Self::Modelled { low, high } => Some([*low, *high]),
            Self::Absent { .. } => None,
        }
    }

    /// So many times as much, at least none.
    pub(super) fn scale(&self, factor: f64) -> Self {
        match self {
            Self::Measured { value } => Self::Measured {
                value: factor * value,
            },
            Self::Modelled { low, high } => Self::Modelled {
                low: factor * low,
                high: factor * high,
            },
            Self::Absent { .. } => self.clone(),
        }
    }

    /// Between so many times as much and so many: a model's.
    pub(super) fn spread(&self, low: f64, high: f64) -> Self {
        match self.bounds() {
            Some([least, most]) => Self::Modelled {
                low: low * least,
                high: high * most,
            },
            None => self.clone(),
        }
    }

    /// A sum is a range where a part is one, and absent where a part is; of several reasons it has the first.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Amount>) -> Self {
        parts
            .into_iter()
            .fold(Self::Measured { value: 0.0 }, |sum, part| {
                match (&sum, part) {
                    (Self::Absent { .. }, _) => sum,
                    (_, Self::Absent { .. }) => part.clone(),
                    (Self::Measured { value: a }, Self::Measured { value: b }) => {
                        Self::Measured { value: a + b }
                    }
                    _ => match (sum.bounds(), part.bounds()) {
                        (Some([a, b]), Some([c, d])) => Self::Modelled {
                            low: a + c,
                            high: b + d,
                        },
                        _ => sum,
                    },
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_never_added_in_silence() {
        let measured = |value| Amount::Measured { value };
        let modelled = |low, high| Amount::Modelled { low, high };
        let rows = [
            (vec![], measured(0.0)),
            (vec![measured(1.0), measured(2.0)], measured(3.0)),
            (vec![measured(1.0), modelled(2.0, 5.0)], modelled(3.0, 6.0)),
            (
                vec![modelled(2.0, 5.0), measured(1.0), modelled(1.0, 1.5)],
                modelled(4.0, 7.5),
            ),
            (
                vec![
                    measured(1.0),
                    Amount::absent("no meter"),
                    Amount::absent("no time"),
                ],
                Amount::absent("no meter"),
            ),
            (
                vec![modelled(1.0, 2.0), Amount::absent("no meter")],
                Amount::absent("no meter"),
            ),
        ];
        for (parts, sum) in rows {
            assert_eq!(Amount::sum(&parts), sum, "{parts:?}");
            let known = !matches!(sum, Amount::Absent { .. });
            assert_eq!(
                (sum.bounds().is_some(), sum.value().is_some()),
                (known, matches!(sum, Amount::Measured { .. }))
            );
        }
    }

    #[test]
    fn programs_see_of_which_kind_an_amount_is() {
        let json = |amount: &Amount| serde_json::to_string(amount).unwrap();
        assert_eq!(
            json(&Amount::Modelled {
                low: 1.0,
                high: 2.0
            }),
            r#"{"kind":"modelled","low":1.0,"high":2.0}"#
        );
        assert_eq!(
            json(&Amount::absent("no_sensor")),
            r#"{"kind":"absent","reason":"no_sensor"}"#
        );
    }
}
