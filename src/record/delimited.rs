//! Delimited text (CSV, TSV) as a table that knows its file and lines: RFC 4180 quoting, a byte-order mark, CRLF, blank lines
//! and comment lines (`#`). Every error names file, line and column.

use std::path::Path;

use crate::error::{Error, Result, near};

/// Cells under named columns; every row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The file, for messages.
    pub file: String,
    /// Names, as in the header.
    pub columns: Vec<String>,
    /// In the file's order.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line in the file at which it begins, from 1.
    pub line: usize,
    /// In the order of the columns, without quotes and outer blanks.
    pub cells: Vec<String>,
}

impl Table {
    /// Reads delimited text whose first line that is neither blank nor a comment is the header.
    ///
    /// # Errors
    ///
    /// No header, an open quote, text after a closing quote, or a row with another number of cells than the header.
    pub fn parse(file: &str, text: &str, delimiter: char) -> Result<Self> {
        let mut records = Records::new(file, text, delimiter);
        let Some(header) = records.next().transpose()? else {
            return Err(Error::input(format!("{file}: empty")).hint("expected a header and one row per line"));
        };
        let columns = header.cells;
        let mut rows = Vec::new();
        for row in records {
            let row = row?;
            if row.cells.len() != columns.len() {
                let (found, expected) = (row.cells.len(), columns.len());
                return Err(Error::input(format!("{file}:{}: {found} cells under {expected} columns", row.line))
                    .hint("a cell that holds the delimiter needs quotes: \"a, b\""));
            }
            rows.push(row);
        }
        Ok(Self { file: file.to_owned(), columns, rows })
    }

    /// The place of a column.
    ///
    /// # Errors
    ///
    /// No column of that name, with what the file has; or more than one.
    pub fn column(&self, name: &str) -> Result<usize> {
        let mut places = (0..self.columns.len()).filter(|&k| self.columns[k] == name);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(Error::input(format!("{}: two columns are called `{name}`", self.file))),
            (None, _) => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.columns.iter().map(String::as_str);
        let message = format!("{}: no column `{}`", self.file, name.escape_debug());
        let meant = near(name, known).map(|meant| format!("did you mean `{meant}`? "));
        let list: Vec<String> = self.columns.iter().map(|column| column.escape_debug().to_string()).collect();
        Error::input(message).hint(format!("{}The file has: {}", meant.unwrap_or_default(), list.join(", ")))
    }
}

/// The delimiter by the file's name, else by its header: tabs in `.tsv` and `.tab`, semicolons or tabs where the header has
/// no comma, commas otherwise.
pub fn delimiter(path: &Path, text: &str) -> char {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if extension == "tsv" || extension == "tab" {
        return '\t';
    }
    let header = text.lines().find(|line| !skipped(line)).unwrap_or_default();
    [',', ';', '\t'].into_iter().find(|delimiter| header.contains(*delimiter)).unwrap_or(',')
}

/// Blank and comment lines hold nothing.
fn skipped(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with('#')
}

/// Rows one after the other; a quoted cell may span lines.
struct Records<'a> {
    file: &'a str,
    rest: &'a str,
    line: usize,
    delimiter: char,
}

impl<'a> Records<'a> {
    fn new(file: &'a str, text: &'a str, delimiter: char) -> Self {
        Self { file, rest: text.trim_start_matches('\u{feff}'), line: 1, delimiter }
    }

    /// Takes what stands before `end` and counts the lines in it.
    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn row(&mut self) -> Result<Row> {
        let line = self.line;
        let mut cells = Vec::new();
        loop {
            cells.push(self.cell(line)?);
            match self.rest.chars().next() {
                Some(c) if c == self.delimiter => _ = self.take(c.len_utf8()),
                Some('\n') => {
                    self.take(1);
                    return Ok(Row { line, cells });
                }
                _ => return Ok(Row { line, cells }),
            }
        }
    }

