//! A scenario: what its file says. Every number has bounds, so that no run is without an end.

mod loads;
mod number;
mod read;
mod threshold;

pub(crate) use loads::{Archive, Chat, Hold, Load, Login, Offline, Presence, Reconnect, Resume, Slow, Stay};
pub(crate) use number::Number;
pub(crate) use read::{Invalid, parse, read};
pub(crate) use threshold::Threshold;

use crate::target::{Mechanism, Transport};
use number::bounded;
use serde::Deserialize;
use std::path::PathBuf;

/// The whole file. Each load is a table; several are a mix, by their weights.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Scenario {
    /// One sentence for readers.
    pub(crate) about: String,
    /// How long it measures.
    #[serde(default = "bounded::<10, 1, 3600>")]
    pub(crate) seconds: Number<1, 3600>,
    /// It ends earlier when so many operations are done.
    #[serde(default = "bounded::<10_000_000, 1, 1_000_000_000>")]
    pub(crate) operations: Number<1, 1_000_000_000>,
    /// How long logging in and making ready may take, and afterwards collecting what is on its way.
    #[serde(default = "bounded::<600, 1, 7200>")]
    pub(crate) preparation_seconds: Number<1, 7200>,
    /// How long what is on its way may take after the last message was sent: what has not come then is lost.
    #[serde(default = "bounded::<20, 1, 600>")]
    pub(crate) drain_seconds: Number<1, 600>,
    #[serde(default)]
    pub(crate) target: TargetConfig,
    pub(crate) accounts: Accounts,
    /// `p99 of an operation < so much` and the like; one that does not hold makes the exit code 99.
    #[serde(default)]
    pub(crate) thresholds: Vec<toml::Spanned<String>>,
    /// The same, understood.
    #[serde(skip)]
    pub(crate) conditions: Vec<Threshold>,
    pub(crate) hold: Option<Hold>,
    pub(crate) login: Option<Login>,
    pub(crate) chat: Option<Chat>,
    pub(crate) offline: Option<Offline>,
    pub(crate) presence: Option<Presence>,
    pub(crate) archive: Option<Archive>,
    pub(crate) reconnect: Option<Reconnect>,
    pub(crate) resume: Option<Resume>,
    pub(crate) slow: Option<Slow>,
    pub(crate) stay: Option<Stay>,
}

/// Whom to load. The command line may say otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TargetConfig {
    /// `HOST:PORT`; clients take several in turn.
    pub(crate) addresses: Vec<String>,
    pub(crate) domain: String,
    pub(crate) transport: Transport,
    /// Without it: the strongest that is offered.
    pub(crate) mechanism: Option<Mechanism>,
    /// Addresses of this machine from which clients come in turn, and ranges of them.
    pub(crate) sources: Vec<String>,
    /// Where the WebSocket is.
    pub(crate) path: String,
    /// How many clients log in at the same time.
    pub(crate) concurrency: Number<1, 1024>,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:5222".to_owned()],
            domain: "localhost".to_owned(),
            transport: Transport::Plain,
            mechanism: None,
            sources: Vec::new(),
            path: "/ws".to_owned(),
            concurrency: Number::clamp(16),
        }
    }
}

/// As whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Accounts {
    pub(crate) count: Number<2, 1_000_000>,
    /// They are named by this and a number.
    #[serde(default = "load")]
    pub(crate) prefix: String,
    #[serde(default = "loadtest")]
    pub(crate) password: String,
    /// Make those that do not exist, in-band (XEP-0077).
    #[serde(default = "yes")]
    pub(crate) register: bool,
    /// A file with lines `user,password` instead.
    pub(crate) list: Option<PathBuf>,
}

fn load() -> String {
    "load".to_owned()
}

fn loadtest() -> String {
    "loadtest".to_owned()
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// Its loads, each with its weight if it has one.
    pub(crate) fn loads(&self) -> Vec<(Load, Option<u64>)> {
        let all = [
            self.hold.clone().map(|load| (load.weight, Load::Hold(load))),
            self.login.clone().map(|load| (load.weight, Load::Login(load))),
            self.chat.clone().map(|load| (load.weight, Load::Chat(load))),
            self.offline.clone().map(|load| (load.weight, Load::Offline(load))),
            self.presence.clone().map(|load| (load.weight, Load::Presence(load))),
            self.archive.clone().map(|load| (load.weight, Load::Archive(load))),
            self.reconnect.clone().map(|load| (load.weight, Load::Reconnect(load))),
            self.resume.clone().map(|load| (load.weight, Load::Resume(load))),
            self.slow.clone().map(|load| (load.weight, Load::Slow(load))),
            self.stay.clone().map(|load| (load.weight, Load::Stay(load))),
        ];
        all.into_iter().flatten().map(|(weight, load)| (load, weight.map(Number::get))).collect()
    }
}
