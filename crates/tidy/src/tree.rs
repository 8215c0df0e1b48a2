//! The files that the rules are about.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A Rust source file, a manifest, or a description of gRPC.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
}

impl File {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
    /// Whether it is part of a library or program, not of its tests.
    pub fn is_source(&self) -> bool {
        self.is_rust() && self.path.contains("/src/")
    }
    /// The folder of the crate it belongs to: `crates/jid`, `loadtest`.
    pub fn package(&self) -> &str {
        let end = ["/src/", "/tests/", "/benches/", "/Cargo.toml"]
            .iter()
            .filter_map(|part| self.path.find(part))
            .min();
        end.and_then(|end| self.path.get(..end)).unwrap_or(&self.path)
    }
}

/// The root of this repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// Every `.rs`, `.proto` and `Cargo.toml` below `bench`, `crates`, `fuzz`, `loadtest` and `proto`, in the order of their paths.
pub fn read(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for top in ["bench", "crates", "fuzz", "loadtest", "proto"] {
        if root.join(top).is_dir() {
            walk(root, &root.join(top), &mut files)?;
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(root, &path, files)?;
            }
        } else if name.ends_with(".rs") || name.ends_with(".proto") || name == "Cargo.toml" {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(File { path: relative, text: fs::read_to_string(&path)? });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}
