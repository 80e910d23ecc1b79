//! A table of points as people publish them: RFC 4180 with a header, commas, semicolons or tabs, quoted fields, a byte-order
//! mark, either line ending, blank lines. A number is refused rather than guessed.

use std::collections::BTreeMap;

use super::points::{Point, Points, UNNAMED};
use crate::error::{Error, Result};

/// What columns may be called for, in the order of the help.
pub const NAMES: [&str; 11] =
    ["params", "tokens", "flops", "loss", "group", "repeat", "unique_tokens", "epochs", "lr", "batch", "run"];
/// Those of them that hold figures, which may come in thousands or billions.
pub const FIGURES: [&str; 7] = ["params", "tokens", "flops", "loss", "unique_tokens", "lr", "batch"];
/// Fewer parameters or tokens than this were hardly meant.
const SMALLEST: f64 = 2000.0;
/// Lines named where rows are left out; the rest are counted.
const LINES: usize = 12;
/// A cross-entropy per token above this is none: the loss of guessing among as many tokens as no vocabulary has.
const NO_ENTROPY: f64 = 20.0;
/// Ways to write that a figure is missing.
const MISSING: [&str; 6] = ["", "nan", "na", "n/a", "null", "none"];

/// A record and the line it starts on.
struct Record {
    line: usize,
    fields: Vec<String>,
}

/// Reads points; `file` is for messages, `map` gives the column of a name where it is another, `units` what its figures are
/// multiplied by.
pub fn points(text: &str, file: &str, map: &[(String, String)], units: &[(String, f64)]) -> Result<Points> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unit = |name: &str| units.iter().filter(|(from, _)| from == name).map(|(_, factor)| factor).product();
    let units = NAMES.map(unit);
    let mut table: Option<Table> = None;
    let mut points = Vec::new();
    let mut skipped = Vec::new();
    let mut runs = Runs::default();
    // One record at a time: a table of a million rows is not held twice.
    records(text, separator(text), file, |record| {
        let Some(table) = &table else {
            table = Some(Table { file, columns: columns(&record, file, map)?, units, header: record.fields });
            return Ok(());
        };
        match table.point(&record, &mut runs)? {
            Some(point) => points.push(point),
            None => skipped.push(record.line),
        }
        Ok(())
    })?;
    let Some(table) = table else {
        return Err(Error::input(format!("{file}: no line with anything on it")));
    };
    let mut notes = table.notes(&skipped, &points);
    notes.extend(small(&points));
    Ok(Points { points, notes })
}

/// Numbers of runs by their names.
#[derive(Default)]
struct Runs(BTreeMap<String, u64>);

impl Runs {
    fn number(&mut self, name: String) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(name).or_insert(next)
    }
}

/// Sizes and tokens that look like thousands, millions or billions.
fn small(points: &[Point]) -> Option<String> {
    let largest = |of: fn(&Point) -> Option<f64>| points.iter().filter_map(of).fold(0.0, f64::max);
    let (params, tokens) = (largest(|p| p.params), largest(|p| p.tokens));
    let found = if (1e-9..SMALLEST).contains(&params) {
        format!("no run has more than {params} parameters")
    } else if (1e-9..SMALLEST).contains(&tokens) {
        format!("no run sees more than {tokens} tokens")
    } else {
        return None;
    };
    Some(format!("{found}: if the table is in billions, `--unit params=1e9 --unit tokens=1e9` says so"))
}

/// The separator that the header has most of.
fn separator(text: &str) -> char {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: &char| header.matches(*separator).count();
    // On a draw the last is taken: the comma.
    ['\t', ';', ','].into_iter().max_by_key(count).unwrap_or(',')
}

