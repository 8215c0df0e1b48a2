//! RFC 6121 §2: the roster of the account that asks.

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::StoreError;
use starling_ports::roster::Subscription;
use starling_stanza::{Condition, Iq, IqType, Stanza, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::config::most;
use crate::context::random_id;
use crate::effect::RosterChange;
use crate::hooks::{Answer, At, Hooks, OnIq, Request};
use crate::rules::roster::{self, Wish};

struct RosterQueries;

pub(super) fn attach(hooks: &mut Hooks) {
    hooks.guard(ns::ROSTER, &[IqType::Get, IqType::Set]); // §2.3.3
    hooks.iq(At::Own, ns::ROSTER, "query", Arc::new(RosterQueries));
}

#[async_trait]
impl OnIq for RosterQueries {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        if request.is_set() {
            set(cx, &request.to, &request.payload, request.again).await.map(|()| None)
        } else {
            get(cx, request).await
        }
    }
}

/// §2.1.4, §2.6: the whole roster, or nothing and what has changed as pushes behind the result.
async fn get(cx: &Context, request: &Request<'_>) -> Answer {
    let owner = &request.to;
    // Interested first: a change meanwhile is pushed, not lost.
    cx.flag(request.session, &|flags| flags.interested = true).await.map_err(refused)?;
    let roster = cx.stores.rosters.get(owner).await.map_err(refused)?;
    let known = request.payload.attr("ver").and_then(|version| version.parse().ok());
    if let Some(changes) = known.and_then(|version| roster::changes(&roster, version)) {
        for (version, item) in changes {
            let query = roster::query(version, [item]);
            request.follow(Stanza::Iq(Iq::own(IqType::Set, owner.clone().into(), None, &random_id(), query)));
        }
        return Ok(None);
    }
    let listed = roster.contacts.iter().filter(|contact| contact.listed);
    Ok(Some(roster::query(roster.version, listed.map(roster::item))))
}

/// §2.3, §2.4, §2.5: the push precedes the result.
async fn set(cx: &Context, owner: &BareJid, query: &Element, again: bool) -> Result<(), StanzaError> {
    match roster::read(query)? {
        Wish::Put { jid, .. } | Wish::Remove(jid) if jid == *owner => {
            Err(StanzaError::cancel(Condition::NotAllowed)) // an account is not its own contact
        }
        Wish::Put { jid, name, groups } => {
            let limit = most(cx.config.max_roster_items);
            let put = cx.edit_roster(owner, &jid, again, |roster, mut contact| {
                if !contact.listed && roster.listed() >= limit {
                    let full = StanzaError::modify(Condition::NotAllowed).with_text("the roster is full");
                    return (RosterChange::Keep, Err(full));
                }
                contact.name.clone_from(&name);
                contact.groups.clone_from(&groups);
                contact.listed = true;
                (RosterChange::Put(contact), Ok(()))
            });
            put.await.map_err(refused)?
        }
        Wish::Remove(jid) => {
            let removed = cx.edit_roster(owner, &jid, again, |_, contact| match contact.listed {
                true => (RosterChange::Remove, Some(contact.state)),
                // What it was is not known any more: the other roster knows what of it there is to cancel.
                false if again && contact.state == Subscription::default() => {
                    let any = Subscription { to: true, from: true, ..Subscription::default() };
                    (RosterChange::Remove, Some(any))
                }
                false => (RosterChange::Keep, None),
            });
            let Some(state) = removed.await.map_err(refused)? else {
                return Err(StanzaError::cancel(Condition::ItemNotFound)); // §2.5.3
            };
            cx.cancel_subscriptions(owner, &jid, state, again).await.map_err(refused)
        }
    }
}

fn refused(error: StoreError) -> StanzaError {
    error.to_stanza_error()
}
