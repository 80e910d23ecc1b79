//! Delimited text (CSV, TSV) as a table that knows its file and lines: RFC 4180 quoting, a byte-order mark, any line ending, blank
//! lines, comment lines (`#`), either decimal mark. What is read leniently is counted, so that it can be told ([`Table::notes`]).
//! Every error names file, line and column.

use std::borrow::Cow;
use std::path::Path;

use super::figures::{Marks, marks};
use crate::error::{Error, Result, listed, near};

/// Cells under named columns; every row has as many cells as there are columns.
///
/// The cells of all rows stand in one text: a million rows are a few allocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The file, for messages.
    pub file: String,
    /// Names, as in the header.
    pub columns: Vec<String>,
    /// All cells, without quotes and outer blanks, row by row.
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// The line in the file at which each row begins, from 1.
    lines: Vec<usize>,
    /// How each column writes its numbers.
    marks: Vec<Marks>,
    /// Lines below the header that begin with `#` and have another number of cells.
    comments: Passed,
    /// Rows with fewer cells than the header.
    short: Passed,
    /// A last row that may be cut off, and is left out.
    torn: Passed,
}

/// Lines of one kind: how many, and which is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// How many.
    pub count: usize,
    /// The first of them, from 1; 0 where there is none.
    pub first: usize,
}

impl Passed {
    /// Counts one more.
    pub fn add(&mut self, line: usize) {
        self.count += 1;
        if self.first == 0 {
            self.first = line;
        }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(file: &str, columns: Vec<String>) -> Self {
        Self {
            file: file.to_owned(),
            marks: vec![Marks::Plain; columns.len()],
            columns,
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
            comments: Passed::default(),
            short: Passed::default(),
            torn: Passed::default(),
        }
    }

    /// Takes the last row out where the file ends within it: its cell in `column` is the last that was written, and a figure of
    /// which nobody can say that it is whole. Where all rows above have as many decimals as it has, it is.
    pub fn drop_torn(&mut self, column: usize) {
        let rows = self.rows();
        if rows < 2 || column >= self.columns.len() {
            return;
        }
        let decimals = |row: usize| {
            let cell = self.cell(row, column);
            let figure = cell.ends_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
            figure.then(|| {
                cell.rsplit_once(['.', ','])
                    .map_or(0, |(_, behind)| behind.len())
            })
        };
        let Some(last) = decimals(rows - 1) else {
            // A word or a unit at its end says that the row is whole.
            return;
        };
        let mut above = (0..rows - 1).filter_map(decimals).peekable();
        if above.peek().is_some() && last > 0 && above.all(|places| places == last) {
            return;
        }
        self.drop_last();
    }

    /// Whether the last of several rows alone has fewer cells than the header, as where a program was killed while it wrote.
    fn only_last_is_short(&self) -> bool {
        let last = self.lines.last() == Some(&self.short.first);
        self.rows() > 2 && self.short.count == 1 && last
    }

    /// Remembers that a last line was cut off.
    pub fn torn_at(&mut self, line: Option<usize>) {
        if let Some(line) = line {
            self.torn.add(line);
        }
    }

    /// Takes the last row out, and remembers that.
    fn drop_last(&mut self) {
        if let Some(line) = self.lines.pop() {
            self.torn.add(line);
            self.ends.truncate(self.lines.len() * self.columns.len());
            self.text.truncate(self.ends.last().copied().unwrap_or(0));
        }
    }

    /// Adds a row that begins at `line`; cells that it lacks are empty.
    pub fn push<'c>(&mut self, line: usize, cells: impl IntoIterator<Item = &'c str>) {
        let width = self.columns.len();
        let mut cells = cells.into_iter();
        for _ in 0..width {
            self.text.push_str(cells.next().unwrap_or_default());
            self.ends.push(self.text.len());
        }
        self.lines.push(line);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// One cell.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        let place = row * self.columns.len() + column;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[start..self.ends[place]]
    }

    /// The line in the file at which a row begins, from 1.
    pub fn line(&self, row: usize) -> usize {
        self.lines[row]
    }

    /// Says of every column how it writes its numbers.
    pub fn mark_all(&mut self, marks: Marks) {
        self.marks.fill(marks);
    }

    /// How a column writes its numbers.
    pub fn marks(&self, column: usize) -> Marks {
        self.marks[column]
    }

