//! Figures as people write them in tables: `0.5`, `1e18`, `3,28`, `16,450,387.5`, `1.234,5`. A mark is read where it can mean one
//! thing only, by the column or the whole table; what could be two numbers is refused with what would make it one.

use std::borrow::Cow;

/// Ways to write that a figure is missing.
const MISSING: [&str; 6] = [
    "", "na", "n/a", "null", "none", "no log", // of a model card of Hugging Face's
];

/// How a column writes its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Digits and points: a comma would be a guess.
    Plain,
    /// Some cell shows that the point is the decimal mark, so that commas set thousands apart.
    Point,
    /// Some cell shows that the comma is the decimal mark, so that points set thousands apart.
    Comma,
    /// `1,234` or `1.234`: either mark could be either.
    Either {
        /// Whether there are commas: where semicolons stand between cells they are decimal marks.
        commas: bool,
    },
}

/// What a column's cells show together; cells that contradict one another are left to be refused one by one.
pub fn marks<'c>(cells: impl Iterator<Item = &'c str>) -> Marks {
    let (mut point, mut comma, mut either) = (false, false, None);
    for cell in cells.filter(|cell| cell.contains([',', '.'])) {
        // A unit behind a figure says nothing of its marks.
        let figure = cell.trim_end_matches(|c: char| c.is_alphabetic() || c == '%' || c == ' ');
        match evidence(&ungrouped(figure)) {
            Some(Marks::Point) => point = true,
            Some(Marks::Comma) => comma = true,
            Some(Marks::Either { commas }) => either = Some(commas || either == Some(true)),
            _ => {}
        }
    }
    match (point, comma, either) {
        (true, ..) => Marks::Point,
        (false, true, _) => Marks::Comma,
        (false, false, Some(commas)) => Marks::Either { commas },
        _ => Marks::Plain,
    }
}

/// What one cell shows; nothing where it is no number.
fn evidence(cell: &str) -> Option<Marks> {
    let cell = cell.trim_start_matches(['+', '-']);
    let (figure, exponent) = cell
        .split_once(['e', 'E'])
        .map_or((cell, None), |(a, b)| (a, Some(b)));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_sound = exponent.is_none_or(|e| digits(e.trim_start_matches(['+', '-'])));
    if !exponent_sound
        || !figure
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b',' || b == b'.')
    {
        return None;
    }
    let count = |mark: char| figure.matches(mark).count();
    let lone = |mark: char, decided: Marks| {
        let thousands = grouped(figure, mark) && exponent.is_none();
        Some(if thousands {
            Marks::Either {
                commas: mark == ',',
            }
        } else {
            decided
        })
    };
    match (count(','), count('.')) {
        (0, 0) => None,
        (1, 0) => lone(',', Marks::Comma),
        (0, 1) => lone('.', Marks::Point),
        (_, 0) => grouped(figure, ',').then_some(Marks::Point),
        (0, _) => grouped(figure, '.').then_some(Marks::Comma),
        // Both: the last one is the decimal mark, and sets the rest apart where that is in groups of three.
        _ => {
            let (decimal, thousands, shown) = if figure.rfind(',') < figure.rfind('.') {
                ('.', ',', Marks::Point)
            } else {
                (',', '.', Marks::Comma)
            };
            let whole = figure.split(decimal).next().unwrap_or_default();
            (figure.matches(decimal).count() == 1 && grouped(whole, thousands)).then_some(shown)
        }
    }
}

/// Whether marks stand where thousands are set apart: `16,450,387`.
fn grouped(figure: &str, mark: char) -> bool {
    let mut groups = figure.split(mark);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len())
        && digits(first)
        && !first.starts_with('0')
        && groups.all(|g| g.len() == 3 && digits(g))
}

/// A number without what sets its thousands apart and can mean nothing else: a blank of any width, `_`, `'`.
fn ungrouped(text: &str) -> Cow<'_, str> {
    let marks = [' ', '\u{a0}', '\u{2009}', '\u{202f}', '_', '\'', '\u{2019}'];
    let Some(mark) = marks.into_iter().find(|mark| text.contains(*mark)) else {
        return Cow::Borrowed(text);
    };
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    let whole = text[sign..].split(['.', ',', 'e', 'E']).next();
    let mut groups = whole.unwrap_or_default().split(mark);
    let digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let sound = (1..=3).contains(&first.len()) && digits(first);
    match sound && groups.all(|group| group.len() == 3 && digits(group)) {
        true => Cow::Owned(text.replace(mark, "")),
        false => Cow::Borrowed(text),
    }
}

/// What stands behind a figure to point to a note, and before one to say that it is about so much.
const NOTES: [char; 8] = ['*', '†', '‡', '§', '¶', 'ᵃ', 'ᵇ', 'ᶜ'];
const ABOUT: [char; 3] = ['~', '≈', '∼'];

/// A figure without the signs of footnotes around it.
pub fn unmarked(text: &str) -> &str {
    let text = text.trim_start_matches(ABOUT).trim_matches(NOTES);
    text.trim()
}

