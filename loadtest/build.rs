//! Makes Rust of `proto/`: by a compiler in Rust, so that no `protoc` need be installed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    println!("cargo::rerun-if-changed={}", root.display());
    tonic_prost_build::configure().compile_fds(protox::compile(["worker.proto"], [&root])?)?;
    Ok(())
}
