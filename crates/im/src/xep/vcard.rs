//! XEP-0054 vcard-temp: the card that a user shows to others.
//!
//! Version 1.3.0 of XEP-0054: complete.

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::documents::Document;
use starling_stanza::{Condition, IqType, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::config::most;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Keeps and shows it.
#[derive(Debug)]
pub(super) struct Vcard;

impl Xep for Vcard {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[54], server: &[ns::VCARD], account: &[ns::VCARD] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.guard(ns::VCARD, &[IqType::Set]); // §3.2
        hooks.iq(At::Own, ns::VCARD, "vCard", self.clone());
        hooks.iq(At::Account, ns::VCARD, "vCard", self);
    }
}

#[async_trait]
impl OnIq for Vcard {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        match (request.at, request.is_set()) {
            (At::Own, true) => keep(cx, &request.to, &Document::Vcard, &request.payload).await.map(|()| None),
            (_, true) => Err(StanzaError::auth(Condition::Forbidden)),
            (at, false) => {
                let found = cx.stores.documents.get(&request.to, &Document::Vcard).await;
                match found.map_err(|error| error.to_stanza_error())? {
                    Some(bytes) => stored(&bytes).map(Some),
                    None if at == At::Own => Ok(Some(Element::new(ns::VCARD, "vCard"))), // §3.1
                    // §3.3: the same as for an account that does not exist.
                    None => Err(StanzaError::cancel(Condition::ServiceUnavailable)),
                }
            }
        }
    }
}

/// A stored document as a tree.
pub(super) fn stored(bytes: &[u8]) -> Result<Element, StanzaError> {
    Element::parse(bytes, ns::CLIENT).map_err(|error| {
        tracing::error!(%error, "a stored document cannot be read");
        StanzaError::cancel(Condition::InternalServerError)
    })
}

/// Replaces a document, within the account's quota.
pub(super) async fn keep(
    cx: &Context,
    owner: &BareJid,
    document: &Document,
    element: &Element,
) -> Result<(), StanzaError> {
    let documents = &cx.stores.documents;
    let bytes = element.to_bytes(ns::CLIENT);
    let unavailable = |error: starling_ports::StoreError| error.to_stanza_error();
    let all = documents.size(owner).await.map_err(unavailable)?;
    let before = documents.get(owner, document).await.map_err(unavailable)?;
    let others = all.saturating_sub(before.map_or(0, |bytes| bytes.len()));
    if others + bytes.len() > most(cx.config.max_document_bytes) {
        return Err(StanzaError::wait(Condition::ResourceConstraint).with_text("too much is kept"));
    }
    documents.put(owner, document, bytes).await.map_err(unavailable)
}
