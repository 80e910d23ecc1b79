//! Every file of kernels below `ops`, as `build.rs` found them: by the name of its module, which is that of its folder (with the
//! file's own behind it, where that is not `kernel.cu`).

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
