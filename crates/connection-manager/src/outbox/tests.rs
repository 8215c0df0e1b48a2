//! What an outbox takes, hands out and keeps.

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use starling_jid::FullJid;
use starling_ports::clock::SystemClock;
use starling_ports::ids::SessionId;
use starling_stanza::Wire;

use super::*;

fn outgoing(number: u64) -> Outgoing {
    let wire = Wire::from_bytes(Bytes::from_static(b"<message from='a@b'>")).unwrap();
    Outgoing {
        number: LogNumber(number),
        wire,
        more: Bytes::new(),
        address: false,
        late: false,
        id: None,
        trace: None,
    }
}

fn outbox_within(budget: &Arc<Budget>) -> Outbox {
    let jid = FullJid::new("a@b.example/c").unwrap();
    let session = SessionRef { id: SessionId(1), jid, epoch: Epoch(1) };
    let trail = Arc::new(Trail::new(Arc::new(SystemClock)));
    Outbox::new(session, LogNumber(0), budget, &trail)
}

fn outbox() -> Outbox {
    let outbox = outbox_within(&Arc::new(Budget::of(usize::MAX)));
    assert_eq!(outbox.begin_pull(), Some(LogNumber(0)));
    outbox
}

fn drain(outbox: &Outbox) -> Vec<u64> {
    std::iter::from_fn(|| outbox.take()).map(|outgoing| outgoing.number.0).collect()
}

#[test]
fn entries_leave_in_the_order_of_their_numbers_and_once() {
    let outbox = outbox();
    for number in [1, 2, 2, 1, 3] {
        outbox.push(outgoing(number));
    }
    assert_eq!(drain(&outbox), [1, 2, 3]);
    assert_eq!(outbox.begin_pull(), None);
}

#[test]
fn a_gap_is_pulled() {
    let outbox = outbox();
    outbox.push(outgoing(1));
    outbox.push(outgoing(3));
    assert_eq!(outbox.begin_pull(), None, "what waits goes first");
    assert_eq!(drain(&outbox), [1]);
    assert_eq!(outbox.begin_pull(), Some(LogNumber(1)));
    outbox.push(outgoing(2));
    outbox.fill(vec![outgoing(2), outgoing(3)], false);
    assert_eq!(drain(&outbox), [2, 3]);
    assert_eq!(outbox.begin_pull(), None);
}

#[test]
fn what_a_pull_brings_behind_a_gap_is_not_taken() {
    let outbox = outbox();
    outbox.push(outgoing(1));
    outbox.fill([1, 2, 4, 5].map(outgoing).to_vec(), false);
    assert_eq!(drain(&outbox), [1, 2]);
    assert_eq!(outbox.begin_pull(), None);
    outbox.push(outgoing(6));
    assert_eq!(outbox.begin_pull(), Some(LogNumber(2)));
    outbox.fill((3..=6).map(outgoing).collect(), false);
    assert_eq!(drain(&outbox), [3, 4, 5, 6]);
}

#[test]
fn a_full_outbox_drops_and_pulls() {
    let outbox = outbox();
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for number in 1..=1000 {
            outbox.push(outgoing(number));
        }
    });
    let text = recorder.handle().render();
    assert!(text.contains(&format!("xmpp_outbound_overflows_total {}\n", 1000 - MAX_ENTRIES)), "{text}");
    assert_eq!(outbox.waiting(), (MAX_ENTRIES, MAX_ENTRIES * size(&outgoing(1))));
    assert_eq!(drain(&outbox).len(), MAX_ENTRIES);
    assert_eq!(outbox.waiting(), (0, 0));
    assert_eq!(outbox.begin_pull(), Some(LogNumber(MAX_ENTRIES as u64)));
}

#[test]
fn a_hint_that_comes_while_a_pull_runs_makes_another_one() {
    let outbox = outbox();
    outbox.command(Command::Pull);
    outbox.fill(Vec::new(), false);
    assert_eq!(outbox.begin_pull(), Some(LogNumber(0)));
}

#[test]
fn being_fenced_outweighs_a_conflict() {
    let outbox = outbox();
    outbox.command(Command::Fenced);
    outbox.command(Command::Conflict);
    assert_eq!(outbox.take_command(), Some(Command::Fenced));
    assert_eq!(outbox.take_command(), None);
}
#[test]
fn who_acknowledges_nothing_gets_no_more_than_its_part() {
    let budget = Arc::new(Budget::of(90 * size(&outgoing(1))));
    let one = outbox_within(&budget).keeping();
    assert_eq!(one.begin_pull(), Some(LogNumber(0)));
    for number in 1..=20 {
        one.push(outgoing(number));
    }
    assert_eq!(drain(&one), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(one.begin_pull(), None, "it waits for its client");
    let other = outbox_within(&budget).keeping();
    assert_eq!(other.begin_pull(), Some(LogNumber(0)), "others do not");
    one.acknowledged(LogNumber(4));
    assert_eq!(one.begin_pull(), Some(LogNumber(10)));
    one.fill((11..=14).map(outgoing).collect(), false);
    assert_eq!(drain(&one), [11, 12, 13, 14]);
    drop(one.again(Epoch(2)));
    drop((one, other));
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_is_kept_for_long_keeps_nothing_else() {
    let outbox = outbox().keeping();
    let all = Bytes::from(b"<message from='a@b'>".repeat(100));
    let wire = Wire::from_bytes(all.slice(..20)).unwrap();
    outbox.fill(vec![Outgoing { wire, ..outgoing(1) }, outgoing(2)], false);
    assert_eq!(drain(&outbox), [1, 2]);
    assert!(!all.is_unique(), "the stanza is a part of what came");
    assert_eq!(outbox.renewal().account.as_str(), "a@b.example");
    assert!(all.is_unique());
    assert_eq!(outbox.log().unwrap().entries.len(), 2);
}
