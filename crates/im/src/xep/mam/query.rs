//! What an owner asks of its archive (XEP-0313 §4), and the form that says what can be asked.

use starling_jid::Jid;
use starling_ports::archive::{self, Direction, Row};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

use crate::xep::{form, rsm};

/// A query, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Comes back with every result.
    pub(super) queryid: Option<String>,
    pub(super) with: Option<Jid>,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) before_id: Option<ArchiveId>,
    pub(super) after_id: Option<ArchiveId>,
    /// Only these, in the order of the archive, each once.
    pub(super) ids: Option<Vec<ArchiveId>>,
    pub(super) max: Option<usize>,
    pub(super) page_before: Option<ArchiveId>,
    pub(super) page_after: Option<ArchiveId>,
    /// The last page, not the first.
    pub(super) backwards: bool,
    /// The page comes from its end to its beginning (§4.3.5).
    pub(super) flipped: bool,
}

impl Wanted {
    /// Reads a `<query/>`.
    pub(super) fn read(query: &Element) -> Result<Wanted, StanzaError> {
        if query.attr("node").is_some() {
            return Err(StanzaError::cancel(Condition::FeatureNotImplemented)); // §5.1.3: for archives of pubsub nodes
        }
        let page = rsm::read(query)?;
        let mut wanted = Wanted {
            queryid: query.attr("queryid").map(Into::into),
            max: page.max,
            page_before: page.before.as_deref().map(id).transpose()?,
            page_after: page.after.as_deref().map(id).transpose()?,
            backwards: page.backwards,
            flipped: query.child(ns::MAM, "flip-page").is_some(),
            ..Wanted::default()
        };
        if let Some(form) = query.child(ns::DATA, "x") {
            wanted.read_form(form)?;
        }
        Ok(wanted)
    }

    fn read_form(&mut self, form: &Element) -> Result<(), StanzaError> {
        let is_ours = form::values(form, "FORM_TYPE").is_some_and(|kind| kind == [ns::MAM]);
        if form.attr("type") != Some("submit") || !is_ours {
            return Err(bad());
        }
        for field in form.children().filter(|child| child.is(ns::DATA, "field")) {
            let name = field.attr("var").ok_or_else(bad)?;
            let values: Vec<String> = form::values(form, name).unwrap_or_default();
            let value = values.first().map(String::as_str).filter(|value| !value.is_empty());
            match name {
                "FORM_TYPE" => {}
                "with" => self.with = value.map(Jid::new).transpose().map_err(|_| bad())?,
                "start" => self.start = value.map(time).transpose()?,
                "end" => self.end = value.map(time).transpose()?,
                "before-id" => self.before_id = value.map(id).transpose()?,
                "after-id" => self.after_id = value.map(id).transpose()?,
                "ids" if values.is_empty() => {}
                "ids" => {
                    let mut ids = values.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
                    ids.sort_unstable();
                    ids.dedup();
                    self.ids = Some(ids);
                }
                // §4.1.7: what is not recognised is not ignored, or the client would take all for some.
                _ => return Err(StanzaError::cancel(Condition::FeatureNotImplemented)),
            }
        }
        Ok(())
    }

    /// Every id that is named; all of them must be in the archive (§4.1.4, §4.3.2).
    pub(super) fn named(&self) -> Vec<ArchiveId> {
        let bounds = [self.before_id, self.after_id, self.page_before, self.page_after];
        bounds.into_iter().flatten().chain(self.ids.iter().flatten().copied()).collect()
    }

    /// Whether only some of the archive is asked for.
    pub(super) fn is_filtered(&self) -> bool {
        let bounds = [self.before_id, self.after_id];
        self.with.is_some()
            || self.start.is_some()
            || self.end.is_some()
            || bounds.iter().any(Option::is_some)
    }

    /// How many results there are at most.
    pub(super) fn limit(&self, most: usize) -> usize {
        self.max.unwrap_or(most).min(most)
    }

