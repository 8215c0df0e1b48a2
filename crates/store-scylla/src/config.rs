//! Which servers keep the durable data, and how they are reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// ScyllaDB, or Apache Cassandra. Every field has a default that is right for one laptop.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Servers to ask first, `host:port`; the others are learnt from them.
    pub nodes: Vec<String>,
    /// The keyspace that holds all tables: small letters, digits and `_`.
    pub keyspace: String,
    /// The data center that is read and written, none other; empty: whichever the nodes are in.
    pub datacenter: String,
    /// How many servers keep each row. Only `starling store migrate` looks at it, when it makes the keyspace. One keeps no
    /// promise when that server is lost: 3, on different machines.
    pub replication_factor: u32,
    /// The user to sign in as; empty: no authentication.
    pub user: String,
    /// The password; better in `password-file`, or in the environment.
    pub password: Secret,
    /// A file whose first line is the password.
    pub password_file: PathBuf,
    /// Encryption.
    pub tls: Tls,
    /// How long one request may take, with all that the driver tries again.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long archived messages are kept; a change takes effect, for messages from then on, with `starling store migrate`.
    #[serde(with = "humantime_serde")]
    pub archive_kept: Duration,
    /// How long a message of an account without archive waits to be collected; changed likewise.
    #[serde(with = "humantime_serde")]
    pub spool_kept: Duration,
    /// How much time one partition of an archive covers. Fixed when the tables are made.
    #[serde(skip)]
    pub bucket: Duration,
}

/// Encryption to the servers, by rustls.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Who signs the servers' certificates, PEM; empty: connections are not encrypted.
    pub ca: PathBuf,
    /// The DNS name that is in every server's certificate; empty: the certificates name the servers' IP addresses.
    pub server_name: String,
    /// Our own certificate, PEM, where the servers want one.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// A text that no log shows.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// What may be shown in its place.
    pub fn masked(&self) -> Secret {
        Secret(if self.0.is_empty() { String::new() } else { "…".to_owned() })
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().0)
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// As it is written: `1year` in a file is this long.
const YEAR: Duration = Duration::from_secs(31_557_600);
/// CQL refuses a longer time to live.
const LONGEST: Duration = Duration::from_secs(630_720_000);

impl Default for Config {
    fn default() -> Config {
        Config {
            nodes: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "starling".to_owned(),
            datacenter: String::new(),
            replication_factor: 1,
            user: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            tls: Tls::default(),
            request_timeout: Duration::from_secs(5),
            archive_kept: YEAR,
            spool_kept: YEAR,
            bucket: DAY * 30,
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
        if self.nodes.is_empty() || self.nodes.iter().any(String::is_empty) {
            return wrong("nodes", "must name at least one server, as host:port");
        }
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins_well = self.keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        // 48 is the limit of Apache Cassandra; names of tables are joined to it.
        if !begins_well || !self.keyspace.chars().all(is_word) || self.keyspace.len() > 48 {
            return wrong(
                "keyspace",
                "must be a small letter, then small letters, digits or `_`, 48 at most",
            );
        }
        if !self.datacenter.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return wrong("datacenter", "must be letters, digits, `-`, `_` or `.`");
        }
        if !(1..=9).contains(&self.replication_factor) {
            return wrong("replication-factor", "must be 1 to 9; 3 keeps the promises when a server is lost");
        }
        if !self.password.reveal().is_empty() && !self.password_file.as_os_str().is_empty() {
            return wrong("password-file", "is given as well as `password`; one is enough");
        }
        if self.request_timeout < Duration::from_millis(100) || self.request_timeout > Duration::from_secs(60)
        {
            return wrong("request-timeout", "must be 100ms to 60s");
        }
        if !(DAY..=LONGEST).contains(&self.archive_kept) {
            return wrong("archive-kept", "must be 24h to 7300d: messages of who is offline wait there");
        }
        if !(DAY..=LONGEST).contains(&self.spool_kept) {
            return wrong("spool-kept", "must be 24h to 7300d: messages of who is offline wait there");
        }
        self.tls.check()
    }
}

impl Tls {
    fn check(&self) -> Result<(), Invalid> {
        let is_empty = |path: &PathBuf| path.as_os_str().is_empty();
        let is_used = !is_empty(&self.certificate) || !is_empty(&self.key) || !self.server_name.is_empty();
        if is_empty(&self.ca) && is_used {
            return Err(Invalid {
                field: "tls.ca",
                why: "must be given too: without it nothing is encrypted",
            });
        }
        if is_empty(&self.certificate) != is_empty(&self.key) {
            return Err(Invalid { field: "tls.key", why: "a certificate and its key come together" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().field
        };
        assert_eq!(wrong(|config| config.nodes.clear()), "nodes");
        for keyspace in ["", "Starling", "a b", "x; DROP KEYSPACE x", "1a", "_a"] {
            let config = Config { keyspace: keyspace.to_owned(), ..Config::default() };
            assert_eq!(config.check().unwrap_err().field, "keyspace", "{keyspace}");
        }
        assert_eq!(wrong(|config| config.datacenter = "dc'1".into()), "datacenter");
        assert_eq!(wrong(|config| config.replication_factor = 0), "replication-factor");
        assert_eq!(wrong(|config| config.request_timeout = Duration::ZERO), "request-timeout");
        assert_eq!(wrong(|config| config.archive_kept = DAY / 2), "archive-kept");
        assert_eq!(wrong(|config| config.spool_kept = LONGEST * 2), "spool-kept");
        assert_eq!(wrong(|config| config.tls.key = "key.pem".into()), "tls.ca");
        assert_eq!(
            wrong(|config| {
                (config.password, config.password_file) = ("secret".into(), "file".into());
            }),
            "password-file"
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = Config { password: "secret".into(), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
