//! Why a store cannot be opened, and what mends it; why a request was not answered.

use starling_ports::{BoxError, StoreError};

use crate::config::Invalid;

/// No store: it is not there, not ours to use, or of another version.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A file of the configuration.
    #[error("cannot use {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// No server answered, or it refused the user.
    #[error("no server of {nodes} can be used: {cause}; check `scylla.nodes`, and that the server runs")]
    Unreachable {
        /// Which were asked.
        nodes: String,
        /// What the last one said, with all that is behind it.
        cause: String,
    },
    /// There are no tables yet.
    #[error("keyspace {keyspace} has no tables of Starling: make them with `starling store migrate`")]
    Missing {
        /// Which keyspace.
        keyspace: String,
    },
    /// The tables are older than this program.
    #[error(
        "keyspace {keyspace} is at version {found}, this program needs {needed}: run `starling store migrate`"
    )]
    Older {
        /// Which keyspace.
        keyspace: String,
        /// Its version.
        found: i32,
        /// Ours.
        needed: i32,
    },
    /// The tables are newer than this program can use.
    #[error(
        "keyspace {keyspace} is at version {found}, which programs of version {oldest} and newer can use; this one is of {ours}: install a newer one"
    )]
    Newer {
        /// Which keyspace.
        keyspace: String,
        /// Its version.
        found: i32,
        /// The oldest that can use it.
        oldest: i32,
        /// Ours.
        ours: i32,
    },
    /// A statement was refused or not answered.
    #[error("{what}: {source}")]
    Refused {
        /// What was to be done.
        what: String,
        /// What the server said.
        source: BoxError,
    },
}

impl ConnectError {
    pub(crate) fn refused(what: impl Into<String>, source: impl Into<BoxError>) -> ConnectError {
        ConnectError::Refused { what: what.into(), source: source.into() }
    }
}

pub(crate) fn unavailable(source: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable { store: "CQL store", source: source.into() }
}

pub(crate) fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}
