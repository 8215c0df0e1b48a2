//! How the embedded store keeps things, and for how long.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that one process keeps. Every field has a default that is right for one laptop. A limit of 0 is none.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The directory of the store; made if it is missing. One process at a time opens it.
    #[serde(skip)]
    pub data_dir: PathBuf,
    /// How many of its files are kept open at once, at most.
    #[serde(skip)]
    pub max_open_files: usize,
    /// How often positions are saved: so much may be repeated after a kill.
    #[serde(skip)]
    pub save_every: Duration,
    /// How many stanzas a session may leave unacknowledged before the rest waits in the store.
    pub log_max_stanzas: usize,
    /// How many bytes of stanzas a session may leave unacknowledged before the rest waits in the store.
    pub log_max_bytes: usize,
    /// How long a session waits to be resumed after its connection is lost (XEP-0198 §5), at most.
    #[serde(skip)]
    pub resume_within: Duration,
    /// How long a message waits to be collected, at least, be it of an account with archive or without.
    #[serde(with = "humantime_serde")]
    pub spool_ttl: Duration,
    /// How long archived messages are kept. Those that still wait to be collected are kept for `spool-ttl`, too.
    #[serde(with = "humantime_serde")]
    pub archive_ttl: Duration,
    /// Below so many free bytes on the disk nothing new is taken: senders get `resource-constraint`, `/readyz` says no. What was
    /// taken before is still written, and devices may still acknowledge.
    pub min_free_bytes: u64,
    /// Believe the clock at this start, however far it is beyond the newest time that the store has seen. Otherwise nothing
    /// expires by a clock that is more than 7 days beyond it until it has gone on for 24 hours. For one start.
    pub accept_clock: bool,
    /// Whether a write is on the disk before it is answered. `false` breaks the promise that an acknowledged
    /// message outlives a crash of the machine: for benchmarks only.
    pub sync: bool,
    /// How long every commit is held back. For tests that look at what happens meanwhile.
    #[serde(with = "humantime_serde")]
    pub commit_delay: Duration,
}

/// Nothing is kept back for longer: every request has a deadline of its own.
const MAX_DELAY: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// As it is written: `1year` in a file is this long.
const YEAR: Duration = Duration::from_secs(31_557_600);
/// As good as for ever, and no sum with a time of today overflows.
const AGE: Duration = YEAR.saturating_mul(1000);

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: PathBuf::from("data"),
            max_open_files: 900,
            save_every: Duration::from_millis(250),
            log_max_stanzas: 1000,
            log_max_bytes: 1024 * 1024,
            resume_within: Duration::from_secs(300),
            spool_ttl: YEAR,
            archive_ttl: YEAR,
            min_free_bytes: 64 * 1024 * 1024,
            accept_clock: false,
            sync: true,
            commit_delay: Duration::ZERO,
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
    /// Checked before the store is opened, and by `starling config check`.
    pub fn check(&self) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        if self.data_dir.as_os_str().is_empty() {
            return wrong("data-dir", "must name a directory");
        }
        if (1..10).contains(&self.log_max_stanzas) {
            return wrong("log-max-stanzas", "must be at least 10, or no client gets anything done");
        }
        if (1..10_000).contains(&self.log_max_bytes) {
            return wrong(
                "log-max-bytes",
                "must be at least 10000, the smallest stanza every server accepts (RFC 6120 §13.12)",
            );
        }
        if self.resume_within > DAY {
            return wrong("resume-within", "must not be longer than 24h");
        }
        for (field, ttl) in [("spool-ttl", self.spool_ttl), ("archive-ttl", self.archive_ttl)] {
            if !ttl.is_zero() && ttl < DAY {
                return wrong(field, "must be at least 24h: messages of who is offline wait there");
            }
            if ttl > AGE {
                return wrong(field, "must not be longer than 1000years");
            }
        }
        if i64::try_from(self.min_free_bytes).is_err() {
            return wrong("min-free-bytes", "no disk is so large");
        }
        if self.commit_delay > MAX_DELAY {
            return wrong("commit-delay", "must not be longer than 10s: it is for tests");
        }
        Ok(())
    }
}
