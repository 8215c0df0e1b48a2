//! What a batch comes to: commits at the receiving accounts, then at the sender's own.

use std::sync::Arc;

use futures_util::future::join_all;
use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::archive::{Born, StanzaKey};
use starling_ports::ids::{Epoch, Handled, Life, SessionId};
use starling_ports::preferences::DefaultPreference;
use starling_ports::roster::Roster;
use starling_ports::sessions::{Role, SenderKey, View};
use starling_session_router::{Item, Plan, Routed};
use starling_stanza::{Condition, Stanza, StanzaError};

use super::Lane;
use crate::hooks::{Case, Side};
use crate::pipeline::Pipeline;
use crate::rules;

/// How many receiving accounts are written to at once: the order of what one session sends holds for each of them (RFC 6120 §10.1), so
/// that nobody need wait for the store of another's.
const ACCOUNTS_AT_ONCE: usize = 16;

impl Lane<'_> {
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.flush_groups().await?;
        self.flush_own(None).await
    }

    pub(super) async fn flush_groups(&mut self) -> Result<()> {
        let mut groups = std::mem::take(&mut self.groups);
        if groups.len() > 1 {
            // In a box: a future is moved with all that it may ever hold, and most batches are for one account.
            return Box::pin(self.flush_several(groups)).await;
        }
        match groups.pop() {
            Some(group) => self.flush_one(group).await,
            None => Ok(()),
        }
    }

    async fn flush_one(&mut self, (account, items): (BareJid, Vec<Item>)) -> Result<()> {
        let routing = self.route_received(&account, &items);
        let routed = self.beside_own_view(account != self.account, routing).await?;
        for (item, routed) in items.into_iter().zip(routed) {
            self.note(&account, item, routed);
        }
        Ok(())
    }

    /// Each account in its order, one beside the other (rule 1: one commit of this lane at an account).
    async fn flush_several(&mut self, groups: Vec<(BareJid, Vec<Item>)>) -> Result<()> {
        let mut routed = Vec::with_capacity(groups.len());
        for at_once in groups.chunks(ACCOUNTS_AT_ONCE) {
            let routing = at_once.iter().map(|(account, items)| self.route_received(account, items));
            let is_elsewhere = at_once.iter().any(|(account, _)| *account != self.account);
            // All of them are done then, also where one has failed: nothing of it goes on while it is repeated.
            let done = self.beside_own_view(is_elsewhere, join_all(routing)).await;
            routed.extend(done.into_iter().collect::<Result<Vec<_>>>()?);
        }
        let (accounts, items): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let of_account = |(at, (items, routed)): (usize, (Vec<Item>, Vec<Routed>))| {
            items.into_iter().zip(routed).map(move |(item, routed)| (at, item, routed))
        };
        let mut done: Vec<_> = items.into_iter().zip(routed).enumerate().flat_map(of_account).collect();
        done.sort_by_key(|(_, item, _)| item.key.map(|key| key.number)); // the sender's copies are in its order
        for (at, item, routed) in done {
            if let Some(account) = accounts.get(at) {
                self.note(account, item, routed);
            }
        }
        Ok(())
    }

    /// What is committed at other accounts leaves nothing at the sender's own, most likely. Whether it does is asked for in one go with the
    /// commits, so that nobody waits for it behind them; if it is not heard now it is asked for then.
    async fn beside_own_view<T>(&self, is_elsewhere: bool, routing: impl Future<Output = T>) -> T {
        if !self.leaves_nothing || !is_elsewhere {
            return routing.await;
        }
        let own = self.pipeline.cx.stores.sessions.known_view(&self.account, self.came.elapsed());
        Box::pin(async { tokio::join!(routing, own).0 }).await
    }

    async fn route_received(&self, account: &BareJid, items: &[Item]) -> Result<Vec<Routed>> {
        let case = self.case(Side::Receiver);
        let decide = |view: &View, item: &Item, roster: Option<&Roster>| {
            let in_roster = roster.is_none_or(|roster| is_listed(roster, &self.account));
            self.pipeline.decide(&Case { in_roster, ..case }, view, item)
        };
        self.route(account, items, None, &decide).await
    }

    /// What became of one, at another account or at the sender's own.
    fn note(&mut self, account: &BareJid, item: Item, routed: Routed) {
        let (Some(stanza), Some(key)) = (item.stanza.as_ref(), item.key) else { return };
        let is_message = matches!(stanza, Stanza::Message(_));
        if is_message {
            self.pipeline.cx.metrics.message(&routed);
        }
        self.note_row(account, Some(key), &routed);
        match routed {
            Routed::Refused(error) => self.refuse(key.number, stanza, &error),
            Routed::Done { .. } if *account != self.account && is_message => {
                let key = Some(SenderKey { role: Role::Sent, ..key });
                self.own.push(Item { key, ..item });
            }
            // Rule 6: no `h` covers a message that was not taken.
            Routed::Fenced => self.is_fenced |= is_message,
            Routed::Done { .. } | Routed::Dropped => {}
        }
    }

    pub(super) async fn flush_own(&mut self, last: Option<(SessionId, Epoch, Handled)>) -> Result<()> {
        if self.own.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.own);
        let (pipeline, session, case) = (self.pipeline, self.session, self.case(Side::Sender));
        let decide = |view: &View, item: &Item, roster: Option<&Roster>| match item.key.map(|key| key.role) {
            Some(Role::Answer) | None => {
                let there = view.sessions.iter().any(|one| one.id == session.id);
                Plan { urgent: true, ..Plan::to(there.then_some(session.id)) }
            }
            _ => {
                let to = item.stanza.as_ref().and_then(|stanza| stanza.to()).map(Jid::bare);
                let in_roster = roster.zip(to).is_none_or(|(roster, to)| is_listed(roster, &to));
                pipeline.decide(&Case { in_roster, ..case }, view, item)
            }
        };
        let routed = self.route(&self.account, &items, last, &decide).await?;
        let own = self.account.clone();
        for (item, routed) in items.iter().zip(&routed) {
            self.note_row(&own, item.key, routed);
        }
        Ok(())
    }

    fn note_row(&mut self, account: &BareJid, key: Option<SenderKey>, routed: &Routed) {
        let Routed::Done { id: Some(id) } = routed else { return };
        let key =
            key.map(|SenderKey { session, number, role, .. }| StanzaKey { session, number, role, hash: 0 });
        self.rows.push((account.clone(), *id, Born { life: Life::UNKNOWN, key }));
    }

    pub(super) fn case(&self, side: Side) -> Case {
        let config = &self.pipeline.cx.config;
        Case { side, sender_sm: self.sm, in_roster: true, archive: config.archive, quotas: config.quotas }
    }

    /// Decides with the roster of `account` where what it wants archived depends on it (XEP-0441 §2.1). Only the view on
    /// which it is decided says so: without the roster nothing is taken then, and all of it is decided again.
    async fn route(
        &self,
        account: &BareJid,
        items: &[Item],
        last: Option<(SessionId, Epoch, Handled)>,
        decide: &(dyn Fn(&View, &Item, Option<&Roster>) -> Plan + Send + Sync),
    ) -> Result<Vec<Routed>> {
        let (cx, mut done) = (&self.pipeline.cx, Vec::with_capacity(items.len()));
        let mut roster: Option<Arc<Roster>> = None;
        let lacks = || StanzaError::wait(Condition::ResourceConstraint).with_text("its roster decides");
        loop {
            let decide = |view: &View, item: &Item| {
                let by_roster = cx.config.archive && view.preferences.default == DefaultPreference::Roster;
                if by_roster && roster.is_none() {
                    return Plan::refuse(lacks());
                }
                decide(view, item, roster.as_deref())
            };
            let rest = items.get(done.len()..).unwrap_or_default();
            let routed = cx.router.route_since(self.came, account, rest, last, &decide).await?;
            let is_decided = |routed: &Routed| !matches!(routed, Routed::Refused(error) if *error == lacks());
            done.extend(routed.into_iter().take_while(is_decided));
            if done.len() == items.len() {
                return Ok(done);
            }
            roster = Some(cx.stores.rosters.get(account).await?);
        }
    }
}

fn is_listed(roster: &Roster, contact: &BareJid) -> bool {
    roster.contact(contact).is_some_and(|contact| contact.listed)
}

impl Pipeline {
    /// What is to be done with a stanza of a client at an account.
    fn decide(&self, case: &Case, view: &View, item: &Item) -> Plan {
        match &item.stanza {
            Some(Stanza::Message(message)) => self.hooks.decide(case, view, message),
            Some(Stanza::Presence(presence)) => {
                let resource = presence.to().and_then(|to| to.resource());
                let plan = rules::presence::route(view, presence.from(), resource);
                Plan { coalesce: Some(presence.from().clone()), ..plan }
            }
            Some(Stanza::Iq(iq)) => {
                let resource = iq.to().and_then(|to| to.resource()).unwrap_or_default();
                rules::iq::route(view, iq.from(), resource, iq.is_request())
            }
            None => Plan::default(),
        }
    }
}
