//! The trials that answer a question, paired by seed: what the base reached at each of its sizes and budgets, and what the variant
//! reached, from the same seed and data. A seed is one draw of luck, whatever the files, sessions and machines that it ran in, so
//! that the order of files decides nothing; builds and settings that differ under one name have different answers, and none is
//! chosen in silence.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::Spent;
use super::question::{Question, Unanswered};
use super::stratum::Stratum;
use crate::record::{Status, Trial};

/// What one finished trial spent and reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// By axis.
    pub spent: Spent,
    /// Final loss in nats.
    pub loss: f64,
}

/// A cell of the base.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseCell {
    /// `gpt2/w32@800`.
    pub name: String,
    /// Its size.
    pub scale: String,
    /// Its budget in steps, where cells carry one.
    pub budget: Option<u64>,
    /// Training tokens over all parameters, where both are known.
    pub tokens_per_param: Option<f64>,
}

/// One seed with everything finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Of parameters, data order and sampling; of both sides.
    pub seed: u64,
    /// The base, by cell in the order of [`Pairs::cells`].
    pub base: Vec<Point>,
    /// The variant in question.
    pub variant: Point,
}

/// All complete seeds, and the trials they were looked for in.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    /// What is asked.
    pub question: Question,
    /// What the data are.
    pub data: String,
    /// Whether the data are generated.
    pub generated: bool,
    /// The metric compared.
    pub loss: &'static str,
    /// The base's cells that every pair has, by size and budget.
    pub cells: Vec<BaseCell>,
    /// Cells of the base that too few seeds have.
    pub left_out: Vec<String>,
    /// Complete seeds, ascending.
    pub pairs: Vec<Pair>,
    /// Every trial of the base and the variant that belongs to the question, finished or not.
    pub trials: Vec<&'a Trial>,
    /// Trials of the same cells that saw other data.
    pub elsewhere: usize,
    /// Whether some cells have no seeds in common, so that their repeats pair by their order.
    pub unpaired: bool,
}

/// Finds the trials that answer a file's headline question, where most of them are.
pub fn pair<'w, 'a>(
    strata: &'w [Stratum<'a>],
    question: &Question,
) -> Result<(&'w Stratum<'a>, Pairs<'a>), Unanswered> {
    let asked = |trial: &&&Trial| question.is_base(trial) || question.is_variant(trial);
    let count = |stratum: &Stratum| stratum.trials.iter().filter(asked).count();
    let total: usize = strata.iter().map(count).sum();
    let Some(stratum) = strata.iter().rev().max_by_key(|stratum| count(stratum)) else {
        return Err(Unanswered::NoTrial(question.cell()));
    };
    let mut pairs = pair_in(stratum, question)?;
    pairs.elsewhere = total - pairs.trials.len();
    Ok((stratum, pairs))
}

/// Finds the trials that answer a question in one world.
pub fn pair_in<'a>(stratum: &Stratum<'a>, question: &Question) -> Result<Pairs<'a>, Unanswered> {
    if question.variant == question.base {
        return Err(Unanswered::SameVariant(question.base.clone()));
    }
    let asked = |trial: &&Trial| question.is_base(trial) || question.is_variant(trial);
    let trials: Vec<&Trial> = stratum.trials.iter().copied().filter(asked).collect();
    let loss = stratum.loss_metric();
    let finished: Vec<(&Trial, Point)> = trials
        .iter()
        .filter_map(|t| Some((*t, point(stratum, t, loss)?)))
        .collect();
    if !finished.iter().any(|(t, _)| question.is_variant(t)) {
        return Err(Unanswered::NoTrial(question.cell()));
    }
    if !finished.iter().any(|(t, _)| question.is_base(t)) {
        return Err(Unanswered::NoTrial(question.base.clone()));
    }
    stratum.of_one_kind(&trials)?;
    let shared = Shared::of(&trials, question);
    let (cells, left_out, pairs) = matched(&finished, question, &shared);
    if pairs.is_empty() {
        return Err(Unanswered::NoPair);
    }
    let (question, data, generated) = (question.clone(), stratum.data.clone(), stratum.generated);
    Ok(Pairs {
        question,
        data,
        generated,
        loss,
        cells,
        left_out,
        pairs,
        trials,
        elsewhere: 0,
        unpaired: !shared.order.is_empty(),
    })
}

/// A cell of the base by size and budget.
type Key<'a> = (&'a str, Option<u64>);

/// The variant in question (`None`), or a cell of the base.
type Side<'a> = Option<Key<'a>>;

