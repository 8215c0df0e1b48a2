//! XEP-0030 Service Discovery: what the server and its accounts can do; XEP-0128 and XEP-0157: whom to write to.
//!
//! Version 2.5.0 of XEP-0030: complete.
//! Version 1.0.1 of XEP-0128: complete.
//! Version 1.1.1 of XEP-0157: partial; addresses for abuse, admin, security and support, none for feedback, sales and status.

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::sessions::SessionView;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Answers for the server, for the own account, and for accounts that let the asker see them.
#[derive(Debug)]
pub(super) struct Disco;

impl Xep for Disco {
    fn info(&self) -> XepInfo {
        let features = &[ns::DISCO_INFO, ns::DISCO_ITEMS];
        XepInfo { numbers: &[30, 128, 157], server: features, account: features }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        for at in [At::Server, At::Own, At::Account] {
            hooks.iq(at, ns::DISCO_INFO, "query", self.clone());
            hooks.iq(at, ns::DISCO_ITEMS, "query", self.clone());
        }
        hooks.nobody(ns::DISCO_ITEMS, || Element::new(ns::DISCO_ITEMS, "query")); // §8
    }
}

#[async_trait]
impl OnIq for Disco {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        let visible = match request.at {
            At::Server | At::Own => true,
            At::Account => sees(cx, request).await?,
        };
        if request.is_set() {
            return Err(if visible { StanzaError::cancel(Condition::NotAllowed) } else { unavailable() });
        }
        let is_items = request.payload.ns() == ns::DISCO_ITEMS;
        let node = request.payload.attr("node").filter(|node| !node.is_empty());
        if !visible {
            // §8: who may not see the account learns nothing, not even whether it exists.
            return if is_items {
                Ok(Some(Element::new(ns::DISCO_ITEMS, "query")))
            } else {
                Err(unavailable())
            };
        }
        let mut query = match (is_items, request.at) {
            (true, At::Server) => Element::new(ns::DISCO_ITEMS, "query"),
            (true, At::Own | At::Account) => devices(cx, &request.to).await?,
            (false, At::Server) => server(cx),
            (false, At::Own | At::Account) => account(cx),
        };
        if let Some(node) = node {
            let is_caps = request.at == At::Server && super::caps::is_ours(cx, node);
            if !is_caps || is_items {
                return Err(StanzaError::cancel(Condition::ItemNotFound));
            }
            query.set_attr("node", node);
        }
        Ok(Some(query))
    }
}

/// Whether the account lets the asker see its presence (RFC 6121 §8.5.2.1.3 by XEP-0030 §8).
async fn sees(cx: &Context, request: &Request<'_>) -> Result<bool, StanzaError> {
    let roster = cx.stores.rosters.get(&request.to).await.map_err(|error| error.to_stanza_error())?;
    Ok(roster.contact(&request.from().bare()).is_some_and(|contact| contact.state.from))
}

/// §4.1: the account's available devices.
async fn devices(cx: &Context, account: &BareJid) -> Result<Element, StanzaError> {
    let view = cx.stores.sessions.view(account).await.map_err(|error| error.to_stanza_error())?;
    let item =
        |session: &SessionView| Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", session.jid.as_str());
    Ok(view.available().map(item).fold(Element::new(ns::DISCO_ITEMS, "query"), Element::with_child))
}

fn unavailable() -> StanzaError {
    StanzaError::cancel(Condition::ServiceUnavailable)
}

/// What the server says of itself; XEP-0115 hashes the same.
pub(crate) fn server(cx: &Context) -> Element {
    let query = described("server", "im", Some("Starling"), &cx.server_features);
    match contacts(cx) {
        Some(form) => query.with_child(form),
        None => query,
    }
}

fn account(cx: &Context) -> Element {
    described("account", "registered", None, &cx.account_features)
}

fn described(category: &str, kind: &str, name: Option<&str>, features: &[&str]) -> Element {
    let mut identity =
        Element::new(ns::DISCO_INFO, "identity").with_attr("category", category).with_attr("type", kind);
    if let Some(name) = name {
        identity.set_attr("name", name);
    }
    let feature = |var: &&str| Element::new(ns::DISCO_INFO, "feature").with_attr("var", *var);
    let query = Element::new(ns::DISCO_INFO, "query").with_child(identity);
    features.iter().map(feature).fold(query, Element::with_child)
}

/// XEP-0157 §2: a form by XEP-0128, where any address is configured.
fn contacts(cx: &Context) -> Option<Element> {
    let contact = &cx.config.contact;
    let fields = [
        ("abuse-addresses", &contact.abuse),
        ("admin-addresses", &contact.admin),
        ("security-addresses", &contact.security),
        ("support-addresses", &contact.support),
    ];
    let used: Vec<_> = fields.into_iter().filter(|(_, addresses)| !addresses.is_empty()).collect();
    if used.is_empty() {
        return None;
    }
    let kind = super::form::field("FORM_TYPE", Some("hidden"), ["http://jabber.org/network/serverinfo"]);
    let form = Element::new(ns::DATA, "x").with_attr("type", "result").with_child(kind);
    let field = |(name, addresses): (&str, &Vec<String>)| {
        super::form::field(name, Some("list-multi"), addresses.iter().map(String::as_str))
    };
    Some(used.into_iter().map(field).fold(form, Element::with_child))
}
