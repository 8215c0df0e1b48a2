//! Rules 8 and 9: the store came back with less than it had.

use starling_ports::archive::{Born, StanzaKey};
use starling_ports::delivery::Outgoing;
use starling_ports::ids::{ArchiveId, Handled, Life};
use starling_ports::position::Position;
use starling_ports::sessions::{
    Claim, Claimed, Detach, Detached, Portrait, Registered, Registration, Renewal, Standing,
};

use super::*;

/// The record is as it was `before`; the archive has what was stored since.
fn come_back(world: &mut World, facts: Facts) {
    let now = world.now;
    world.step(|slot, _| slot.verify(Facts { exists: true, life: Life(2), ..facts }, now));
    world.slot.live_in(Life(2));
}

fn stored(number: u64, life: u64) -> Row {
    let key = StanzaKey { session: ALICE, number, role: Role::Receive, hash: number };
    Row { born: Born { life: Life(life), key: Some(key) }, ..row(number) }
}

fn row(number: u64) -> Row {
    Row {
        id: starling_ports::ids::ArchiveId { number: 2_000_000 + number, random: 1 },
        at: Timestamp(1_000_000),
        with: BareJid::new("alice@example.org").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        origin: None,
        born: Born::default(),
        wire: wire("message", &number.to_string()),
    }
}

#[test]
fn rule_8_a_retry_of_what_only_the_archive_remembers_is_answered() {
    let mut world = world();
    let row = stored(1, 1);
    let keys = vec![(row.born.key.unwrap(), row.id, row.at)];
    let facts = Facts { last: Some(row.id), waiting: vec![(row.id, 5)], keys, ..Facts::default() };
    come_back(&mut world, facts);
    let again = world.commit(message(1, &[]));
    assert!(matches!(again, Outcome::Seen { id: Some(id), .. } if id == row.id), "{again:?}");
    let next = world.commit(message(2, &[]));
    assert!(matches!(next, Outcome::Done { id: Some(id), .. } if id > row.id), "{next:?}");
}

/// What was acknowledged and saved since the record was as it is now: nodes need not say it again, and do not.
#[test]
fn rule_8_what_was_saved_as_done_does_not_wait_again() {
    let mut world = world();
    for number in 1..=3 {
        world.commit(message(number, &[]));
    }
    let ids: Vec<ArchiveId> = world.stored.iter().map(|(_, row)| row.id).collect();
    let waits = |world: &World| ids.iter().map(|id| world.slot.pending.contains(*id)).collect::<Vec<_>>();
    assert_eq!(waits(&world), [true, true, true]);
    let position = Position { low: Some(ids[1]), acknowledged: Vec::new() };
    let facts = Facts { last: Some(ids[2]), position, waiting: vec![(ids[2], 5)], ..Facts::default() };
    come_back(&mut world, facts);
    assert_eq!(waits(&world), [false, false, true]);
}

#[test]
fn rule_8_a_row_of_a_lost_commit_is_handed_to_nobody() {
    let mut world = world();
    world.slot.live_in(Life(2));
    let desk = world.online("desk");
    for number in 1..=12 {
        world.commit(message(number, &[desk])); // the last ones wait in the store
    }
    let mut lost = stored(99, 1);
    lost.id.number = world.slot.last() - 1;
    world.stored.push((Table::Archive, lost.clone()));
    world.stored.sort_by_key(|(_, row)| row.id);
    world.acknowledge(desk, 10);
    let (entries, _) = world.pull(desk, 10, 10);
    assert_eq!(bodies(&entries), ["11", "12"], "what was committed, and not what was lost");
}

