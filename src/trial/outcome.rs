//! From what was observed to what is recorded: every metric of the registry, present or absent with a reason.

use std::collections::BTreeMap;

use super::absent::{NOTHING_TRAINED, QUALITY, SERVING, TRAINING};
use super::figure::{known, mean, perplexity, to_tenth_us};
use super::job::Job;
use super::quality::{Mean, Quality};
use super::serving::Serving;
use super::settle::Experiment;
use super::training::Training;
use super::{energy, quality, served};
use crate::measure::Window;
use crate::measure::disturbance::{self, Disturbance};
use crate::measure::gpu::watch;
use crate::ops;
use crate::reading::{self, Absent, Phase};
use crate::record::metric as name;
use crate::record::{Flag, Metric, Severity, Skill, Trial, Validity};

/// A relative drift of step times within the window above this is flagged.
const STEADY_DRIFT: f64 = 0.1;

/// Everything a trial saw.
pub struct Observed<'a> {
    /// What was run.
    pub experiment: &'a Experiment,
    /// The training half.
    pub training: &'a Training,
    /// The inference half, where training ended well.
    pub serving: Option<&'a Serving>,
    /// What else happened on the machine while it trained and served, and on its GPU while it trained.
    pub disturbances: Vec<Disturbance>,
}

/// A trial's record with nothing observed yet: what a job says, and no result.
pub fn blank(job: &Job, started_at: String) -> Trial {
    Trial {
        started_at,
        energy: energy::energy(&reading::Energy::default(), false),
        ..job.trial.clone()
    }
}

