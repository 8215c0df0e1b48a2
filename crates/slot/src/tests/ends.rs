//! Rules 15, 18 and 19: what a session leaves.

use starling_ports::ids::ArchiveId;
use starling_ports::sessions::{Claim, Detach, Detached};

use super::*;
use crate::pending::KNOWN;

#[test]
fn rule_15_no_row_for_what_a_session_took_and_one_for_what_nobody_took() {
    let mut world = world();
    let desk = world.online("desk");
    let spooled = |number, targets: &[SessionId]| {
        let mut planned = message(number, targets);
        let keep = planned.keep.as_mut().unwrap();
        (keep.table, keep.only_if_nobody) = (Table::Spool, true);
        planned
    };
    assert!(matches!(world.commit(spooled(1, &[desk])), Outcome::Done { row: None, .. }));
    assert!(matches!(world.commit(spooled(2, &[])), Outcome::Done { row: Some((Table::Spool, _)), .. }));
    assert_eq!(world.stored.len(), 1);

    world.end(desk); // it acknowledged nothing: now nobody has taken it
    assert_eq!(world.stored.len(), 2);
    let phone = world.online("phone");
    let (entries, _) = world.pull(phone, 0, 10);
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.late && !entry.archived));
    world.acknowledge(phone, 2);
    assert_eq!(world.slot.take_collected().len(), 2, "an acknowledged row of the spool goes");
}

#[test]
fn rule_18_what_waits_goes_to_the_other_session_and_the_rest_bounces() {
    let mut world = world();
    let (desk, phone) = (world.online("desk"), world.online("phone"));
    world.commit(message(1, &[desk]));
    world.commit(passing(2, "iq", &[desk]));
    world.commit(presence(3, "carol@example.org/a", &[desk]));
    world.commit(message(4, &[desk, phone]));
    let ended = world.end(desk).ended;
    assert_eq!(ended.handed.len(), 1, "the other one has lain in its log before");
    assert!(ended.handed[0].entry.late && ended.handed[0].session == phone);
    let owed = ended.farewell.unwrap();
    assert_eq!(owed.requests.len(), 1);
    assert!(owed.to_all);
    assert_eq!(world.waiting(), 2);
    assert_eq!(bodies(&world.pull(phone, 0, 10).0), ["4", "1"]);
}

#[test]
fn rule_18_with_no_other_session_it_stays_pending() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(message(1, &[desk]));
    let epoch = world.epoch(desk);
    let detached = world.step(|slot, context| slot.detach(context, desk, epoch, Detach::Lost));
    assert!(matches!(detached, Detached::Waits));
    assert!(world.slot.expired(world.now).is_empty());
    world.now = world.now.after(Duration::from_secs(301));
    assert_eq!(world.slot.expired(world.now), [desk]);
    let estate = world.end(desk);
    assert!(!estate.ended.attached && estate.ended.handed.is_empty());
    let claim =
        Claim { account: world.slot.account.clone(), session: desk, node: NodeId::default(), h: 0, token: 1 };
    assert!(world.slot.claim(&claim).is_none(), "it cannot be resumed");
    let phone = world.online("phone");
    assert_eq!(bodies(&world.pull(phone, 0, 10).0), ["1"]);
}

#[test]
fn rule_18_a_new_session_of_the_same_resource_replaces_the_old_one() {
    let mut world = world();
    let desk = world.online("desk");
    world.commit(message(1, &[desk]));
    let jid = FullJid::new("bob@example.org/desk").unwrap();
    let (id, replaced) =
        world.step(|slot, context| slot.bind(context, Bind { jid, node: NodeId::default() }));
    assert_eq!(replaced.map(|estate| (estate.ended.id, estate.ended.attached)), Some((desk, true)));
    assert_eq!(world.slot.sessions().len(), 1);
    assert!(matches!(world.change(id, Change::Presence(Some(available(0)))), Changed::Pull));
    assert_eq!(bodies(&world.pull(id, 0, 10).0), ["1"]);
}

#[test]
fn rule_19_a_lost_session_without_resumption_ends_and_its_messages_wait() {
    let mut world = world();
    let desk = world.online("desk");
    world.commit(message(1, &[desk]));
    world.commit(message(2, &[desk]));
    world.acknowledge(desk, 1);
    let epoch = world.epoch(desk);
    let detached = world.step(|slot, context| slot.detach(context, desk, epoch, Detach::Lost));
    assert!(matches!(detached, Detached::Ended(_)));
    assert_eq!(world.waiting(), 1);
}

#[test]
fn a_device_that_logs_in_does_not_get_what_another_is_reading() {
    let mut world = world();
    let desk = world.online("desk");
    world.commit(message(1, &[desk]));
    let phone = world.online("phone");
    assert!(world.pull(phone, 0, 10).0.is_empty());
    let handed = world.end(desk).ended.handed;
    assert_eq!(handed.len(), 1, "but when that one is lost it does");
    assert_eq!(handed[0].session, phone);
}