#[test]
fn rule_9_a_session_of_an_older_record_hands_out_nothing_and_is_not_resumed() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(message(1, &[desk]));
    come_back(&mut world, Facts::default());
    assert_eq!(world.pull(desk, 0, 10).0.len(), 0);
    world.acknowledge(desk, 1);
    assert_eq!(world.waiting(), 1, "its acknowledgements are not heard");
    let handled = Some((desk, world.epoch(desk), Handled(7)));
    assert!(!world.slot.settle(&[], handled), "nor may its sender be told what is handled");
    assert_eq!(world.slot.session(desk).unwrap().handled, 0);
    let account = world.slot.account().clone();
    let claim = Claim { account: account.clone(), session: desk, node: NodeId::default(), h: 0, token: 1 };
    assert!(
        matches!(world.slot.claim(&claim), Some(Claimed::Doubtful)),
        "it may be registered within seconds"
    );
    let epoch = world.epoch(desk);
    let lost = world.step(|slot, context| slot.detach(context, desk, epoch, Detach::Lost));
    assert!(matches!(lost, Detached::Nobody), "its node is to register it first");
    let mut standing = |life| {
        let (last, acknowledged) = (LogNumber(1), LogNumber(0));
        let renewal = Renewal { account: account.clone(), session: desk, epoch, last, acknowledged, life };
        world.slot.renew(&world.limits, &renewal).standing
    };
    assert_eq!(standing(Some(Life(1))), Standing::Unknown);
    assert_eq!(standing(None), Standing::Over, "its node keeps nothing");
    let expired = world.slot.expired(world.now.after(Duration::from_secs(61)));
    assert_eq!(expired, [desk], "nobody has registered it for a minute");
}

#[test]
fn rule_9_a_page_that_was_read_before_is_numbered_by_nobody() {
    let mut world = world();
    let desk = world.online("desk");
    let row = stored(1, 1);
    let facts = Facts { last: Some(row.id), waiting: vec![(row.id, 5)], ..Facts::default() };
    come_back(&mut world, facts);
    assert!(world.slot.session(desk).unwrap().backlog.is_some(), "it is to get what waits");
    let (epoch, last) = (world.epoch(desk), world.slot.last());
    let scan = crate::Scan { rows: vec![(Table::Archive, row)], complete: true, last };
    let absorbed = world.step(|slot, context| slot.absorb(context, desk, epoch, scan, LogNumber(0), 10));
    let pulled = absorbed.unwrap();
    assert_eq!(pulled.entries.len(), 0);
    let session = world.slot.session(desk).unwrap();
    assert_eq!(
        session.highest(),
        0,
        "its node may have had other entries under these numbers, and acknowledged them"
    );
    assert!(session.backlog.is_some());
}

/// A node got `row` under the number 1, and registers its session. The row was stored when the account had been verified.
fn register(world: &mut World, desk: SessionId, row: &Row, is_acknowledged: bool) {
    let outgoing = outgoing(1, &row.wire, Some(row.id));
    let (acknowledged, entries) =
        if is_acknowledged { (vec![row.id], Vec::new()) } else { (Vec::new(), vec![outgoing]) };
    let rows = BTreeMap::from([(row.id, (Table::Archive, row.clone()))]);
    register_with(world, desk, acknowledged, entries, &rows);
}

fn register_with(
    world: &mut World,
    desk: SessionId,
    acknowledged: Vec<ArchiveId>,
    entries: Vec<Outgoing>,
    rows: &crate::Rows,
) {
    let (count, done) = (acknowledged.len() as u64, Position { low: None, acknowledged });
    register_as(
        world,
        Registration { acknowledged: LogNumber(count), entries, done, ..held_desk(world, desk) },
        rows,
    );
}

fn held_desk(world: &World, desk: SessionId) -> Registration {
    held(desk, "desk", world.slot.session(desk).map_or(Epoch(1), |session| session.epoch))
}

fn register_as(world: &mut World, said: Registration, rows: &crate::Rows) {
    let registered = world.step(|slot, context| slot.register(context, &said, rows));
    assert!(matches!(registered, Registered::Again { .. }), "{registered:?}");
}

fn undo(world: &mut World, row: &Row) -> Vec<ArchiveId> {
    let committed = [(row.id, row.born)];
    world.step(|slot, context| slot.undo(&committed, context.now))
}

#[test]
fn rule_8_what_has_reached_a_client_is_not_undone() {
    for is_acknowledged in [false, true] {
        let mut world = world();
        let (desk, phone) = (world.resumable("desk"), world.resumable("phone"));
        let row = stored(1, 1);
        come_back(&mut world, Facts::default()); // the row is stored a moment later
        register(&mut world, desk, &row, is_acknowledged);
        assert_eq!(undo(&mut world, &row), [], "its router lets it be");
        let again = world.commit(message(1, &[desk, phone]));
        assert!(matches!(again, Outcome::Seen { id: Some(id), .. } if id == row.id), "{again:?}");
        assert_eq!(world.waiting(), usize::from(!is_acknowledged), "until a device has acknowledged it");
        world.acknowledge(desk, 1);
        assert_eq!(world.waiting(), 0);
    }
}