    /// The same as the store understands it; nothing above `upto`.
    pub(super) fn query(&self, upto: ArchiveId) -> archive::Query {
        let full = self.with.as_ref().filter(|with| with.resource().is_some());
        archive::Query {
            after: self.after_id.max(self.page_after),
            before: match (self.before_id, self.page_before) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            upto: Some(upto),
            with: self.with.as_ref().map(Jid::bare),
            with_resource: full.map(|with| with.as_str().into()),
            start: self.start,
            end: self.end,
            deliverable: false,
            backwards: self.backwards,
        }
    }

    /// Whether a row that was asked for by its id passes all other filters too.
    pub(super) fn admits(&self, row: &Row) -> bool {
        let query = self.query(row.id);
        let other = match row.direction {
            Direction::Received => "from",
            Direction::Sent => "to",
        };
        query.after.is_none_or(|after| row.id > after)
            && query.before.is_none_or(|before| row.id < before)
            && query.with.is_none_or(|with| row.with == with)
            && query.with_resource.is_none_or(|full| row.wire.has_attribute(other, &full))
            && query.start.is_none_or(|start| row.at >= start)
            && query.end.is_none_or(|end| row.at <= end)
    }
}

fn bad() -> StanzaError {
    StanzaError::modify(Condition::BadRequest)
}

/// What is no id of ours is in no archive of ours.
fn id(text: &str) -> Result<ArchiveId, StanzaError> {
    text.parse().map_err(|()| StanzaError::cancel(Condition::ItemNotFound))
}

fn time(text: &str) -> Result<Timestamp, StanzaError> {
    Timestamp::from_xep_0082(text).ok_or_else(bad)
}

/// §4.1.7: the fields that can be asked for; none is required.
pub(super) fn form() -> Element {
    let open = Element::new(ns::VALIDATE, "validate")
        .with_attr("datatype", "xs:string")
        .with_child(Element::new(ns::VALIDATE, "open"));
    let field = |var: &str, kind: &str| form::field(var, Some(kind), []);
    Element::new(ns::DATA, "x")
        .with_attr("type", "form")
        .with_child(form::field("FORM_TYPE", Some("hidden"), [ns::MAM]))
        .with_child(field("with", "jid-single"))
        .with_child(field("start", "text-single"))
        .with_child(field("end", "text-single"))
        .with_child(field("before-id", "text-single"))
        .with_child(field("after-id", "text-single"))
        .with_child(field("ids", "list-multi").with_child(open))
}

#[cfg(test)]
mod tests {
    use starling_jid::BareJid;
    use starling_stanza::Wire;

    use super::*;

    const ONE: &str = "00000000000000010000000000000001";
    const TWO: &str = "00000000000000020000000000000002";

    fn read(content: &str) -> Result<Wanted, Condition> {
        let query = format!("<query xmlns='urn:xmpp:mam:2' queryid='q'>{content}</query>");
        Wanted::read(&Element::parse(query.as_bytes(), ns::CLIENT).unwrap()).map_err(|error| error.condition)
    }

    fn asked(fields: &[(&str, &[&str])]) -> Result<Wanted, Condition> {
        let mut form = Element::new(ns::DATA, "x").with_attr("type", "submit").with_child(form::field(
            "FORM_TYPE",
            Some("hidden"),
            [ns::MAM],
        ));
        for (var, values) in fields {
            form = form.with_child(form::field(var, None, values.iter().copied()));
        }
        read(std::str::from_utf8(&form.to_bytes(ns::MAM)).unwrap())
    }

    fn id_of(text: &str) -> Option<ArchiveId> {
        text.parse().ok()
    }

    #[test]
    fn every_field_is_understood() {
        let wanted = asked(&[
            ("with", &["alice@a.example/desk"]),
            ("start", &["2026-01-01T00:00:00Z"]),
            ("end", &["2026-02-01T00:00:00+01:00"]),
            ("after-id", &[ONE]),
            ("before-id", &[TWO]),
        ])
        .unwrap();
        let query = wanted.query(id_of(TWO).unwrap());
        assert_eq!((query.after, query.before, query.upto), (id_of(ONE), id_of(TWO), id_of(TWO)));
        assert_eq!(query.with.unwrap().as_str(), "alice@a.example");
        assert_eq!(query.with_resource.as_deref(), Some("alice@a.example/desk"));
        assert_eq!(query.start, Timestamp::from_xep_0082("2026-01-01T00:00:00Z"));
        assert_eq!(query.end, Timestamp::from_xep_0082("2026-01-31T23:00:00Z"));
        assert_eq!(wanted.queryid.as_deref(), Some("q"));
        assert_eq!(
            asked(&[("ids", &[TWO, ONE, TWO])]).unwrap().ids,
            Some([ONE, TWO].map(|id| id.parse().unwrap()).into())
        );
    }

