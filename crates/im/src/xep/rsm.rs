//! XEP-0059 Result Set Management: which page of a long result is wanted, and which one it is.
//!
//! Version 1.0 of XEP-0059: partial; no pages by index (§2.6), and the count only for who asks for nothing else.

use std::sync::Arc;

use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::hooks::{Hooks, Xep, XepInfo};

/// What the archive speaks; it answers nothing by itself.
#[derive(Debug)]
pub(crate) struct ResultSets;

impl Xep for ResultSets {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[59], server: &[], account: &[ns::RSM] }
    }
    fn attach(self: Arc<Self>, _: &mut Hooks) {}
}

/// The wish for a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// At most so many items.
    pub(crate) max: Option<usize>,
    /// Only what comes after the item of this id (§2.2).
    pub(crate) after: Option<String>,
    /// The last items before the one of this id (§2.3).
    pub(crate) before: Option<String>,
    /// The last items, or the last ones before `before` (§2.5).
    pub(crate) backwards: bool,
}

/// The `<set/>` of a request; one that has none wants the first page.
pub(crate) fn read(request: &Element) -> Result<Wish, StanzaError> {
    let Some(set) = request.child(ns::RSM, "set") else { return Ok(Wish::default()) };
    if set.child(ns::RSM, "index").is_some() {
        // §2.6: only for who counts, and counting an archive would mean to read it.
        return Err(StanzaError::cancel(Condition::FeatureNotImplemented));
    }
    let text = |name: &str| set.child(ns::RSM, name).map(|child| child.text().trim().to_owned());
    let max = match text("max") {
        None => None,
        Some(max) => Some(max.parse::<u64>().map_err(|_| StanzaError::modify(Condition::BadRequest))?),
    };
    let before = text("before");
    Ok(Wish {
        max: max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        after: text("after").filter(|id| !id.is_empty()),
        backwards: before.is_some(),
        before: before.filter(|id| !id.is_empty()),
    })
}

/// The `<set/>` of an answer, with the ids of the first and the last item of the page, if it has any (§2.2), and the count,
/// which may be left out where it would cost much.
pub(crate) fn page(ends: Option<(&str, &str)>, count: Option<u64>) -> Element {
    let set = Element::new(ns::RSM, "set");
    if let Some(count) = count {
        return set.with_child(Element::new(ns::RSM, "count").with_text(&count.to_string()));
    }
    let Some((first, last)) = ends else { return set };
    set.with_child(Element::new(ns::RSM, "first").with_text(first))
        .with_child(Element::new(ns::RSM, "last").with_text(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(set: &str) -> Result<Wish, Condition> {
        let query = format!("<query xmlns='urn:xmpp:mam:2'>{set}</query>");
        read(&Element::parse(query.as_bytes(), ns::CLIENT).unwrap()).map_err(|error| error.condition)
    }

    fn set(content: &str) -> Result<Wish, Condition> {
        wish(&format!("<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>"))
    }

    #[test]
    fn a_page_is_asked_for_from_either_end() {
        assert_eq!(wish(""), Ok(Wish::default()));
        assert_eq!(set("<max> 10 </max>"), Ok(Wish { max: Some(10), ..Wish::default() }));
        assert_eq!(set("<after>x</after>"), Ok(Wish { after: Some("x".into()), ..Wish::default() }));
        let last = Wish { backwards: true, ..Wish::default() };
        assert_eq!(set("<before/>"), Ok(last.clone()));
        assert_eq!(set("<before>y</before>"), Ok(Wish { before: Some("y".into()), ..last }));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for max in ["", "-1", "ten", "1.5"] {
            assert_eq!(set(&format!("<max>{max}</max>")), Err(Condition::BadRequest), "{max}");
        }
        assert_eq!(set("<max>18446744073709551615</max>").unwrap().max, Some(usize::MAX));
    }

    #[test]
    fn an_index_is_not_understood() {
        assert_eq!(set("<index>0</index>"), Err(Condition::FeatureNotImplemented));
    }

    #[test]
    fn an_empty_page_names_no_ends() {
        assert_eq!(page(None, None).children().count(), 0);
        let counted = page(None, Some(7));
        assert_eq!(counted.child(ns::RSM, "count").map(Element::text).as_deref(), Some("7"));
        let page = page(Some(("a", "b")), None);
        assert_eq!(page.child(ns::RSM, "first").map(Element::text).as_deref(), Some("a"));
        assert_eq!(page.child(ns::RSM, "last").map(Element::text).as_deref(), Some("b"));
    }
}