#[test]
fn rule_18_who_has_read_past_what_it_inherits_and_has_no_room_gets_it_all_the_same() {
    let mut world = world();
    let desk = world.online("desk");
    world.commit(message(1, &[desk]));
    let phone = world.online("phone");
    for number in 2..=14 {
        world.commit(message(number, &[desk, phone]));
    }
    let mut read = Vec::new();
    let pull = |world: &mut World, read: &mut Vec<String>| loop {
        match bodies(&world.pull(phone, read.len() as u64, 20).0) {
            more if more.is_empty() => break,
            more => read.extend(more),
        }
    };
    pull(&mut world, &mut read);
    assert_eq!(read.len(), 10, "its log is full, and the first message lies in the other's");
    world.end(desk);
    while read.len() < 14 {
        let before = read.len();
        assert!(world.acknowledge(phone, before as u64));
        pull(&mut world, &mut read);
        assert!(read.len() > before, "nothing comes behind {read:?}");
    }
    assert!(world.acknowledge(phone, 14));
    read.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert!(read.iter().map(|body| body.parse::<u32>().unwrap()).eq(1..=14), "{read:?}");
    assert_eq!(world.waiting(), 0);
}

#[test]
fn what_went_before_stream_management_is_acknowledged_by_the_first_h_and_not_by_enabling_it() {
    let mut world = world();
    let desk = world.online("desk");
    world.commit(message(1, &[desk]));
    let base = SmBase { sent: LogNumber(1), ..SmBase::default() };
    let enable = Change::EnableSm { resume: Some(Duration::from_secs(9999)), base };
    world.change(desk, enable);
    assert_eq!(world.waiting(), 1, "it may still be on its way to the device");
    let session = world.slot.session(desk).unwrap();
    assert_eq!(session.resume, Some(Duration::from_secs(300)), "no longer than is configured");
    assert_eq!(session.extend(0), 1);
    assert!(world.acknowledge(desk, 1));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn directed_presence_is_told_when_the_session_leaves_and_then_forgotten() {
    let mut world = world();
    let desk = world.online("desk");
    let to = Jid::new("carol@example.org").unwrap();
    world.change(desk, Change::Directed { to: to.clone(), available: true });
    let left = world.change(desk, Change::Presence(None));
    let Changed::Left(farewell) = left else { panic!("{left:?}") };
    assert!(farewell.directed == [to] && farewell.to_all, "{farewell:?}");
    world.step(|slot, _| slot.settle_farewell(&farewell));
    assert_eq!(world.end(desk).ended.farewell, None);
}

#[test]
fn directed_presence_is_remembered_until_it_is_taken_back() {
    let mut world = world();
    let desk = world.online("desk");
    let to = |name: &str| Jid::new(name).unwrap();
    world.change(desk, Change::Directed { to: to("room@example.net/bob"), available: true });
    world.change(desk, Change::Directed { to: to("carol@example.org"), available: true });
    world.change(desk, Change::Directed { to: to("carol@example.org"), available: false });
    assert_eq!(world.end(desk).ended.farewell.unwrap().directed, [to("room@example.net/bob")]);
}

/// So many more wait than are known at once, and all that are known are acknowledged. Returns the session that has them, and their ids.
fn beyond_what_is_known(world: &mut World, more: usize) -> (SessionId, Vec<ArchiveId>) {
    let desk = world.online("desk");
    for number in 1..=(KNOWN + more) as u64 {
        world.commit(message(number, &[desk]));
    }
    assert_eq!(world.waiting(), KNOWN + more);
    let ids: Vec<_> = world.stored.iter().map(|(_, row)| row.id).collect();
    for id in &ids[..KNOWN] {
        assert!(world.slot.pending.acknowledge(*id));
    }
    (desk, ids)
}

#[test]
fn more_than_is_known_at_once_waits_and_is_read_later() {
    let mut world = world();
    let (_, ids) = beyond_what_is_known(&mut world, 50);
    assert_eq!(world.slot.wants_refill(), Some(ids[KNOWN - 1]));
    assert!(world.slot.pending.contains(ids[KNOWN]));
    world.slot.refill(ids[KNOWN..].iter().map(|id| (*id, 10)).collect(), false, world.slot.last());
    assert_eq!(world.slot.view().waiting_bytes, 500);
    assert_eq!(world.waiting(), 50);
    assert_eq!(world.slot.wants_refill(), None);
}

#[test]
fn what_is_committed_while_what_waits_is_read_again_waits_too() {
    let mut world = world();
    let (desk, ids) = beyond_what_is_known(&mut world, 1);
    let (read, last) = (vec![(ids[KNOWN], 10)], world.slot.last());
    let Outcome::Done { id: Some(late), .. } = world.commit(message(KNOWN as u64 + 2, &[desk])) else {
        panic!("it is new")
    };
    world.slot.refill(read, false, last);
    assert!(world.slot.pending.contains(ids[KNOWN]) && world.slot.pending.contains(late));
    assert!(world.slot.pending.acknowledge(ids[KNOWN]));
    let wants = world.slot.wants_refill().unwrap();
    assert!(ids[KNOWN] <= wants && wants < late, "{wants:?} is where it goes on");
    world.slot.refill(vec![(late, 10)], false, world.slot.last());
    assert_eq!((world.waiting(), world.slot.wants_refill()), (1, None));
}