/// Which seed of a cell stands beside which of the base. Where cells have none in common, as where every run of a log has a seed of
/// its own, repeats pair by their order: draws that are independent may be paired as one likes.
struct Shared<'a> {
    /// The seeds by which everything is paired, by cell whose own are others.
    order: BTreeMap<Side<'a>, BTreeMap<u64, u64>>,
}

impl<'a> Shared<'a> {
    /// Of all trials, finished or not: seeds that were planned together and diverged are missing, not unpaired.
    fn of(trials: &[&'a Trial], question: &Question) -> Self {
        let mut seeds: BTreeMap<Side, BTreeSet<u64>> = BTreeMap::new();
        for &trial in trials {
            let cell = side(trial, question);
            seeds.entry(cell).or_default().insert(trial.seed);
        }
        let of_base = seeds.iter().filter(|(cell, _)| cell.is_some());
        // Of several as large the first one.
        let most = of_base.rev().max_by_key(|(_, seeds)| seeds.len());
        let first = most.map_or(BTreeSet::new(), |(_, seeds)| seeds.clone());
        let by_order = seeds.iter().filter(|(_, own)| {
            let common = own.intersection(&first).count();
            common == 0 || common == 1 && own.len().min(first.len()) > 1
        });
        let order = by_order
            .map(|(cell, own)| {
                (
                    *cell,
                    own.iter().copied().zip(first.iter().copied()).collect(),
                )
            })
            .collect();
        Self { order }
    }

    fn seed(&self, trial: &Trial, question: &Question) -> Option<u64> {
        match self.order.get(&side(trial, question)) {
            Some(order) => order.get(&trial.seed).copied(),
            None => Some(trial.seed),
        }
    }
}

fn side<'t>(trial: &'t Trial, question: &Question) -> Side<'t> {
    (!question.is_variant(trial)).then_some((trial.scale.as_str(), trial.budget))
}

