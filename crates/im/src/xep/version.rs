//! XEP-0092 Software Version: which server this is, where the configuration lets it be told.
//!
//! Version 1.1 of XEP-0092: complete; the operating system is not told (§5).

use std::sync::Arc;

use async_trait::async_trait;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Tells it; the operating system never (§5).
#[derive(Debug)]
pub(super) struct Version;

impl Xep for Version {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[92], server: &[ns::VERSION], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Server, ns::VERSION, "query", self);
    }
}

#[async_trait]
impl OnIq for Version {
    async fn on_iq(&self, _: &Context, request: &Request<'_>) -> Answer {
        if request.is_set() {
            return Err(StanzaError::cancel(Condition::NotAllowed));
        }
        let field = |name: &str, text: &str| Element::new(ns::VERSION, name).with_text(text);
        let query = Element::new(ns::VERSION, "query").with_child(field("name", "Starling"));
        Ok(Some(query.with_child(field("version", env!("CARGO_PKG_VERSION")))))
    }
}