/// Splits a text into records and gives each to `take`; a quoted field may hold separators, doubled quotes and line breaks.
fn records(text: &str, separator: char, file: &str, mut take: impl FnMut(Record) -> Result<()>) -> Result<()> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut line, mut start, mut quoted) = (1, 1, false);
    let mut chars = text.chars().chain(['\n']).peekable();
    while let Some(c) = chars.next() {
        if quoted {
            match c {
                '"' if chars.peek() == Some(&'"') => field.extend(chars.next()),
                '"' => quoted = false,
                _ => field.push(c),
            }
        } else if c == '"' && field.trim().is_empty() {
            field.clear();
            quoted = true;
        } else if c == separator {
            fields.push(std::mem::take(&mut field));
        } else if c == '\n' || (c == '\r' && chars.peek() != Some(&'\n')) {
            fields.push(std::mem::take(&mut field));
            let fields = std::mem::take(&mut fields);
            if fields.iter().any(|field| !field.trim().is_empty()) {
                take(Record { line: start, fields })?;
            }
            start = line + 1;
        } else if c != '\r' {
            field.push(c);
        }
        line += usize::from(c == '\n' || (c == '\r' && chars.peek() != Some(&'\n')));
    }
    if quoted {
        return Err(Error::input(format!("{file}:{start}: a quote is opened and never closed")));
    }
    Ok(())
}

/// The column of each name, where there is one.
fn columns(header: &Record, file: &str, map: &[(String, String)]) -> Result<[Option<usize>; 11]> {
    let names: Vec<&str> = header.fields.iter().map(|name| name.trim()).collect();
    let mut columns = [None; 11];
    for (place, name) in columns.iter_mut().zip(NAMES) {
        let mapped = map.iter().find(|(from, _)| from == name).map(|(_, column)| column.as_str());
        let wanted = mapped.unwrap_or(name);
        let mut found = (0..names.len()).filter(|&k| names[k] == wanted);
        *place = found.next();
        if found.next().is_some() {
            return Err(Error::input(format!("{file}:{}: two columns are called `{wanted}`", header.line)));
        }
        if place.is_none() && mapped.is_some() {
            let message = format!("{file}:{}: --map {name}={wanted}: no such column", header.line);
            return Err(Error::input(message).suggest(wanted, names.iter().copied()));
        }
    }
    let [params, tokens, flops, loss, ..] = columns;
    let there = names.join("`, `");
    if loss.is_none() {
        return Err(Error::input(format!("{file}:{}: no column `loss` among `{there}`", header.line))
            .hint("--map loss=COLUMN says which one holds the loss in nats"));
    }
    if flops.is_none() && (params.is_none() || tokens.is_none()) {
        let message =
            format!("{file}:{}: no column `flops`, nor both `params` and `tokens`, among `{there}`", header.line);
        return Err(Error::input(message).hint("--map flops=COLUMN, or --map params=COLUMN --map tokens=COLUMN"));
    }
    Ok(columns)
}

struct Table<'a> {
    file: &'a str,
    header: Vec<String>,
    columns: [Option<usize>; 11],
    /// What the figures of each column are multiplied by.
    units: [f64; 11],
}