    #[test]
    fn a_field_left_empty_filters_nothing() {
        let empty = asked(&[("with", &[""]), ("start", &[]), ("end", &[""]), ("ids", &[])]).unwrap();
        assert_eq!(empty, Wanted { queryid: Some("q".into()), ..Wanted::default() });
    }

    #[test]
    fn what_is_malformed_is_a_bad_request() {
        assert_eq!(asked(&[("with", &["@"])]), Err(Condition::BadRequest));
        assert_eq!(asked(&[("start", &["yesterday"])]), Err(Condition::BadRequest));
        assert_eq!(read("<x xmlns='jabber:x:data' type='submit'/>"), Err(Condition::BadRequest));
        let cancelled = "<x xmlns='jabber:x:data' type='cancel'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field></x>";
        assert_eq!(read(cancelled), Err(Condition::BadRequest));
        let other = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:1</value></field></x>";
        assert_eq!(read(other), Err(Condition::BadRequest));
    }

    #[test]
    fn an_unknown_field_is_not_ignored() {
        assert_eq!(asked(&[("include-groupchat", &["true"])]), Err(Condition::FeatureNotImplemented));
    }

    #[test]
    fn what_is_no_id_of_ours_is_not_found() {
        for field in ["after-id", "before-id", "ids"] {
            assert_eq!(asked(&[(field, &["09af3-cc343-b409f"])]), Err(Condition::ItemNotFound), "{field}");
        }
    }

    #[test]
    fn of_two_bounds_the_closer_one_holds() {
        let set =
            format!("<set xmlns='http://jabber.org/protocol/rsm'><after>{TWO}</after><max>5</max></set>");
        let form = format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='after-id'><value>{ONE}</value></field></x>"
        );
        let wanted = read(&format!("{form}{set}<flip-page/>")).unwrap();
        assert_eq!(wanted.query(id_of(TWO).unwrap()).after, id_of(TWO));
        assert_eq!((wanted.limit(50), wanted.limit(3), wanted.flipped), (5, 3, true));
        assert_eq!(wanted.named(), [id_of(ONE).unwrap(), id_of(TWO).unwrap()]);
    }

    #[test]
    fn a_row_by_its_id_passes_the_other_filters_too() {
        let wire = "<message to='bob@b.example' from='alice@a.example/desk'><body>hi</body>";
        let row = Row {
            id: id_of(ONE).unwrap(),
            at: Timestamp(5),
            with: BareJid::new("alice@a.example").unwrap(),
            direction: Direction::Received,
            resource: None,
            deliverable: false,
            copied: false,
            origin: None,
            born: starling_ports::archive::Born::default(),
            wire: Wire::from_bytes(bytes::Bytes::from_static(wire.as_bytes())).unwrap(),
        };
        let admits = |fields: &[(&str, &[&str])]| asked(fields).unwrap().admits(&row);
        assert!(admits(&[]) && admits(&[("with", &["alice@a.example/desk"])]));
        assert!(
            !admits(&[("with", &["alice@a.example/phone"])]) && !admits(&[("with", &["carol@c.example"])])
        );
        assert!(
            !admits(&[("start", &["2026-01-01T00:00:00Z"])]) && admits(&[("end", &["2026-01-01T00:00:00Z"])])
        );
        assert!(!admits(&[("after-id", &[ONE])]) && admits(&[("before-id", &[TWO])]));
    }

    #[test]
    fn the_form_names_what_can_be_asked() {
        let form = form();
        let names: Vec<&str> = form.children().filter_map(|field| field.attr("var")).collect();
        assert_eq!(names, ["FORM_TYPE", "with", "start", "end", "before-id", "after-id", "ids"]);
    }
}
