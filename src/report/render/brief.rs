//! What of a page fits a terminal: what it says first, and what is left out by name or number.

use crate::report::page::{Block, Page, Section};

/// The page without what is for those who look closer, without plots after its first, and, where it has sections, with no more than
/// the first sentence and the caveats of those after the first. What was left out is told at the end, with `whole`, which shows it;
/// a page that loses nothing stays as it is.
pub fn brief(page: &Page, whole: &str) -> Page {
    let mut left = Left::default();
    let mut sections = Vec::new();
    for (k, section) in page.sections.iter().enumerate() {
        let blocks = match k {
            0 => opening(&section.blocks, &mut left),
            _ => first_sentence(&section.blocks, &mut left),
        };
        if !blocks.is_empty() {
            sections.push(Section { blocks, ..*section });
        }
    }
    let (Some(said), Some(last)) = (left.said(page.sections.len() > 1), sections.last_mut()) else {
        return page.clone();
    };
    last.blocks
        .push(Block::Text(format!("Left out here: {said}. {whole}")));
    Page {
        sections,
        ..page.clone()
    }
}

/// What is not shown.
#[derive(Default)]
struct Left {
    names: Vec<String>,
    plots: usize,
    tables: usize,
}

impl Left {
    /// Counts what a block holds that is not shown.
    fn count(&mut self, block: &Block) {
        match block {
            Block::Plot(figure) => self.name(&figure.title, 1, 0),
            Block::Plots(figures) => {
                for figure in figures {
                    self.name(&figure.title, 1, 0);
                }
            }
            Block::Details(what, _) => self.name(what, 0, 1),
            Block::More(what, blocks) => {
                self.name(what, 0, 0);
                let within = self.names.len();
                blocks.iter().for_each(|inside| self.count(inside));
                self.names.truncate(within);
            }
            Block::Table(_) => self.tables += 1,
            _ => {}
        }
    }

    fn name(&mut self, title: &str, plots: usize, tables: usize) {
        let first = title.split_inclusive(". ").next().unwrap_or_default();
        self.names
            .push(first.trim_end().trim_end_matches(['.', ':']).to_owned());
        self.plots += plots;
        self.tables += tables;
    }

    /// By name, or by number where there are many; nothing where there is none.
    fn said(&self, many: bool) -> Option<String> {
        let count = |n: usize, what: &str| match n {
            0 => None,
            1 => Some(format!("one {what}")),
            n => Some(format!("{n} {what}s")),
        };
        if !many {
            return (!self.names.is_empty()).then(|| self.names.join("; "));
        }
        let counted = [count(self.plots, "plot"), count(self.tables, "table")];
        let counted: Vec<String> = counted.into_iter().flatten().collect();
        (!counted.is_empty()).then(|| counted.join(" and "))
    }
}

/// All but what is for those who look closer, and plots after the first.
fn opening(blocks: &[Block], left: &mut Left) -> Vec<Block> {
    let mut drawn = false;
    let mut kept = Vec::new();
    for block in blocks {
        let stays = match block {
            Block::More(..) | Block::Details(..) | Block::Plots(_) => false,
            Block::Plot(_) => !std::mem::replace(&mut drawn, true),
            _ => true,
        };
        if stays {
            kept.push(block.clone());
        } else {
            left.count(block);
        }
    }
    without_lone_headings(kept)
}

/// The first sentence that stands for itself and the caveats.
fn first_sentence(blocks: &[Block], left: &mut Left) -> Vec<Block> {
    blocks.iter().for_each(|block| left.count(block));
    let tables = |block: &Block| matches!(block, Block::Table(_) | Block::Details(..));
    let sentence = blocks.iter().enumerate().find(|(k, block)| {
        let captions = blocks.get(k + 1).is_some_and(tables);
        match block {
            Block::Lead(_) | Block::Verdict(..) => true,
            Block::Text(text) => !captions && !text.ends_with(':'),
            _ => false,
        }
    });
    let caveats = blocks
        .iter()
        .filter(|block| matches!(block, Block::Caveat { .. }));
    let sentence = sentence.map(|(_, block)| block);
    sentence.into_iter().chain(caveats).cloned().collect()
}

fn without_lone_headings(blocks: Vec<Block>) -> Vec<Block> {
    let mut kept: Vec<Block> = Vec::new();
    for block in blocks {
        let lone = matches!(kept.last(), Some(Block::Heading(_)));
        if lone && matches!(block, Block::Heading(_)) {
            kept.pop();
        }
        kept.push(block);
    }
    if matches!(kept.last(), Some(Block::Heading(_))) {
        kept.pop();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::{Axis, Chart, Figure, Forest, Quantity, Table};

    fn plot(title: &str) -> Block {
        Block::Plot(Figure {
            title: title.to_owned(),
            caption: String::new(),
            chart: Chart::Forest(Forest {
                x: Axis::log("gain", Quantity::Times),
                null: None,
                rows: Vec::new(),
            }),
        })
    }

    #[test]
    fn what_is_left_out_is_named_and_a_short_page_stays_whole() {
        let short = vec![Block::Lead("modern wins.".to_owned()), plot("Gains")];
        let mut page = Page::answer("gain", Vec::new(), short);
        assert_eq!(brief(&page, "x").blocks().count(), 2);
        let more = vec![
            plot("By length"),
            Block::More("Change by change".to_owned(), vec![plot("Inner")]),
            Block::Table(Table::new(["cell"])),
            Block::Details("The rest, too. And more".to_owned(), Table::new(["cell"])),
        ];
        page.sections[0].blocks.extend(more);
        let told = brief(&page, "`--full` prints all.");
        let blocks: Vec<&Block> = told.blocks().collect();
        assert!(matches!(blocks[2], Block::Table(_)), "a table of the text");
        let said =
            "Left out here: By length; Change by change; The rest, too. `--full` prints all.";
        assert!(matches!(blocks[3], Block::Text(text) if text == said));
        assert_eq!(blocks.len(), 4);
    }

    #[test]
    fn later_sections_keep_their_first_sentence_and_caveats() {
        let mut page = Page::answer("report", Vec::new(), vec![plot("Gains")]);
        let section = |title, blocks| Section {
            id: title,
            title,
            about: "",
            blocks,
        };
        let table = || Block::Table(Table::new(["cell"]));
        let text = |text: &str| Block::Text(text.to_owned());
        let doubt = Block::Caveat {
            message: "it was not alone".to_owned(),
            remedy: "wait".to_owned(),
        };
        let speed = [
            text("Means of all:"),
            table(),
            text("It is fast."),
            plot("Speed"),
            doubt,
        ];
        page.sections.push(section("Speed", speed.to_vec()));
        page.sections
            .push(section("Figures", vec![text("Means."), table()]));
        let told = brief(&page, "");
        assert_eq!(told.sections.len(), 2);
        assert!(matches!(&told.sections[1].blocks[..],
            [Block::Text(fast), Block::Caveat { .. }, Block::Text(left)]
                if fast == "It is fast." && left == "Left out here: one plot and 2 tables. "));
    }
}
