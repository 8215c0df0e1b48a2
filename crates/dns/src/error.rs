//! Why a name has no address.

use std::io;
use std::time::Duration;

use hickory_resolver::net::NetError;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// It cannot be a name, or not one with a port.
    #[error("{0:?} is no name of a host")]
    Malformed(String),
    /// A name server, and the hosts file, know no address of it.
    #[error("{0}: no such name, or it has no address")]
    Unknown(String),
    /// No name server has answered in time.
    #[error("{name}: no name server has answered within {within:?}")]
    Silent {
        /// Which name.
        name: String,
        /// How long was waited.
        within: Duration,
    },
    /// It cannot be asked, or what it says is of no use.
    #[error("{name}: {why}")]
    Failed {
        /// Which name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

impl LookupError {
    pub(crate) fn of(name: &str, error: NetError) -> LookupError {
        let name = name.to_owned();
        match error {
            NetError::Timeout => LookupError::Silent { name, within: crate::WITHIN },
            error if error.is_nx_domain() || error.is_no_records_found() => LookupError::Unknown(name),
            error => LookupError::Failed { name, why: error.to_string() },
        }
    }
}

impl From<LookupError> for io::Error {
    fn from(error: LookupError) -> io::Error {
        let kind = match error {
            LookupError::Malformed(_) => io::ErrorKind::InvalidInput,
            LookupError::Unknown(_) => io::ErrorKind::NotFound,
            LookupError::Silent { .. } => io::ErrorKind::TimedOut,
            LookupError::Failed { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