#[test]
fn rule_8_what_its_router_undoes_is_committed_anew_though_a_client_has_it() {
    let mut world = world();
    let desk = world.resumable("desk");
    let row = stored(1, 1);
    come_back(&mut world, Facts::default());
    assert_eq!(undo(&mut world, &row), [row.id]);
    assert_eq!(undo(&mut world, &row), [row.id], "asked again, it is still gone");
    register(&mut world, desk, &row, false); // whose row was read before it was deleted
    let again = world.commit(message(1, &[desk]));
    assert!(matches!(again, Outcome::Done { id: Some(id), .. } if id != row.id), "{again:?}");
}

#[test]
fn rule_8_what_its_router_undoes_is_no_answer() {
    let mut world = world();
    let mut row = stored(1, 1);
    row.born.key = row.born.key.map(|key| StanzaKey { role: Role::Answer, ..key });
    come_back(&mut world, Facts::default());
    assert_eq!(undo(&mut world, &row), [row.id]);
    assert_eq!(world.slot.answered(ALICE), [], "it is to be answered anew");
}

/// Three rows are stored, of which the verification has read one: the client has that one.
fn with_more_than_was_read(world: &mut World, desk: SessionId) {
    let rows = [stored(1, 1), stored(2, 1), stored(3, 1)];
    world.stored = rows.iter().map(|row| (Table::Archive, row.clone())).collect();
    let (waiting, last) = (vec![(rows[0].id, 5)], Some(rows[2].id));
    world.slot.sessions.clear(); // nothing is left of the record
    come_back(world, Facts { last, waiting, more: true, ..Facts::default() });
    register_with(world, desk, vec![rows[0].id], Vec::new(), &BTreeMap::new());
}

#[test]
fn rule_8_what_waits_beyond_what_was_read_goes_to_a_session_that_is_registered_again() {
    let mut world = world();
    let desk = world.resumable("desk");
    with_more_than_was_read(&mut world, desk);
    let (entries, more) = world.pull(desk, 1, 10);
    assert_eq!((bodies(&entries), more), (vec!["2".to_owned(), "3".to_owned()], false));
    world.acknowledge(desk, 3);
    assert!(world.stored.iter().all(|(_, row)| !world.slot.pending.contains(row.id)));
}

/// The record is further than what was saved, of which the verification has read the beginning only.
#[test]
fn rule_8_what_the_record_knows_to_be_done_does_not_wait_beyond_what_was_read() {
    let mut world = world();
    let desk = world.resumable("desk");
    for number in 1..=3 {
        world.commit(message(number, &[desk]));
    }
    world.acknowledge(desk, 2);
    let ids: Vec<ArchiveId> = world.stored.iter().map(|(_, row)| row.id).collect();
    let facts = Facts { last: Some(ids[2]), waiting: vec![(ids[0], 5)], more: true, ..Facts::default() };
    come_back(&mut world, facts);
    register_with(&mut world, desk, ids[..2].to_vec(), Vec::new(), &BTreeMap::new());
    assert_eq!(bodies(&world.pull(desk, 2, 10).0), ["3"]);
    assert_eq!(bodies(&world.pull(desk, 3, 10).0), [""; 0], "what it has had does not come again");
}

/// Only what is owed says that it waits, where it was committed beyond what is known by name.
#[test]
fn rule_8_what_is_on_its_way_to_the_store_waits_though_it_was_not_known_by_name() {
    let mut world = world();
    let desk = world.resumable("desk");
    with_more_than_was_read(&mut world, desk);
    world.try_commit(message(4, &[]));
    let owed: Vec<ArchiveId> = world.slot.owed().iter().map(|owed| owed.row.id).collect();
    let waiting: Vec<_> = world.stored.iter().map(|(_, row)| (row.id, 5)).collect();
    let last = waiting.last().map(|(id, _)| *id);
    come_back(&mut world, Facts { last, waiting, ..Facts::default() });
    assert!(owed.iter().all(|id| world.slot.pending.contains(*id)) && owed.len() == 1);
}

