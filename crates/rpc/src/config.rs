//! How a node takes part in a cluster.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Role;

/// Where a session router keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stores {
    /// In Redis and CQL, which all routers share.
    #[default]
    Shared,
    /// In its own data directory: it is the only router.
    Embedded,
}

/// A process among others. Looked at only with `mode = "cluster"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What this process does: `connection-manager`, `session-router`, or both.
    pub roles: Vec<Role>,
    /// What this process is called: no other that lives at the same time may have the name. Empty: as the host is called.
    pub name: String,
    /// Where a session router keeps everything: `shared`, in the servers of `[redis]` and `[scylla]`; `embedded`, in its own
    /// data directory, and then the cluster has this one router.
    pub stores: Stores,
    /// Where a session router waits for connection managers.
    pub listen: SocketAddr,
    /// Where session routers are, as `host:port`. All addresses of a host are used, and looked up again every few seconds.
    pub routers: Vec<String>,
    /// Whether nodes speak without TLS. Only where everything is on loopback: whoever reaches a router so may do everything.
    pub plaintext: bool,
    /// This node's certificate, then its issuers, in PEM form. Among its subject alternative names is a URI for each of its
    /// roles, such as `spiffe://starling/session-router`.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// Whose certificates are believed, in PEM form: an authority of this cluster's own.
    pub authority: PathBuf,
    /// A file with 32 random bytes, the same for all session routers: whom no account belongs to is told the same salt by each.
    pub secret: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            name: String::new(),
            stores: Stores::default(),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5290)),
            routers: Vec::new(),
            plaintext: false,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            authority: PathBuf::new(),
            secret: PathBuf::new(),
        }
    }
}

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its key.
    pub field: &'static str,
    /// Why.
    pub why: String,
}

impl Config {
    /// Whether it plays that role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Checked before anything runs, and by `starling config check`.
    pub fn check(&self) -> Result<(), Invalid> {
        let invalid = |field, why: &str| Err(Invalid { field, why: why.to_owned() });
        if self.roles.is_empty() {
            return invalid("roles", "a process needs at least one");
        }
        if !self.has(Role::SessionRouter) && self.routers.is_empty() {
            return invalid("routers", "a connection manager without session routers can do nothing");
        }
        let is_place = |name: &&String| {
            let (host, port) = name.rsplit_once(':').unwrap_or_default();
            host.is_empty() || port.parse::<u16>().is_err()
        };
        if let Some(name) = self.routers.iter().find(is_place) {
            return Err(Invalid { field: "routers", why: format!("{name:?} is not host:port") });
        }
        let shares = self.has(Role::SessionRouter) && self.stores == Stores::Shared;
        if shares && self.secret.as_os_str().is_empty() {
            return invalid(
                "secret",
                "routers that share their stores need the same one: a file of 32 random bytes",
            );
        }
        self.check_tls()
    }

    fn check_tls(&self) -> Result<(), Invalid> {
        let files = [("certificate", &self.certificate), ("key", &self.key), ("authority", &self.authority)];
        if !self.plaintext {
            let missing = files.into_iter().find(|(_, path)| path.as_os_str().is_empty());
            return missing.map_or(Ok(()), |(field, _)| {
                let why = "nodes know one another by certificates, unless `plaintext` on loopback".to_owned();
                Err(Invalid { field, why })
            });
        }
        if self.has(Role::SessionRouter) && !self.listen.ip().is_loopback() {
            let why = format!("{} is not a loopback address: there no node speaks without TLS", self.listen);
            return Err(Invalid { field: "listen", why });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_loopback() -> Config {
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            routers: vec!["localhost:5290".to_owned()],
            plaintext: true,
            stores: Stores::Embedded,
            ..Config::default()
        }
    }

    fn field(config: &Config) -> &'static str {
        config.check().unwrap_err().field
    }

    #[test]
    fn what_a_node_lacks_is_named() {
        assert_eq!(on_loopback().check(), Ok(()));
        assert_eq!(field(&Config { roles: Vec::new(), ..on_loopback() }), "roles");
        let manager = Config { roles: vec![Role::ConnectionManager], ..on_loopback() };
        assert_eq!(manager.check(), Ok(()));
        assert_eq!(field(&Config { routers: Vec::new(), ..manager.clone() }), "routers");
        assert_eq!(field(&Config { routers: vec!["router".to_owned()], ..manager }), "routers");
        assert_eq!(field(&Config { stores: Stores::Shared, ..on_loopback() }), "secret");
    }

    #[test]
    fn nodes_speak_tls_but_on_loopback() {
        assert_eq!(field(&Config { plaintext: false, ..on_loopback() }), "certificate");
        assert_eq!(field(&Config { listen: "192.0.2.1:5290".parse().unwrap(), ..on_loopback() }), "listen");
        let file = || PathBuf::from("x");
        let known = Config { plaintext: false, certificate: file(), key: file(), ..on_loopback() };
        assert_eq!(field(&known), "authority");
        assert_eq!(Config { authority: file(), ..known }.check(), Ok(()));
    }
}
