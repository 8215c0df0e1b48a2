//! Which Redis it is, and what is asked of it.

use std::path::PathBuf;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::topology::Address;

/// The Redis that all session routers share. Every field has a default that is right for one laptop.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `redis://user@host:port/database`, or `rediss://…` for TLS. A password stands better in a file. If what answers there is a
    /// node of a Redis Cluster, its other nodes are found through it.
    pub url: String,
    /// The file whose first line is the password. It may be changed at any time: new connections with it take the place of the
    /// present ones.
    pub password_file: PathBuf,
    /// More nodes of a Redis Cluster, `host:port`, to ask when the one in `url` is away.
    pub cluster_nodes: Vec<String>,
    /// Sentinels, `host:port`. They are asked who is master; of `url` only the user, the database and `rediss` count then.
    pub sentinels: Vec<String>,
    /// By which name Sentinels know the master.
    pub sentinel_master: String,
    /// The user to sign in to Sentinels as; empty: their default user.
    pub sentinel_user: String,
    /// The file whose first line is that user's password.
    pub sentinel_password_file: PathBuf,
    /// Certificates, where `url` begins with `rediss`.
    pub tls: Tls,
    /// How long one call may take before its connection is given up.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// How long a step is tried again before the stanza is answered with an error.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// How long a node is taken for alive that says nothing.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How many stanzas a session may leave unacknowledged before the rest waits in the store.
    pub log_max_stanzas: usize,
    /// How many bytes of stanzas a session may leave unacknowledged before the rest waits in the store.
    pub log_max_bytes: usize,
    /// How long a session waits to be resumed after its connection is lost (XEP-0198 §5), at most.
    #[serde(skip)]
    pub resume_within: Duration,
    /// How many bytes a router keeps of all logs together, so that it need not read them for each step.
    #[serde(skip)]
    pub kept_bytes: usize,
    /// Go on though Redis keeps no append-only file: then a restart of Redis loses sessions.
    pub accept_no_append_only_file: bool,
    /// Go on though Redis may evict keys: then it loses sessions when its memory is full.
    pub accept_eviction: bool,
    /// Go on though a master takes writes while no replica listens (Sentinel, Redis Cluster): then a failover forgets more of what was
    /// written last, and more sessions begin anew.
    pub accept_no_replicas: bool,
}

/// Encryption to Redis, by rustls. These files, too, may be changed at any time.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Who signs the servers' certificates, PEM; empty: whom the system trusts.
    pub ca: PathBuf,
    /// Our own certificate, PEM, where the servers want one.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: "redis://127.0.0.1:6379/0".to_owned(),
            password_file: PathBuf::new(),
            cluster_nodes: Vec::new(),
            sentinels: Vec::new(),
            sentinel_master: "starling".to_owned(),
            sentinel_user: String::new(),
            sentinel_password_file: PathBuf::new(),
            tls: Tls::default(),
            call_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            log_max_stanzas: 1000,
            log_max_bytes: 1024 * 1024,
            resume_within: Duration::from_secs(300),
            kept_bytes: usize::MAX,
            accept_no_append_only_file: false,
            accept_eviction: false,
            accept_no_replicas: false,
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// Which key of the file.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

