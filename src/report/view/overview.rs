//! A page for who reads nothing else: of each file its question, one sentence, one picture, and the command that says all.

use super::sentence::{sentence, worth};
use super::{drafted, gain, loss, scale, scarce, served, serving, think};
use crate::analysis::caveat::taken_by_others;
use crate::analysis::findings::Findings;
use crate::analysis::gain::Sign;
use crate::config::Price;
use crate::record::ResultFile;
use crate::record::parents::with_parents_counted;
use crate::report::page::{Block, Chart, Figure, Hue, Page, Section};
use crate::unit::Share;

/// Anchors, one a file.
const IDS: [&str; 12] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
];

/// The most files that a page is of.
pub const MOST: usize = IDS.len();

/// What a file may answer, the first that fits.
struct Question {
    title: &'static str,
    about: &'static str,
    /// The sentence and the picture.
    told: fn(&Findings) -> Option<(String, Option<Figure>)>,
}

const QUESTIONS: [Question; 8] = [
    Question {
        title: "Is it worth thinking longer?",
        about: "Compute spent on an answer against compute spent on training.",
        told: |findings| lead_of(think::build(findings)?),
    },
    Question {
        title: "What are data worth that were read before?",
        about: "Reading again saves data and costs compute.",
        told: |findings| {
            let (said, _) = lead_of(scarce::build(findings)?)?;
            Some((said, plot(loss::build(findings))))
        },
    },
    Question {
        title: "Is a model worth reusing?",
        about: "Starting from what another model has learnt, or learning from it, against starting from nothing.",
        told: |findings| {
            let lent =
                |trial: &crate::record::Trial| trial.parent.is_some() || trial.teacher.is_some();
            findings.file.trials.iter().find(|trial| lent(trial))?;
            let (said, picture) = best(findings)?;
            let counted = with_parents(findings).map_or_else(
                || " What the other model took to train is not in it.".to_owned(),
                |worth| format!(" With what the other model took to train it is worth {worth}."),
            );
            Some((said + &counted, picture))
        },
    },
    Question {
        title: "More scale, or a better algorithm?",
        about: "What a change is worth, in compute that its base would have to spend instead.",
        told: |findings| {
            let answer = findings.answer.as_ref().ok()?;
            let grows = answer.base_scales.len() > 1;
            let (said, picture) = best(findings)?;
            let lines = || plot(loss::build(findings));
            let alone = findings.variants.len() == 2;
            (grows || alone).then(|| {
                (
                    said,
                    if grows {
                        lines()
                    } else {
                        picture.or_else(lines)
                    },
                )
            })
        },
    },
    Question {
        title: "Which change is worth most?",
        about: "Changes of the same base, each in compute that the base would have to spend instead.",
        told: best,
    },
    Question {
        title: "What does scale buy?",
        about: "Models of several sizes, or trained for longer.",
        told: |findings| lead_of(scale::opening(findings)),
    },
    Question {
        title: "Is it worth guessing ahead?",
        about: "Decoding when something cheap guesses and the model only judges.",
        told: |findings| of_seconds(findings, lead_of(drafted::build(findings)?)),
    },
    Question {
        title: "What does serving cost?",
        about: "A token, the longer the text before it is and the more sequences are served at once.",
        told: |findings| {
            let (said, _) = lead_of(vec![served::lead(findings)?])?;
            of_seconds(findings, Some((said, plot(serving::build(findings)))))
        },
    },
];

/// Of files that each answer a question, in their order; what answers none is left out with its name.
pub fn page(files: &[(String, ResultFile)], price: &Price) -> Page {
    let mut page = Page {
        title: "effbench: what was found".to_owned(),
        source: match files.len() {
            1 => "One result file".to_owned(),
            many => format!("{many} result files, each for itself"),
        },
        variants: Vec::new(),
        sections: vec![opening()],
    };
    for (id, (name, file)) in IDS.into_iter().zip(files) {
        let findings = Findings::at(file, Some(price));
        let names = [findings.variants.clone(), think::names(file)].concat();
        let found = QUESTIONS
            .iter()
            .find_map(|q| Some((q, (q.told)(&findings)?)));
        let section = found.map(|(question, (said, picture))| {
            let mut blocks = vec![Block::Lead(said)];
            blocks.extend(picture.map(|mut figure| {
                recolour(&mut figure, &names, &mut page.variants);
                Block::Plot(figure)
            }));
            blocks.push(Block::Code(format!("effbench report {name}")));
            (question.title, question.about, blocks)
        });
        let nothing = || {
            let said = match file.run.suite.as_str() {
                "challenge" => format!(
                    "{name} holds a challenger's runs: `effbench challenge {name}` judges them against the frontier."
                ),
                _ => format!(
                    "{name} answers no question by itself: `effbench report` shows what it holds."
                ),
            };
            (
                "No answer",
                "What was measured without one.",
                vec![Block::Text(said)],
            )
        };
        let (title, about, blocks) = section.unwrap_or_else(nothing);
        page.sections.push(Section {
            id,
            title,
            about,
            blocks,
        });
    }
    page
}

/// What stands above the first question.
fn opening() -> Section {
    let said = "Each question is answered by runs of one result file; the command below a picture shows all that is behind it, and its doubts. \
                Models are small: a line here is a reason to look closer at the size that you care for.";
    Section {
        id: "answer",
        title: "",
        about: "",
        blocks: vec![Block::Text(said.to_owned())],
    }
}

