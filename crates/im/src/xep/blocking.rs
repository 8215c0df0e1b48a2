//! XEP-0191 Blocking Command: who is blocked neither reaches the user nor sees it.
//!
//! Version 1.3 of XEP-0191: complete.

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::{BareJid, Jid};
use starling_ports::blocklist::BlockList;
use starling_ports::sessions::View;
use starling_ports::{Result, StoreError};
use starling_session_router::{Item, Plan};
use starling_stanza::{Condition, Iq, IqType, Message, MessageType, Stanza, StanzaError};
use starling_xml::{Element, ns};

use crate::config::most;
use crate::context::random_id;
use crate::hooks::{Answer, At, Case, Hooks, OnIq, OnMessage, Request, Side, Verdict, Xep, XepInfo};
use crate::{Context, Stage, rules};

/// The list, and its effect on messages; `rules` have it for presence and requests.
#[derive(Debug)]
pub(super) struct Blocking;

impl Xep for Blocking {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[191], server: &[ns::BLOCKING], account: &[ns::BLOCKING] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Own, ns::BLOCKING, "blocklist", self.clone());
        hooks.iq(At::Own, ns::BLOCKING, "block", self.clone());
        hooks.iq(At::Own, ns::BLOCKING, "unblock", self.clone());
        hooks.message(Stage::Admit, self);
    }
}

impl OnMessage for Blocking {
    fn concerns(&self, _: &Message) -> bool {
        true
    }
    fn on_message(&self, case: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict {
        if case.side == Side::Sender || !rules::is_blocked(view, message.from()) {
            return Verdict::Continue;
        }
        if !matches!(message.message_type(), MessageType::Error | MessageType::Headline) {
            plan.refusal = Some(StanzaError::cancel(Condition::ServiceUnavailable)); // as if nobody were there
        }
        Verdict::Stop
    }
}

#[async_trait]
impl OnIq for Blocking {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        let refused = |error: StoreError| error.to_stanza_error();
        match (request.payload.local(), request.is_set()) {
            ("blocklist", false) => {
                cx.flag(request.session, &|flags| flags.blocklist = true).await.map_err(refused)?;
                let list = cx.stores.blocklists.get(&request.to).await.map_err(refused)?;
                Ok(Some(with_items(Element::new(ns::BLOCKING, "blocklist"), &list.items)))
            }
            ("block", true) => {
                let jids = items(&request.payload)?;
                if jids.is_empty() {
                    return Err(StanzaError::modify(Condition::BadRequest)); // §3.3
                }
                let list = cx.stores.blocklists.get(&request.to).await.map_err(refused)?;
                if list.items.len() + jids.len() > most(cx.config.max_blocked) {
                    return Err(StanzaError::wait(Condition::ResourceConstraint));
                }
                block(cx, &request.to, list, jids).await.map_err(refused)?;
                Ok(None)
            }
            ("unblock", true) => {
                unblock(cx, &request.to, items(&request.payload)?, request.again).await.map_err(refused)?;
                Ok(None)
            }
            _ => Err(StanzaError::modify(Condition::BadRequest)),
        }
    }
}

/// §3.3: contacts who are blocked see the user leave, before they are blocked.
async fn block(cx: &Context, owner: &BareJid, mut list: BlockList, jids: Vec<Jid>) -> Result<()> {
    let new: Vec<Jid> = jids.iter().filter(|jid| !list.items.contains(jid)).cloned().collect();
    list.items.extend(new.iter().cloned());
    list.items.sort_unstable();
    list.items.dedup();
    let mut hidden = Vec::new();
    for contact in visible(cx, owner, &new).await? {
        let shown = cx.hide(owner, &contact).await?;
        hidden.push((contact, shown));
    }
    save(cx, owner, list).await?;
    for (contact, shown) in hidden {
        cx.hide_newer(owner, &contact, shown).await?;
    }
    push(cx, owner, "block", &jids).await
}

/// §3.4, §3.5: contacts who are no longer blocked see the user again. No item: all. With `again` whoever wrote the list may have died
/// before they were shown it, and who stood in it is not known any more: all that it may have been see it.
async fn unblock(cx: &Context, owner: &BareJid, jids: Vec<Jid>, again: bool) -> Result<()> {
    let mut list = cx.stores.blocklists.get(owner).await?;
    let gone = |jid: &Jid| jids.is_empty() || jids.contains(jid);
    let freed: Vec<Jid> = match again {
        false => list.items.iter().filter(|jid| gone(jid)).cloned().collect(),
        true if jids.is_empty() => contacts(cx, owner).await?,
        true => jids.clone(),
    };
    list.items.retain(|jid| !gone(jid));
    let still = list.clone();
    save(cx, owner, list).await?;
    push(cx, owner, "unblock", &jids).await?;
    for contact in visible(cx, owner, &freed).await?.iter().filter(|contact| !still.blocks(contact)) {
        cx.show(owner, contact).await?;
    }
    Ok(())
}

/// Of those in the list whoever sees the owner's presence: contacts, or single devices of them, as they are listed.
async fn visible(cx: &Context, owner: &BareJid, items: &[Jid]) -> Result<Vec<Jid>> {
    let list = BlockList { items: items.to_vec() };
    let roster = cx.stores.rosters.get(owner).await?;
    let mut seen = Vec::new();
    for contact in roster.contacts.iter().filter(|contact| contact.state.from) {
        let whole = Jid::from(contact.jid.clone());
        if list.blocks(&whole) {
            seen.push(whole);
        } else {
            seen.extend(items.iter().filter(|item| item.bare() == contact.jid).cloned());
        }
    }
    Ok(seen)
}

async fn contacts(cx: &Context, owner: &BareJid) -> Result<Vec<Jid>> {
    let roster = cx.stores.rosters.get(owner).await?;
    Ok(roster.contacts.iter().map(|contact| contact.jid.clone().into()).collect())
}

async fn save(cx: &Context, owner: &BareJid, list: BlockList) -> Result<()> {
    cx.stores.sessions.unsettle(owner).await?;
    cx.stores.blocklists.put(owner, list).await?;
    cx.stores.sessions.refresh(owner).await
}

/// To every session that has asked for the list.
async fn push(cx: &Context, owner: &BareJid, name: &str, jids: &[Jid]) -> Result<()> {
    let payload = with_items(Element::new(ns::BLOCKING, name), jids);
    let push = Iq::own(IqType::Set, owner.clone().into(), None, &random_id(), payload);
    cx.push(owner, &[Item::own(&Stanza::Iq(push))], &|session| session.flags.blocklist).await
}

fn with_items(parent: Element, jids: &[Jid]) -> Element {
    let item = |jid: &Jid| Element::new(ns::BLOCKING, "item").with_attr("jid", jid.as_str());
    jids.iter().map(item).fold(parent, Element::with_child)
}

fn items(payload: &Element) -> Result<Vec<Jid>, StanzaError> {
    let jid = |item: &Element| {
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        Jid::new(jid).map_err(|_| Condition::JidMalformed)
    };
    let items = payload.children().filter(|child| child.is(ns::BLOCKING, "item"));
    items.map(jid).collect::<Result<_, _>>().map_err(StanzaError::modify)
}
