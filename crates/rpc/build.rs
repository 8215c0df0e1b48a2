//! Makes Rust of `proto/`: by a compiler in Rust, so that no `protoc` need be installed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let files =
        ["starling/link/v1/link.proto", "starling/link/v1/login.proto", "starling/link/v1/peers.proto"];
    let descriptors = protox::compile(files, [&root])?;
    // `Bytes` are pieces of the buffer that was received: a stanza is not copied out of it.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
