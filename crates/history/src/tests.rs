//! A good history has no fault, and each fault is found in one that has it.

use super::*;

const ALL: Expect = Expect { all_delivered: true, all_archived: true };

fn id(number: u64) -> Id {
    Id::new("alice", number)
}

fn receipt(stream: u32, archive_id: &str, delayed: bool) -> Receipt {
    Receipt {
        account: "bob".into(),
        device: "bob/phone".into(),
        stream,
        archive_id: Some(archive_id.into()),
        delayed,
    }
}

/// Three messages sent, acknowledged, received and archived.
fn good() -> History {
    let mut history = History::default();
    for number in 1..=3 {
        history.sent(id(number), "bob");
        history.acked(&id(number));
        history.received(id(number), receipt(1, &number.to_string(), false));
        history.archived("bob", id(number), &number.to_string());
    }
    history
}

#[test]
fn a_good_history_has_no_fault() {
    let mut history = good();
    history.sent(id(4), "bob"); // neither acknowledged nor received: it may be lost
    history.received(id(2), receipt(2, "2", true)); // unacknowledged by the device: it comes again, and says so
    history.received(id(3), Receipt { device: "bob/desk".into(), ..receipt(1, "3", false) });
    assert_eq!(history.faults(ALL), []);
    assert_eq!(history.counts(), (4, 3, 5));
    assert_eq!((history.came("bob/phone", 1), history.came("bob/phone", 2)), (3, 1));
}

#[test]
fn what_is_counted_on_the_way_is_counted_once() {
    let mut history = good();
    history.sent(id(4), "bob");
    history.acked(&id(3)); // again
    history.refused(&id(3));
    history.refused(&id(4));
    assert_eq!((history.in_flight(), history.accepted(), history.refusals()), (1, 2, 2));
    history.acked(&id(4));
    assert_eq!((history.in_flight(), history.accepted(), history.refusals()), (0, 2, 2));
    history.received(id(1), receipt(1, "1", false)); // again
    assert_eq!((history.acked_of("alice"), history.received_by("bob")), (4, 4));
    assert_eq!((history.acked_of("bob"), history.received_by("alice")), (0, 0));
}

#[test]
fn all_is_delivered_when_what_was_acked_has_come_to_whom_it_is_for() {
    let mut history = good();
    history.sent(id(4), "bob");
    assert!(history.is_delivered("bob"), "what is not acknowledged may be lost");
    history.acked(&id(4));
    history.received(id(4), Receipt { account: "carol".into(), ..receipt(1, "4", false) });
    assert!(!history.is_delivered("bob") && history.is_delivered("carol"));
    history.received(id(4), receipt(1, "4", false));
    history.received(id(4), receipt(2, "4", true));
    assert!(history.is_delivered("bob"));
    history.sent(id(5), "bob");
    history.acked(&id(5));
    assert!(!history.is_delivered("bob"));
    history.refused(&id(5));
    assert!(history.is_delivered("bob"), "it was told that it is not");
}

#[test]
fn what_was_acked_and_came_to_nobody_is_lost() {
    let mut history = good();
    history.sent(id(4), "bob");
    history.acked(&id(4));
    history.archived("bob", id(4), "4");
    history.received(id(4), Receipt { account: "carol".into(), ..receipt(1, "4", false) });
    assert_eq!(history.faults(ALL), [Fault::Lost { id: id(4), account: "bob".into() }]);
    assert_eq!(history.faults(Expect { all_delivered: false, ..ALL }), []);
}

#[test]
fn what_was_acked_and_is_in_no_archive_is_found() {
    let mut history = good();
    history.sent(id(4), "bob");
    history.acked(&id(4));
    history.received(id(4), receipt(1, "4", false));
    assert_eq!(history.faults(ALL), [Fault::NotArchived { id: id(4), account: "bob".into() }]);
    assert_eq!(history.faults(Expect { all_archived: false, ..ALL }), []);
}

#[test]
fn a_stream_that_brings_it_twice_doubles() {
    let mut history = good();
    history.received(id(2), receipt(1, "2", true));
    assert_eq!(history.faults(ALL), [Fault::Doubled { id: id(2), device: "bob/phone".into() }]);
}

#[test]
fn a_repeat_that_does_not_say_so_is_found() {
    let mut history = good();
    history.received(id(2), receipt(2, "2", false));
    assert_eq!(history.faults(ALL), [Fault::Unmarked { id: id(2), device: "bob/phone".into() }]);
}

#[test]
fn what_comes_behind_a_later_one_is_out_of_order() {
    let mut history = good();
    history.sent(id(4), "bob");
    history.sent(id(5), "bob");
    history.received(id(5), receipt(1, "5", false));
    history.received(id(4), receipt(1, "4", false));
    assert_eq!(history.faults(ALL), [Fault::Reordered { id: id(4), behind: 5, device: "bob/phone".into() }]);
}

#[test]
fn a_second_row_is_found() {
    let mut history = good();
    history.archived("bob", id(3), "4");
    assert_eq!(history.faults(ALL), [Fault::ArchivedTwice { id: id(3), account: "bob".into() }]);
    history.reopen_archives();
    assert_eq!(history.faults(Expect { all_archived: false, ..ALL }), []);
}

#[test]
fn another_id_is_found() {
    let mut history = good();
    history.received(id(3), receipt(2, "7", true));
    assert_eq!(history.faults(ALL), [Fault::OtherId { id: id(3), account: "bob".into() }]);
}

#[test]
fn an_id_that_falls_is_found() {
    let mut history = good();
    history.sent(id(4), "bob");
    history.archived("bob", id(4), "2");
    assert_eq!(history.faults(ALL), [Fault::IdFell { id: id(4), account: "bob".into() }]);
}

#[test]
fn what_was_refused_does_not_come() {
    let mut history = good();
    history.refused(&id(3));
    assert_eq!(history.faults(ALL), [Fault::RefusedAndDelivered { id: id(3) }]);
}

#[test]
fn a_device_that_is_seen_to_go_and_had_not_left_flapped() {
    let mut history = good();
    history.went("bob/phone", "alice");
    history.left("bob/phone");
    history.went("bob/phone", "carol");
    assert_eq!(history.faults(ALL), [Fault::Flapped { device: "bob/phone".into(), contact: "alice".into() }]);
}

#[test]
fn what_nobody_sent_does_not_come() {
    let mut history = good();
    history.received(id(9), receipt(1, "9", false));
    let faults = history.faults(ALL);
    assert_eq!(faults, [Fault::Invented { id: id(9) }]);
    assert_eq!(faults[0].to_string(), "invented: alice 9 came and was never sent");
}
