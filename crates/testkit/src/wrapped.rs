//! The program under test with an environment, and a network, of its own.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A script `directory/name` that becomes `binary`: with these variables, which win over its file, and in the network namespace.
pub fn wrapped(
    binary: &Path,
    directory: &Path,
    name: &str,
    environment: &[(&str, String)],
    namespace: Option<&str>,
) -> Result<PathBuf> {
    let script = directory.join(name);
    let mut text = "#!/bin/sh\n".to_owned();
    for (variable, value) in environment {
        text.push_str(&format!("export {variable}='{value}'\n"));
    }
    let inside = namespace.map(|namespace| format!("ip netns exec {namespace} ")).unwrap_or_default();
    text.push_str(&format!("exec {inside}'{}' \"$@\"\n", binary.display()));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o700).open(&script)?;
    file.write_all(text.as_bytes())?;
    Ok(script)
}
