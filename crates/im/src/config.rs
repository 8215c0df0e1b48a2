//! What may be set about messaging.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_ports::sessions::View;

/// How the server treats its users' messages. Every field has a default that is right for one laptop. A limit of 0 is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whether messages are archived (XEP-0313); each user may turn it off for itself.
    pub archive: bool,
    /// How many messages one page of the archive has at most.
    pub archive_max_page: usize,
    /// How long a session waits to be resumed after its socket is lost (XEP-0198); `0s` turns resumption off.
    #[serde(with = "humantime_serde")]
    pub resume_within: Duration,
    /// How many sessions one account may have at once.
    pub max_sessions: usize,
    /// How many contacts one roster may have.
    pub max_roster_items: usize,
    /// How many addresses one account may block.
    pub max_blocked: usize,
    /// How many bytes of vCard and private XML one account may keep.
    pub max_document_bytes: usize,
    /// Whether failed logins are slowed down, by account and by address; nobody is ever locked out. `false`: for benchmarks only.
    pub login_back_off: bool,
    /// Whether the version of the server is told to who asks (XEP-0092).
    pub tell_version: bool,
    /// What may wait for one account.
    pub quotas: Quotas,
    /// In-band registration.
    pub registration: Registration,
    /// Whom to write to about this server (XEP-0157), as URIs such as `mailto:abuse@example.org`.
    pub contact: Contact,
}

/// Past these the sender gets `resource-constraint`, before any ack. 0 turns one off. Each message counts as it comes; only
/// senders that write at the same moment may go past one, by what each of them has sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quotas {
    /// How many messages may wait for an account.
    pub offline_messages: usize,
    /// How many bytes they may take.
    pub offline_bytes: usize,
    /// How many bytes the archive of an account may take.
    pub archive_bytes: u64,
}

/// Whether strangers may make accounts (XEP-0077).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Registration {
    /// Off, unless somebody wants it.
    pub enabled: bool,
    /// How many accounts one address may make in an hour. 0 turns the limit off.
    pub per_address_and_hour: u32,
}

/// XEP-0157 §2.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Contact {
    /// For reports of abuse.
    pub abuse: Vec<String>,
    /// Who runs it.
    pub admin: Vec<String>,
    /// For reports of security faults.
    pub security: Vec<String>,
    /// For help.
    pub support: Vec<String>,
}

/// A field that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// As it is written in the file.
    pub field: &'static str,
    /// Why not.
    pub why: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            archive: true,
            archive_max_page: 50,
            resume_within: Duration::from_secs(300),
            max_sessions: 20,
            max_roster_items: 2000,
            max_blocked: 1000,
            max_document_bytes: 1 << 20,
            login_back_off: true,
            tell_version: true,
            quotas: Quotas::default(),
            registration: Registration::default(),
            contact: Contact::default(),
        }
    }
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { offline_messages: 10_000, offline_bytes: 64 << 20, archive_bytes: 1 << 30 }
    }
}

impl Default for Registration {
    fn default() -> Registration {
        Registration { enabled: false, per_address_and_hour: 10 }
    }
}

impl Quotas {
    /// Whether no more may wait for the account.
    pub fn has_enough_waiting(&self, view: &View) -> bool {
        let reached = |quota: usize, used: usize| quota > 0 && used >= quota;
        reached(self.offline_messages, view.waiting) || reached(self.offline_bytes, view.waiting_bytes)
    }
    /// Whether no more may be archived for the account.
    pub fn is_archive_full(&self, view: &View) -> bool {
        self.is_archive_full_with(view, 0)
    }
    /// The same when so many bytes have come that the view does not know of.
    pub fn is_archive_full_with(&self, view: &View, more: u64) -> bool {
        self.archive_bytes > 0 && view.archived_bytes.saturating_add(more) >= self.archive_bytes
    }
}

impl Config {
    /// Checked before the first socket is bound.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.resume_within > Duration::from_secs(86_400) {
            return Err(Invalid { field: "resume-within", why: "at most one day".to_owned() });
        }
        self.contact.check()
    }
}

impl Contact {
    /// XEP-0157 §2: each of them is a URI.
    fn check(&self) -> Result<(), Invalid> {
        for (field, list) in [
            ("contact.abuse", &self.abuse),
            ("contact.admin", &self.admin),
            ("contact.security", &self.security),
            ("contact.support", &self.support),
        ] {
            if let Some(wrong) = list.iter().find(|contact| !is_uri(contact)) {
                let why = format!(
                    "{wrong:?} is not a URI such as mailto:abuse@example.org or xmpp:admin@example.org"
                );
                return Err(Invalid { field, why });
            }
        }
        Ok(())
    }
}

/// As far as a slip of the pen goes: RFC 3986 §3, a scheme and something behind it, of the characters of §2.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(of_scheme)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

/// What a limit allows: 0 is none.
pub(crate) fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
