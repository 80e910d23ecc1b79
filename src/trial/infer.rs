//! What is generated to measure inference, and what the weights are packed in for it: `infer.*`.

use super::Registry;
use super::draft::{self, Draft};
use super::keys::{
    ACTIVATIONS, CACHE, DEPTH, GENERATE, INFER, INFER_BATCH, INFER_WEIGHTS, PROBLEMS, PROMPT,
    SAMPLES,
};
use crate::config::{Knobs, Spec};
use crate::data::Source;
use crate::error::Result;
use crate::infer::Sampling;
use crate::model::{Model, Packing, weights};
use crate::ops::{Activations, DType, Format};

/// `infer.*`
pub struct Infer {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens generated after it.
    pub generate: usize,
    /// Tokens before it, which are not timed.
    pub depth: usize,
    /// Windows at once.
    pub batch: usize,
    /// What matrices are packed in; none where they serve as they were trained.
    pub weights: Option<Packing>,
    /// What multiplies packed matrices.
    pub activations: Activations,
    /// What keys and values are kept as, where that is not what is computed with.
    pub cache: Option<DType>,
    /// What guesses tokens ahead, where something does.
    pub draft: Option<Draft>,
    /// How often which problems are asked, where they are.
    pub asked: Option<Questions>,
    /// A sampling for a seed.
    pub sampling: Box<dyn Fn(u64) -> Sampling + Send + Sync>,
}

/// `infer.samples` of `infer.problems`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Questions {
    /// Samples of each problem.
    pub samples: usize,
    /// Problems, at most.
    pub problems: usize,
}

/// Reads `infer.*`; prompt and generation fit the context, what is in the cache before them need not.
pub(super) fn settle(
    registry: &Registry,
    spec: &Spec,
    (context, source): (usize, &dyn Source),
    model: &Model,
    device: &str,
) -> Result<Infer> {
    let knobs = spec.at(&INFER);
    let prompt = knobs.read_or(&PROMPT, (context / 2).max(1))?;
    let generate = knobs.read_or(&GENERATE, context - prompt.min(context))?;
    let half = (context / 2).max(1);
    let fits = format!(
        "--set infer.prompt={half} --set infer.generate={}",
        context - half
    );
    if prompt > context {
        let why = format!("it does not fit the context of {context} (model.context)");
        return Err(knobs.refuse(&PROMPT, &why).hint(fits));
    }
    if prompt + generate > context {
        let why = format!("with a prompt of {prompt} it does not fit the context of {context}");
        return Err(knobs.refuse(&GENERATE, &why).hint(fits));
    }
    let depth = knobs.find(&DEPTH)?;
    if let Some((depth, longest)) = depth.zip(model.longest())
        && depth + prompt + generate > longest
    {
        let why = format!(
            "with a prompt of {prompt} and {generate} tokens after it, it does not fit the {longest} places that the model can number"
        );
        return Err(knobs.refuse(&DEPTH, &why).hint("a larger model.context"));
    }
    let weights = packing(&knobs, model, device)?;
    let batch = knobs.read(&INFER_BATCH)?;
    let longest = depth.unwrap_or(0) + prompt + generate;
    let served = (longest, batch, device);
    let draft = draft::settle(registry, spec, model, source, served)?;
    if draft.is_some() && generate < 3 {
        let why = "the first token follows from the prompt and the last from the model itself, which leaves infer.draft nothing to guess";
        return Err(knobs.refuse(&GENERATE, why).hint(fits));
    }
    let sampling = Box::new(Sampling::settle(spec)?);
    Ok(Infer {
        prompt,
        generate,
        depth: depth.unwrap_or(0),
        batch,
        draft,
        activations: activations(&knobs, weights)?,
        cache: cache(&knobs, model, device)?,
        asked: questions(&knobs, source)?,
        weights,
        sampling,
    })
}