impl Table<'_> {
    /// The point of a record; `None` where a figure that it needs is marked as missing.
    fn point(&self, record: &Record, runs: &mut Runs) -> Result<Option<Point>> {
        let (found, expected) = (record.fields.len(), self.header.len());
        if found > expected && record.fields[expected..].iter().any(|field| !field.trim().is_empty()) {
            let message = format!("{}:{}: {found} fields under a header of {expected}", self.file, record.line);
            return Err(Error::input(message).hint("a field with a separator inside needs quotes"));
        }
        let mut figures = [None; 4];
        for (figure, column) in figures.iter_mut().zip(&self.columns[..4]) {
            let Some(column) = *column else { continue };
            *figure = self.number(record, column)?;
            if figure.is_none() {
                return Ok(None);
            }
        }
        figures.iter_mut().zip(self.units).for_each(|(figure, unit)| *figure = figure.map(|value| value * unit));
        let [params, tokens, flops, loss] = figures;
        let six = |a: Option<f64>, b: Option<f64>| Some(6.0 * a? * b?);
        let (Some(flops), Some(loss)) = (flops.or_else(|| six(params, tokens)), loss) else { return Ok(None) };
        let tokens = tokens.or_else(|| Some(flops / (6.0 * params?)));
        let text =
            |column: Option<usize>| column.and_then(|k| record.fields.get(k)).map(|field| field.trim().to_owned());
        let group = text(self.columns[4]).filter(|group| !group.is_empty());
        let repeat = self.columns[5].map(|column| self.repeat(record, column)).transpose()?;
        let group = group.unwrap_or_else(|| UNNAMED.to_owned());
        // These are asked for by some laws only: a row without one is a point all the same.
        let mut more = [None; 4];
        for (figure, column) in more.iter_mut().zip(&self.columns[6..10]) {
            *figure = column.map(|column| self.number(record, column)).transpose()?.flatten();
        }
        more.iter_mut().zip(&self.units[6..]).for_each(|(figure, unit)| *figure = figure.map(|value| value * unit));
        let [unique, epochs, rate, batch] = more;
        let unique_tokens = unique.or_else(|| Some(tokens? / epochs?));
        // Runs of two groups are two, whatever they are called.
        let run =
            text(self.columns[10]).filter(|run| !run.is_empty()).map(|run| runs.number(format!("{group}\n{run}")));
        Ok(Some(Point { repeat, run, params, tokens, unique_tokens, rate, batch, ..Point::new(group, flops, loss) }))
    }

    fn place(&self, record: &Record, column: usize) -> String {
        format!("{}:{}: column `{}`", self.file, record.line, self.header[column].trim())
    }

    fn number(&self, record: &Record, column: usize) -> Result<Option<f64>> {
        let text = record.fields.get(column).map_or("", |field| field.trim());
        if MISSING.contains(&text.to_ascii_lowercase().as_str()) {
            return Ok(None);
        }
        let wrong =
            |what: &str| Error::input(format!("{}: `{}` {what}", self.place(record, column), text.escape_debug()));
        match text.parse::<f64>() {
            Ok(value) if value > 0.0 && value.is_finite() => Ok(Some(value)),
            Ok(_) => Err(wrong("is not a positive finite number")),
            Err(_) => Err(wrong("is no number").hint(hint(text))),
        }
    }

    fn repeat(&self, record: &Record, column: usize) -> Result<u64> {
        let text = record.fields.get(column).map_or("", |field| field.trim());
        text.parse().map_err(|_| {
            let place = self.place(record, column);
            Error::input(format!("{place}: `{}` is no whole number from 0", text.escape_debug()))
                .hint("a repeat is a seed or a run's number; leave the column out where runs are not repeated")
        })
    }

    fn notes(&self, skipped: &[usize], points: &[Point]) -> Vec<String> {
        let [params, tokens, flops, ..] = self.columns;
        let mut notes = Vec::new();
        if params.is_some() {
            notes.push(
                "N is what the table calls its parameters: whether embeddings count is its own choice".to_owned(),
            );
        }
        match (flops, tokens) {
            (None, _) => notes.push("C is 6 N D, as the table has no FLOPs".to_owned()),
            (_, None) if params.is_some() => notes.push("D is C / (6 N), as the table has no tokens".to_owned()),
            _ => {}
        }
        notes.extend(self.unit(points));
        if !skipped.is_empty() {
            let lines: Vec<String> = skipped.iter().take(LINES).map(usize::to_string).collect();
            let more = if skipped.len() > LINES { ", ..." } else { "" };
            notes.push(format!(
                "{} rows lack a figure and are left out (line {}{more})",
                skipped.len(),
                lines.join(", ")
            ));
        }
        notes
    }
}

impl Table<'_> {
    /// A doubt about losses that are probably in no nats.
    fn unit(&self, points: &[Point]) -> Option<String> {
        let name = self.columns[3].map(|column| self.header[column].to_lowercase()).unwrap_or_default();
        let says = ["bit", "bpb", "bpc", "bpt", "ppl", "perplexity"].into_iter().find(|word| name.contains(word));
        let highest = points.iter().map(|point| point.loss).fold(0.0, f64::max);
        match says {
            Some(word) => Some(format!(
                "the column of the loss says `{word}`, and is read as nats all the same: what is called nats below is in that unit \
                 (a bit is 0.693 nats; the loss in nats is the logarithm of a perplexity)"
            )),
            None if highest > NO_ENTROPY => Some(format!(
                "a loss of {highest} is no cross-entropy in nats: if these are perplexities, give their logarithms"
            )),
            None => None,
        }
    }
}

