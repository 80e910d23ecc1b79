//! Whose log it is: what training programs print, a file each, recognised by what the lines say.
//!
//! A dialect turns a line into named cells or passes over it. The one that reads most lines of a file has it; what is delimited
//! text or JSON is none of theirs. Names stay the program's own where they say what they mean ([`super::columns`] knows them).

use std::collections::BTreeMap;

use super::delimited::{Passed, Table};
use super::figures::Marks;
use super::sparse::Sparse;
use line::{Before, Cells};

mod line;
mod words;
mod facts;
mod key_values;
mod nanogpt;
mod nanochat;
mod torchtitan;
mod megatron;
mod litgpt;
mod llmc;
mod trainer;
mod fairseq;
mod olmo;
mod composer;
mod nemo;
mod mlperf;
mod keras;
mod levanter;
mod rwkv;
mod xlm;
mod tinygrad;
mod notebook;
mod printed;
mod energy;
mod dmon;
mod clu;
mod epochs;
mod marian;
mod jsonl;
mod sql;
mod mmengine;
mod named;

/// A program's way to write a log.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is a log of.
    pub about: &'static str,
    line: fn(&str, &mut Before) -> Option<Cells>,
}

/// Those that are known, in the order in which they are preferred where several read as many lines.
pub static CATALOG: [Dialect; 29] = [
    Dialect {
        name: "key-value",
        about: "lines of key:value or key=value words with a step: modded-nanogpt, llm.c",
        line: key_values::line,
    },
    Dialect {
        name: "nanogpt",
        about: "`step N: train loss .., val loss ..` and `iter N: loss ..`",
        line: nanogpt::line,
    },
    Dialect {
        name: "nanochat",
        about: "`step N/M (..%) | loss: .. | .. ` and `Step N | Validation bpb: ..`",
        line: nanochat::line,
    },
    Dialect {
        name: "torchtitan",
        about: "`.. step: N  loss: ..  tps: ..`, coloured or not",
        line: torchtitan::line,
    },
    Dialect {
        name: "megatron",
        about: "`iteration N/ M | .. | lm loss: ..` and `validation loss at iteration N | ..`",
        line: megatron::line,
    },
    Dialect {
        name: "litgpt",
        about: "`Epoch .. | iter N step M | loss train: ..` and `iter N: val loss ..`",
        line: litgpt::line,
    },
    Dialect {
        name: "llm.c",
        about: "`step N/M | loss .. | .. | .. tok/s` and `val loss ..`",
        line: llmc::line,
    },
    Dialect {
        name: "trainer",
        about: "Hugging Face's `{'loss': .., 'epoch': ..}` between the frames of its progress bar",
        line: trainer::line,
    },
    Dialect {
        name: "fairseq",
        about: "`epoch 001: .. loss=.., num_updates=..` and `valid on 'valid' subset | loss ..`, in bits",
        line: fairseq::line,
    },
    Dialect {
        name: "olmo",
        about: "`[step=N/M]` and below it `train/CrossEntropyLoss=..`",
        line: olmo::line,
    },
    Dialect {
        name: "composer",
        about: "`[batch=N/M]:` and below it `Train loss/train/total: ..`: LLM Foundry",
        line: composer::line,
    },
    Dialect {
        name: "nemo",
        about: "`Training epoch E, iteration N/M | .. | reduced_train_loss: .. | val_loss: ..`",
        line: nemo::line,
    },
    Dialect {
        name: "mlperf",
        about: "`:::MLLOG {..}` with `train_loss`, `eval_loss` or a language model's `eval_accuracy`",
        line: mlperf::line,
    },
    Dialect {
        name: "keras",
        about: "`Epoch E/M` and `N/N .. - loss: .. - val_loss: ..` of `model.fit`",
        line: keras::line,
    },
    Dialect {
        name: "levanter",
        about: "`Progress on:train N it/M it .. postfix:loss=..` and `eval loss: ..`",
        line: levanter::line,
    },
    Dialect {
        name: "rwkv",
        about: "RWKV-LM's train_log.txt: epoch, loss, perplexity, rate, time",
        line: rwkv::line,
    },
    Dialect {
        name: "xlm",
        about: "`.. - N - .. words/s - MLM-en: .. - model LR: ..` and `__log__:{..}`",
        line: xlm::line,
    },
    Dialect {
        name: "tinygrad",
        about: "`N .. ms run, .. loss, .. LR, .. GFLOPS` and `.. val_loss STEP=N`",
        line: tinygrad::line,
    },
    Dialect {
        name: "notebook",
        about: "the Trainer's table of a notebook: `Step  Training Loss  Validation Loss`",
        line: notebook::line,
    },
    Dialect {
        name: "printed",
        about: "speeds as ollama, llama.cpp, mlx-lm, serving benchmarks and MLPerf inference print them",
        line: printed::line,
    },
    Dialect {
        name: "energy",
        about: "energies as perf stat (-x, too), CodeCarbon, carbontracker, pyJoules, powermetrics, powerstat, turbostat print them",
        line: energy::line,
    },
    Dialect {
        name: "dmon",
        about: "`nvidia-smi dmon -o DT`",
        line: dmon::line,
    },
    Dialect {
        name: "clu",
        about: "`[N] collection=train loss=.., accuracy=..`: T5X, Flax's examples, Big Vision",
        line: clu::line,
    },
    Dialect {
        name: "epochs",
        about: "`| epoch 1 | 200/ 2983 batches | .. | loss ..`: word_language_model, AWD-LSTM, muP; minGPT of 2020",
        line: epochs::line,
    },
    Dialect {
        name: "marian",
        about: "`Ep. 1 : Up. 500 : .. : Cost .. * ..` and `[valid] .. : ce-mean-words : ..`",
        line: marian::line,
    },
    Dialect {
        name: "mmengine",
        about: "`Iter(train) [N/M]  lr: ..  loss: ..` and `Epoch [E][N/M]  ..`: MMEngine, XTuner",
        line: mmengine::line,
    },
    Dialect {
        name: "sql",
        about: "`INSERT INTO test (..) VALUES (..);`: llama-bench -o sql",
        line: sql::line,
    },
    Dialect {
        name: "jsonl",
        about: "JSON behind what a logger puts before it: DLLogger",
        line: jsonl::line,
    },
    Dialect {
        name: NAMED,
        about: "any line that names a step and a loss: torchtune, MaxText; the last resort",
        line: named::line,
    },
];

