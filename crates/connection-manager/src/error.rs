//! Why the listeners cannot start.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

/// From this port on everybody may listen, unless the machine says otherwise.
const FREE_FOR_ALL: u16 = 1024;

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
    #[error("cannot listen on {address}; {}", mend_of_bind(*address, source, "under [listen]"))]
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

/// What helps where the system refuses to listen; `place` is where another address is set.
pub fn mend_of_bind(address: SocketAddr, refused: &std::io::Error, place: &str) -> String {
    match refused.kind() {
        ErrorKind::PermissionDenied if address.port() < FREE_FOR_ALL => format!(
            "set a port above 1023 {place}, or give the server the right CAP_NET_BIND_SERVICE, under systemd by \
             AmbientCapabilities=CAP_NET_BIND_SERVICE and the same in CapabilityBoundingSet="
        ),
        ErrorKind::PermissionDenied => {
            format!("ask what forbids it, such as SELinux, or set another address {place}")
        }
        ErrorKind::AddrNotAvailable => {
            format!(
                "this machine does not have that address: set one of its own {place}, or [::] for all of them"
            )
        }
        _ => format!("stop what uses it, or set another address {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_mend() {
        for (address, kind, mend) in [
            ("0.0.0.0:443", ErrorKind::PermissionDenied, "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            ("0.0.0.0:5222", ErrorKind::PermissionDenied, "SELinux"),
            ("192.0.2.1:5222", ErrorKind::AddrNotAvailable, "this machine does not have that address"),
            ("[::]:5222", ErrorKind::AddrInUse, "stop what uses it"),
        ] {
            let error = Error::Listen { address: address.parse().unwrap(), source: kind.into() };
            let said = error.to_string();
            assert!(
                said.contains(address) && said.contains(mend) && said.contains("under [listen]"),
                "{said}"
            );
        }
    }
}
