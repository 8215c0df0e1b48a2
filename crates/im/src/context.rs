//! What handlers and modules may use, and the few ways in which the server itself sends.

use std::sync::Arc;

use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::accounts::Accounts;
use starling_ports::archive::Archive;
use starling_ports::blocklist::BlockLists;
use starling_ports::clock::Clock;
use starling_ports::documents::Documents;
use starling_ports::ids::SessionId;
use starling_ports::last_activity::LastActivities;
use starling_ports::position::Positions;
use starling_ports::preferences::PreferenceStore;
use starling_ports::roster::Rosters;
use starling_ports::sessions::{SessionView, Sessions, View};
use starling_session_router::{Item, Login, Plan, Router};
use starling_stanza::{Presence, PresenceType, Stanza, Wire};
use starling_xml::Ns;

use crate::metrics::Metrics;
use crate::rules;
use crate::{Config, Domains};

/// All stores.
#[derive(Clone)]
pub struct Stores {
    /// Who has an account.
    pub accounts: Arc<dyn Accounts>,
    /// What was said.
    pub archive: Arc<dyn Archive>,
    /// How far it was read.
    pub positions: Arc<dyn Positions>,
    /// Contact lists.
    pub rosters: Arc<dyn Rosters>,
    /// Whom users block.
    pub blocklists: Arc<dyn BlockLists>,
    /// What users want archived.
    pub preferences: Arc<dyn PreferenceStore>,
    /// vCards and private XML.
    pub documents: Arc<dyn Documents>,
    /// When accounts were last there.
    pub last_activities: Arc<dyn LastActivities>,
    /// The slots.
    pub sessions: Arc<dyn Sessions>,
}

impl Stores {
    /// All of them are one.
    pub fn of<S>(store: &Arc<S>) -> Stores
    where
        S: Accounts + Archive + Positions + Rosters + BlockLists,
        S: PreferenceStore + Documents + LastActivities + Sessions + 'static,
    {
        Stores {
            accounts: store.clone(),
            archive: store.clone(),
            positions: store.clone(),
            rosters: store.clone(),
            blocklists: store.clone(),
            preferences: store.clone(),
            documents: store.clone(),
            last_activities: store.clone(),
            sessions: store.clone(),
        }
    }
}

/// What handlers may use.
pub struct Context {
    /// What is set.
    pub config: Config,
    /// What is served.
    pub domains: Domains,
    /// The stores.
    pub stores: Stores,
    /// Decide, commit, store, deliver.
    pub router: Router,
    /// Where passwords become keys.
    pub login: Arc<Login>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Features of the server, in order, each once.
    pub server_features: Vec<Ns>,
    /// Features of an account.
    pub account_features: Vec<Ns>,
    pub(crate) metrics: Metrics,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// To one session of `account`; lost if it has ended.
    pub async fn send(&self, account: &BareJid, session: SessionId, stanzas: &[Stanza]) -> Result<()> {
        let items: Vec<Item> = stanzas.iter().map(Item::own).collect();
        let decide = |view: &View, _: &Item| {
            let there = view.sessions.iter().filter(|one| one.id == session).map(|one| one.id);
            Plan { urgent: true, ..Plan::to(there) }
        };
        self.router.route(account, &items, &decide).await.map(drop)
    }

    /// To all sessions of `account` for which `takes` holds.
    pub async fn push(
        &self,
        account: &BareJid,
        items: &[Item],
        takes: &(dyn Fn(&SessionView) -> bool + Send + Sync),
    ) -> Result<()> {
        let decide = |view: &View, _: &Item| {
            Plan::to(view.sessions.iter().filter(|session| takes(session)).map(|session| session.id))
        };
        self.router.route(account, items, &decide).await.map(drop)
    }

    /// Presence of `from` to the available sessions of `account`, unless it blocks the sender. Newer ones replace older
    /// ones that still wait.
    pub async fn present(&self, account: &BareJid, from: &Jid, wires: Vec<Wire>) -> Result<()> {
        if !self.domains.serves(account.domain()) {
            return Ok(());
        }
        let items: Vec<Item> = wires.into_iter().map(Item::bytes).collect();
        let decide = |view: &View, _: &Item| Plan {
            coalesce: Some(from.clone()),
            ..rules::presence::route(view, from, None)
        };
        self.router.route(account, &items, &decide).await.map(drop)
    }

    /// Presence of `from` to whom it names, a session or an account.
    pub(crate) async fn present_to(&self, to: &Jid, from: &Jid, wire: Wire) -> Result<()> {
        if to.local().is_none() || !self.domains.serves(to.domain()) {
            return Ok(());
        }
        let decide = |view: &View, _: &Item| Plan {
            coalesce: Some(from.clone()),
            ..rules::presence::route(view, from, to.resource())
        };
        self.router.route(&to.bare(), &[Item::bytes(wire)], &decide).await.map(drop)
    }

    /// `unavailable` from a session to `to`.
    pub fn unavailable(from: &Jid, to: &Jid) -> Wire {
        Presence::own(PresenceType::Unavailable, from.clone(), Some(to.clone()), &[]).wire()
    }
}

/// A stored presence without `to`, addressed.
pub(crate) fn addressed(wire: &Wire, to: &Jid) -> Wire {
    let mut out = Vec::new();
    wire.write(&mut out, true, Some(to), &[]);
    out.truncate(out.len().saturating_sub("</presence>".len()));
    Wire::from_bytes(out.into()).unwrap_or_else(|| wire.clone())
}

/// 64 random bits, as the id of a request of the server's own.
pub(crate) fn random_id() -> String {
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}
