//! Rules 8 and 9: the store came back with less than it had.

use starling_ports::archive::{Born, StanzaKey};
use starling_ports::ids::{Handled, Life};
use starling_ports::sessions::{Claim, Claimed, Detach, Detached, Renewal, Standing};

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
    let pulled = world.step(|slot, context| slot.absorb(context, desk, epoch, scan, 10)).unwrap();
    assert_eq!(pulled.entries.len(), 0);
    let session = world.slot.session(desk).unwrap();
    assert_eq!(
        session.highest(),
        0,
        "its node may have had other entries under these numbers, and acknowledged them"
    );
    assert!(session.backlog.is_some());
}
