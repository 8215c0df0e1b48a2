//! Rules 5, 16, 17 and 20: numbers, backlogs and bounds.

use super::*;

#[test]
fn rule_5_a_session_without_a_socket_gets_its_numbers_when_it_pulls() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(message(1, &[desk]));
    let epoch = world.epoch(desk);
    world.step(|slot, context| slot.detach(context, desk, epoch, starling_ports::sessions::Detach::Lost));
    assert!(handed(&world.commit(message(2, &[desk]))).is_empty());
    assert_eq!(world.slot.session(desk).unwrap().highest(), 1);
    let claim = starling_ports::sessions::Claim {
        account: world.slot.account.clone(),
        session: desk,
        node: NodeId::default(),
        h: 0,
        token: 1,
    };
    world.slot.claim(&claim).unwrap();
    let (entries, more) = world.pull(desk, 0, 10);
    assert_eq!((bodies(&entries), more), (vec!["1".to_owned(), "2".to_owned()], false));
}

#[test]
fn pulling_twice_gives_the_same_entries() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=5 {
        world.commit(message(number, &[desk]));
    }
    let (first, more) = world.pull(desk, 0, 3);
    assert!(more);
    let (again, _) = world.pull(desk, 0, 3);
    assert_eq!(bodies(&first), bodies(&again));
    let (rest, more) = world.pull(desk, 3, 3);
    assert_eq!((bodies(&rest), more), (vec!["4".to_owned(), "5".to_owned()], false));
}

#[test]
fn a_pull_hands_out_no_more_bytes_than_a_router_has_room_for() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=8 {
        let wire = wire("message", &number.to_string().repeat(12_000));
        world.commit(Planned { wire, ..message(number, &[desk]) });
    }
    let numbers = |entries: &[Entry]| -> Vec<u64> { entries.iter().map(|entry| entry.number.0).collect() };
    let (entries, more) = world.pull(desk, 0, 64);
    assert_eq!((numbers(&entries), more), (vec![1, 2, 3, 4, 5, 6], true));
    let (entries, more) = world.pull(desk, 6, 64);
    assert_eq!((numbers(&entries), more), (vec![7, 8], false));
}

