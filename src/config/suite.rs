//! A suite is the grid that `effbench run` runs: which variants, at which scales, for how long, on what data.
//!
//! ```toml
//! about = "An answer in minutes."
//! data_label = "synthetic language"
//! base = "gpt2"
//! headline = { variant = "modern", scale = "w32", budget = 800 }
//! repeats = 4
//! tune = { lr = [0.004, 0.008, 0.016], at = ["w32@200", "w32@1600"] }   # sweep learning rates first, on other seeds: every
//!                                     # variant at these places, or at each of its cells where there is no `at`
//!
//! [set]                               # spec keys of every cell
//! data.kind = "language"
//! train.batch = 16
//!
//! [shapes.s]                          # spec keys of a named shape, where a suite lists shapes instead of scales
//! model.width = 128
//!
//! [[cells]]
//! variants = ["gpt2", "mine.toml"]
//! scales = ["w32"]                    # or shapes = ["s"]
//! steps = [400, 800]                  # several in one suite: the cell's name carries its budget, gpt2/w32@400
//! lr = [0.001, 0.002]                 # a sweep: gpt2/w32@400~0.001
//! stage = "tuned"                     # named gpt2:tuned/w32@400, since variants may stand in several stages
//! from = "gpt2:first@1600"            # begins with the weights of that cell, at the same scale and repeat
//! teacher = "gpt2:first/w64@1600"     # or learns from that cell (train.distill)
//! set = { train.clip = 0.5 }          # spec keys of these cells
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use super::load;
use super::names::{data_label, join_path, staged, width_of};
use super::table::{Fields, Table};
use super::tree::{Origin, Tree};
use crate::error::{Error, Result};

pub(super) mod fields;
mod tune;

pub use tune::{SweptAt, Tried, Tune};

use fields::{
    ABOUT, BASE, BEGINS_WITH, BUDGET, CELL_FIELDS, CELLS, DATA_LABEL, FIELDS, FIRST_SEED, HEADLINE,
    HEADLINE_FIELDS, RATES, REPEATS, SCALE, SCALES, SET, SET_OF_ROW, SHAPES, SHAPES_OF_ROW, STAGE,
    STEPS, TEACHER, TUNE, VARIANT, VARIANTS,
};

/// A suite's file.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The file's stem.
    pub name: String,
    /// What it is for, in one sentence.
    pub about: String,
    /// The variant that the others are compared with, by name.
    pub base: Option<String>,
    /// The cell that the answer is about.
    pub headline: Option<Headline>,
    /// The data in the answer's words: `synthetic language`.
    pub data_label: String,
    /// How often everything is run.
    pub repeats: u64,
    /// Repeat k has this seed plus k.
    pub first_seed: u64,
    /// How each cell's learning rate is chosen before it is judged; absent where the variants' own rates stand.
    pub tune: Option<Tune>,
    /// Spec keys of every cell.
    pub set: Tree,
    /// Named shapes and their spec keys, in the file's order.
    pub shapes: Vec<(String, Tree)>,
    /// The rows of `[[cells]]`.
    pub groups: Vec<Group>,
}

/// The cell that a suite's answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// The variant whose gain over the base is the answer.
    pub variant: String,
    /// The scale it is read at.
    pub scale: String,
    /// The variant's budget in training steps.
    pub budget: u64,
}

/// One row of `[[cells]]`: every combination of its lists is a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Names, or paths that hold from the working directory.
    pub variants: Vec<String>,
    /// Widths (`w32`) or names of the suite's shapes.
    pub scales: Vec<String>,
    /// Training steps; empty where something else says how long.
    pub steps: Vec<u64>,
    /// Learning rates of a sweep; mostly empty.
    pub lr: Vec<f64>,
    /// The stage that its variants are named with.
    pub stage: Option<String>,
    /// The cell whose weights its cells begin with, as the row names it.
    pub from: Option<String>,
    /// The cell that its cells learn from, in the same words.
    pub teacher: Option<String>,
    /// Spec keys of these cells alone.
    pub set: Tree,
    /// Where the row stands.
    pub origin: Origin,
}

