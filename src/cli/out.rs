//! Where a page goes: the terminal, a file, and in which medium. Every command that finds something ends here.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::print::{print, style};
use crate::error::{Error, Result};
use crate::record::store::{check_new, write_whole};
use crate::report::Style;
use crate::report::page::Page;
use crate::report::render::{Csv, Html, Json, Markdown, Medium as _, Picture, Text};

/// How and where.
#[derive(Debug, Clone, Default, Args)]
pub struct OutArgs {
    /// How to say what was found [default: as the name of --out ends, else text].
    #[arg(long, value_enum)]
    pub format: Option<Medium>,
    /// Where to write it, by its name as .html, .md, .json, .txt, or its main table as .csv, its first plot as .svg; `-` is
    /// standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a file that is there already and was not written by effbench, or is a result.
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// What a page can be shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Medium {
    /// For people, in a terminal.
    #[default]
    Text,
    /// For a pull request or a wiki.
    Markdown,
    /// One file for a browser, without network or scripts.
    Html,
    /// One document for programs.
    Json,
    /// The main table.
    Csv,
    /// The first plot.
    Svg,
}

/// Endings of names, and what they ask for.
const ENDINGS: [(&str, Medium); 9] = [
    ("html", Medium::Html),
    ("htm", Medium::Html),
    ("md", Medium::Markdown),
    ("markdown", Medium::Markdown),
    ("json", Medium::Json),
    ("csv", Medium::Csv),
    ("svg", Medium::Svg),
    ("txt", Medium::Text),
    ("text", Medium::Text),
];

impl OutArgs {
    /// The file to write, or none for standard output.
    fn file(&self) -> Option<&Path> {
        self.out.as_deref().filter(|out| *out != Path::new("-"))
    }

    /// As what it is to be shown.
    ///
    /// # Errors
    ///
    /// A file whose name asks for nothing known.
    pub fn medium(&self) -> Result<Medium> {
        let (Some(file), None) = (self.file(), self.format) else {
            return Ok(self.format.unwrap_or_default());
        };
        let ending = file
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let known = ENDINGS.iter().find(|(known, _)| *known == ending);
        known.map(|(_, medium)| *medium).ok_or_else(|| {
            let picture = ["png", "pdf", "jpg", "jpeg"].contains(&ending.as_str());
            let hint = if picture {
                "write the plot as .svg: every browser, LaTeX and Inkscape turn that into a picture or a PDF"
            } else {
                "name it .html, .md, .json, .csv, .svg or .txt, or say --format; without --out it is printed"
            };
            Error::input(format!("--out {}: no such format", file.display())).hint(hint)
        })
    }

    /// Shows the page, or what `document` holds for programs instead of it.
    ///
    /// # Errors
    ///
    /// A page without what was asked for, a file that cannot be written, and whatever `page` and `document` refuse.
    pub fn show(
        &self,
        page: impl FnOnce() -> Result<Page>,
        document: impl FnOnce() -> Result<Option<Value>>,
    ) -> Result<()> {
        let medium = self.medium()?;
        if medium == Medium::Json
            && let Some(document) = document()?
        {
            return self.write(&format!("{document:#}"));
        }
        self.page(&page()?, medium)
    }

    /// Shows the page.
    pub fn page(&self, page: &Page, medium: Medium) -> Result<()> {
        let style = if self.file().is_some() {
            Style::plain(100)
        } else {
            style()
        };
        let shown = match medium {
            Medium::Text => Text(style).show(page),
            Medium::Markdown => Markdown.show(page),
            Medium::Html => Html.show(page),
            Medium::Json => Json.show(page),
            Medium::Csv => Csv.show(page),
            Medium::Svg => Picture.show(page),
        };
        let nothing = || {
            let what = if medium == Medium::Csv {
                "table"
            } else {
                "plot"
            };
            Error::input(format!("there is no {what} in this"))
                .hint("`--format text` shows what there is")
        };
        self.write(&shown.ok_or_else(nothing)?)
    }

    /// Writes text to where it was asked for, with a line break at its end.
    pub fn write(&self, text: &str) -> Result<()> {
        match self.file() {
            Some(file) => {
                check_new(file, self.force || is_page(file, text))?;
                write_whole(file, format!("{text}\n").as_bytes())
            }
            None => print(text),
        }
    }
}

/// How much of a file is looked at to say whose it is, in bytes.
const BEGINNING: u64 = 4096;

/// Whether a file that is there is an earlier page, which a new one may replace: it names effbench where pages do, or begins like the
/// new one, and is no result file.
fn is_page(file: &Path, text: &str) -> bool {
    let mut beginning = Vec::new();
    let opened = std::fs::File::open(file);
    let read = opened.and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    let there = String::from_utf8_lossy(&beginning);
    let first = |text: &str| text.lines().next().map(str::to_owned);
    read.is_ok()
        && !there.contains("effbench.result/")
        && (there.contains("effbench") || first(&there) == first(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_written() {
        let asked = |out: Option<&str>, format| OutArgs {
            format,
            out: out.map(PathBuf::from),
            force: false,
        };
        let rows = [
            (None, None, Medium::Text),
            (Some("-"), None, Medium::Text),
            (Some("a/report.HTML"), None, Medium::Html),
            (Some("fig.svg"), None, Medium::Svg),
            (Some("t.csv"), None, Medium::Csv),
            (Some("report"), Some(Medium::Markdown), Medium::Markdown),
            (Some("-"), Some(Medium::Json), Medium::Json),
        ];
        for (out, format, expected) in rows {
            assert_eq!(asked(out, format).medium().unwrap(), expected, "{out:?}");
        }
        for (out, hint) in [("fig.png", ".svg"), ("report", "--format")] {
            let refused = asked(Some(out), None).medium().unwrap_err();
            assert!(refused.to_string().contains(hint), "{refused}");
        }
    }
}
