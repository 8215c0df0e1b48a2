//! Which Redis it is, and what is asked of it.

use std::path::PathBuf;
use std::time::Duration;

/// The Redis that all session routers share. Every field has a default that is right for one laptop.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `redis://host:port/database`, or `rediss://…` for TLS. A user name may stand in it, a password better in a file.
    pub url: String,
    /// The file that holds the password; read again at each new connection, so it may be changed at any time.
    pub password_file: Option<PathBuf>,
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
    /// Go on though Redis keeps no append-only file: then a restart of Redis loses sessions.
    pub accept_no_append_only_file: bool,
    /// Go on though Redis may evict keys: then it loses sessions when its memory is full.
    pub accept_eviction: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            url: "redis://127.0.0.1:6379/0".to_owned(),
            password_file: None,
            call_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            log_max_stanzas: 1000,
            log_max_bytes: 1024 * 1024,
            resume_within: Duration::from_secs(300),
            accept_no_append_only_file: false,
            accept_eviction: false,
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
        if redis::Client::open(self.url.as_str()).is_err() {
            return wrong("url", "must be like redis://host:6379/0, or rediss:// for TLS");
        }
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
}