impl Group {
    /// Its variants by name, with the stage.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.variants
            .iter()
            .map(|reference| staged(reference, self.stage.as_deref()))
    }
}

impl Suite {
    /// Reads a suite's file that lies in `folder` (paths of variants are relative to it).
    pub(super) fn parse(name: String, file: &str, text: &str, folder: &Path) -> Result<Self> {
        let table = load::parse(file, text)?;
        if !table.has("cells") && (table.has("model") || table.has("train")) {
            let error = Error::input(format!("{file}: a variant, and no suite"));
            return Err(error.hint(format!(
                "`effbench run quick --variants gpt2,{file}` runs it"
            )));
        }
        let fields = table.fields(FIELDS)?;
        let shapes = fields
            .table(&SHAPES)?
            .map_or_else(|| Ok(Vec::new()), shapes)?;
        let set = fields.tree(&SET)?;
        let mut suite = Self {
            name,
            about: fields
                .find(&ABOUT)?
                .unwrap_or_else(|| format!("The suite of {file}.")),
            base: fields.find(&BASE)?,
            headline: fields.table(&HEADLINE)?.map(Headline::parse).transpose()?,
            data_label: fields
                .find(&DATA_LABEL)?
                .unwrap_or_else(|| data_label(&set)),
            repeats: fields.read(&REPEATS)? as u64,
            first_seed: fields.read(&FIRST_SEED)? as u64,
            tune: fields.table(&TUNE)?.map(Tune::parse).transpose()?,
            set,
            shapes,
            groups: Vec::new(),
        };
        suite.groups = fields
            .rows(&CELLS)?
            .iter()
            .map(|row| suite.group(row, folder))
            .collect::<Result<_>>()?;
        fields.need(&CELLS, suite.groups.first())?;
        suite.check_base(&fields)?;
        suite.check_headline(&fields)?;
        suite.check_seeds(&fields)?;
        Ok(suite)
    }

    /// Whether the cells' names carry their budgets: there is more than one for some variant and scale.
    pub fn names_budgets(&self) -> bool {
        let mut budgets = BTreeMap::new();
        self.groups.iter().any(|group| {
            let pairs = group
                .names()
                .flat_map(|v| group.scales.iter().map(move |s| (v.clone(), s)));
            let clash = |pair| *budgets.entry(pair).or_insert(&group.steps) != &group.steps;
            group.steps.len() > 1 || pairs.map(clash).fold(false, |a, b| a | b)
        })
    }

    /// The data of a cell in the answer's words: the suite's own, unless the command line chose other data.
    pub fn data_words(&self, cell: &Tree) -> String {
        let text = |key| cell.get(key).and_then(|entry| entry.value.as_str());
        match (
            text("data.path").and_then(|path| Path::new(path).file_name()?.to_str()),
            data_label(cell),
        ) {
            (Some(file), _) => file.to_owned(),
            (None, label) if label == data_label(&self.set) => self.data_label.clone(),
            (None, _) if text("data.kind").unwrap_or("language") == "language" => {
                "synthetic language".to_owned()
            }
            (None, label) => format!("data `{label}`"),
        }
    }

