//! Why the link cannot begin.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What an operator has to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener of a session router.
    #[error("cannot listen on {address} for connection managers")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the node's identity.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be made of the files.
    #[error("TLS between nodes")]
    Tls(#[from] rustls::Error),
}
