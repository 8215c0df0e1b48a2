//! Why a store cannot be opened, and what mends it.

use std::path::{Path, PathBuf};

use starling_ports::StoreError;

/// The store at `path` stays closed.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the store at {}: {reason}; {mend}", path.display())]
pub struct OpenError {
    /// Which directory.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
    /// What the operator can do.
    pub mend: &'static str,
}

impl OpenError {
    /// Whether what lies there cannot be read any more, as opposed to a lock, rights, or space.
    pub fn is_damage(&self) -> bool {
        self.mend.starts_with("restore a backup")
    }

    pub(crate) fn new(path: &Path, reason: impl ToString, mend: &'static str) -> OpenError {
        OpenError { path: path.to_owned(), reason: reason.to_string(), mend }
    }

    pub(crate) fn of(path: &Path, error: &fjall::Error) -> OpenError {
        match error {
            fjall::Error::Locked => OpenError::new(
                path,
                "another process has it open",
                "stop that one, or give this one another data-dir",
            ),
            fjall::Error::Io(cause) => {
                OpenError::new(path, cause, "check that the directory is writable and its disk has space")
            }
            other => OpenError::new(path, other, "restore a backup with `starling store restore`"),
        }
    }
}

pub(crate) fn unavailable(source: impl Into<starling_ports::BoxError>) -> StoreError {
    StoreError::Unavailable { store: "embedded store", source: source.into() }
}

pub(crate) fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

/// An error of a read: a block whose checksum is wrong is damage, everything else may pass.
pub(crate) fn failed(error: fjall::Error) -> StoreError {
    match &error {
        fjall::Error::Storage(inner) if !matches!(inner, fjall::LsmError::Io(_)) => {
            corrupt("a block of a table")
        }
        _ => unavailable(error),
    }
}