    fn group(&self, row: &Table, folder: &Path) -> Result<Group> {
        let row = row.fields(CELL_FIELDS)?;
        let variants = row.read(&VARIANTS)?;
        let scales = match (row.find(&SCALES)?, row.find(&SHAPES_OF_ROW)?) {
            (Some(scales), None) => match scales.iter().find(|scale| width_of(scale).is_none()) {
                Some(_) => {
                    return Err(row
                        .refuse(&SCALES, "expected widths")
                        .hint("for example [\"w32\", \"w64\"]"));
                }
                None => scales,
            },
            (None, Some(shapes)) => match shapes.iter().find(|shape| self.shape(shape).is_none()) {
                Some(shape) => {
                    let known = self.shapes.iter().map(|(name, _)| name.as_str());
                    return Err(row
                        .refuse(&SHAPES_OF_ROW, &format!("there is no [shapes.{shape}]"))
                        .suggest(shape, known));
                }
                None => shapes,
            },
            (Some(_), Some(_)) => {
                return Err(row.refuse(&SHAPES_OF_ROW, "a row has either scales or shapes"));
            }
            (None, None) => {
                return Err(row.refuse(&SCALES, "missing: expected widths, for example [\"w32\"]"));
            }
        };
        Ok(Group {
            variants: variants
                .iter()
                .map(|reference| join_path(folder, reference))
                .collect(),
            scales,
            steps: row
                .find(&STEPS)?
                .unwrap_or_default()
                .into_iter()
                .map(|steps| steps as u64)
                .collect(),
            lr: row.find(&RATES)?.unwrap_or_default(),
            stage: stage(&row)?,
            from: row.find(&BEGINS_WITH)?,
            teacher: row.find(&TEACHER)?,
            set: row.tree(&SET_OF_ROW)?,
            origin: row.origin(&VARIANTS),
        })
    }

    /// The spec keys of a named shape.
    pub(super) fn shape(&self, name: &str) -> Option<&Tree> {
        self.shapes
            .iter()
            .find(|(shape, _)| shape == name)
            .map(|(_, tree)| tree)
    }

    fn check_base(&self, fields: &Fields) -> Result<()> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let names: Vec<String> = self.groups.iter().flat_map(Group::names).collect();
        if names.contains(base) {
            return Ok(());
        }
        Err(fields
            .refuse(&BASE, "not among the variants of the cells")
            .suggest(base, names.iter().map(String::as_str)))
    }

    /// A rate chosen on the seed it is judged by is chosen by that seed's luck.
    fn check_seeds(&self, fields: &Fields) -> Result<()> {
        let Some(tune) = &self.tune else {
            return Ok(());
        };
        let judged = self.first_seed..self.first_seed.saturating_add(self.repeats);
        let tuned = tune.first_seed..tune.first_seed.saturating_add(tune.repeats);
        if judged.start.max(tuned.start) >= judged.end.min(tuned.end) {
            return Ok(());
        }
        Err(fields
            .refuse(&TUNE, "the seeds of the sweep are among those judged")
            .hint("for example first_seed = 1001"))
    }

    fn check_headline(&self, fields: &Fields) -> Result<()> {
        let Some(Headline {
            variant,
            scale,
            budget,
        }) = &self.headline
        else {
            return Ok(());
        };
        let holds = |group: &Group| {
            group.names().any(|name| name == *variant)
                && group.scales.contains(scale)
                && group.steps.contains(budget)
        };
        if self.groups.iter().any(holds) {
            return Ok(());
        }
        Err(fields.refuse(
            &HEADLINE,
            &format!("there is no cell {variant}/{scale} with {budget} steps"),
        ))
    }
}

impl Headline {
    fn parse(table: &Table) -> Result<Self> {
        let fields = table.fields(HEADLINE_FIELDS)?;
        Ok(Self {
            variant: staged(&fields.read(&VARIANT)?, None),
            scale: fields.read(&SCALE)?,
            budget: fields.read(&BUDGET)? as u64,
        })
    }
}

/// A stage is a word, since it stands in names.
fn stage(row: &Fields) -> Result<Option<String>> {
    let stage = row.find(&STAGE)?;
    let is_word = |stage: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        !stage.is_empty() && stage.chars().all(plain)
    };
    match stage.filter(|stage| !is_word(stage)) {
        Some(_) => Err(row.refuse(&STAGE, "a stage is a word of letters, digits, - and _")),
        None => row.find(&STAGE),
    }
}

