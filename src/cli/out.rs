//! Where a page goes: the terminal, a file, and in which medium. Every command that finds something ends here.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::print::{print, say, style};
use crate::error::{Error, Result};
use crate::record::store::{check_new, write_whole};
use crate::report::Style;
use crate::report::page::Page;
use crate::report::render::brief::brief;
use crate::report::render::{Csv, Html, Json, Markdown, Medium as _, Picture, Text};

/// How and where.
#[derive(Debug, Clone, Default, Args)]
pub struct OutArgs {
    /// How to say what was found [default: as the name of --out ends, else text].
    #[arg(long, value_enum)]
    pub format: Option<Medium>,
    /// Output file; its ending chooses the format: .html, .md, .json, .txt, .csv (the main table), .svg (the first plot). `FOLDER/`
    /// writes every plot, `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// With .svg: the plot to write, by the beginning of its name; an unknown name lists them.
    #[arg(long, value_name = "NAME")]
    pub plot: Option<String>,
    /// Overwrite an existing file even if effbench did not write it, or if it is a result file.
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Whether a terminal is shown only what comes first, and how to see the rest; set by commands that say much.
    #[arg(skip)]
    pub brief: bool,
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

    /// The folder that is to hold every plot.
    fn folder(&self) -> Option<&Path> {
        let is_folder =
            |out: &&Path| out.is_dir() || out.to_string_lossy().ends_with(std::path::is_separator);
        self.file().filter(is_folder)
    }

    /// The same, with only what comes first where it is text for a terminal.
    pub fn in_brief(self, brief: bool) -> Self {
        Self { brief, ..self }
    }

    /// As what it is to be shown.
    ///
    /// # Errors
    ///
    /// A file whose name asks for nothing known.
    pub fn medium(&self) -> Result<Medium> {
        let drawn = self
            .folder()
            .map(|folder| format!("--out {}", folder.display()));
        let drawn = drawn.or_else(|| Some(format!("--plot {}", self.plot.as_ref()?)));
        let Some(drawn) = drawn else {
            return self.named_medium();
        };
        let other = match self.folder() {
            Some(_) => self.format.filter(|format| *format != Medium::Svg),
            None => Some(self.named_medium()?).filter(|format| *format != Medium::Svg),
        };
        match other {
            None => Ok(Medium::Svg),
            Some(_) => Err(Error::input(format!("{drawn}: only plots, as .svg, are chosen so"))
                .hint("`--format svg`, or a name that ends in .svg; all other formats hold the whole page in one file")),
        }
    }

    /// As its format or the file's name says.
    fn named_medium(&self) -> Result<Medium> {
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
        if medium == Medium::Svg {
            return self.plots(page);
        }
        let style = if self.file().is_some() {
            Style::plain(100)
        } else {
            style()
        };
        let shown = match medium {
            Medium::Text if self.brief && self.file().is_none() => {
                Text(style).show(&brief(page, WHOLE))
            }
            Medium::Text => Text(style).show(page),
            Medium::Markdown => Markdown.show(page),
            Medium::Html => Html.show(page),
            Medium::Json => Json.show(page),
            Medium::Csv => Csv.show(page),
            Medium::Svg => None,
        };
        self.write(&shown.ok_or_else(|| nothing("table"))?)
    }

    /// The plot that was asked for, the first where none was, or all of them into a folder.
    fn plots(&self, page: &Page) -> Result<()> {
        let plots = page.plots();
        let Some((first, figure)) = plots.first() else {
            return Err(nothing("plot"));
        };
        let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(folder) = self.folder() {
            let chosen = |name: &str| {
                self.plot
                    .as_ref()
                    .is_none_or(|asked| name.starts_with(asked))
            };
            let mut chosen = plots.iter().filter(|(name, _)| chosen(name)).peekable();
            if chosen.peek().is_none() {
                return Err(self.no_plot(&names));
            }
            return chosen.try_for_each(|(name, figure)| {
                let file = folder.join(format!("{name}.svg"));
                self.write_to(Some(&file), &Picture::of(figure, page))
            });
        }
        let Some(asked) = &self.plot else {
            if self.file().is_some() && plots.len() > 1 {
                say(&format!(
                    "{first} is the first of {} plots; `--plot NAME` takes another, `--out FOLDER/` all: {}",
                    plots.len(),
                    names.join(", ")
                ));
            }
            return self.write(&Picture::of(figure, page));
        };
        let exact = plots.iter().find(|(name, _)| name == asked);
        let begins = || plots.iter().find(|(name, _)| name.starts_with(asked));
        let (_, figure) = exact.or_else(begins).ok_or_else(|| self.no_plot(&names))?;
        self.write(&Picture::of(figure, page))
    }

    fn no_plot(&self, names: &[&str]) -> Error {
        let asked = self.plot.as_deref().unwrap_or_default();
        Error::input(format!("--plot {asked}: there is no such plot in this"))
            .hint(format!("there is: {}", names.join(", ")))
    }

    /// Writes text to where it was asked for, with a line break at its end.
    pub fn write(&self, text: &str) -> Result<()> {
        self.write_to(self.file(), text)
    }

    fn write_to(&self, file: Option<&Path>, text: &str) -> Result<()> {
        match file {
            Some(file) => {
                check_new(file, self.force || is_page(file, text))?;
                write_whole(file, format!("{text}\n").as_bytes())
            }
            None => print(text),
        }
    }
}

/// What shows all of a page that a terminal is shown the beginning of.
const WHOLE: &str = "`--full` prints all of it, `--out FILE.html` writes it for a browser.";

fn nothing(what: &str) -> Error {
    Error::input(format!("there is no {what} in this")).hint("`--format text` shows what there is")
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
            plot: None,
            force: false,
            brief: false,
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

    #[test]
    fn plots_are_chosen_by_name_and_all_of_them_fill_a_folder() {
        let file = crate::record::example::example();
        let page = crate::report::report(&file, None, None);
        let folder = tempfile::tempdir().unwrap();
        let asked = |out: &str, plot: Option<&str>| {
            let asked = OutArgs {
                format: None,
                out: Some(folder.path().join(out)),
                plot: plot.map(str::to_owned),
                force: false,
                brief: false,
            };
            asked.medium().and_then(|medium| asked.page(&page, medium))
        };
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        asked("all/", None).unwrap();
        let plots = page.plots();
        assert!(plots.len() > 3);
        for (name, figure) in &plots {
            let drawn = read(&format!("all/{name}.svg"));
            assert!(drawn.contains("</svg>") && figure.slug().len() <= name.len());
        }
        let last = &plots[plots.len() - 1].0;
        asked("one.svg", Some(last)).unwrap();
        assert_eq!(read("one.svg"), read(&format!("all/{last}.svg")));
        let refused = asked("other.svg", Some("nonsense"))
            .unwrap_err()
            .to_string();
        assert!(refused.contains(last), "{refused}");
        for (out, plot) in [("x.html", Some(last.as_str())), ("x.csv", Some("loss"))] {
            assert!(asked(out, plot).unwrap_err().to_string().contains("--plot"));
        }
    }
}
