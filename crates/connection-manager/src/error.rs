//! Why the listeners cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A value of the configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The key, as it stands in the file.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// What stops a start or a reload. Each names the thing that has to be mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that somebody else has, or that needs more rights.
    #[error("cannot listen on {address}; stop what uses it, or set another address under [listen]")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key file.
    #[error("{}: {why}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No self-signed certificate could be made.
    #[error("cannot make a certificate for {domain}: {source}")]
    SelfSigned {
        /// For which domain.
        domain: String,
        /// What was missing.
        source: rcgen::Error,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}