    /// Reads delimited text whose first line that is neither blank nor a comment is the header; where that line holds nothing
    /// but numbers, the header is the comment above it, as NumPy writes it.
    ///
    /// # Errors
    ///
    /// No header, an open quote, text after a closing quote, or a row with more cells than the header.
    pub fn parse(file: &str, text: &str, delimiter: char) -> Result<Self> {
        let old_mac = if text.contains('\n') {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.replace('\r', "\n"))
        };
        let mut records = Records::new(file, &old_mac, delimiter);
        let mut cells: Vec<Cow<str>> = Vec::new();
        let Some(mut line) = records.header(&mut cells)? else {
            return Err(Error::input(format!("{file}: empty"))
                .hint("expected a header and one row per line"));
        };
        let owned = |cells: &[Cow<str>]| {
            cells
                .iter()
                .map(|cell| cell.as_ref().to_owned())
                .collect::<Vec<String>>()
        };
        let above = records
            .comment
            .filter(|_| cells.iter().all(|cell| cell.parse::<f64>().is_ok()));
        let above: Option<Vec<String>> =
            above.map(|above| above.split(delimiter).map(named).collect());
        let mut table = match above.filter(|above| above.len() == cells.len()) {
            Some(columns) => {
                let mut table = Self::new(file, columns);
                table.push(line, cells.iter().map(AsRef::as_ref));
                table
            }
            None => Self::new(file, owned(&cells)),
        };
        let width = table.columns.len();
        while records.more() {
            if records.rest.starts_with('#') && records.cells_of_line() != width {
                table.comments.add(records.line);
                records.skip();
                continue;
            }
            line = records.row(&mut cells)?;
            if cells.len() > width && cells[width..].iter().any(|cell| !cell.is_empty()) {
                return Err(Error::input(format!(
                    "{file}:{line}: {} cells under {width} columns",
                    cells.len()
                ))
                .hint("a cell that holds the delimiter needs quotes: \"a, b\""));
            }
            if cells.len() < width {
                if records.rest.is_empty() && !text.ends_with(['\n', '\r']) && table.rows() > 0 {
                    table.torn.add(line);
                    break;
                }
                table.short.add(line);
            }
            table.push(line, cells.iter().map(AsRef::as_ref));
        }
        if table.only_last_is_short() {
            table.short = Passed::default();
            table.drop_last();
        }
        if !text.ends_with(['\n', '\r']) && table.torn.count == 0 {
            table.drop_torn(cells.len().min(width).saturating_sub(1));
        }
        table.marks = (0..width)
            .map(|column| marks((0..table.rows()).map(|row| table.cell(row, column))))
            .collect();
        table.settle(delimiter);
        Ok(table)
    }

    /// Columns that do not decide on a decimal mark by themselves follow the others; and where semicolons stand between cells, a
    /// comma in a number is its decimal mark.
    fn settle(&mut self, delimiter: char) {
        let has = |wanted: Marks| self.marks.contains(&wanted);
        let (comma, neither) = (
            has(Marks::Comma) && !has(Marks::Point),
            !has(Marks::Comma) && !has(Marks::Point),
        );
        for marks in &mut self.marks {
            if let Marks::Either { commas } = *marks {
                *marks = if comma || (neither && commas && delimiter == ';') {
                    Marks::Comma
                } else {
                    Marks::Plain
                };
            }
        }
    }

    /// What was read leniently, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Self {
            file,
            comments,
            short,
            torn,
            ..
        } = self;
        if torn.count > 0 {
            let line = torn.first;
            notes.push(format!(
                "{file}: line {line}, the last, has no end or not all cells and may be cut off: it is left out"
            ));
        }
        if comments.count > 0 {
            let (lines, first) = (lines(comments.count), comments.first);
            notes
                .push(format!("{file}: {lines} below the header that begin with # are comments (first: line {first})"));
        }
        if short.count > 0 {
            let (rows, first) = (short.count, short.first);
            let have = if rows == 1 { "row has" } else { "rows have" };
            notes.push(format!(
                "{file}: {rows} {have} fewer cells than the header; what is missing is empty (first: line {first})"
            ));
        }
        notes
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
            (Some(_), Some(_)) => Err(Error::input(format!(
                "{}: two columns are called `{name}`",
                self.file
            ))),
            (None, _) => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.columns.iter().map(String::as_str);
        let message = format!("{}: no column `{}`", self.file, name.escape_debug());
        let meant = near(name, known).map(|meant| format!("did you mean `{meant}`? "));
        Error::input(message).hint(format!(
            "{}The file has: {}",
            meant.unwrap_or_default(),
            self.names()
        ))
    }

    /// The names of its columns, for messages: of a wide table the first.
    pub fn names(&self) -> String {
        listed(&self.columns, ", ")
    }
}