/// What a text that is no number probably meant.
fn hint(text: &str) -> &'static str {
    let digits = text.chars().any(|c| c.is_ascii_digit());
    if digits && text.chars().any(|c| [',', '_', '\'', ' ', '\u{a0}', '\u{202f}'].contains(&c)) {
        "write numbers without thousands separators and with a point: 1234567.8"
    } else if digits && text.ends_with(|c: char| c.is_ascii_alphabetic() || c == '%') {
        "write plain numbers without unit or suffix: 1.5e9 for 1.5B"
    } else {
        "a column of figures holds numbers such as 0.5 or 1e18, or nothing where one is missing"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, map: &[(&str, &str)]) -> Result<Points> {
        let map: Vec<(String, String)> = map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        points(text, "t.csv", &map, &[])
    }

    #[test]
    fn tables_of_many_kinds_are_read_alike() {
        let plain = read("flops,loss\n1e18,3.5\n2E18,3.25\n", &[]).unwrap();
        assert_eq!(plain.points, [Point::new("all".into(), 1e18, 3.5), Point::new("all".into(), 2e18, 3.25)]);
        let rows = [
            "\u{feff}flops,loss\r\n1e18,3.5\r\n\r\n2e18,3.25",
            "flops;loss\n1e18;3.5\n2e18;3.25\n",
            "flops\tloss\n1e18\t3.5\n\n2e18\t3.25\n\n",
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
        assert!(found.notes.iter().any(|n| n == "C is 6 N D, as the table has no FLOPs"), "{:?}", found.notes);
        assert!(found.notes.iter().any(|n| n.contains("1 rows") && n.contains("line 3")), "{:?}", found.notes);
        let map = [("params", "Model Size"), ("flops", "Training FLOP"), ("repeat", "seed"), ("group", "who")];
        let found = read("who,Model Size,Training FLOP,loss,seed\nme,1e8,1.2e18,3,7\n", &map).unwrap();
        let point = &found.points[0];
        assert_eq!((point.tokens, point.repeat, point.group.as_str()), (Some(2e9), Some(7), "me"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_where_it_stands() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let rows: [Row; 11] = [
            ("", &[], "t.csv: no line with anything on it", ""),
            (
                "flops,perplexity\n1,2\n",
                &[],
                "t.csv:1: no column `loss` among `flops`, `perplexity`",
                "--map loss=COLUMN",
            ),
            ("params,loss\n1,2\n", &[], "t.csv:1: no column `flops`, nor both", "--map flops=COLUMN"),
            (
                "flops,loss\n1,2\n",
                &[("loss", "los")],
                "t.csv:1: --map loss=los: no such column",
                "did you mean `loss`?",
            ),
            ("flops,loss,loss\n1,2,3\n", &[], "t.csv:1: two columns are called `loss`", ""),
            ("flops,loss\n1e18,3\n\n\"1,000\",3\n", &[], "t.csv:4: column `flops`: `1,000` is no number", "thousands"),
            ("flops,loss\n1.5B,3\n", &[], "t.csv:2: column `flops`: `1.5B` is no number", "1.5e9"),
            ("flops,loss\n1e18,-3\n", &[], "t.csv:2: column `loss`: `-3` is not a positive finite number", ""),
            ("flops,loss\n1e18,inf\n", &[], "t.csv:2: column `loss`: `inf` is not a positive", ""),
            ("flops,loss\n1e18,3,4\n", &[], "t.csv:2: 3 fields under a header of 2", "needs quotes"),
            ("flops,loss\n\"1e18,3\n", &[], "t.csv:2: a quote is opened and never closed", ""),
        ];
        for (text, map, message, hint) in rows {
            let error = read(text, map).unwrap_err();
            assert!(error.message.starts_with(message), "{}", error.message);
            assert!(error.hint.unwrap_or_default().contains(hint), "{message}");
        }
    }
}
