//! Weights in files: safetensors, every parameter by its declared name (`blocks.03.mixer.qkv`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::safetensors::{self, BufferedSafetensors};
use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::foreign;
use super::kept;
use super::param::{Decl, Params};
use crate::checkpoint::Checkpoint;
use crate::config::knob::Text;
use crate::config::{Knob, Knobs, Section, Spec};
use crate::error::{Error, Result};
use crate::ops::{Format, Packed};

const FROM: Knob<Text> = Knob::text(
    "from",
    "What parameters start with: a safetensors file by their declared names, or a checkpoint (a GGUF file, a folder of Hugging Face's); settled as the name alone.",
)
.optional();
const FROM_BLAKE3: Knob<Text> = Knob::text(
    "from_blake3",
    "Hash of that file, which is refused where it has another one.",
)
.follows("the hash of the file that model.from names");

const FROM_CELL: Knob<Text> = Knob::text(
    "from_cell",
    "The cell whose trained weights parameters start with, repeat by repeat; a suite's row says which (`from`).",
)
.optional();
const FROM_SPEC: Knob<Text> = Knob::text("from_spec", "Hash of that cell's settled spec.")
    .follows("the cell that model.from_cell names");

/// `model.from` and its hash, and what stands for both where a cell begins with another's weights.
pub const WEIGHTS: Section = Section {
    path: "model",
    knobs: &[&FROM, &FROM_BLAKE3, &FROM_CELL, &FROM_SPEC],
};

/// What stands for a path where weights are those of a cell: no path begins so.
const OF_CELL: &str = "cell:";

/// A file whose tensors parameters start with.
#[derive(Debug, Clone)]
pub struct Given {
    path: PathBuf,
    /// Where it is one that others trained.
    checkpoint: Option<Checkpoint>,
}

impl Given {
    /// Reads `model.from`, silent where it is not given, and settles it as the file's name with the hash of its
    /// contents beside it: other contents are another spec.
    ///
    /// # Errors
    /// Where the file cannot be read, holds others than these parameters, or is not the one that a hash was given of.
    pub fn settle(spec: &Spec, decls: &[Decl]) -> Result<Option<Self>> {
        let model = spec.at(&WEIGHTS);
        if let Some(cell) = model.find(&FROM_CELL)? {
            return Self::settle_cell(&model, &cell, decls).map(Some);
        }
        let Some(path) = model.find(&FROM)?.map(PathBuf::from) else {
            return Ok(None);
        };
        let refuse = |why: String| model.refuse(&FROM, &why);
        if Checkpoint::is_one(&path) {
            return Self::settle_checkpoint(&model, &path, decls).map(Some);
        }
        let bytes = fs::read(&path).map_err(|error| {
            refuse(format!("it cannot be read: {error}")).hint(
                "the path of a safetensors file, as `effbench run --keep-weights DIR` writes them",
            )
        })?;
        let hash = blake3::hash(&bytes).to_hex();
        expect(&model, hash.as_str())?;
        let shapes = shapes(bytes).map_err(|why| {
            refuse(format!("it is no safetensors file: {why}"))
                .hint("a file that `effbench run --keep-weights DIR` wrote")
        })?;
        fits(&shapes, decls).map_err(|(why, hint)| refuse(why).hint(hint))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        model.write(&FROM, json!(name.to_string_lossy()));
        Ok(Some(Self {
            path,
            checkpoint: None,
        }))
    }

