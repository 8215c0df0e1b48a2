//! Why a store cannot be opened, and what mends it.

use std::io::{self, ErrorKind};
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
            fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause))
                if !is_of_contents(cause) =>
            {
                OpenError::new(path, cause, "check that the directory is writable and its disk has space")
            }
            other => {
                let reason = format!("its files are damaged: {}", found(other));
                OpenError::new(path, reason, "restore a backup with `starling store restore`")
            }
        }
    }
}

/// Whether it says what a file holds, or that it is not there, as opposed to rights and space.
fn is_of_contents(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::NotFound)
}

/// In words where the library has only names.
fn found(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => match cause.kind() {
            ErrorKind::NotFound => "one is missing".to_owned(),
            _ => cause.to_string(),
        },
        fjall::Error::InvalidVersion(_) => "they name no format that is known here".to_owned(),
        fjall::Error::Storage(inner) => format!("{inner:?}"),
        other => format!("{other:?}"),
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
