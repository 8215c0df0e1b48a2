//! RFC 6121 §8.5.4, table 1, row by row.

use starling_ports::ids::SessionId;
use starling_ports::sessions::View;
use starling_stanza::{Condition, MessageType, StanzaError};

use super::{Route, route};
use crate::xep::tests::view;

/// What a cell of the table says, and which of the choices that it leaves is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// O: kept for later, by XEP-0160.
    Later,
    /// S by way of silence.
    Ignored,
    /// S or E by way of `service-unavailable`.
    Refused,
    /// D, M or A: to these sessions, by their place in the order of binding.
    To(&'static [u128]),
}
use Cell::{Ignored, Later, Refused, To};

/// Who is there, and to whom it is sent.
struct Row {
    sessions: &'static [(&'static str, Option<i8>)],
    resource: Option<&'static str>,
    /// Normal, chat, groupchat, headline, error.
    cells: [Cell; 5],
}

const TYPES: [MessageType; 5] = [
    MessageType::Normal,
    MessageType::Chat,
    MessageType::Groupchat,
    MessageType::Headline,
    MessageType::Error,
];

fn check(view: &View, rows: &[Row]) {
    for Row { sessions, resource, cells } in rows {
        for (kind, cell) in TYPES.into_iter().zip(cells) {
            let wanted = match cell {
                Later => Route::Later,
                Ignored => Route::Ignore,
                Refused => Route::Refuse(StanzaError::cancel(Condition::ServiceUnavailable)),
                To(places) => Route::To(places.iter().copied().map(SessionId).collect()),
            };
            assert_eq!(route(view, kind, *resource), wanted, "{kind:?} to {resource:?} of {sessions:?}");
        }
    }
}

fn check_all(rows: &[Row]) {
    for row in rows {
        check(&view(row.sessions), std::slice::from_ref(row));
    }
}

/// §8.5.1.
#[test]
fn account_does_not_exist() {
    let nobody = View { exists: false, ..view(&[]) };
    let cells = [Refused, Refused, Refused, Ignored, Ignored];
    let rows =
        [Row { sessions: &[], resource: None, cells }, Row { sessions: &[], resource: Some("phone"), cells }];
    check(&nobody, &rows);
}

/// §8.5.2.2, §8.5.3.2. A session that has sent no presence is connected, but not available.
#[test]
fn account_exists_but_no_active_resources() {
    let bare = [Later, Later, Refused, Ignored, Ignored];
    let missing = [Refused, Later, Refused, Ignored, Ignored];
    check_all(&[
        Row { sessions: &[], resource: None, cells: bare },
        Row { sessions: &[], resource: Some("phone"), cells: missing },
        Row { sessions: &[("desk", None)], resource: None, cells: bare },
        Row { sessions: &[("desk", None)], resource: Some("phone"), cells: missing },
        Row { sessions: &[("desk", None)], resource: Some("desk"), cells: [To(&[1]); 5] },
    ]);
}

/// §8.5.2.1.1: a negative priority is for what is addressed to that resource only.
#[test]
fn negative_resources_but_zero_non_negative_resources() {
    let bare = [Later, Later, Refused, Ignored, Ignored];
    let missing = [Refused, Later, Refused, Ignored, Ignored];
    let (one, two): (&[_], &[_]) = (&[("bot", Some(-1))], &[("bot", Some(-128)), ("other", Some(-1))]);
    check_all(&[
        Row { sessions: one, resource: None, cells: bare },
        Row { sessions: one, resource: Some("bot"), cells: [To(&[1]); 5] },
        Row { sessions: one, resource: Some("phone"), cells: missing },
        Row { sessions: two, resource: None, cells: bare },
        Row { sessions: two, resource: Some("other"), cells: [To(&[2]); 5] },
        Row { sessions: two, resource: Some("phone"), cells: missing },
    ]);
}

#[test]
fn one_non_negative_resource() {
    let (alone, with_bot): (&[_], &[_]) =
        (&[("desk", Some(0))], &[("bot", Some(-1)), ("desk", Some(0)), ("quiet", None)]);
    check_all(&[
        Row { sessions: alone, resource: None, cells: [To(&[1]), To(&[1]), Refused, To(&[1]), Ignored] },
        Row { sessions: alone, resource: Some("desk"), cells: [To(&[1]); 5] },
        Row {
            sessions: alone,
            resource: Some("phone"),
            cells: [Refused, To(&[1]), Refused, Ignored, Ignored],
        },
        Row { sessions: with_bot, resource: None, cells: [To(&[2]), To(&[2]), Refused, To(&[2]), Ignored] },
        Row { sessions: with_bot, resource: Some("bot"), cells: [To(&[1]); 5] },
        Row {
            sessions: with_bot,
            resource: Some("phone"),
            cells: [Refused, To(&[2]), Refused, Ignored, Ignored],
        },
    ]);
}

/// M: all of them, whatever their priorities, so that no device misses half of a conversation; A for headlines.
#[test]
fn more_than_one_non_negative_resource() {
    let sessions: &[_] = &[("desk", Some(0)), ("bot", Some(-1)), ("phone", Some(127)), ("quiet", None)];
    let all: Cell = To(&[1, 3]);
    check_all(&[
        Row { sessions, resource: None, cells: [all, all, Refused, all, Ignored] },
        Row { sessions, resource: Some("phone"), cells: [To(&[3]); 5] },
        Row { sessions, resource: Some("bot"), cells: [To(&[2]); 5] },
        Row { sessions, resource: Some("gone"), cells: [Refused, all, Refused, Ignored, Ignored] },
    ]);
}

/// RFC 7622 §3.4: a resource is compared as it is, case and all.
#[test]
fn resources_are_told_apart_by_case() {
    let sessions: &[_] = &[("Phone", Some(0))];
    check_all(&[Row {
        sessions,
        resource: Some("phone"),
        cells: [Refused, To(&[1]), Refused, Ignored, Ignored],
    }]);
}
