//! XEP-0077 In-Band Registration, of who has signed in: another password, or no account any more.
//!
//! Version 2.4 of XEP-0077: partial; user name and password are the only fields, without forms (§4) and redirection (§5).

use std::sync::Arc;

use async_trait::async_trait;
use starling_jid::prepare_username;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::hooks::{Answer, At, Hooks, OnIq, Request, Xep, XepInfo};
use crate::{AccountError, Context};

/// Answers for the own account; before login the stream asks the pipeline.
#[derive(Debug)]
pub(super) struct Register;

impl Xep for Register {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[77], server: &[ns::REGISTER], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Own, ns::REGISTER, "query", self.clone());
        hooks.iq(At::Server, ns::REGISTER, "query", self);
    }
}

#[async_trait]
impl OnIq for Register {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        let account = request.from().bare();
        if request.at == At::Server && request.to.as_str() != account.domain() {
            return Err(StanzaError::cancel(Condition::NotAllowed)); // another domain does not know the account
        }
        if !request.is_set() {
            return Ok(Some(registered(account.local().unwrap_or_default())));
        }
        match request.payload.child(ns::REGISTER, "remove") {
            Some(_) => remove(cx, request).await.map(|()| None),
            None => change_password(cx, request).await.map(|()| None),
        }
    }
}

/// §3.1: that one is registered, and as whom.
fn registered(username: &str) -> Element {
    let text = "You are registered. Send your user name and another password to change it.";
    Element::new(ns::REGISTER, "query")
        .with_child(Element::new(ns::REGISTER, "registered"))
        .with_child(Element::new(ns::REGISTER, "instructions").with_text(text))
        .with_child(Element::new(ns::REGISTER, "username").with_text(username))
        .with_child(Element::new(ns::REGISTER, "password"))
}

/// §3.2: the account is erased, then the result is sent, then the stream ends.
async fn remove(cx: &Context, request: &Request<'_>) -> Result<(), StanzaError> {
    if request.payload.children().count() != 1 {
        return Err(StanzaError::modify(Condition::BadRequest));
    }
    cx.erase(&request.from().bare(), Some(request.session)).await.map_err(refusal)?;
    request.end();
    Ok(())
}

/// §3.3: all other sessions end, and cannot be resumed.
async fn change_password(cx: &Context, request: &Request<'_>) -> Result<(), StanzaError> {
    let field = |name| request.payload.child(ns::REGISTER, name).map(Element::text);
    let (Some(username), Some(password)) = (field("username"), field("password")) else {
        return Err(StanzaError::modify(Condition::BadRequest));
    };
    let account = request.from().bare();
    if prepare_username(&username).ok().as_deref() != account.local() {
        return Err(StanzaError::cancel(Condition::NotAllowed));
    }
    if password.is_empty() {
        return Err(StanzaError::modify(Condition::BadRequest)); // the old one stays
    }
    match cx.set_password(&account, &password, Some(request.session.id)).await.map_err(refusal)? {
        true => Ok(()),
        false => Err(StanzaError::auth(Condition::RegistrationRequired)), // erased meanwhile
    }
}

fn refusal(error: AccountError) -> StanzaError {
    match error {
        AccountError::Password => StanzaError::modify(Condition::NotAcceptable),
        AccountError::Busy => StanzaError::wait(Condition::ResourceConstraint),
        AccountError::Store(error) => error.to_stanza_error(),
    }
}
