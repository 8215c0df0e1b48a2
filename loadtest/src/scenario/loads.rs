//! What each load can be told, and what it measures.

use super::number::{Number, bounded};
use super::yes;
use serde::Deserialize;

/// Clients that log in and say nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Hold {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// Connections of one account.
    #[serde(default = "bounded::<1, 1, 100>")]
    pub(crate) per_account: Number<1, 100>,
    /// How often each tries to log in, if it is refused for now, closed or not answered.
    #[serde(default = "bounded::<6, 1, 20>")]
    pub(crate) attempts: Number<1, 20>,
    /// With XEP-0198.
    #[serde(default)]
    pub(crate) sm: bool,
}

/// Logging in and leaving, over and over.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Login {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// Open loop: so many begin in a second, whatever became of those before. Without it: `concurrency` at a time.
    pub(crate) per_second: Option<Number<1, 100_000>>,
    /// Also tell presence and wait until that is taken in.
    #[serde(default)]
    pub(crate) presence: bool,
}

/// Pairs, one writes and the other reads: half of the accounts each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Chat {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// Closed loop: messages of a pair on their way at once.
    #[serde(default = "bounded::<1, 1, 10_000>")]
    pub(crate) in_flight: Number<1, 10_000>,
    /// Open loop: so many are due in a second, of all pairs together; latency counts from when each was due.
    pub(crate) per_second: Option<Number<1, 1_000_000>>,
    /// Open loop: so many of a pair are due at one time.
    #[serde(default = "bounded::<1, 1, 1000>")]
    pub(crate) burst: Number<1, 1000>,
    /// The body's length.
    #[serde(default = "bounded::<64, 1, 100_000>")]
    pub(crate) bytes: Number<1, 100_000>,
    /// With XEP-0198, and every message acknowledged.
    #[serde(default)]
    pub(crate) sm: bool,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            weight: None,
            in_flight: bounded::<1, 1, 10_000>(),
            per_second: None,
            burst: bounded::<1, 1, 1000>(),
            bytes: bounded::<64, 1, 100_000>(),
            sm: false,
        }
    }
}

/// Messages for accounts that are not there, which then come and collect them: half of the accounts each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Offline {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How many wait for each in one round.
    #[serde(default = "bounded::<100, 1, 100_000>")]
    pub(crate) messages: Number<1, 100_000>,
    /// The body's length.
    #[serde(default = "bounded::<64, 1, 100_000>")]
    pub(crate) bytes: Number<1, 100_000>,
    /// With XEP-0198, and every message acknowledged.
    #[serde(default = "yes")]
    pub(crate) sm: bool,
}

/// All users with their rosters come online, then change their presence in rounds, all at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Presence {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// Contacts of each user, an even number.
    #[serde(default = "bounded::<18, 2, 1000>")]
    pub(crate) contacts: Number<2, 1000>,
}

/// Readers page through archives that were filled before (XEP-0313): half of the accounts write, half read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Archive {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How many messages of the run an archive holds.
    #[serde(default = "bounded::<200, 1, 1000000>")]
    pub(crate) messages: Number<1, 1000000>,
    /// Messages of a page.
    #[serde(default = "bounded::<50, 1, 1000>")]
    pub(crate) page: Number<1, 1000>,
    /// The body's length.
    #[serde(default = "bounded::<64, 1, 100000>")]
    pub(crate) bytes: Number<1, 100000>,
}

/// All clients lose their connections at once and come back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Reconnect {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How many knock at the same time.
    #[serde(default = "bounded::<1000, 1, 20000>")]
    pub(crate) at_once: Number<1, 20000>,
    /// Between two storms.
    #[serde(default = "bounded::<500, 0, 60000>")]
    pub(crate) pause_ms: Number<0, 60000>,
    /// With XEP-0198, whose sessions wait for clients that do not resume.
    #[serde(default)]
    pub(crate) sm: bool,
}

/// Pairs whose readers are cut off and resume (XEP-0198 §5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Resume {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How long a connection lasts.
    #[serde(default = "bounded::<1000, 50, 600000>")]
    pub(crate) every_ms: Number<50, 600000>,
    /// Messages of a pair on their way at once.
    #[serde(default = "bounded::<4, 1, 10000>")]
    pub(crate) in_flight: Number<1, 10000>,
    /// The body's length.
    #[serde(default = "bounded::<64, 1, 100000>")]
    pub(crate) bytes: Number<1, 100000>,
}