fn lines(count: usize) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// A column's name out of a comment.
fn named(cell: &str) -> String {
    cell.trim_start_matches('#')
        .trim()
        .trim_matches('"')
        .to_owned()
}

/// The delimiter that the header has most of outside quotes; where two are level, the one by which the line below has as many
/// cells, then what the file's name says (`.tsv`, `.tab`), then the comma.
pub fn delimiter(path: &Path, text: &str) -> char {
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let tabs = extension == "tsv" || extension == "tab";
    let mut lines = text.split(['\n', '\r']).filter(|line| !skipped(line));
    let (header, below) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let rank = |delimiter: &char| {
        let count = outside_quotes(header, *delimiter);
        let agrees = outside_quotes(below, *delimiter) == count;
        (
            count,
            agrees,
            tabs == (*delimiter == '\t'),
            *delimiter == ',',
        )
    };
    [',', ';', '\t'].into_iter().max_by_key(rank).unwrap_or(',')
}

fn outside_quotes(line: &str, delimiter: char) -> usize {
    let mut quoted = false;
    let outside = |c: &char| {
        quoted ^= *c == '"';
        !quoted && *c == delimiter
    };
    line.chars().filter(outside).count()
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
    /// The last comment above the header.
    comment: Option<&'a str>,
}

impl<'a> Records<'a> {
    fn new(file: &'a str, text: &'a str, delimiter: char) -> Self {
        Self {
            file,
            rest: text.trim_start_matches('\u{feff}'),
            line: 1,
            delimiter,
            comment: None,
        }
    }

    /// Reads the first line that is neither blank nor a comment.
    fn header(&mut self, cells: &mut Vec<Cow<'a, str>>) -> Result<Option<usize>> {
        while self.more() {
            if !self.rest.starts_with('#') {
                return self.row(cells).map(Some);
            }
            self.comment = Some(self.skip());
        }
        Ok(None)
    }

    /// Whether a line is left that is not blank, which is then next.
    fn more(&mut self) -> bool {
        while !self.rest.is_empty() {
            let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
            if !self.rest[..end].trim().is_empty() {
                return true;
            }
            self.take(end);
        }
        false
    }

    /// Passes over the line.
    fn skip(&mut self) -> &'a str {
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        self.take(end).trim()
    }

    /// How many cells the line would have, were it a row.
    fn cells_of_line(&self) -> usize {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        outside_quotes(self.rest[..end].trim_end(), self.delimiter) + 1
    }

    /// Takes what stands before `end` and counts the lines in it.
    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
        taken
    }

    /// Reads a row into `cells`; where it begins.
    fn row(&mut self, cells: &mut Vec<Cow<'a, str>>) -> Result<usize> {
        let line = self.line;
        cells.clear();
        loop {
            cells.push(self.cell(line)?);
            match self.rest.chars().next() {
                Some(c) if c == self.delimiter => _ = self.take(c.len_utf8()),
                Some('\n') => {
                    self.take(1);
                    return Ok(line);
                }
                _ => return Ok(line),
            }
        }
    }

    /// The end of an unquoted stretch.
    fn end(&self) -> usize {
        let delimiter = self.delimiter as u8;
        let ends = |byte: u8| byte == delimiter || byte == b'\n';
        self.rest.bytes().position(ends).unwrap_or(self.rest.len())
    }

    /// One cell, up to but without the delimiter or line break behind it.
    fn cell(&mut self, line: usize) -> Result<Cow<'a, str>> {
        let blank = |c: char| c == ' ' || (c == '\t' && self.delimiter != '\t');
        let opening = self.rest.len() - self.rest.trim_start_matches(blank).len();
        if !self.rest[opening..].starts_with('"') {
            let (cell, rest) = self.rest.split_at(self.end());
            self.rest = rest;
            return Ok(Cow::Borrowed(cell.trim()));
        }
        self.take(opening + 1);
        let mut text = String::new();
        loop {
            let Some(quote) = self.rest.find('"') else {
                return Err(Error::input(format!(
                    "{}:{line}: a quote is opened and not closed",
                    self.file
                ))
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
        let after = self.take(self.end()).trim();
        if after.is_empty() {
            return Ok(Cow::Owned(text));
        }
        Err(Error::input(format!(
            "{}:{}: `{}` after a closing quote",
            self.file,
            self.line,
            after.escape_debug()
        ))
        .hint("a quote within quotes is written twice: \"\""))
    }
}

#[cfg(test)]
mod tests;
