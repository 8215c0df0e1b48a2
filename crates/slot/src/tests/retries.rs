//! Rules 3, 4, 6, 12, 13, 21 to 24: what is done once, and who may do it.

use starling_ports::archive::{Born, StanzaKey};
use starling_ports::ids::{ArchiveId, Handled, Life};
use starling_ports::sessions::{Claim, Claimed, ViewVersion};

use super::*;

fn id_of(outcome: &Outcome) -> Option<ArchiveId> {
    match outcome {
        Outcome::Done { id, .. } | Outcome::Seen { id, .. } => *id,
        Outcome::Fenced => None,
    }
}

/// From a session of which everything up to `handled` is handled.
fn after(handled: u64, planned: Planned) -> Planned {
    Planned { key: planned.key.map(|key| SenderKey { handled: Handled(handled), ..key }), ..planned }
}

#[test]
fn rule_3_a_retry_is_answered_and_pushed_again_not_done_again() {
    let mut world = world();
    let desk = world.online("desk");
    let first = world.commit(message(1, &[desk]));
    let again = world.commit(message(1, &[desk]));
    assert!(matches!(again, Outcome::Seen { row: None, .. }), "{again:?}");
    assert_eq!(id_of(&first), id_of(&again));
    assert_eq!((handed(&first), handed(&again)), (vec![1], vec![1]));
    assert_eq!(world.stored.len(), 1);
}

#[test]
fn rule_3_a_retry_before_the_row_is_stored_hands_the_row_out_again() {
    let mut world = world();
    let first = world.try_commit(message(1, &[]));
    assert!(matches!(first, CommitReply::Done(_)));
    let CommitReply::Done(again) = world.try_commit(message(1, &[])) else { panic!() };
    assert!(matches!(&again[..], [Outcome::Seen { row: Some(_), .. }]), "{again:?}");
}

#[test]
fn rule_3_another_content_under_the_same_number_is_new_only_under_a_higher_epoch() {
    let mut world = world();
    world.commit(message(1, &[]));
    let other = |epoch| {
        let planned = message(1, &[]);
        Planned { hash: 99, key: planned.key.map(|key| SenderKey { epoch: Epoch(epoch), ..key }), ..planned }
    };
    let same_epoch = world.commit(other(1));
    assert!(matches!(same_epoch, Outcome::Fenced), "{same_epoch:?}");
    assert_eq!(world.stored.len(), 1);
    assert!(matches!(world.commit(other(2)), Outcome::Done { .. }));
    assert_eq!(world.stored.len(), 2);
}

#[test]
fn rule_3_two_roles_of_one_stanza_are_two_commits() {
    let mut world = world();
    world.commit(message(1, &[]));
    let own = message(1, &[]);
    let own = Planned { key: own.key.map(|key| SenderKey { role: Role::Sent, ..key }), ..own };
    assert!(matches!(world.commit(own), Outcome::Done { .. }));
}

#[test]
fn rule_3_results_of_an_archive_come_once_with_their_answer() {
    let mut world = world();
    let desk = world.online("desk");
    let answer = |number| {
        let planned = passing(number, "iq", &[desk]);
        Planned { key: planned.key.map(|key| SenderKey { role: Role::Answer, ..key }), ..planned }
    };
    let result = || Planned { key: None, ..passing(0, "message", &[desk]) };
    let mut commit = |batch: Vec<Planned>| {
        world.step(|slot, context| {
            let version = slot.view().version;
            let CommitReply::Done(outcomes) = slot.commit(context, version, batch, None) else { panic!() };
            outcomes.iter().map(|outcome| handed(outcome).len()).collect::<Vec<_>>()
        })
    };
    assert_eq!(commit(vec![result(), result(), answer(1), result()]), [1, 1, 1, 1]);
    assert_eq!(commit(vec![result(), result(), answer(1), result()]), [0, 0, 1, 0]);
    assert_eq!(commit(vec![result(), answer(1), result(), answer(2)]), [0, 1, 1, 1], "what follows is new");
    assert_eq!(commit(vec![result()]), [1], "what the server says of its own accord is no retry");
}

#[test]
fn rule_3_what_the_sender_was_told_is_forgotten() {
    let mut world = world();
    for number in 1..=100 {
        world.commit(after(number - 1, message(number, &[])));
    }
    assert!(world.slot.seen.remembered(ALICE) <= 1);
    let late = world.commit(message(50, &[]));
    assert!(matches!(late, Outcome::Fenced), "it is not done again: {late:?}");
    let limits = world.limits.clone();
    world.slot.tidy(world.now, &limits);
    assert_eq!(world.slot.seen.remembered(ALICE), 1, "it may be sent again");
    world.slot.tidy(world.now.after(limits.resume_within * 4), &limits);
    assert_eq!(world.slot.seen.remembered(ALICE), 0);
}

