//! XEP-0049 Private XML Storage: XML that a client keeps on the server, for its own user only.
//!
//! Version 1.2 of XEP-0049: complete.

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::documents::Document;
use starling_stanza::{Condition, IqType, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Keeps and returns it.
#[derive(Debug)]
pub(super) struct PrivateXml;

impl Xep for PrivateXml {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[49], server: &[ns::PRIVATE], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.guard(ns::PRIVATE, &[IqType::Get, IqType::Set]);
        hooks.iq(At::Own, ns::PRIVATE, "query", self);
    }
}

#[async_trait]
impl OnIq for PrivateXml {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        let wanted: Vec<&Element> = request.payload.children().collect();
        // §2.3: at least one child with a namespace of its own.
        if wanted.is_empty() || wanted.iter().any(|child| [ns::PRIVATE, ns::CLIENT, ""].contains(&child.ns()))
        {
            return Err(StanzaError::modify(Condition::NotAcceptable));
        }
        match (request.is_set(), wanted.as_slice()) {
            (true, elements) => set(cx, &request.to, elements).await.map(|()| None),
            (false, [element]) => get(cx, &request.to, element).await.map(Some),
            (false, _) => Err(StanzaError::modify(Condition::BadRequest)), // one namespace a request
        }
    }
}

/// What was never kept comes back as it was asked for.
async fn get(cx: &Context, owner: &BareJid, element: &Element) -> Result<Element, StanzaError> {
    let found = cx.stores.documents.get(owner, &name(element)).await;
    let kept = match found.map_err(|error| error.to_stanza_error())? {
        Some(bytes) => super::vcard::stored(&bytes)?,
        None => Element::new(element.ns(), element.local()),
    };
    Ok(Element::new(ns::PRIVATE, "query").with_child(kept))
}

async fn set(cx: &Context, owner: &BareJid, elements: &[&Element]) -> Result<(), StanzaError> {
    let names: Vec<Document> = elements.iter().map(|element| name(element)).collect();
    if names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|other| other == name)) {
        return Err(StanzaError::modify(Condition::NotAcceptable)); // one would replace the other
    }
    for (element, name) in elements.iter().zip(names) {
        super::vcard::keep(cx, owner, &name, element).await?;
    }
    Ok(())
}

fn name(element: &Element) -> Document {
    Document::Private(element.ns().into(), element.local().into())
}