    /// The same of a cell's weights, which are no file yet where a run is only planned. Which weights they are follows from that
    /// cell's spec, the seed and the build, which are known before they are trained.
    fn settle_cell(model: &Knobs, cell: &str, decls: &[Decl]) -> Result<Self> {
        if !model.given(&FROM_SPEC) {
            return Err(model
                .refuse(&FROM_CELL, "only a suite can say which cell that is")
                .hint("`from` in the suite's row; or `model.from`, the path of a file"));
        }
        model.find(&FROM_SPEC)?;
        let path = model.find(&FROM)?.map(PathBuf::from);
        model.write(&FROM, json!(format!("{OF_CELL}{cell}")));
        let Some(path) = path.filter(|path| !path.to_string_lossy().starts_with(OF_CELL)) else {
            return Ok(Self {
                path: PathBuf::from(format!("{OF_CELL}{cell}")),
                checkpoint: None,
            });
        };
        let refuse = |why: String| Error::input(format!("the weights of {cell}: {why}"));
        let bytes = fs::read(&path).map_err(|error| {
            refuse(format!("{}: {error}", path.display()))
                .hint("a trial of that cell that failed or diverged leaves none")
        })?;
        let shapes = shapes(bytes).map_err(&refuse)?;
        fits(&shapes, decls).map_err(|(why, _)| refuse(why))?;
        Ok(Self {
            path,
            checkpoint: None,
        })
    }

    /// The same of a checkpoint: its header says whether it is this model, and every file of it is hashed.
    fn settle_checkpoint(model: &Knobs, path: &Path, decls: &[Decl]) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let unreadable =
            |error: std::io::Error| model.refuse(&FROM, &format!("it cannot be read: {error}"));
        let mut hasher = blake3::Hasher::new();
        for file in checkpoint.files() {
            hasher
                .update_reader(fs::File::open(file).map_err(unreadable)?)
                .map_err(unreadable)?;
        }
        expect(model, hasher.finalize().to_hex().as_str())?;
        let hint = "the checkpoint as a variant: `effbench show FILE`";
        foreign::fits(&checkpoint, decls).map_err(|why| model.refuse(&FROM, &why).hint(hint))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        model.write(&FROM, json!(name.to_string_lossy()));
        Ok(Self {
            path: path.to_owned(),
            checkpoint: Some(checkpoint),
        })
    }

    /// The formats of a matrix's rows in the file, where it has it in blocks.
    pub(super) fn formats(&self, decl: &Decl) -> Option<Vec<(usize, Format)>> {
        kept::formats(self.checkpoint.as_ref()?, decl)
    }

    /// Of these matrices those that the file has in blocks, as they are there.
    ///
    /// # Errors
    /// Where the file is not what it was when it was settled.
    pub(super) fn packed(
        &self,
        decls: &[Decl],
        ids: Vec<usize>,
    ) -> Result<BTreeMap<usize, Arc<Packed>>> {
        let mut all = BTreeMap::new();
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(all);
        };
        let gone =
            |error: Error| Error::input(format!("{}: {}", self.path.display(), error.message));
        for id in ids {
            if let Some(packed) = kept::packed(checkpoint, &decls[id]).map_err(gone)? {
                all.insert(id, Arc::new(packed));
            }
        }
        Ok(all)
    }

    /// Puts the file's numbers in place of what parameters started with; a loss's own keep that.
    ///
    /// # Errors
    /// Where the file is not what it was when it was settled.
    pub fn load(&self, decls: &[Decl], params: &Params) -> Result<()> {
        let gone = |why: String| Error::input(format!("{}: {why}", self.path.display()));
        if let Some(checkpoint) = &self.checkpoint {
            return foreign::load(checkpoint, decls, params).map_err(|error| gone(error.message));
        }
        let bytes = fs::read(&self.path).map_err(|error| gone(error.to_string()))?;
        let file = BufferedSafetensors::new(bytes).map_err(|error| gone(error.to_string()))?;
        for (decl, var) in decls.iter().zip(params.vars()) {
            if decl.serves {
                let tensor = file.load(&decl.name, var.device())?;
                var.set(&tensor.to_dtype(DType::F32)?)?;
            }
        }
        Ok(())
    }
}

/// Refuses contents that are not those that a hash was given of.
fn expect(model: &Knobs, hash: &str) -> Result<()> {
    let expected = model.read_or(&FROM_BLAKE3, hash.to_owned())?;
    if expected != hash {
        let why = format!("the contents of the file are others: their blake3 is {hash}");
        return Err(model
            .refuse(&FROM_BLAKE3, &why)
            .hint("put the old contents back, or drop `from_blake3`"));
    }
    Ok(())
}