#[test]
fn rule_8_what_a_session_is_past_is_not_gone_though_it_is_forgotten() {
    let mut world = world();
    let key = |number| Some(StanzaKey { session: ALICE, number, role: Role::Receive, hash: 0 });
    let row = |number| (ArchiveId { number, random: 0 }, Born { life: Life::UNKNOWN, key: key(number) });
    world.commit(after(7, message(8, &[])));
    let questioned = [row(7), row(8)];
    assert_eq!(world.slot.unknown(&questioned), [questioned[1].0], "7 was handled, under whatever id");
}

#[test]
fn rule_3_a_late_call_for_what_is_handled_writes_nothing() {
    let mut world = world();
    let desk = world.online("desk");
    assert!(matches!(world.commit(message(1, &[desk])), Outcome::Done { .. }));
    assert!(matches!(world.commit(after(1, message(2, &[desk]))), Outcome::Done { .. }));
    let late = world.commit(message(1, &[desk]));
    assert!(matches!(late, Outcome::Fenced), "{late:?}");
    assert_eq!(world.pull(desk, 0, 10).0.len(), 2);
}

#[test]
fn rule_4_the_same_message_from_a_new_session_is_answered() {
    let mut world = world();
    let first = world.commit(with_origin(5, message(1, &[])));
    let retry = with_origin(5, message(1, &[]));
    let retry = Planned { key: retry.key.map(|key| SenderKey { session: SessionId(8), ..key }), ..retry };
    let again = world.commit(retry);
    assert!(matches!(again, Outcome::Seen { .. }), "{again:?}");
    assert_eq!(id_of(&first), id_of(&again));
    world.now = world.now.after(Duration::from_secs(601));
    let later = with_origin(5, message(9, &[]));
    assert!(matches!(world.commit(later), Outcome::Done { .. }), "it is remembered for ten minutes");
}

#[test]
fn rule_4_a_retry_after_a_kill_is_known_by_the_rows() {
    let mut world = world();
    let id = ArchiveId { number: 900_000, random: 1 };
    let facts = Facts {
        exists: true,
        last: Some(id),
        origins: vec![(5, Direction::Received, id, world.now)],
        ..Facts::default()
    };
    world.slot = Slot::new(world.slot.account.clone(), facts, 1, world.now);
    world.slot.track(false);
    let again = world.commit(with_origin(5, message(1, &[])));
    assert_eq!(id_of(&again), Some(id));
    assert!(world.stored.is_empty());
    let mut own = with_origin(5, message(2, &[]));
    own.keep.as_mut().unwrap().direction = Direction::Sent;
    assert!(matches!(world.commit(own), Outcome::Done { .. }), "to oneself: the other side is another row");
}

#[test]
fn rule_6_what_the_server_handled_never_falls() {
    let mut world = world();
    let desk = world.resumable("desk");
    assert!(world.slot.settle(&[], Some((desk, Epoch(1), Handled(5)))));
    assert!(world.slot.settle(&[], Some((desk, Epoch(1), Handled(3)))));
    assert!(!world.slot.settle(&[], Some((desk, Epoch(9), Handled(8)))), "another claim's");
    assert_eq!(world.slot.session(desk).unwrap().handled, 5);
}

#[test]
fn rule_6_an_h_above_the_highest_number_is_refused() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(message(1, &[desk]));
    assert!(!world.acknowledge(desk, 2));
    let claim =
        Claim { account: world.slot.account.clone(), session: desk, node: NodeId::default(), h: 2, token: 1 };
    assert!(matches!(world.slot.claim(&claim), Some(Claimed::TooHigh { sent: LogNumber(1) })));
}

#[test]
fn rule_6_h_is_extended_beyond_32_bits() {
    let mut world = world();
    let desk = world.resumable("desk");
    let session = world.slot.session_mut(desk).unwrap();
    session.acknowledged = (1 << 32) - 2;
    for number in 1..=5 {
        world.commit(message(number, &[desk]));
    }
    let session = world.slot.session(desk).unwrap();
    assert_eq!(session.extend(u32::MAX), (1 << 32) - 1);
    assert_eq!(session.extend(2), (1 << 32) + 2);
    assert_eq!(session.extend(u32::MAX - 1), (1 << 32) - 2);
}

#[test]
fn rule_13_nothing_is_committed_while_an_old_row_is_not_stored() {
    let mut world = world();
    assert!(matches!(world.try_commit(message(1, &[])), CommitReply::Done(_)));
    world.now = world.now.after(Duration::from_secs(6));
    assert!(matches!(world.try_commit(message(2, &[])), CommitReply::Wait));
    world.store();
    assert!(matches!(world.try_commit(message(2, &[])), CommitReply::Done(_)));
}