/// What is asked of the trained model.
fn questions(knobs: &Knobs, source: &dyn Source) -> Result<Option<Questions>> {
    let Some(samples) = knobs.find(&SAMPLES)? else {
        return match knobs.given(&PROBLEMS) {
            true => Err(knobs.refuse(&PROBLEMS, "infer.samples does not say how often")),
            false => Ok(None),
        };
    };
    if source.problems().is_none() {
        let refused = knobs.refuse(&SAMPLES, "these data have no problems to ask");
        return Err(refused.hint("data.kind = \"countdown\" and \"running-sum\" have some"));
    }
    let problems = knobs.read(&PROBLEMS)?;
    Ok(Some(Questions { samples, problems }))
}

/// Refuses to serve what a file has, where there is none: what would be measured then is a model that has learnt nothing.
pub(super) fn refuse_no_file(spec: &Spec) -> Result<()> {
    let knobs = spec.at(&INFER);
    let from_file = knobs.find(&INFER_WEIGHTS)? == Some(IN_FILE);
    match from_file && !weights::is_given(spec) {
        true => Err(knobs
            .refuse(
                &INFER_WEIGHTS,
                "there is no file: this model has learnt nothing yet",
            )
            .hint("`--variants FILE.gguf` or a folder with config.json and safetensors")),
        false => Ok(()),
    }
}

/// What multiplies packed matrices, where there are any.
fn activations(knobs: &Knobs, weights: Option<Packing>) -> Result<Activations> {
    if knobs.find(&ACTIVATIONS)? != Some("int8") {
        return Ok(Activations::F32);
    }
    match weights {
        Some(_) => Ok(Activations::Int8),
        None => Err(knobs
            .refuse(
                &ACTIVATIONS,
                "no matrix is packed, and whole numbers multiply only such",
            )
            .hint("infer.weights = \"file\" or one of the packed formats, on the CPU")),
    }
}

/// What keys and values are kept as, where they are.
fn cache(knobs: &Knobs, model: &Model, device: &str) -> Result<Option<DType>> {
    if knobs.find(&CACHE)? != Some("f16") {
        return Ok(None);
    }
    if device != "cpu" {
        let why = format!("it is read on the CPU, and compute.device is {device}");
        return Err(knobs.refuse(&CACHE, &why));
    }
    if !model.keeps_tokens_only() {
        let why = "a layer keeps a state that is summed up, and only keys and values are kept so";
        return Err(knobs.refuse(&CACHE, why));
    }
    Ok(Some(DType::F16))
}

/// The word of `infer.weights` for the formats of the file.
const IN_FILE: &str = "file";

/// What matrices are packed in before they serve.
fn packing(knobs: &Knobs, model: &Model, device: &str) -> Result<Option<Packing>> {
    let Some(word) = knobs.find(&INFER_WEIGHTS)? else {
        return Ok(None);
    };
    let format = Format::of(word);
    if format.is_some() && device != "cpu" {
        let why = format!("packed weights serve on the CPU, and compute.device is {device}");
        return Err(knobs.refuse(&INFER_WEIGHTS, &why));
    }
    if (format.is_some() || word == IN_FILE) && model.coarse().is_some() {
        let why = "weights that model.linear.kind rounds for every product would be rounded twice";
        return Err(knobs.refuse(&INFER_WEIGHTS, why));
    }
    let Some(format) = format else {
        // On a GPU the numbers of a file's blocks serve as f32.
        let in_file = word == IN_FILE && device == "cpu";
        return Ok(in_file.then_some(Packing::AsInFile));
    };
    if let Some((name, columns)) = model.cannot_pack(format) {
        let why = format!(
            "it packs {} numbers of a row at a time, and {name} has rows of {columns}",
            format.numbers()
        );
        let refused = knobs.refuse(&INFER_WEIGHTS, &why);
        let fit: Vec<&str> = Format::ALL
            .into_iter()
            .filter(|other| model.cannot_pack(*other).is_none())
            .map(Format::name)
            .collect();
        return Err(refused.hint(match &fit[..] {
            [] => "no format packs them: they take rows of multiples of 32, as at --scales w64"
                .to_owned(),
            fit => format!("these fit: {}", fit.join(", ")),
        }));
    }
    Ok(Some(Packing::To(format)))
}
