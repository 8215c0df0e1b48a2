//! What a user wants archived, as it is asked and answered (XEP-0441 §2).

use starling_jid::{BareJid, Jid};
use starling_ports::preferences::{DefaultPreference, Preferences};
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use super::answer::refused;
use crate::Context;
use crate::hooks::{Answer, Request};

/// How many addresses the two lists may have together.
const MAX_LISTED: usize = 1000;

pub(super) async fn get(cx: &Context, owner: &BareJid) -> Answer {
    let preferences = cx.stores.preferences.get(owner).await.map_err(refused)?;
    Ok(Some(write(&preferences.unwrap_or_default())))
}

/// The answer is what holds from now on.
pub(super) async fn set(cx: &Context, request: &Request<'_>) -> Answer {
    let preferences = read(&request.payload)?;
    let answer = write(&preferences);
    cx.stores.sessions.unsettle(&request.to).await.map_err(refused)?;
    cx.stores.preferences.put(&request.to, preferences).await.map_err(refused)?;
    cx.stores.sessions.refresh(&request.to).await.map_err(refused)?;
    Ok(Some(answer))
}

/// XEP-0441 §2.
pub fn write(preferences: &Preferences) -> Element {
    let list = |name: &str, jids: &[Jid]| {
        let jid = |jid: &Jid| Element::new(ns::MAM, "jid").with_text(jid.as_str());
        jids.iter().map(jid).fold(Element::new(ns::MAM, name), Element::with_child)
    };
    let default = match preferences.default {
        DefaultPreference::Always => "always",
        DefaultPreference::Never => "never",
        DefaultPreference::Roster => "roster",
    };
    Element::new(ns::MAM, "prefs")
        .with_attr("default", default)
        .with_child(list("always", &preferences.always))
        .with_child(list("never", &preferences.never))
}

/// A list that is missing is empty (§2.2, §2.3).
fn read(prefs: &Element) -> Result<Preferences, StanzaError> {
    let default = match prefs.attr("default") {
        Some("always") => DefaultPreference::Always,
        Some("never") => DefaultPreference::Never,
        Some("roster") => DefaultPreference::Roster,
        _ => return Err(StanzaError::modify(Condition::BadRequest)),
    };
    let list = |name: &str| -> Result<Vec<Jid>, StanzaError> {
        let jids = prefs.child(ns::MAM, name).into_iter().flat_map(Element::children);
        let jids = jids.filter(|child| child.is(ns::MAM, "jid"));
        let mut jids: Vec<Jid> = jids
            .map(|jid| Jid::new(jid.text().trim()))
            .collect::<Result<_, _>>()
            .map_err(|_| StanzaError::modify(Condition::JidMalformed))?;
        jids.sort_unstable();
        jids.dedup();
        Ok(jids)
    };
    let (always, never) = (list("always")?, list("never")?);
    if always.len() + never.len() > MAX_LISTED {
        return Err(StanzaError::wait(Condition::ResourceConstraint));
    }
    Ok(Preferences { default, always, never })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(xml: &str) -> Result<Preferences, Condition> {
        read(&Element::parse(xml.as_bytes(), ns::CLIENT).unwrap()).map_err(|error| error.condition)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let xml = "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>romeo@montague.lit</jid></always><never><jid>montague@montague.lit/x</jid></never></prefs>";
        let preferences = read_text(xml).unwrap();
        assert_eq!(preferences.default, DefaultPreference::Roster);
        assert_eq!(write(&preferences).to_bytes(ns::CLIENT), xml);
    }

    #[test]
    fn lists_may_be_missing_but_are_always_answered() {
        let preferences = read_text("<prefs xmlns='urn:xmpp:mam:2' default='never'/>").unwrap();
        assert_eq!(
            write(&preferences).to_bytes(ns::CLIENT),
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>"
        );
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(read_text("<prefs xmlns='urn:xmpp:mam:2'/>"), Err(Condition::BadRequest));
        assert_eq!(read_text("<prefs xmlns='urn:xmpp:mam:2' default='maybe'/>"), Err(Condition::BadRequest));
        let bad = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>@</jid></always></prefs>";
        assert_eq!(read_text(bad), Err(Condition::JidMalformed));
        let jids: String = (0..1001).map(|n| format!("<jid>u{n}@a.example</jid>")).collect();
        let many = format!("<prefs xmlns='urn:xmpp:mam:2' default='never'><never>{jids}</never></prefs>");
        assert_eq!(read_text(&many), Err(Condition::ResourceConstraint));
    }
}