#[test]
fn rule_13_what_was_committed_is_never_refused_however_late_it_is_stored() {
    let mut world = world();
    let desk = world.online("desk");
    let reply = world.try_commit(message(1, &[desk]));
    assert!(matches!(reply, CommitReply::Done(_)), "{reply:?}");
    world.now.0 += 6_000_000;
    let again = world.try_commit(message(1, &[desk]));
    let CommitReply::Done(outcomes) = again else { panic!("{again:?}") };
    assert!(matches!(&outcomes[..], [Outcome::Seen { row: Some(_), .. }]), "{outcomes:?}");
    let copy = Planned {
        key: Some(SenderKey {
            session: ALICE,
            epoch: Epoch(1),
            number: 2,
            role: Role::Sent,
            handled: Handled(0),
        }),
        ..message(2, &[])
    };
    assert!(matches!(world.try_commit(copy), CommitReply::Done(_)), "it follows a commit elsewhere");
}

#[test]
fn rule_13_a_disk_that_takes_nothing_stops_only_what_is_kept() {
    let mut world = world();
    let desk = world.online("desk");
    world.is_failing = true;
    assert!(matches!(world.try_commit(message(1, &[desk])), CommitReply::Wait));
    assert!(
        matches!(world.try_commit(passing(2, "iq", &[desk])), CommitReply::Done(_)),
        "pings are answered"
    );
    world.is_failing = false;
    assert!(matches!(world.try_commit(message(1, &[desk])), CommitReply::Done(_)), "nothing was committed");
}

#[test]
fn ids_only_grow_though_the_clock_goes_back() {
    let mut world = world();
    let first = id_of(&world.commit(message(1, &[]))).unwrap();
    world.now = Timestamp(5);
    let second = id_of(&world.commit(message(2, &[]))).unwrap();
    assert_eq!(second.number, first.number + 1);
    assert!(second > first && second.random != first.random);
}

#[test]
fn rule_21_a_former_owner_has_no_effect_and_the_same_token_gets_the_same_epoch() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(message(1, &[desk]));
    let claim = |token| Claim {
        account: BareJid::new("bob@example.org").unwrap(),
        session: desk,
        node: NodeId::default(),
        h: 0,
        token,
    };
    let Some(Claimed::Resumed { epoch, fenced, .. }) = world.slot.claim(&claim(1)) else { panic!() };
    assert_eq!((epoch, fenced), (Epoch(2), Some((NodeId::default(), Epoch(1)))));
    let Some(Claimed::Resumed { epoch, fenced, .. }) = world.slot.claim(&claim(1)) else { panic!() };
    assert_eq!((epoch, fenced), (Epoch(2), None));
    world.slot.acknowledge(desk, Epoch(1), LogNumber(1));
    assert_eq!(world.waiting(), 1, "the fenced owner acknowledged nothing");
    let former = world
        .step(|slot, context| slot.detach(context, desk, Epoch(1), starling_ports::sessions::Detach::Closed));
    assert!(matches!(former, starling_ports::sessions::Detached::Nobody));
    let changed = world.step(|slot, context| slot.change(context, desk, Epoch(1), Change::Presence(None)));
    assert!(matches!(changed, Changed::Fenced));
    assert!(world.slot.session(desk).is_some());
}

#[test]
fn rule_21_what_a_former_owner_still_sends_is_not_done() {
    let mut world = world();
    let resumed = message(2, &[]);
    let key = resumed.key.map(|key| SenderKey { epoch: Epoch(2), ..key });
    world.commit(Planned { key, ..resumed });
    let late = world.commit(message(1, &[]));
    assert!(matches!(late, Outcome::Fenced), "{late:?}");
    assert_eq!(world.stored.len(), 1);
}

#[test]
fn rule_24_only_what_decisions_depend_on_makes_a_view_stale() {
    let mut world = world();
    let desk = world.resumable("desk");
    let version = world.slot.view().version;
    world.commit(message(1, &[desk]));
    world.acknowledge(desk, 1);
    world.change(desk, Change::Presence(Some(available(0))));
    let epoch = world.epoch(desk);
    world.step(|slot, context| slot.detach(context, desk, epoch, starling_ports::sessions::Detach::Lost));
    assert!(!world.slot.view().sessions[0].attached);
    assert_eq!(world.slot.view().version, version);

    world.change(desk, Change::Presence(Some(available(5))));
    assert_ne!(world.slot.view().version, version);
    let stale = world.step(|slot, context| slot.commit(context, version, vec![message(2, &[desk])], None));
    let CommitReply::Stale(view) = stale else { panic!("{stale:?}") };
    assert_eq!(view.version, world.slot.view().version);
    assert_ne!(view.version, ViewVersion(0));
}

#[test]
fn rule_23_a_changed_block_list_makes_everybody_decide_again() {
    let mut world = world();
    let before = world.slot.view();
    let blocked =
        starling_ports::blocklist::BlockList { items: vec![Jid::new("mallory@example.org").unwrap()] };
    world.slot.refresh(true, blocked.clone(), starling_ports::preferences::Preferences::default());
    let after = world.slot.view();
    assert!(after.version > before.version);
    assert_eq!(*after.blocked, blocked);
}
