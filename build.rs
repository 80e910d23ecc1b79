//! Asks git and the compiler what is being built: all of it may be absent, outside a checkout, without git. With the feature
//! `cuda`, compiles the kernels to PTX.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // What can make a build differ, and where git notes a new commit.
    for path in ["build.rs", "src", "models", "Cargo.toml", "Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-env-changed=RUSTC");
    let kernels = kernels(Path::new("src/ops"));
    let cuda = std::env::var_os("CARGO_FEATURE_CUDA").is_some();
    if cuda {
        compile(&kernels);
    }
    list(&kernels, cuda);
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("EFFBENCH_RUSTC", output(&rustc, &["--version"]));
    if !is_own_checkout() {
        return;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", name])
            .filter(|path| Path::new(path).exists())
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    set("EFFBENCH_COMMIT", output("git", &["rev-parse", "HEAD"]));
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    set(
        "EFFBENCH_DIRTY",
        changes.map(|changes| (!changes.is_empty()).to_string()),
    );
}

/// Whether git's answers are about this package, and not about a repository that somebody unpacked it into.
fn is_own_checkout() -> bool {
    let top = output("git", &["rev-parse", "--show-toplevel"]).map(std::fs::canonicalize);
    let here = std::env::var("CARGO_MANIFEST_DIR").map(std::fs::canonicalize);
    matches!((top, here), (Some(Ok(top)), Ok(Ok(here))) if top == here)
}

fn set(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// A command's standard output, if it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The oldest GPU that kernels are compiled for: the first whose tensor cores multiply bf16. The driver compiles PTX for the GPU
/// that is there, so newer ones run it as well.
const ARCHITECTURE: &str = "compute_80";

/// Every file of kernels below a folder, with its module's name: `norm/kernel.cu` is `norm`, `attention/any.cu` is
/// `attention_any`, `gpu/shared.cu` is `shared`.
fn kernels(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).expect("the sources are part of the package");
    for path in entries.map(|entry| entry.expect("readable").path()) {
        if path.is_dir() {
            found.extend(kernels(&path));
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            let name = |path: &Path| path.file_stem().unwrap_or_default().display().to_string();
            let module = match (name(folder).as_str(), name(&path).as_str()) {
                (folder, "kernel") => folder.to_owned(),
                ("gpu", file) => file.to_owned(),
                (folder, file) => format!("{folder}_{file}"),
            };
            found.push((module, path));
        }
    }
    found.sort();
    found
}

/// `OUT_DIR/kernels.rs`: the sources, which an emulator compiles, and what a GPU loads.
fn list(kernels: &[(String, PathBuf)], cuda: bool) {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let row = |module: &str, path: &Path| format!("({module:?}, include_str!({path:?})),\n");
    let table = |name: &str, rows: Vec<String>| {
        format!(
            "/// By module.\npub(super) const {name}: &[(&str, &str)] = &[\n{}];\n",
            rows.concat()
        )
    };
    let sources = kernels.iter();
    let sources = sources.map(|(module, path)| row(module, &Path::new(&root).join(path)));
    let mut text = format!("#[cfg(unix)]\n{}", table("SOURCES", sources.collect()));
    if cuda {
        let of_gpu = kernels.iter().map(|(module, _)| row(module, &ptx(module)));
        text += &table("PTX", of_gpu.collect());
    }
    std::fs::write(out().join("kernels.rs"), text).expect("cargo's folder is writable");
}

fn out() -> PathBuf {
    PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"))
}

fn ptx(module: &str) -> PathBuf {
    out().join(module).with_extension("ptx")
}

/// The kernels to PTX.
fn compile(kernels: &[(String, PathBuf)]) {
    for name in [
        "NVCC",
        "NVCC_CCBIN",
        "NVCC_PREPEND_FLAGS",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_ROOT",
        "PATH",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let nvcc = nvcc();
    for (module, kernel) in kernels {
        let mut command = Command::new(&nvcc);
        command
            .args(["--ptx", "-std=c++17", "-O3", "-Isrc/ops/gpu"])
            .arg(format!("-arch={ARCHITECTURE}"))
            .arg(kernel)
            .arg("-o")
            .arg(ptx(module));
        match command.output() {
            Err(error) => panic!(
                "the feature `cuda` compiles kernels with {}, which does not start ({error}): install a CUDA toolkit, or set \
                 NVCC or CUDA_HOME",
                nvcc.display()
            ),
            Ok(output) if !output.status.success() => {
                panic!(
                    "{} does not compile:\n{}",
                    kernel.display(),
                    String::from_utf8_lossy(&output.stderr)
                )
            }
            Ok(_) => {}
        }
    }
}

/// The CUDA compiler: `NVCC`, or that of the toolkit at `CUDA_HOME`, `CUDA_PATH` or `CUDA_ROOT`, or the first on the path.
fn nvcc() -> PathBuf {
    let toolkits = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"]
        .into_iter()
        .filter_map(std::env::var_os);
    let mut known = toolkits
        .map(|root| PathBuf::from(root).join("bin/nvcc"))
        .filter(|path| path.exists());
    std::env::var_os("NVCC")
        .map(PathBuf::from)
        .or_else(|| known.next())
        .unwrap_or_else(|| PathBuf::from("nvcc"))
}