fn shapes(table: &Table) -> Result<Vec<(String, Tree)>> {
    let shapes = table.tables()?.into_iter().map(|(name, shape)| {
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if plain && width_of(name).is_none() {
            Ok((name.to_owned(), shape.tree()?))
        } else {
            Err(table.refuse(
                name,
                "a shape's name is a word of letters and digits that is no width",
            ))
        }
    });
    shapes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_makes_no_sense_is_refused_with_its_line() {
        let check = |text: &str, want: &str| {
            let text = format!("about = \"x.\"\n{text}");
            let found = Suite::parse("s".to_owned(), "s.toml", &text, Path::new("")).unwrap_err();
            assert_eq!(found.to_string(), want);
        };
        let cells = "[[cells]]\nvariants = [\"gpt2\"]\nscales = [\"w32\"]\nsteps = [400]\n";
        check("", "s.toml: `cells` is missing");
        check(
            "repeat = 3\n",
            "s.toml:2: unknown field `repeat`\nhint: did you mean `repeats`?",
        );
        check(
            "repeats = 0\n",
            "s.toml:2: repeats = 0: expected a whole number of at least 1",
        );
        check(
            "[[cells]]\nvariant = \"a\"\n",
            "s.toml:3: unknown field `cells.variant`\nhint: did you mean `variants`?",
        );
        check(
            "[[cells]]\nscales = [\"w32\"]\n",
            "s.toml:2: `cells.variants` is missing",
        );
        check(
            "[[cells]]\nvariants = [\"gpt2\"]\nscales = [\"64\"]\n",
            "s.toml:4: cells.scales = [\"64\"]: expected widths\nhint: for example [\"w32\", \"w64\"]",
        );
        check(
            "[[cells]]\nvariants = [\"gpt2\"]\n",
            "s.toml:2: cells.scales: missing: expected widths, for example [\"w32\"]",
        );
        check(
            "[[cells]]\nvariants = [\"gpt2\"]\nshapes = [\"smal\"]\n[shapes.small]\nmodel.width = 8\n",
            "s.toml:4: cells.shapes = [\"smal\"]: there is no [shapes.smal]\nhint: did you mean `small`?",
        );
        check(
            "[shapes.w32]\nmodel.width = 8\n",
            "s.toml:2: shapes.w32: a shape's name is a word of letters and digits that is no width",
        );
        check(
            &format!("base = \"gpt\"\n{cells}"),
            "s.toml:2: base = \"gpt\": not among the variants of the cells\nhint: did you mean `gpt2`?",
        );
        check(
            &format!("headline = {{ variant = \"gpt2\", scale = \"w32\", budget = 300 }}\n{cells}"),
            "s.toml:2: headline: there is no cell gpt2/w32 with 300 steps",
        );
        let tune = |tune: &str| format!("tune = {{ {tune} }}\n{cells}");
        check(
            &tune("lr = [0.1, 0.2, 0.1]"),
            "s.toml:2: tune.lr = [0.1,0.2,0.1]: expected at least three rates, so that the best has a neighbour on each \
             side",
        );
        check(
            &tune("lr = [1, 2, 4], first_seed = 1"),
            "s.toml:2: tune: the seeds of the sweep are among those judged\nhint: for example first_seed = 1001",
        );
        check(
            "[set]\ntrain.steps = []\n[[set.x]]\n",
            "s.toml:4: set.x: a spec key holds a value, not rows",
        );
    }

    #[test]
    fn a_scale_is_a_width() {
        let check = |scale: &str, want: Option<u64>| assert_eq!(width_of(scale), want, "{scale}");
        check("w32", Some(32));
        for bad in [
            "w0",
            "w032",
            "32",
            "w",
            "w-3",
            "w+3",
            "w3.5",
            "W32",
            "w99999999999999999999",
            "wide",
        ] {
            check(bad, None);
        }
    }
}