/// `1.5×10^9`, `3 x 10⁹`, `10^18`, `2·10**20`.
fn by_power_of_ten(text: &str, marks: Marks) -> Option<f64> {
    let times = ['×', 'x', 'X', '·', '⋅'];
    let (figure, power) = text.split_once(times).unwrap_or(("1", text));
    let raised = power.trim_start().strip_prefix("10")?;
    let told = ["**", "^"]
        .iter()
        .find_map(|mark| raised.strip_prefix(mark));
    let superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    let digit = |c: char| match superscripts.chars().position(|known| known == c) {
        Some(value) => char::from_digit(value as u32, 10),
        None if c == '⁻' => Some('-'),
        None => None,
    };
    let exponent: String = match told {
        Some(plain) => plain.trim_matches(['{', '}']).to_owned(),
        None => raised.chars().map(digit).collect::<Option<_>>()?,
    };
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() < 100)?;
    let figure = number(figure.trim(), marks)?;
    format!("{figure}e{exponent}").parse().ok()
}

/// The number that a text is, in a column that writes its numbers so.
pub fn number(text: &str, marks: Marks) -> Option<f64> {
    let text = unmarked(text);
    if text.contains("10") && !text.starts_with(['-', '+']) {
        let found = by_power_of_ten(text, marks);
        if found.is_some() {
            return found;
        }
    }
    let text = ungrouped(text);
    let text = text.as_ref();
    let (decimal, thousands) = match marks {
        Marks::Plain | Marks::Either { .. } => return text.parse().ok(),
        Marks::Point => ('.', ','),
        Marks::Comma => (',', '.'),
    };
    if !text.contains([thousands, ',']) {
        return text.parse().ok();
    }
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    let whole = text[sign..]
        .split([decimal, 'e', 'E'])
        .next()
        .unwrap_or_default();
    if text[sign + whole.len()..].contains(thousands)
        || (whole.contains(thousands) && !grouped(whole, thousands))
    {
        return None;
    }
    text.replace(thousands, "")
        .replace(decimal, ".")
        .parse()
        .ok()
}

/// Whether a text says that there is no figure.
pub fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// What a text that is no number probably meant.
pub fn hint(text: &str) -> &'static str {
    let digits = text.chars().any(|c| c.is_ascii_digit());
    if digits
        && text
            .chars()
            .any(|c| [',', '_', '\'', ' ', '\u{a0}', '\u{202f}'].contains(&c))
    {
        "write numbers without thousands separators and with a point: 1234567.8"
    } else if digits && text.ends_with(|c: char| c.is_ascii_alphabetic() || c == '%') {
        "write plain numbers here: 1.5e9 for 1.5B; `K`, `M` and `B` are read where parameters, tokens and FLOPs stand"
    } else {
        "a column of figures holds numbers such as 0.5 or 1e18, or nothing where one is missing"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_shows_its_decimal_mark() {
        let rows: [(&[&str], Marks); 13] = [
            (&["1", "2e18", ""], Marks::Plain),
            (&["3.28"], Marks::Point),
            (&["3,28", "3,276"], Marks::Comma),
            (&["1,000e+15"], Marks::Comma),
            (&["0,125"], Marks::Comma),
            (&["1,000", "2,000"], Marks::Either { commas: true }),
            (&["3.276"], Marks::Either { commas: false }),
            (&["1,000", "16,450,387.25"], Marks::Point),
            (&["1,000,000"], Marks::Point),
            (&["1.000.000", "5"], Marks::Comma),
            (&["1.234,5"], Marks::Comma),
            (&["adam, 1", "28.11.2026", "1,2,3"], Marks::Plain),
            (&["3.28", "3,28"], Marks::Point),
        ];
        for (cells, expected) in rows {
            assert_eq!(marks(cells.iter().copied()), expected, "{cells:?}");
        }
    }

    #[test]
    fn a_number_is_read_where_it_is_one_thing() {
        let rows = [
            ("1e18", Marks::Plain, Some(1e18)),
            ("1,000", Marks::Plain, None),
            ("1,000", Marks::Point, Some(1000.0)),
            ("1,000", Marks::Comma, Some(1.0)),
            ("1,000e+15", Marks::Comma, Some(1e15)),
            ("-16,450,387.25", Marks::Point, Some(-16_450_387.25)),
            ("3,28", Marks::Point, None),
            ("1.234,5", Marks::Comma, Some(1234.5)),
            ("1.000", Marks::Comma, Some(1000.0)),
            ("0.001", Marks::Comma, None),
            ("3.28", Marks::Comma, None),
            ("1.5,000", Marks::Point, None),
            ("nan", Marks::Comma, Some(f64::NAN)),
            ("1e-3", Marks::Comma, Some(1e-3)),
        ];
        for (text, marks, expected) in rows {
            assert_eq!(
                number(text, marks).map(f64::to_bits),
                expected.map(f64::to_bits),
                "{text} {marks:?}"
            );
        }
    }
}