/// Pairs of which some have a reader that reads nothing for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Slow {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How many of a hundred pairs have one.
    #[serde(default = "bounded::<10, 1, 100>")]
    pub(crate) percent: Number<1, 100>,
    /// For how long, from the beginning.
    #[serde(default = "bounded::<5, 1, 3600>")]
    pub(crate) stall_seconds: Number<1, 3600>,
    /// How many messages are on their way to a slow reader.
    #[serde(default = "bounded::<1000, 1, 10000>")]
    pub(crate) messages: Number<1, 10000>,
    /// Messages of any other pair on their way at once.
    #[serde(default = "bounded::<1, 1, 10000>")]
    pub(crate) in_flight: Number<1, 10000>,
    /// The body's length.
    #[serde(default = "bounded::<1024, 1, 100000>")]
    pub(crate) bytes: Number<1, 100000>,
    /// With XEP-0198, and every message acknowledged.
    #[serde(default = "yes")]
    pub(crate) sm: bool,
}

/// Pairs of contacts who write to each other and resume whenever they lose their connection, which is for others to see to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Stay {
    pub(crate) weight: Option<Number<1, 1000>>,
    /// How often each writes.
    #[serde(default = "bounded::<200, 1, 60000>")]
    pub(crate) every_ms: Number<1, 60000>,
    /// The body's length.
    #[serde(default = "bounded::<64, 1, 100000>")]
    pub(crate) bytes: Number<1, 100000>,
}

/// One load of a scenario.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    Hold(Hold),
    Login(Login),
    Chat(Chat),
    Offline(Offline),
    Presence(Presence),
    Archive(Archive),
    Reconnect(Reconnect),
    Resume(Resume),
    Slow(Slow),
    Stay(Stay),
}

impl Load {
    /// The name of its table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::Login(_) => "login",
            Self::Chat(_) => "chat",
            Self::Offline(_) => "offline",
            Self::Presence(_) => "presence",
            Self::Archive(_) => "archive",
            Self::Reconnect(_) => "reconnect",
            Self::Resume(_) => "resume",
            Self::Slow(_) => "slow",
            Self::Stay(_) => "stay",
        }
    }

    /// The operations it measures; what the server spends is counted for each of the first.
    pub(crate) fn operations(&self) -> &'static [&'static str] {
        match self {
            Self::Hold(_) => &["ping", "hold-login"],
            Self::Login(_) => &["login"],
            Self::Chat(chat) if chat.sm => &["delivery", "ack", "lateness"],
            Self::Chat(_) => &["delivery", "lateness"],
            Self::Offline(_) => &["store", "collect"],
            Self::Presence(_) => &["presence"],
            Self::Archive(_) => &["page"],
            Self::Reconnect(_) => &["back", "all-back"],
            Self::Resume(_) => &["delivery", "resume", "ack"],
            Self::Slow(slow) if slow.sm => &["delivery", "late-delivery", "ack"],
            Self::Slow(_) => &["delivery", "late-delivery"],
            Self::Stay(_) => &["delivery", "resume", "ack"],
        }
    }

    /// Whether a figure says what the whole server spent: in a mix it would blame one load for all.
    pub(crate) fn is_of_server(figure: &str) -> bool {
        figure.starts_with("server-cpu-us-per-") || figure == "bytes-per-connection"
    }

    /// Figures of its own.
    pub(crate) fn figures(&self) -> &'static [&'static str] {
        match self {
            Self::Hold(_) => &[
                "bytes-per-connection",
                "server-cpu-us-per-second-idle",
                "held",
                "closed",
                "retries-refused",
                "retries-closed",
                "retries-unanswered",
            ],
            Self::Login(_) | Self::Chat(_) | Self::Reconnect(_) | Self::Resume(_) | Self::Slow(_) => &[],
            Self::Archive(_) => &["rows-per-second"],
            Self::Offline(_) => &[
                "server-cpu-us-per-stored",
                "server-cpu-us-per-collected",
                "stored-per-second",
                "collected-per-second",
            ],
            Self::Presence(_) => &["server-cpu-us-per-coming-online", "coming-online-per-second"],
            Self::Stay(_) => &["flaps"],
        }
    }
}