/// The seeds of the variant that the base has too. A cell of the base that fewer than half of them have is left out; then a seed
/// that lacks one of the others.
fn matched<'a>(
    finished: &[(&'a Trial, Point)],
    question: &Question,
    shared: &Shared,
) -> (Vec<BaseCell>, Vec<String>, Vec<Pair>) {
    let mut variant: BTreeMap<u64, Vec<(&Trial, Point)>> = BTreeMap::new();
    let mut base: BTreeMap<Key, BTreeMap<u64, Vec<(&Trial, Point)>>> = BTreeMap::new();
    for (trial, point) in finished {
        let Some(seed) = shared.seed(trial, question) else {
            continue;
        };
        let of = if question.is_variant(trial) {
            &mut variant
        } else {
            base.entry((&trial.scale, trial.budget)).or_default()
        };
        of.entry(seed).or_default().push((trial, *point));
    }
    let shared = |of: &BTreeMap<u64, Vec<(&'a Trial, Point)>>| {
        variant.keys().filter(|seed| of.contains_key(seed)).count()
    };
    let most = base.values().map(shared).max().unwrap_or(0);
    let (kept, dropped): (Vec<Key>, Vec<Key>) = base
        .keys()
        .partition(|key| shared(&base[*key]) > 0 && 2 * shared(&base[*key]) >= most);
    if kept.is_empty() {
        return (Vec::new(), Vec::new(), Vec::new());
    }
    let named = |key: &Key| base[key].values().next().map(|trials| trials[0].0);
    let cell = |key: &Key| {
        let trial = named(key)?;
        let tokens_per_param = trial
            .train_tokens()
            .zip(trial.params())
            .map(|(tokens, params)| tokens as f64 / params as f64);
        Some(BaseCell {
            name: trial.cell.clone(),
            scale: trial.scale.clone(),
            budget: trial.budget,
            tokens_per_param,
        })
    };
    let cells = kept.iter().filter_map(cell).collect();
    let left_out = dropped
        .iter()
        .filter_map(|key| Some(named(key)?.cell.clone()))
        .collect();
    let pairs = variant.iter().filter_map(|(seed, trials)| {
        let of_base: Vec<&Vec<(&Trial, Point)>> = kept
            .iter()
            .map(|key| base[key].get(seed))
            .collect::<Option<_>>()?;
        Some(complete(*seed, trials, &of_base))
    });
    (cells, left_out, pairs.collect())
}

/// A seed where both sides have everything. A cell that ran several times with it, on several machines or in several sessions, is
/// still one draw of that seed: the mean of what it spent and reached, where both sides ran if they have such places in common.
fn complete(seed: u64, variant: &[(&Trial, Point)], base: &[&Vec<(&Trial, Point)>]) -> Pair {
    let machines = |trials: &[(&Trial, Point)]| {
        trials
            .iter()
            .map(|(t, _)| t.machine)
            .collect::<BTreeSet<u64>>()
    };
    let common = base.iter().fold(machines(variant), |common, trials| {
        &common & &machines(trials)
    });
    let of = |trials: &[(&Trial, Point)]| {
        let here: Vec<Point> = trials
            .iter()
            .filter(|(t, _)| common.is_empty() || common.contains(&t.machine))
            .map(|(_, point)| *point)
            .collect();
        let point = Point {
            spent: Spent::mean(&here.iter().map(|point| point.spent).collect::<Vec<_>>()),
            loss: here.iter().map(|point| point.loss).sum::<f64>() / here.len() as f64,
        };
        // Seconds and joules of different machines are not of one kind.
        if common.is_empty() {
            Point {
                spent: point.spent.without_local(),
                ..point
            }
        } else {
            point
        }
    };
    Pair {
        seed,
        base: base.iter().map(|trials| of(trials)).collect(),
        variant: of(variant),
    }
}

/// What a finished trial spent and reached; `None` where it did not finish, or spent nothing that is known.
fn point(stratum: &Stratum, trial: &Trial, loss: &str) -> Option<Point> {
    trial
        .train_flops()
        .filter(|flops| trial.status == Status::Ok && *flops > 0.0)?;
    let loss = trial
        .metric(loss)
        .filter(|loss| loss.is_finite() && *loss > 0.0)?;
    Some(Point {
        spent: stratum.spent(trial),
        loss,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::stratum::strata;
    use crate::record::example::{example, study};
    use crate::record::{ResultFile, metric};

    fn found(file: &ResultFile) -> Result<Pairs<'_>, Unanswered> {
        let strata = strata(file, None);
        Ok(pair(&strata, &Question::of(file)?)?.1)
    }

    #[test]
    fn only_complete_seeds_are_paired() {
        let file = study(4, |variant, steps, repeat| {
            let diverged = (variant == "gpt2" && steps == 800 && repeat == 1)
                || (variant == "modern" && repeat == 2);
            (!diverged).then_some(1.0 / steps as f64)
        });
        let pairs = found(&file).unwrap();
        let names: Vec<&str> = pairs.cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(names, ["gpt2/w32@400", "gpt2/w32@800", "gpt2/w32@1600"]);
        assert_eq!(
            pairs.pairs.iter().map(|p| p.seed).collect::<Vec<_>>(),
            [0, 3]
        );
        assert_eq!(
            pairs.pairs[0]
                .base
                .iter()
                .map(|p| p.loss)
                .collect::<Vec<_>>(),
            [1.0 / 400.0, 1.0 / 800.0, 1.0 / 1600.0]
        );
        assert_eq!(
            pairs.trials.len(),
            16,
            "modern at 400 steps is not in question"
        );
        assert_eq!(pairs.loss, metric::EXCESS_LOSS_NATS);
        // A budget that hardly any seed finished takes no seed away.
        let file = study(4, |_, steps, repeat| {
            (steps < 1600 || repeat == 1).then_some(1.0 / steps as f64)
        });
        let pairs = found(&file).unwrap();
        assert_eq!(
            (pairs.pairs.len(), &pairs.left_out[..]),
            (4, &["gpt2/w32@1600".to_owned()][..])
        );
    }

    #[test]
    fn a_file_without_an_answer_says_why() {
        type Spoil = fn(&mut ResultFile);
        let rows: [(&str, Spoil); 6] = [
            ("nothing says which variant is the base", |f| {
                f.run.headline = None
            }),
            ("gpt2, is the base itself", |f| {
                f.run.headline.as_mut().unwrap().variant = "gpt2".to_owned()
            }),
            ("modern/w32@400 has no finished trial", |f| {
                f.trials.retain(|t| t.variant == "gpt2")
            }),
            ("gpt2 has no finished trial", |f| {
                f.trials.retain(|t| t.variant == "modern")
            }),
            ("no repeat finished both", |f| {
                let lost = |t: &&mut Trial| (t.variant == "modern") != (t.repeat == 0);
                let lost = f.trials.iter_mut().filter(lost);
                lost.for_each(|t| t.status = Status::Diverged);
            }),
            (
                "gpt2/w32@400 ran in 2 builds (0.1.0 00112233aabbccdd; 0.2.0 ff)",
                |f| {
                    let mut other = f.builds[0].clone();
                    (other.version, other.executable_id) =
                        ("0.2.0".to_owned(), Some("ff".to_owned()));
                    f.builds.push(other);
                    f.trials
                        .iter_mut()
                        .filter(|t| t.repeat > 1)
                        .for_each(|t| t.build = 1);
                },
            ),
        ];
        for (says, spoil) in rows {
            let mut file = example();
            spoil(&mut file);
            let why = found(&file).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }

    /// A second run on other seeds, whose repeats count from 0 again, adds pairs; the same trials again add nothing; and in neither
    /// does the order decide.
    #[test]
    fn seeds_are_pairs_whatever_the_order_of_files() {
        let first = example();
        let mut second = example();
        for trial in &mut second.trials {
            trial.id.push_str("-second");
            trial.seed += 10;
            let better = if trial.variant == "modern" { 0.1 } else { 0.0 };
            let excess = trial.metrics.get_mut(metric::EXCESS_LOSS_NATS).unwrap();
            excess.value = excess.value.map(|nats| nats - better);
        }
        let mut again = example();
        again
            .trials
            .iter_mut()
            .for_each(|trial| trial.id.push_str("-again"));
        let pooled = |files: [&ResultFile; 3]| {
            let named = files.map(|file| ("a".to_owned(), file.clone())).to_vec();
            crate::record::pool::pool(named).unwrap()
        };
        let (one, other) = (
            pooled([&first, &second, &again]),
            pooled([&again, &second, &first]),
        );
        let (one, other) = (found(&one).unwrap(), found(&other).unwrap());
        assert_eq!(
            one.pairs.iter().map(|pair| pair.seed).collect::<Vec<_>>(),
            [0, 1, 2, 3, 10, 11, 12, 13]
        );
        assert_eq!(one.pairs, other.pairs);
        assert_eq!(one.pairs[..4], found(&first).unwrap().pairs);
    }

    /// Seeds that the arms do not share, or that no two runs share, pair by their order, and nothing is refused.
    #[test]
    fn repeats_without_a_seed_in_common_pair_by_their_order() {
        let together = example();
        let shared = found(&together).unwrap();
        assert!(!shared.unpaired);
        let apart = |seed: fn(&Trial) -> u64| {
            let mut file = example();
            file.trials.iter_mut().for_each(|t| t.seed = seed(t));
            file
        };
        let files = [
            apart(|t| t.seed + if t.variant == "modern" { 10 } else { 0 }),
            apart(|t| t.seed + if t.variant == "modern" { 3 } else { 0 }),
            apart(|t| 10 * t.order + t.seed),
        ];
        for file in &files {
            let by_order = found(file).unwrap();
            assert!(by_order.unpaired);
            let values = |pairs: &Pairs| {
                let of = |pair: &Pair| (pair.base.clone(), pair.variant);
                pairs.pairs.iter().map(of).collect::<Vec<_>>()
            };
            assert_eq!(values(&by_order), values(&shared));
            let caveats = crate::analysis::answer(file).unwrap().caveats;
            let codes: Vec<&str> = caveats.iter().map(|caveat| caveat.code).collect();
            assert!(codes.contains(&"seeds_unpaired"), "{codes:?}");
            assert!(!codes.contains(&"incomplete_repeats"), "{codes:?}");
        }
    }

    /// Trials of one name and other settings are other cells: they share no world and no mean.
    #[test]
    fn cells_of_one_name_and_other_settings_are_not_averaged() {
        let mut file = example();
        let mut other = example();
        for trial in &mut other.trials {
            trial.id.push_str("-other");
            trial.spec["train"]["batch"] = 8.into();
            trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
            trial.seed += 10;
        }
        file.trials.extend(other.trials);
        let strata = strata(&file, None);
        let names: Vec<&str> = strata.iter().map(|stratum| stratum.data.as_str()).collect();
        assert_eq!(
            names,
            [
                "synthetic language, train.batch = 16",
                "synthetic language, train.batch = 8"
            ]
        );
        assert!(strata.iter().all(|stratum| stratum.trials.len() == 20));
    }

    #[test]
    fn without_an_oracle_the_validation_loss_is_compared() {
        let mut file = example();
        for trial in &mut file.trials {
            trial.metrics.remove(metric::EXCESS_LOSS_NATS);
        }
        assert_eq!(found(&file).unwrap().loss, metric::VAL_LOSS_NATS);
    }
}