/// Whether a spec names a file, or a cell whose weights will be one.
pub fn is_given(spec: &Spec) -> bool {
    let model = spec.at(&WEIGHTS);
    model.given(&FROM) || model.given(&FROM_CELL)
}

/// Whether a model with these parameters can begin with the weights of one that has `theirs`; else why not.
///
/// # Errors
/// The first parameter that does not fit.
pub fn can_begin(decls: &[Decl], theirs: &[Decl]) -> std::result::Result<(), String> {
    let serving = theirs.iter().filter(|decl| decl.serves);
    let shapes = serving.map(|decl| (decl.name.clone(), decl.shape.clone()));
    fits(&shapes.collect(), decls).map_err(|(why, _)| why)
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// What a file holds.
fn shapes(bytes: Vec<u8>) -> std::result::Result<Shapes, String> {
    let file = BufferedSafetensors::new(bytes).map_err(|error| error.to_string())?;
    let tensors = file.tensors().into_iter();
    Ok(tensors
        .map(|(name, view)| (name, view.shape().to_vec()))
        .collect())
}

/// Whether a file holds the parameters that logits are made with, and nothing else; else why not, and what would do.
fn fits(shapes: &Shapes, decls: &[Decl]) -> std::result::Result<(), (String, String)> {
    let serving = || decls.iter().filter(|decl| decl.serves);
    let other_model = || "the model that it was written by, with its variant and sizes".to_owned();
    for decl in serving() {
        match shapes.get(&decl.name) {
            None => {
                let held: Vec<&str> = shapes.keys().take(3).map(String::as_str).collect();
                let why = format!(
                    "it has no `{}`; of its {} tensors the first are {}",
                    decl.name,
                    shapes.len(),
                    held.join(", ")
                );
                return Err((why, other_model()));
            }
            Some(shape) if *shape != decl.shape => {
                let why = format!(
                    "`{}` is {shape:?} there, and {:?} in this model",
                    decl.name, decl.shape
                );
                return Err((why, other_model()));
            }
            Some(_) => {}
        }
    }
    let known = |name: &&String| !serving().any(|decl| decl.name == **name);
    match shapes.keys().find(known) {
        Some(name) => Err((
            format!("it has `{name}`, which this model has not"),
            other_model(),
        )),
        None => Ok(()),
    }
}

/// Writes tensors as a file that whoever may read this user's other files may read: the library makes one that nobody else may.
pub(super) fn save(
    tensors: &HashMap<String, Tensor>,
    path: &Path,
) -> std::result::Result<(), String> {
    let plain = |error: std::io::Error| error.to_string();
    let usual = fs::File::create(path).and_then(|file| file.metadata());
    let usual = usual.map_err(plain)?.permissions();
    safetensors::save(tensors, path).map_err(|error| error.to_string())?;
    fs::set_permissions(path, usual).map_err(plain)
}

/// Writes all parameters that logits are made with, in f32, in place of what is there, whole or not at all.
///
/// # Errors
/// Where the file, or its folder, cannot be written.
pub fn write(path: &Path, decls: &[Decl], params: &Params) -> Result<()> {
    let refuse = |why: String| {
        Error::input(format!(
            "the weights cannot be kept in {}: {why}",
            path.display()
        ))
        .hint("a folder that can be written, with room")
    };
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (id, decl) in decls.iter().enumerate() {
        if decl.serves {
            let numbers = params.numbers(id)?.to_device(&Device::Cpu)?;
            tensors.insert(decl.name.clone(), numbers);
        }
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| refuse(error.to_string()))?;
    }
    let unfinished = path.with_extension("unfinished");
    let written = save(&tensors, &unfinished);
    let moved = written.and_then(|()| fs::rename(&unfinished, path).map_err(|e| e.to_string()));
    moved.map_err(|why| {
        let _ = fs::remove_file(&unfinished);
        refuse(why)
    })
}