impl Observed<'_> {
    /// Every metric of the registry.
    pub fn metrics(
        &self,
        job: &Job,
        peak_bytes: Option<u64>,
        energy: &reading::Energy,
    ) -> BTreeMap<String, Metric> {
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        let mut put = |name: &str, metric: Metric| {
            metrics.insert(name.to_owned(), metric);
        };
        match self.training.step_s.is_empty() {
            true => TRAINING
                .iter()
                .for_each(|name| put(name, Metric::absent(name, NOTHING_TRAINED))),
            false => self.put_training(&mut put, job),
        }
        put(
            name::PEAK_MEMORY_BYTES,
            match peak_bytes {
                Some(bytes) => Metric::value(name::PEAK_MEMORY_BYTES, bytes as f64),
                None if self.training.resumed_at.is_some() => {
                    Metric::absent(name::PEAK_MEMORY_BYTES, energy::RESUMED)
                }
                None => Metric::absent(
                    name::PEAK_MEMORY_BYTES,
                    "the system does not tell, or the driver",
                ),
            },
        );
        match &self.training.quality {
            Some(quality) => self.put_quality(&mut put, quality),
            None => QUALITY
                .iter()
                .for_each(|name| put(name, Metric::absent(name, "diverged"))),
        }
        match self.serving {
            Some(serving) => {
                let trained = self.training.quality.as_ref();
                served::put(self.experiment, trained, serving, &mut put);
            }
            None => {
                let reason = if self.training.diverged.is_some() {
                    "diverged"
                } else {
                    "not measured in a sweep"
                };
                SERVING
                    .iter()
                    .for_each(|name| put(name, Metric::absent(name, reason)));
            }
        }
        self.joules_per_token(energy)
            .into_iter()
            .for_each(|(name, metric)| put(name, metric));
        metrics
    }

    fn put_training(&self, put: &mut impl FnMut(&str, Metric), job: &Job) {
        let step_s: Vec<f64> = self
            .training
            .step_s
            .iter()
            .map(|&s| to_tenth_us(s))
            .collect();
        let window = Window::after_warmup(&step_s, self.experiment.measure.warmup_s);
        let steady = step_s[window.range.clone()].to_vec();
        let median_s = window.median_s.unwrap_or(f64::NAN);
        // All of the window's time counts: a stall that a median passes over is time that a user waits.
        let mean_s = steady.iter().sum::<f64>() / steady.len() as f64;
        let context = self.experiment.model.shape.context;
        let tokens = (self.experiment.batch * context) as f64;
        put(
            name::TRAIN_TOKENS_PER_S,
            Metric::value(name::TRAIN_TOKENS_PER_S, tokens / mean_s),
        );
        put(
            name::TRAIN_STEP_S,
            Metric::samples(name::TRAIN_STEP_S, median_s, steady),
        );
        put(
            name::TRAIN_WALL_S,
            Metric::value(name::TRAIN_WALL_S, step_s.iter().sum()),
        );
        let dtype = job.trial.asked().multiplies_in();
        let unknown = format!("no calibration of this device in {dtype}");
        put(name::MFU, Metric::absent(name::MFU, &unknown));
        let work = self.training.dispatched;
        for (name, count) in [
            (name::STEP_OPS, work.map(|work| work.ops)),
            (name::STEP_TENSOR_BYTES, work.map(|work| work.bytes)),
        ] {
            let counted = count.map(|count| Metric::value(name, count as f64));
            put(
                name,
                counted.unwrap_or_else(|| {
                    Metric::absent(name, "candle's own operations are not counted")
                }),
            );
        }
        let losses = &self.training.losses;
        let tail = &losses[losses.len() - losses.len().div_ceil(10)..];
        let mean = tail.iter().sum::<f64>() / tail.len() as f64;
        put(
            name::TRAIN_LOSS_NATS,
            Metric::value(name::TRAIN_LOSS_NATS, mean),
        );
    }

    fn put_quality(&self, put: &mut impl FnMut(&str, Metric), quality: &Quality) {
        let source = &self.experiment.source;
        put(
            name::VAL_LOSS_NATS,
            mean(name::VAL_LOSS_NATS, &quality.loss),
        );
        let elsewhere = [
            (
                name::VAL_LOSS_BEFORE_NATS,
                &self.training.before,
                "it began with no weights that other data had trained",
            ),
            (
                name::VAL_LOSS_MIXED_NATS,
                &self.training.mixed,
                "nothing was mixed into its data",
            ),
        ];
        for (name, found, why) in elsewhere {
            let found = found.as_ref().map(|found| mean(name, &found.loss));
            put(name, found.unwrap_or_else(|| Metric::absent(name, why)));
        }
        put(
            name::NEXT_TOKEN_ACCURACY,
            mean(name::NEXT_TOKEN_ACCURACY, &quality.accuracy),
        );
        put(
            name::TASK_ACCURACY,
            match source.is_task() {
                true => mean(name::TASK_ACCURACY, &quality.accuracy),
                false => Metric::absent(name::TASK_ACCURACY, "the data ask no task"),
            },
        );
        put(
            name::VAL_BITS_PER_BYTE,
            match source.bytes_per_token() {
                Some(bytes) => {
                    let factor = 1.0 / (std::f64::consts::LN_2 * bytes);
                    let bits = Mean {
                        mean: quality.loss.mean * factor,
                        se: quality.loss.se.map(|se| se * factor),
                        ..quality.loss
                    };
                    mean(name::VAL_BITS_PER_BYTE, &bits)
                }
                None => Metric::absent(
                    name::VAL_BITS_PER_BYTE,
                    "tokens are not text, or do not give it back",
                ),
            },
        );
        let of = perplexity(name::PERPLEXITY, source.is_text(), quality);
        put(name::PERPLEXITY, of);
        let violation = quality.loads.max_violation();
        let violation = violation.ok_or("the model has no experts");
        put(name::MAX_VIOLATION, known(name::MAX_VIOLATION, violation));
        for (name, value) in [
            (name::ORACLE_LOSS_NATS, &quality.oracle),
            (name::EXCESS_LOSS_NATS, &quality.excess),
        ] {
            put(
                name,
                match value {
                    Some(value) => mean(name, value),
                    None => Metric::absent(name, "the source has no oracle"),
                },
            );
        }
    }

    /// Measured joules of training, prompts and generation, each over the tokens that they went into. Estimates never get here.
    ///
    /// Nothing generates without a prompt, so a generated token's joules are those of whole generations less those of as many
    /// prompts.
    fn joules_per_token(&self, joules: &reading::Energy) -> Vec<(&'static str, Metric)> {
        let context = self.experiment.model.shape.context;
        let trained = (self.training.step_s.len() * self.experiment.batch * context) as f64;
        let per_train = match trained > 0.0 {
            true => joules
                .phase_j(Phase::Train)
                .map(|spent| spent / trained)
                .map_err(Absent::code),
            false => Err(NOTHING_TRAINED),
        };
        let per_train = per_train.and_then(|spent| {
            self.training
                .resumed_at
                .map_or(Ok(spent), |_| Err(energy::RESUMED))
        });
        let (prefill, decode) = match self.serving {
            Some(serving) => {
                let infer = &self.experiment.infer;
                let prompts = joules
                    .phase_j(Phase::Prefill)
                    .map(|spent| spent / serving.metered_prompts as f64);
                let whole = joules
                    .phase_j(Phase::Generate)
                    .map(|spent| spent / serving.metered_generations as f64);
                let prompt_tokens = (infer.batch * infer.prompt) as f64;
                let decoded = (infer.batch * infer.generate.saturating_sub(1)) as f64;
                (
                    energy::per_prompt_token(prompts, prompt_tokens),
                    energy::per_decoded_token(prompts, whole, decoded),
                )
            }
            None => (
                Err("not measured in a sweep"),
                Err("not measured in a sweep"),
            ),
        };
        let put = |name, value: Result<f64, &str>| (name, known(name, value));
        vec![
            put(name::ENERGY_J_PER_TRAIN_TOKEN, per_train),
            put(name::ENERGY_J_PER_PREFILL_TOKEN, prefill),
            put(name::ENERGY_J_PER_DECODE_TOKEN, decode),
        ]
    }

    /// The loss by label, where the source has an oracle.
    pub fn skills(&self) -> Vec<Skill> {
        let rows = self
            .training
            .quality
            .iter()
            .flat_map(|quality| &quality.labels);
        let finite = |row: &&quality::ByLabel| row.loss.mean.is_finite();
        rows.filter(finite)
            .map(|row| Skill {
                label: row.label.clone(),
                tokens: row.loss.n,
                loss_nats: row.loss.mean,
                oracle_nats: row.oracle.mean,
                excess_nats: row.excess.mean,
                excess_se_nats: row.excess.se,
                accuracy: self
                    .experiment
                    .source
                    .is_task()
                    .then_some(row.accuracy.mean),
            })
            .collect()
    }

    /// Reasons for doubt that the trial itself can see.
    pub fn validity(&self, energy: &reading::Energy) -> Validity {
        let window = Window::after_warmup(&self.training.step_s, self.experiment.measure.warmup_s);
        let drift = window.drift.filter(|drift| drift.abs() > STEADY_DRIFT);
        let flag = |drift: f64| Flag {
            code: "not_steady".into(),
            severity: Severity::Warn,
            value: Some(drift),
            limit: Some(STEADY_DRIFT),
        };
        let own = drift
            .map(flag)
            .into_iter()
            .chain(self.repeated_data())
            .chain(self.unknown_tokens())
            .chain(self.resumed())
            .chain(self.crowded());
        let own = own
            .chain(self.reference_attention())
            .chain(self.reference_experts());
        let own = own.chain(energy::flags(energy));
        let flags: Vec<Flag> = own
            .chain(self.disturbances.iter().filter_map(disturbed))
            .collect();
        let why = |code: &&str| ((*code).to_owned(), disturbance::NO_COUNTER.to_owned());
        let mut unseen: BTreeMap<String, String> = disturbance::unseen(&self.disturbances)
            .iter()
            .map(why)
            .collect();
        // A GPU that nobody could watch is not one that nothing disturbed.
        if self.experiment.device != "cpu" {
            let told = |code: &&str| {
                self.disturbances
                    .iter()
                    .any(|disturbance| disturbance.code == *code)
            };
            let unwatched = watch::codes().filter(|code| !told(code));
            unseen.extend(unwatched.map(|code| (code.to_owned(), watch::UNWATCHED.to_owned())));
        }
        Validity {
            ok: flags.iter().all(|flag| flag.severity != Severity::Invalid),
            flags,
            unseen,
        }
    }

    /// More threads than processors that this process may use.
    fn crowded(&self) -> Option<Flag> {
        let (threads, processors) = (
            rayon::current_num_threads(),
            std::thread::available_parallelism().ok()?.get(),
        );
        (threads > processors).then(|| Flag {
            code: "too_few_processors".into(),
            severity: Severity::Warn,
            value: Some(threads as f64),
            limit: Some(processors as f64),
        })
    }

    /// Heads or windows that the kernels of a GPU do not hold, or a kind of attention that it has none for: there attention, or what
    /// stands around it, was candle's plain operations.
    fn reference_attention(&self) -> Option<Flag> {
        let (experiment, shape) = (&self.experiment, &self.experiment.model.shape);
        let own = experiment.device != "cpu" && experiment.ops.is_fused();
        let held = ops::gpu_has_attention(shape.head_width(), shape.context);
        (own && (!held || ops::unaided())).then(|| Flag {
            code: "reference_attention".into(),
            severity: Severity::Info,
            value: Some(shape.head_width() as f64),
            limit: Some(ops::WIDEST_HEAD_ON_GPU as f64),
        })
    }

    /// No kernel has experts: on a GPU they are candle's plain operations.
    fn reference_experts(&self) -> Option<Flag> {
        let own = self.experiment.device != "cpu" && self.experiment.ops.is_fused();
        let mut decls = self.experiment.model.decls().iter();
        let (_, experts) = decls.find_map(|decl| decl.routed).filter(|_| own)?;
        Some(Flag {
            code: "reference_experts".into(),
            severity: Severity::Info,
            value: Some(experts as f64),
            limit: Some(0.0),
        })
    }

    /// A trial that another process began: its losses are the same bits, its seconds are of two processes.
    fn resumed(&self) -> Option<Flag> {
        let flag = |step| Flag {
            code: "resumed".into(),
            severity: Severity::Warn,
            value: Some(step as f64),
            limit: None,
        };
        self.training.resumed_at.map(flag)
    }

    /// A text seen more than once: losses then tell of memory as well.
    fn repeated_data(&self) -> Option<Flag> {
        let context = self.experiment.model.shape.context;
        let seen = self.experiment.steps as f64 * (self.experiment.batch * context) as f64;
        let epochs = seen / self.experiment.source.train_tokens()? as f64;
        (epochs > 1.0).then(|| Flag {
            code: "repeated_data".into(),
            severity: Severity::Info,
            value: Some(epochs),
            limit: Some(1.0),
        })
    }

    /// A tokenizer of another text: its "unknown" is easy to predict, and stands for words that nobody learns.
    fn unknown_tokens(&self) -> Option<Flag> {
        let share = self.experiment.source.unknown_share()?;
        (share > MANY_UNKNOWN).then(|| Flag {
            code: "unknown_tokens".into(),
            severity: Severity::Warn,
            value: Some(share),
            limit: Some(MANY_UNKNOWN),
        })
    }
}

/// A larger share of unknown tokens is worth a warning: word-level vocabularies of the field leave 2 to 5% of a held-out text
/// unknown, and their losses are compared all the same; a tokenizer of pieces leaves none.
const MANY_UNKNOWN: f64 = 0.01;

/// A disturbance above its limit.
fn disturbed(seen: &Disturbance) -> Option<Flag> {
    let Disturbance {
        code,
        value,
        limit,
        severe,
        is_note,
    } = *seen;
    let severity = match value > severe {
        true => Severity::Invalid,
        false if is_note => Severity::Info,
        false => Severity::Warn,
    };
    (value > limit).then(|| Flag {
        code: code.to_owned(),
        severity,
        value: Some(value),
        limit: Some(limit),
    })
}