/// What is not known by name is not undone: it may have been handed out. So it is handed out however late it is stored.
#[test]
fn rule_8_what_is_stored_behind_a_session_that_has_read_all_goes_to_it() {
    for number in [2, 9] {
        let mut world = world();
        let desk = world.resumable("desk");
        let (late, before) = (stored(number, 1), stored(3, 1));
        with_more_than_was_read(&mut world, desk);
        world.stored = vec![(Table::Archive, before.clone())];
        assert_eq!(bodies(&world.pull(desk, 1, 10).0), ["3"]);
        world.acknowledge(desk, 2);
        world.stored.push((Table::Archive, late.clone()));
        world.stored.sort_by_key(|(_, row)| row.id);
        let present = Row { born: Born { life: Life(2), ..late.born }, ..late.clone() };
        assert_eq!(undo(&mut world, &present), [], "this life has not forgotten it");
        assert!(world.slot.session(desk).unwrap().backlog.is_none(), "nor who has had it");
        assert_eq!(undo(&mut world, &late), []);
        assert_eq!(bodies(&world.pull(desk, 2, 10).0), [number.to_string()]);
        assert_eq!(undo(&mut world, &before), [], "it is acknowledged");
        assert_eq!(undo(&mut world, &late), [], "and this lies in a log");
        assert!(world.slot.session(desk).unwrap().backlog.is_none(), "so nothing is read again");
        let next = world.commit(message(20, &[desk]));
        assert_eq!(handed(&next), [4], "it goes on behind them");
    }
}

/// It lay there without a number, then it had one and was acknowledged, and then the record was lost.
#[test]
fn rule_9_what_an_older_record_still_holds_does_not_come_again() {
    for is_saved in [false, true] {
        let mut world = world();
        let desk = world.resumable("desk");
        world.change(desk, Change::Flags(Flags { inactive: true, resumable: true, ..Flags::default() }));
        world.commit(Planned { urgent: false, ..message(1, &[desk]) });
        world.commit(Planned { urgent: false, ..message(2, &[desk]) });
        let older = world.record();
        world.change(desk, Change::Flags(Flags { resumable: true, ..Flags::default() }));
        assert_eq!(bodies(&world.pull(desk, 0, 1).0), ["1"]);
        let ids: Vec<ArchiveId> = world.stored.iter().map(|(_, row)| row.id).collect();
        world.go_back(older);
        let low = is_saved.then_some(ids[0]);
        let position = Position { low, acknowledged: Vec::new() };
        let waiting = ids.iter().filter(|id| Some(**id) > low).map(|id| (*id, 5)).collect();
        come_back(&mut world, Facts { last: Some(ids[1]), position, waiting, ..Facts::default() });
        let acknowledged = vec![ids[0]];
        register_with(&mut world, desk, acknowledged, Vec::new(), &BTreeMap::new());
        assert_eq!(bodies(&world.pull(desk, 1, 10).0), ["2"], "{is_saved}");
    }
}

/// It was done, and the answer lost with the store: its client does not say it again.
#[test]
fn rule_9_what_a_session_has_said_and_its_node_has_not_heard_of_stays_so() {
    let is_available = |is_answered: bool, heard: u64| {
        let mut world = world();
        let desk = world.resumable("desk");
        if is_answered {
            let answer = passing(1, "presence", &[desk]);
            let key = answer.key.map(|key| SenderKey { session: desk, role: Role::Answer, ..key });
            world.commit(Planned { key, ..answer });
        } else {
            let handled = Some((desk, world.epoch(desk), Handled(1)));
            world.step(|slot, _| slot.settle(&[], handled));
        }
        come_back(&mut world, Facts::default());
        let (portrait, handled) = (Portrait::default(), Handled(heard));
        let said = Registration { portrait, handled, ..held_desk(&world, desk) };
        register_as(&mut world, said, &BTreeMap::new());
        world.slot.session(desk).unwrap().takes_bare()
    };
    assert!(is_available(false, 0) && is_available(true, 0));
    assert!(!is_available(false, 1) && !is_available(true, 1), "its node knows what it has heard of");
}