impl Config {
    /// Checked before the first connection, and by `starling config check`.
    pub fn check(&self) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        let Some(info) = self.info() else {
            return wrong("url", "must be like redis://host:6379/0, or rediss:// for TLS");
        };
        let is_tls = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return wrong("url", "must not end with #insecure: name who signs certificates in tls.ca");
            }
            ConnectionAddr::TcpTls { .. } => true,
            _ => false,
        };
        self.check_files(is_tls)?;
        self.check_nodes()?;
        if self.call_timeout.is_zero() || self.deadline < self.call_timeout {
            return wrong("deadline", "must not be shorter than call-timeout, and neither may be 0");
        }
        if self.lease < Duration::from_secs(1) {
            return wrong("lease", "must be at least 1s, or nodes are taken for dead that are only busy");
        }
        if self.log_max_stanzas < 10 {
            return wrong("log-max-stanzas", "must be at least 10, or no client gets anything done");
        }
        if self.log_max_bytes < 10_000 {
            return wrong(
                "log-max-bytes",
                "must be at least 10000, the smallest stanza every server accepts (RFC 6120 §13.12)",
            );
        }
        Ok(())
    }

    fn check_files(&self, is_tls: bool) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        let tls = &self.tls;
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        if is_set(&tls.certificate) != is_set(&tls.key) {
            return wrong("tls.certificate", "must be named together with tls.key");
        }
        if !is_tls && (is_set(&tls.ca) || is_set(&tls.certificate)) {
            return wrong(
                "url",
                "must begin with rediss://, or the certificates in [redis.tls] mean nothing",
            );
        }
        let files = [
            ("tls.ca", &tls.ca),
            ("tls.certificate", &tls.certificate),
            ("tls.key", &tls.key),
            ("password-file", &self.password_file),
            ("sentinel-password-file", &self.sentinel_password_file),
        ];
        for (field, path) in files {
            if is_set(path) && std::fs::File::open(path).is_err() {
                return wrong(field, "must be a file that the server's user may read");
            }
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        for (field, nodes) in [("cluster-nodes", &self.cluster_nodes), ("sentinels", &self.sentinels)] {
            if nodes.iter().any(|node| Address::read(node).is_none()) {
                return wrong(field, "must be like [\"host:6379\", \"host:6379\"]");
            }
        }
        if !self.sentinels.is_empty() && !self.cluster_nodes.is_empty() {
            return wrong(
                "sentinels",
                "must not stand beside cluster-nodes: a Redis Cluster needs no Sentinels",
            );
        }
        if !self.sentinels.is_empty() && self.sentinel_master.is_empty() {
            return wrong("sentinel-master", "must be the name that stands in `sentinel monitor NAME …`");
        }
        Ok(())
    }

    /// What is in `url`.
    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        self.url.as_str().into_connection_info().ok()
    }

    /// Where `url` leads to, if that is a host.
    pub(crate) fn address(&self) -> Option<Address> {
        match self.info()?.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// `url` without what is secret in it.
    pub fn shown_url(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return self.url.clone() };
        match rest.rsplit_once('@') {
            Some((who, host)) => {
                let user = who.split(':').next().unwrap_or_default();
                let user = if user.is_empty() { String::new() } else { format!("{user}@") };
                format!("{scheme}://{user}{host}")
            }
            None => self.url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(change: impl FnOnce(&mut Config)) -> Option<&'static str> {
        let mut config = Config::default();
        change(&mut config);
        config.check().err().map(|invalid| invalid.field)
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(field_of(|_| ()), None);
        assert_eq!(field_of(|config| config.url = "http://localhost".into()), Some("url"));
        assert_eq!(field_of(|config| config.url = "rediss://localhost/#insecure".into()), Some("url"));
        assert_eq!(field_of(|config| config.url = "rediss://localhost/0".into()), None);
        assert_eq!(field_of(|config| config.tls.ca = "ca.pem".into()), Some("url"));
        assert_eq!(field_of(|config| config.tls.key = "key.pem".into()), Some("tls.certificate"));
        let missing = |config: &mut Config| {
            (config.url, config.tls.ca) = ("rediss://localhost/0".into(), "/nowhere/ca.pem".into());
        };
        assert_eq!(field_of(missing), Some("tls.ca"));
        assert_eq!(field_of(|config| config.sentinels = vec!["one".into()]), Some("sentinels"));
        assert_eq!(field_of(|config| config.cluster_nodes = vec!["one:6379".into()]), None);
        let nameless = |config: &mut Config| {
            (config.sentinels, config.sentinel_master) = (vec!["one:26379".into()], String::new());
        };
        assert_eq!(field_of(nameless), Some("sentinel-master"));
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("redis://starling:s3cret@host:6379/0", "redis://starling@host:6379/0"),
            ("redis://:s3cr@t@host/0", "redis://host/0"),
            ("rediss://host:6380/0", "rediss://host:6380/0"),
        ] {
            let config = Config { url: url.to_owned(), ..Config::default() };
            assert_eq!(config.shown_url(), shown);
        }
    }
}