/// The dialect of no program in particular.
const NAMED: &str = "named";

impl Dialect {
    /// A file's lines as rows, and those that are none.
    pub fn read(&self, file: &str, text: &str) -> (Table, Passed) {
        let (table, passed, _) = self.scan(file, text);
        (table, passed)
    }

    /// The same, and how many lines are of this form, whether they are rows or parts of one.
    fn scan(&self, file: &str, text: &str) -> (Table, Passed, usize) {
        let (mut table, mut passed, mut known) = (Sparse::default(), Passed::default(), 0);
        let mut before = Before::default();
        let mut facts: BTreeMap<&str, String> = BTreeMap::new();
        let mut push = |line: usize, mut cells: Cells, facts: &BTreeMap<&str, String>| {
            // What is held until a later line says its step is no row yet.
            if cells.is_empty() {
                return;
            }
            for (column, figure) in facts {
                // A name behind the figures would say that the last of them is whole.
                let place = if *column == "model" { 0 } else { cells.len() };
                if cells.iter().all(|(known, _)| known != column) {
                    cells.insert(place, ((*column).to_owned(), figure.clone()));
                }
            }
            table.push(line, cells);
        };
        let (mut last, mut known_at) = (1, 1);
        // A progress bar writes over its line: what stands behind each carriage return is a line.
        for (index, line) in text.lines().enumerate() {
            last = index + 1;
            for part in line.split('\r') {
                match (self.line)(part, &mut before) {
                    Some(cells) => {
                        known += 1;
                        known_at = last;
                        push(last, cells, &facts);
                    }
                    None if part.trim().is_empty() => {}
                    None => match facts::of(part) {
                        Some((column, figure)) => drop(facts.insert(column, figure)),
                        None => passed.add(last),
                    },
                }
            }
        }
        let held = before.held.is_some();
        match trainer::rest(&mut before) {
            Some(cells) => push(last, cells, &facts),
            None if held => passed.add(last),
            None => {}
        }
        push(last, before.block.take().unwrap_or_default(), &facts);
        // What a program prints has points for decimals, and commas between thousands if anything.
        let open = !text.ends_with('\n') && known_at == last;
        let mut table = table.table(file, open);
        table.mark_all(Marks::Point);
        (table, passed, known)
    }
}

/// Whether what a log was read as is a program that trains, and not somebody's table.
pub fn is_program(name: &str) -> bool {
    let document = name == super::json::TRAINER_STATE;
    document || CATALOG.iter().any(|dialect| dialect.name == name)
}

/// A dialect, what it read, and the lines that are none of it.
pub type Found = (&'static Dialect, Table, Passed);

/// The dialect of what a meter or a benchmark writes between commas; `None` where the text is a table with a header.
pub fn of_delimited(file: &str, text: &str) -> Option<Found> {
    let known = CATALOG
        .iter()
        .filter(|dialect| ["printed", "energy"].contains(&dialect.name));
    best(known, file, text)
}

/// The dialect that knows most lines of a text; `None` where none reads any row. What fits no program in particular must know more
/// than twice as many as the best of them.
pub fn of(file: &str, text: &str) -> Option<Found> {
    best(CATALOG.iter(), file, text)
}

fn best(known: impl Iterator<Item = &'static Dialect>, file: &str, text: &str) -> Option<Found> {
    let mut best: Option<(usize, &Dialect, Table, Passed)> = None;
    for dialect in known {
        let (table, passed, known) = dialect.scan(file, text);
        let most = best.as_ref().map_or(0, |(most, ..)| *most);
        let handicap = if dialect.name == NAMED { 2 } else { 1 };
        if table.rows() > 0 && known > handicap * most {
            best = Some((known, dialect, table, passed));
        }
    }
    best.map(|(_, dialect, table, passed)| (dialect, table, passed))
}

#[cfg(test)]
mod tests;
