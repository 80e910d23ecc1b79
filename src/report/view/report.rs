//! What a report says, one file a section: each takes the findings and yields blocks, or nothing where it has nothing to say.

use super::compare::blocks;
use super::{
    along, answer, cells, choices, curves, drafted, energy, frontier, gains, lifecycle, loss,
    mixture, origin, scale, scarce, serving, spectrum, speed, think, unfinished, validity, valleys,
    words,
};
use crate::analysis::findings::Findings;
use crate::config::Price;
use crate::record::ResultFile;
use crate::report::page::{Block, Page, Section};

/// A row of the catalog.
pub struct Kind {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The question it answers, in one sentence.
    pub about: &'static str,
    /// What it says; nothing where the findings hold nothing for it.
    pub build: fn(&Findings) -> Option<Vec<Block>>,
}

/// Every section there is, in reading order; the first is what the report opens with.
pub const SECTIONS: &[Kind] = &[
    Kind {
        id: "answer",
        title: "The answer",
        about: "What is the next gain worth?",
        build: answer::build,
    },
    Kind {
        id: "compared",
        title: "Against the other build",
        about: "Is anything worse than in the build that it was run against?",
        build: |findings| findings.compared.as_ref().map(blocks),
    },
    Kind {
        id: "loss",
        title: "Loss against compute",
        about: "How far does each variant get with the compute it is given?",
        build: loss::build,
    },
    Kind {
        id: "scale",
        title: "What scale buys",
        about: "What does the next doubling of compute bring, and how sure is the law behind it?",
        build: scale::build,
    },
    Kind {
        id: "gains",
        title: "What each variant is worth",
        about: "How many times its compute does the base need for the same loss, and do gains multiply and carry over?",
        build: gains::build,
    },
    Kind {
        id: "along",
        title: "Gain against compute",
        about: "Does what a variant is worth grow or fade as compute grows?",
        build: along::build,
    },
    Kind {
        id: "spectrum",
        title: "What is learnt",
        about: "Which kinds of token does a variant predict better?",
        build: spectrum::build,
    },
    Kind {
        id: "front",
        title: "Loss against seconds, memory and joules",
        about: "What is the best that each budget buys?",
        build: frontier::build,
    },
    Kind {
        id: "think",
        title: "What thinking longer buys",
        about: "How many problems does more compute for an answer solve, and what is it worth in training?",
        build: think::build,
    },
    Kind {
        id: "choices",
        title: "Multiple choice",
        about: "How many questions does each model answer rightly, and how many does guessing?",
        build: choices::build,
    },
    Kind {
        id: "lifecycle",
        title: "What it costs over its life",
        about: "From how many requests on does what costs more to train pay for itself?",
        build: lifecycle::build,
    },
    Kind {
        id: "scarce",
        title: "Scarce data",
        about: "What does reading again save in data, and what does it cost in compute?",
        build: scarce::build,
    },
    Kind {
        id: "mixture",
        title: "Proportions of two sources",
        about: "How much of each source should a model read?",
        build: mixture::build,
    },
    Kind {
        id: "speed",
        title: "Throughput and utilisation",
        about: "How fast does it train and generate, and how much of the machine does it use?",
        build: speed::build,
    },
    Kind {
        id: "serving",
        title: "Serving over depth and batch",
        about: "What does a token cost the longer the text before it is, and the more sequences are served at once?",
        build: serving::build,
    },
    Kind {
        id: "drafted",
        title: "Tokens guessed ahead",
        about: "How much faster is decoding when something cheap guesses and the model only judges?",
        build: drafted::build,
    },
    Kind {
        id: "energy",
        title: "Energy and money",
        about: "How many joules, read by which meter, and what did all of it cost?",
        build: energy::build,
    },
    Kind {
        id: "valleys",
        title: "Loss against learning rate",
        about: "Does a rate that is tuned at one width hold at another?",
        build: valleys::build,
    },
    Kind {
        id: "curves",
        title: "Training curves",
        about: "How does the loss fall during training?",
        build: curves::build,
    },
    Kind {
        id: "cells",
        title: "All figures",
        about: "What was measured in every cell?",
        build: cells::build,
    },
    Kind {
        id: "validity",
        title: "Validity and caveats",
        about: "What speaks against believing this?",
        build: validity::build,
    },
    Kind {
        id: "unfinished",
        title: "What did not finish",
        about: "Which trials are missing, and why?",
        build: unfinished::build,
    },
    Kind {
        id: "origin",
        title: "Machine and provenance",
        about: "Where do these figures come from?",
        build: origin::build,
    },
    Kind {
        id: "words",
        title: "Words",
        about: "What do the terms mean?",
        build: words::build,
    },
];

/// The report of a file, or of several pooled, at these prices; `title` instead of its own.
pub fn page(file: &ResultFile, price: Option<&Price>, title: Option<&str>) -> Page {
    let file = &file.held_against_best();
    let findings = Findings::at(file, price);
    let section = |kind: &Kind| {
        let blocks = (kind.build)(&findings)?;
        Some(Section {
            id: kind.id,
            title: kind.title,
            about: kind.about,
            blocks,
        })
    };
    let sections = SECTIONS.iter().filter_map(section).collect();
    let title = title.map_or_else(|| format!("effbench: {}", file.run.suite), str::to_owned);
    let day = file.run.started_at.split('T').next().unwrap_or_default();
    let source = format!(
        "{} trials of suite {}, {day}",
        file.trials.len(),
        file.run.suite
    );
    Page {
        title,
        source,
        variants: [
            findings.variants.clone(),
            think::names(file),
            serving::names(&findings),
        ]
        .concat(),
        sections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::against::{BASE, HEAD};
    use crate::record::example::example;
    use crate::report::page::Mood;

    #[test]
    fn two_builds_in_one_file_are_compared_in_its_report() {
        let mut file = example();
        assert!(Findings::of(&file).compared.is_none());
        let mut other = file.trials.clone();
        file.trials
            .iter_mut()
            .for_each(|trial| trial.arm = BASE.to_owned());
        for trial in &mut other {
            trial.arm = HEAD.to_owned();
            trial.id.push_str("-head");
            if let Some(speed) = trial
                .metrics
                .get_mut(crate::record::metric::TRAIN_TOKENS_PER_S)
            {
                speed.value = speed.value.map(|value| 0.8 * value);
                speed.samples.iter_mut().for_each(|value| *value *= 0.8);
            }
        }
        file.trials.extend(other);
        let page = page(&file, None, None);
        let section = page
            .sections
            .iter()
            .find(|section| section.id == "compared");
        let first = &section.unwrap().blocks[0];
        assert!(
            matches!(first, Block::Verdict(Mood::Bad, said) if said.contains("slower")),
            "{first:?}"
        );
    }
}
