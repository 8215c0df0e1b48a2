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
pub(crate) struct Subject {
    jid: Option<String>,
    id: Option<String>,
    suspended: Option<bool>,
    now: Option<bool>,
    node: Option<String>,
}

impl Subject {
    pub(crate) fn of(request: &impl serde::Serialize) -> Subject {
        let fields = serde_json::to_value(request).unwrap_or_default();
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(cut);
        let flag = |key: &str| fields.get(key).and_then(Value::as_bool);
        let jid = ["jid", "follow", "unfollow"].into_iter().find_map(text);
        Subject { jid, id: text("id"), suspended: flag("suspended"), now: flag("now"), node: text("node") }
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
    let Subject { jid, id, suspended, now, node } = subject;
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
        outcome = word,
        "administration",
    );
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
        let all = format!("{:?} {:?} {:?} {:?}", subject.jid, subject.id, subject.suspended, subject.now);
        assert!(!all.contains("hidden"));
    }
}
