//! What a report says, one file a section: each takes the findings and yields blocks, or nothing where it has nothing to say.

use super::{
    along, answer, cells, curves, energy, frontier, gains, loss, origin, scale, spectrum, speed,
    unfinished, validity, valleys, words,
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
        about: "How many times more must the base spend to match it, and do gains multiply and carry over?",
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
        id: "speed",
        title: "Throughput and utilisation",
        about: "How fast does it train and generate, and how much of the machine does it use?",
        build: speed::build,
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
        variants: findings.variants,
        sections,
    }
}
