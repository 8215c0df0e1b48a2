//! The audit log: who asked for what, and what came of it. Target `audit`, at `info`; never a password or a token.

use std::net::IpAddr;

use serde_json::Value;
use tracing::info;

use crate::commands::Command;
use crate::doors::Caller;
use crate::metrics;
use crate::refused::Refused;
use crate::token::Role;

/// No field is longer: an address has at most 3071 bytes, and who writes nonsense does not fill the log.
const LONGEST: usize = 256;

/// What was asked about: these fields of a request and no others.
#[derive(Debug)]
pub(crate) struct Subject {
    jid: Option<String>,
    id: Option<String>,
    suspended: Option<bool>,
    now: Option<bool>,
    node: Option<String>,
    rate: Option<f64>,
    follow: Option<String>,
    unfollow: Option<String>,
}

impl Subject {
    pub(crate) fn of(request: &impl serde::Serialize) -> Subject {
        let fields = serde_json::to_value(request).unwrap_or_default();
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(cut);
        let flag = |key: &str| fields.get(key).and_then(Value::as_bool);
        Subject {
            jid: text("jid"),
            id: text("id"),
            suspended: flag("suspended"),
            now: flag("now"),
            node: text("node"),
            rate: fields.get("rate").and_then(Value::as_f64),
            follow: text("follow"),
            unfollow: text("unfollow"),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A command came to its end. Who only looks, and may, leaves no line: a console asks every other second.
pub(crate) fn done<T>(caller: &Caller, command: &Command, subject: &Subject, outcome: &Result<T, Refused>) {
    let word = outcome.as_ref().err().map_or("done", Refused::word);
    metrics::asked(word);
    if command.role == Role::Read && word == "done" {
        return;
    }
    let Subject { jid, id, suspended, now, node, rate, follow, unfollow } = subject;
    info!(
        target: "audit",
        event = command.name,
        by = caller.name.as_str(),
        role = caller.role.as_str(),
        from = caller.from.map(tracing::field::display),
        jid = jid.as_deref(),
        id = id.as_deref(),
        suspended,
        now,
        node = node.as_deref(),
        rate,
        follow = follow.as_deref(),
        unfollow = unfollow.as_deref(),
        outcome = word,
        "administration",
    );
}

/// A command came in words that are not taken: nothing was done.
pub(crate) fn unread(caller: &Caller, command: &Command, subject: &Subject, refused: &Refused) {
    done::<()>(caller, command, subject, &Err(refused.clone()));
}

/// A page of another site, or by a name that is not ours; with a token that is known, or nobody knows whose.
pub(crate) fn foreign(by: Option<&Caller>, from: IpAddr) {
    let outcome = Refused::Forbidden.word();
    metrics::asked(outcome);
    let (by, role) = (by.map(|by| by.name.as_str()), by.map(|by| by.role.as_str()));
    info!(target: "audit", event = "origin", by, role, %from, outcome, "administration");
}

/// The same, where so many come that not each has a line.
pub(crate) fn foreign_too() {
    metrics::asked(Refused::Forbidden.word());
}

/// Somebody came with a token that is not known.
pub(crate) fn unknown(from: IpAddr) {
    metrics::asked(Refused::Unauthenticated.word());
    info!(target: "audit", event = "token", %from, outcome = Refused::Unauthenticated.word(), "administration");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn a_subject_never_has_a_password() {
        let request = pb::UserAddRequest { jid: "a@b".to_owned(), password: "hidden".to_owned() };
        let subject = Subject::of(&request);
        assert_eq!(subject.jid.as_deref(), Some("a@b"));
        assert!(!format!("{subject:?}").contains("hidden"));
    }

    #[test]
    fn what_is_followed_is_told() {
        let request = pb::TraceChangeRequest {
            rate: Some(0.5),
            follow: Some("a@b".to_owned()),
            unfollow: Some("c@d".to_owned()),
        };
        let Subject { rate, follow, unfollow, .. } = Subject::of(&request);
        assert_eq!((rate, follow.as_deref(), unfollow.as_deref()), (Some(0.5), Some("a@b"), Some("c@d")));
    }
}
