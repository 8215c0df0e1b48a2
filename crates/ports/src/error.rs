//! Why a store did not answer.

use starling_stanza::{Condition, StanzaError};

/// The cause, for the log only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Code branches on the variant; only the log sees the source.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may answer later: a full disk, a lost connection.
    #[error("{store} did not answer")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// What lies there is not what was written: never served.
    #[error("stored value cannot be read: {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
}

/// What every port returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// The only place where our trouble becomes words for a client (RFC 6120 §8.3.3).
    pub fn to_stanza_error(&self) -> StanzaError {
        match self {
            Self::Unavailable { .. } => StanzaError::wait(Condition::ResourceConstraint),
            Self::Corrupt { .. } => StanzaError::cancel(Condition::InternalServerError),
        }
    }
}
