//! XEP-0199 XMPP Ping: whether the other end is there.
//!
//! Version 2.0.1 of XEP-0199: complete.

use std::sync::Arc;

use async_trait::async_trait;
use starling_xml::ns;

use crate::Context;
use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Answers for the server and for the sender's own account.
#[derive(Debug)]
pub(super) struct Ping;

impl Xep for Ping {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[199], server: &[ns::PING], account: &[ns::PING] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Server, ns::PING, "ping", self.clone());
        hooks.iq(At::Own, ns::PING, "ping", self);
    }
}

#[async_trait]
impl OnIq for Ping {
    async fn on_iq(&self, _: &Context, _: &Request<'_>) -> Answer {
        Ok(None)
    }
}