/// The first thing that a reader takes away, and the first picture.
fn lead_of(blocks: Vec<Block>) -> Option<(String, Option<Figure>)> {
    let said = blocks.iter().find_map(|block| match block {
        Block::Lead(said) | Block::Verdict(_, said) => Some(said.clone()),
        _ => None,
    })?;
    Some((said, plot(Some(blocks))))
}

fn plot(blocks: Option<Vec<Block>>) -> Option<Figure> {
    blocks?.into_iter().find_map(|block| match block {
        Block::Plot(figure) => Some(figure),
        Block::Plots(figures) => figures.into_iter().next(),
        _ => None,
    })
}

/// The variant that gains most, of all that were asked at its place, and all of them.
fn best(findings: &Findings) -> Option<(String, Option<Figure>)> {
    let mut studies = findings.studies.iter();
    let study = studies.find(|study| study.asked().is_some())?;
    let picked = study.picked().map_or(study.asked()?, |picked| picked.best);
    let hue = |variant: &str| super::hue::hue(findings, variant);
    let of = study.picked().map_or(String::new(), |picked| {
        format!(
            " It was picked as the largest of {}, which flatters it.",
            picked.of
        )
    });
    Some((
        format!("{}{of}", sentence(picked)),
        plot(Some(gain::answers(study, &hue))),
    ))
}

/// What is said of seconds, with a doubt where the machine was not theirs alone.
fn of_seconds(
    findings: &Findings,
    told: Option<(String, Option<Figure>)>,
) -> Option<(String, Option<Figure>)> {
    let (said, picture) = told?;
    let doubt = taken_by_others(findings.file.trials.iter()).map(|share| {
        format!(
            " Other programs had {} of the processors in the median trial: do not trust it.",
            Share(share)
        )
    });
    Some((said + &doubt.unwrap_or_default(), picture))
}

/// What the variant that is told of is worth when what its parents or teachers took to train is counted with it.
fn with_parents(findings: &Findings) -> Option<String> {
    let told = |findings: &Findings| {
        let study = findings.studies.iter().find(|s| s.asked().is_some())?;
        let picked = study.picked().map_or(study.asked()?, |picked| picked.best);
        Some((picked.variant.clone(), picked.scale.clone(), picked.budget))
    };
    let (variant, scale, budget) = told(findings)?;
    let counted = with_parents_counted(findings.file).ok()?;
    let counted = Findings::at(&counted, None);
    let mut answers = counted.studies.iter().flat_map(|study| &study.answers);
    let same = answers.find(|a| a.variant == variant && a.scale == scale && a.budget == budget)?;
    let sure = match same.headline().sign() {
        Sign::Unclear => ": whether it gains or loses cannot be told",
        Sign::More | Sign::Less => "",
    };
    Some(format!("{}{sure}", worth(&same.headline())))
}

/// Gives a figure the hues of the whole page: one name, one hue.
fn recolour(figure: &mut Figure, names: &[String], all: &mut Vec<String>) {
    let mut place = |hue: &mut Hue| {
        let Hue::Variant(own) = *hue else { return };
        let Some(name) = names.get(own) else { return };
        let known = all.iter().position(|other| other == name);
        *hue = Hue::Variant(known.unwrap_or_else(|| {
            all.push(name.clone());
            all.len() - 1
        }));
    };
    match &mut figure.chart {
        Chart::Scatter(scatter) => scatter
            .series
            .iter_mut()
            .for_each(|one| place(&mut one.hue)),
        Chart::Forest(forest) => forest.rows.iter_mut().for_each(|one| place(&mut one.hue)),
        Chart::Bars { bars, .. } => bars.iter_mut().for_each(|one| place(&mut one.hue)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Library;
    use crate::record::example::example;

    #[test]
    fn each_file_has_a_question_a_sentence_a_picture_and_a_command() {
        let mut other = example();
        for trial in &mut other.trials {
            trial.variant = trial.variant.replace("modern", "newer");
            trial.cell = trial.cell.replace("modern", "newer");
        }
        if let Some(headline) = &mut other.run.headline {
            headline.variant = headline.variant.replace("modern", "newer");
        }
        let mut empty = example();
        empty.trials.clear();
        let files = [("a.json", example()), ("b.json", other), ("c.json", empty)];
        let files = files.map(|(name, file)| (name.to_owned(), file));
        let price = Library::builtin().price("default").unwrap();
        let page = page(&files, &price);
        let ids: Vec<&str> = page.sections.iter().map(|s| s.id).collect();
        assert_eq!(ids, ["answer", "first", "second", "third"]);
        for (section, name) in page.sections[1..].iter().zip(["a.json", "b.json"]) {
            assert_eq!(section.title, "More scale, or a better algorithm?");
            let [Block::Lead(said), Block::Plot(_), Block::Code(command)] = &section.blocks[..]
            else {
                panic!("{:?}", section.blocks)
            };
            assert!(said.contains("95%") && said.contains("n = 4"), "{said}");
            assert_eq!(*command, format!("effbench report {name}"));
        }
        // One name, one hue, on all of the page.
        let used = page
            .sections
            .iter()
            .flat_map(|s| &s.blocks)
            .filter_map(|block| match block {
                Block::Plot(figure) => Some(figure.variants()),
                _ => None,
            });
        assert_eq!(used.collect::<Vec<_>>(), [[0], [1]]);
        assert_eq!(page.variants, ["modern", "newer"]);
        assert!(matches!(&page.sections[3].blocks[..], [Block::Text(_)]));
    }
}