    /// One cell, up to but without the delimiter or line break behind it.
    fn cell(&mut self, line: usize) -> Result<String> {
        let ends = |c: char| c == self.delimiter || c == '\n';
        let blank = |c: char| c == ' ' || (c == '\t' && self.delimiter != '\t');
        let opening = self.rest.len() - self.rest.trim_start_matches(blank).len();
        if !self.rest[opening..].starts_with('"') {
            let end = self.rest.find(ends).unwrap_or(self.rest.len());
            return Ok(self.take(end).trim().to_owned());
        }
        self.take(opening + 1);
        let mut text = String::new();
        loop {
            let Some(quote) = self.rest.find('"') else {
                return Err(Error::input(format!("{}:{line}: a quote is opened and not closed", self.file))
                    .hint("a quote within quotes is written twice: \"\""));
            };
            text.push_str(self.take(quote));
            self.take(1);
            if !self.rest.starts_with('"') {
                break;
            }
            text.push('"');
            self.take(1);
        }
        let ends = |c: char| c == self.delimiter || c == '\n';
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let after = self.take(end).trim();
        if after.is_empty() {
            return Ok(text);
        }
        Err(Error::input(format!("{}:{}: `{}` after a closing quote", self.file, self.line, after.escape_debug()))
            .hint("a quote within quotes is written twice: \"\""))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        while !self.rest.is_empty() {
            let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
            if !skipped(&self.rest[..end]) {
                return Some(self.row());
            }
            self.take(end);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        type Lines<'a> = &'a [(usize, &'a [&'a str])];
        let rows: [(&str, char, &[&str], Lines); 8] = [
            ("a,b\n1,2\n", ',', &["a", "b"], &[(2, &["1", "2"])]),
            ("\u{feff}a;b\r\n1;2\r\n\r\n3;\r\n", ';', &["a", "b"], &[(2, &["1", "2"]), (4, &["3", ""])]),
            ("# by x, y\n\na\tb c\n1\t\n#2\t3\n", '\t', &["a", "b c"], &[(4, &["1", ""])]),
            ("a, b\n \"x, \"\"y\"\"\" , 1e18", ',', &["a", "b"], &[(2, &["x, \"y\"", "1e18"])]),
            ("a,b\n\"two\nlines\",1\nz,2\n", ',', &["a", "b"], &[(2, &["two\nlines", "1"]), (4, &["z", "2"])]),
            (",loss\n0,3.1\n", ',', &["", "loss"], &[(2, &["0", "3.1"])]),
            ("a\n\"\"\n", ',', &["a"], &[(2, &[""])]),
            ("größe,µ\n\u{1b}[2J,é\n", ',', &["größe", "µ"], &[(2, &["\u{1b}[2J", "é"])]),
        ];
        for (text, delimiter, columns, cells) in rows {
            let table = Table::parse("x.csv", text, delimiter).unwrap();
            assert_eq!(table.columns, columns, "{text:?}");
            let found: Vec<(usize, Vec<&str>)> =
                table.rows.iter().map(|row| (row.line, row.cells.iter().map(String::as_str).collect())).collect();
            let expected: Vec<(usize, Vec<&str>)> = cells.iter().map(|(line, row)| (*line, row.to_vec())).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_placed() {
        let rows = [
            ("", "x.csv: empty"),
            ("# only\n\n", "x.csv: empty"),
            ("a,b\n1,2\n\n3\n", "x.csv:4: 1 cells under 2 columns"),
            ("a,b\n1,2,3\n", "x.csv:2: 3 cells under 2 columns"),
            ("a,b\n\"1,2\n3,4\n", "x.csv:2: a quote is opened and not closed"),
            ("a,b\n\"1\"2,3\n", "x.csv:2: `2` after a closing quote"),
        ];
        for (text, says) in rows {
            let error = Table::parse("x.csv", text, ',').unwrap_err();
            assert!(error.message.starts_with(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_unknown_column_is_answered_with_those_there_are() {
        let table = Table::parse("x.csv", "step,val_loss,step\n", ',').unwrap();
        let near = table.column("val_los").unwrap_err();
        assert_eq!(near.message, "x.csv: no column `val_los`");
        assert_eq!(near.hint.unwrap(), "did you mean `val_loss`? The file has: step, val_loss, step");
        assert_eq!(table.column("zzz").unwrap_err().hint.unwrap(), "The file has: step, val_loss, step");
        assert_eq!(table.column("step").unwrap_err().message, "x.csv: two columns are called `step`");
        assert_eq!(table.column("val_loss").unwrap(), 1);
    }

    #[test]
    fn the_name_decides_and_else_the_header() {
        let rows = [
            ("x.tsv", "a,b\tc\n", '\t'),
            ("x.csv", "a,b;c\n", ','),
            ("x.csv", "# a, b\na;b\n", ';'),
            ("x.csv", "a\tb\n", '\t'),
            ("x", "loss\n", ','),
        ];
        for (name, text, expected) in rows {
            assert_eq!(delimiter(Path::new(name), text), expected, "{name} {text:?}");
        }
    }
}