#[test]
fn what_was_stored_is_handed_out_in_the_same_portions() {
    let mut world = world();
    for number in 1..=8 {
        let wire = wire("message", &number.to_string().repeat(12_000));
        world.commit(Planned { wire, ..message(number, &[]) });
    }
    let desk = world.online("desk");
    let (mut all, mut more) = (Vec::new(), true);
    while more {
        let (entries, goes_on) = world.pull(desk, all.len() as u64, 64);
        assert!(entries.len() <= 6, "{}", entries.len());
        all.extend(entries.iter().map(|entry| entry.number.0));
        more = goes_on;
    }
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn an_inactive_session_gets_what_is_urgent_behind_what_was_held() {
    let mut world = world();
    let desk = world.online("desk");
    world.change(desk, inactive(true));
    assert!(handed(&world.commit(presence(1, "carol@example.org/a", &[desk]))).is_empty());
    assert!(handed(&world.commit(presence(2, "carol@example.org/a", &[desk]))).is_empty());
    assert_eq!(handed(&world.commit(message(3, &[desk]))), [1, 2]);
    assert_eq!(bodies(&world.pull(desk, 0, 10).0), ["2", "3"], "the newest presence, then the message");
    world.commit(presence(4, "carol@example.org/a", &[desk]));
    assert!(world.pull(desk, 2, 10).0.is_empty());
    assert!(matches!(world.change(desk, inactive(false)), Changed::Pull));
    assert_eq!(bodies(&world.pull(desk, 2, 10).0), ["4"]);
}

/// Redis could lose it, and its router undo it, when the client has it already.
#[test]
fn rule_12_what_is_not_stored_yet_is_not_handed_out_with_what_comes_later() {
    let mut world = world();
    let desk = world.online("desk");
    world.change(desk, inactive(true));
    world.try_commit(Planned { urgent: false, ..message(1, &[desk]) });
    let CommitReply::Done(outcomes) = world.try_commit(message(2, &[desk])) else { panic!() };
    assert_eq!(outcomes.iter().map(handed).collect::<Vec<_>>(), [[2]], "the connection sees a gap");
    world.store();
    assert_eq!(bodies(&world.pull(desk, 0, 10).0), ["1", "2"]);
}

#[test]
fn rule_16_the_first_device_ends_pending_and_takes_nothing_from_the_other() {
    let mut world = world();
    let (desk, phone) = (world.online("desk"), world.online("phone"));
    world.commit(message(1, &[desk, phone]));
    assert_eq!(world.waiting(), 1);
    world.acknowledge(desk, 1);
    assert_eq!(world.waiting(), 0);
    assert_eq!(bodies(&world.pull(phone, 0, 10).0), ["1"]);
}

#[test]
fn rule_16_the_position_rises_to_the_first_that_waits() {
    let mut world = world();
    let (desk, phone) = (world.online("desk"), world.online("phone"));
    world.commit(message(1, &[desk]));
    world.commit(message(2, &[phone]));
    world.acknowledge(phone, 1);
    let position = world.slot.take_position().unwrap();
    assert!(position.low.is_none_or(|low| low < world.stored[0].1.id));
    assert_eq!(position.acknowledged, [world.stored[1].1.id]);
    world.acknowledge(desk, 1);
    let position = world.slot.take_position().unwrap();
    assert!(position.low >= Some(world.stored[1].1.id) && position.acknowledged.is_empty());
    assert!(world.slot.take_position().is_none(), "nothing has changed since");
}

#[test]
fn offline_messages_come_late_and_once_and_wait_until_they_are_acknowledged() {
    let mut world = world();
    for number in 1..=6 {
        world.commit(message(number, &[]));
    }
    let desk = world.bind("desk");
    assert!(matches!(world.change(desk, Change::Presence(Some(available(-1)))), Changed::Nothing));
    assert!(matches!(world.change(desk, Change::Presence(Some(available(0)))), Changed::Pull));
    let (entries, _) = world.pull(desk, 0, 100);
    assert_eq!(bodies(&entries), ["1", "2", "3", "4"]);
    assert!(entries.iter().all(|entry| entry.late && entry.archived));
    let (rest, _) = world.pull(desk, 4, 100);
    assert_eq!(bodies(&rest), ["5", "6"]);
    let (none, more) = world.pull(desk, 6, 100);
    assert!(none.is_empty() && !more);
    assert_eq!(world.waiting(), 6);
    world.acknowledge(desk, 6);
    assert_eq!(world.waiting(), 0);
    assert_eq!(handed(&world.commit(message(7, &[desk]))), [7], "it is live");
}

#[test]
fn rule_17_a_full_log_goes_on_from_the_store_and_misses_none() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=25 {
        world.commit(message(number, &[desk]));
    }
    let session = world.slot.session(desk).unwrap();
    assert_eq!((session.log.len(), session.held.len()), (10, 0));
    assert!(session.backlog.is_some());
    let (mut seen, mut last) = (Vec::new(), 0);
    for _ in 0..20 {
        let (entries, more) = world.pull(desk, last, 4);
        last += entries.len() as u64;
        seen.extend(bodies(&entries));
        world.acknowledge(desk, last);
        if !more {
            break;
        }
    }
    assert_eq!(seen, (1..=25).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(world.slot.session(desk).unwrap().backlog.is_none());
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_connection_hears_that_its_log_was_full() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=10 {
        assert_eq!(handed(&world.commit(message(number, &[desk]))), [number]);
    }
    assert_eq!(handed(&world.commit(message(11, &[desk]))), [LogNumber::BEHIND.0]);
    assert!(handed(&world.commit(message(12, &[desk]))).is_empty(), "once is enough");
    let (entries, more) = world.pull(desk, 10, 10);
    assert!(entries.is_empty() && more, "not before something is acknowledged");
    world.acknowledge(desk, 10);
    assert_eq!(bodies(&world.pull(desk, 10, 10).0), ["11", "12"]);
}

#[test]
fn rule_17_one_device_starves_no_stalled_other() {
    let mut world = world();
    let (desk, phone) = (world.online("desk"), world.online("phone"));
    for number in 1..=15 {
        world.commit(message(number, &[desk, phone]));
        world.acknowledge(desk, number);
    }
    assert_eq!(world.waiting(), 0);
    let (first, _) = world.pull(phone, 0, 10);
    world.acknowledge(phone, 10);
    let (second, _) = world.pull(phone, 10, 10);
    let (third, _) = world.pull(phone, 14, 10);
    assert_eq!(first.len() + second.len() + third.len(), 15);
    assert!(third.iter().all(|entry| !entry.late), "it was there when they were committed");
}

#[test]
fn rule_17_the_switch_to_live_waits_for_what_was_committed_meanwhile() {
    let mut world = world();
    world.commit(message(1, &[]));
    let desk = world.online("desk");
    let epoch = world.epoch(desk);
    let limits = world.limits.clone();
    assert!(matches!(world.slot.pull(&limits, desk, epoch, LogNumber(0), 10), Need::Page(_)));
    let scan = Scan { rows: world.stored.clone(), complete: true, last: world.slot.last() };
    world.commit(message(2, &[desk])); // between the scan and its absorption
    let absorbed = world.step(|slot, context| slot.absorb(context, desk, epoch, scan, LogNumber(0), 10));
    let pulled = absorbed.unwrap();
    assert!(pulled.more);
    assert_eq!(bodies(&pulled.entries), ["1"]);
    assert_eq!(bodies(&world.pull(desk, 1, 10).0), ["2"]);
}

/// A router that its node has left goes on with a pull that nobody hears of any more: what it numbers is the next pull's.
#[test]
fn rule_5_what_another_pull_has_numbered_meanwhile_is_handed_out() {
    let mut world = world();
    for number in 1..=4 {
        world.commit(message(number, &[]));
    }
    let desk = world.online("desk");
    let (epoch, limits) = (world.epoch(desk), world.limits.clone());
    assert!(matches!(world.slot.pull(&limits, desk, epoch, LogNumber(0), 2), Need::Page(_)));
    let scan = Scan { rows: world.stored.clone(), complete: true, last: world.slot.last() };
    world.step(|slot, context| slot.absorb(context, desk, epoch, scan.clone(), LogNumber(0), 2)).unwrap();
    let pulled =
        world.step(|slot, context| slot.absorb(context, desk, epoch, scan, LogNumber(0), 2)).unwrap();
    assert_eq!((bodies(&pulled.entries), pulled.more), (vec!["1".to_owned(), "2".to_owned()], true));
    assert_eq!(bodies(&world.pull(desk, 2, 2).0), ["3", "4"]);
}

#[test]
fn rule_17_what_is_never_stored_queues_behind_the_backlog() {
    let mut world = world();
    world.commit(message(1, &[]));
    let desk = world.online("desk");
    world.commit(passing(2, "message", &[desk]));
    world.commit(message(3, &[desk]));
    let answer = passing(4, "iq", &[desk]);
    let answer = Planned { key: None, ..answer };
    assert_eq!(handed(&world.commit(answer)), [1], "the server's own words overtake");
    let (entries, more) = world.pull(desk, 1, 10);
    assert_eq!(bodies(&entries), ["1", "3", "2"]);
    assert!(!more);
}

#[test]
fn a_carbon_comes_from_the_backlog_too() {
    let mut world = world();
    let (desk, phone) = (world.online("desk"), world.online("phone"));
    world.change(phone, Change::Flags(Flags { carbons: true, ..Flags::default() }));
    for number in 1..=10 {
        world.commit(message(number, &[phone]));
    }
    let mut to_desk = message(11, &[desk]);
    to_desk.targets.push((phone, Copy::CarbonReceived));
    to_desk.keep.as_mut().unwrap().resource = Some("desk".into());
    world.commit(to_desk);
    world.acknowledge(phone, 10);
    let (entries, _) = world.pull(phone, 10, 10);
    assert_eq!(entries.iter().map(|entry| entry.copy.clone()).collect::<Vec<_>>(), [Copy::CarbonReceived]);
}

#[test]
fn rule_20_a_full_session_refuses_foreign_requests_and_keeps_its_own_answers() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=20 {
        let reply = world.try_commit(passing(number, "iq", &[desk]));
        assert!(matches!(reply, CommitReply::Done(_)), "{number}");
    }
    assert!(matches!(world.try_commit(passing(21, "iq", &[desk])), CommitReply::Wait));
    let answer = Planned { key: None, ..passing(22, "iq", &[desk]) };
    assert!(matches!(world.try_commit(answer), CommitReply::Done(_)));
    world.acknowledge(desk, 5);
    world.pull(desk, 5, 100);
    assert!(matches!(world.try_commit(passing(23, "iq", &[desk])), CommitReply::Done(_)));
}

