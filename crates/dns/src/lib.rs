//! Names of hosts into addresses: the hosts file, then DNS, with the search list and `ndots` of resolv.conf. The C library is not asked.
//!
//! Nothing is kept. Each lookup reads both files anew and asks, so no answer is older than the name server's own; who needs a name
//! often asks seldom. Why, and what is different from the C library: `docs/adr/0021-names.md`.
#![forbid(unsafe_code)]

mod error;
mod files;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use error::LookupError;
pub use files::Files;

/// How long a lookup takes at most, whatever resolv.conf says.
pub const WITHIN: Duration = Duration::from_secs(5);

/// Looks names up. Cheap to make and to clone; holds nothing but where its files are.
#[derive(Debug, Clone)]
pub struct Resolver(Files);

impl Resolver {
    /// As this system has it: `/etc/resolv.conf` and `/etc/hosts`.
    pub fn system() -> Resolver {
        Resolver(Files::default())
    }

    /// By other files.
    pub fn of(files: Files) -> Resolver {
        Resolver(files)
    }

    /// The addresses of `host`, a name or an address; never none, each once, IPv4 first. An answer comes within [`WITHIN`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        match timeout(WITHIN, self.look(host)).await {
            Ok(found) => found,
            Err(_) => Err(LookupError::Silent { name: host.to_owned(), within: WITHIN }),
        }
    }

    async fn look(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let name = Name::from_str_relaxed(host).map_err(|_| LookupError::Malformed(host.to_owned()))?;
        let failed = |error| LookupError::of(host, error);
        let (config, options, hosts) = self.0.read().await.map_err(failed)?;
        let known = files::known(&hosts, &name);
        if !known.is_empty() {
            return Ok(known);
        }
        let mut asking = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *asking.options_mut() = options;
        let found = asking.build().map_err(failed)?.lookup_ip(name).await.map_err(failed)?;
        let mut addresses = Vec::new();
        for address in found.iter() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(LookupError::Unknown(host.to_owned())) } else { Ok(addresses) }
    }

    /// The same for `host:port`, where an IPv6 address stands in brackets.
    pub async fn sockets(&self, text: &str) -> Result<Vec<SocketAddr>, LookupError> {
        let malformed = || LookupError::Malformed(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port: u16 = port.parse().map_err(|_| malformed())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = self.addresses(host).await?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Connects to the first address of `host` that takes it; the error is that of the last one. How long each may take, the caller says.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let found = self.addresses(host).await.map_err(io::Error::from)?;
        let sockets: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        TcpStream::connect(sockets.as_slice()).await
    }
}

#[cfg(test)]
mod tests;
