//! XEP-0202 Entity Time: what the server's clock says.
//!
//! Version 2.0 of XEP-0202: complete.

use std::sync::Arc;

use async_trait::async_trait;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Tells it.
#[derive(Debug)]
pub(super) struct Time;

impl Xep for Time {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[202], server: &[ns::TIME], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Server, ns::TIME, "time", self);
    }
}

#[async_trait]
impl OnIq for Time {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        if request.is_set() {
            return Err(StanzaError::cancel(Condition::NotAllowed));
        }
        let field = |name: &str, text: &str| Element::new(ns::TIME, name).with_text(text);
        let utc = cx.clock.now().to_xep_0082();
        // A server has no place: it lives in UTC.
        Ok(Some(
            Element::new(ns::TIME, "time").with_child(field("tzo", "+00:00")).with_child(field("utc", &utc)),
        ))
    }
}