#[test]
fn rule_20_presence_of_one_address_takes_one_place() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=10 {
        world.commit(message(number, &[desk]));
    }
    for number in 11..=100 {
        world.commit(presence(number, "carol@example.org/a", &[desk]));
        world.commit(presence(number + 5000, "dave@example.org/a", &[desk]));
    }
    let session = world.slot.session(desk).unwrap();
    assert_eq!(session.held.len() + session.behind.len(), 2);
}

#[test]
fn what_waits_behind_a_backlog_does_not_stop_it() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=12 {
        world.commit(message(number, &[desk]));
    }
    world.limits.bytes = 400; // as much as lies in the log
    let long = format!("<message from='alice@example.org/desk'>{}", "x".repeat(150));
    let long = Wire::from_bytes(long.into_bytes().into()).unwrap();
    world.commit(Planned { wire: long, ..passing(13, "message", &[desk]) });
    world.acknowledge(desk, 10);
    world.limits.bytes = 150; // less than what waits behind the backlog
    let (entries, _) = world.pull(desk, 10, 10);
    assert_eq!(bodies(&entries)[..2], ["11", "12"]);
}

#[test]
fn a_stalled_session_takes_bounded_memory() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=300 {
        world.commit(message(number, &[desk]));
        let _ = world.try_commit(passing(number + 5000, "message", &[desk]));
        let _ = world.try_commit(passing(number + 10_000, "iq", &[desk]));
    }
    let session = world.slot.session(desk).unwrap();
    assert!(session.log.len() + session.held.len() + session.behind.len() <= 40, "{}", session.behind.len());
}
