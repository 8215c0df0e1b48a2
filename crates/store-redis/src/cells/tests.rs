//! What a renewal is told from memory is what a step would find.

use starling_ports::ids::Life;
use starling_ports::sessions::{Bind, Standing};
use starling_slot::{Context, Facts};

use super::*;

const LIMITS: Limits = Limits {
    stanzas: 10,
    bytes: 1000,
    resume_within: Duration::from_secs(60),
    owed_for: Duration::from_secs(5),
};
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };

/// A slot that was just written, with a session.
fn loaded() -> (Loaded, Renewal) {
    let account = BareJid::new("alice@example.org").unwrap();
    let facts = Facts { exists: true, life: Life(3), ..Facts::default() };
    let mut slot = Slot::new(account.clone(), facts, 1, Timestamp(1));
    let (now, mut random) = (Timestamp(1), || 7);
    let mut context = Context { now, clock: now, limits: &LIMITS, is_failing: false, random: &mut random };
    let bind = Bind { jid: account.with_resource("desk").unwrap(), node: NODE };
    let (session, _) = slot.bind(&mut context, bind);
    let loaded = Loaded {
        slot,
        saved: Saved::nothing(1),
        stamp: Some([1; 8]),
        stamps: Vec::new(),
        marks: Vec::new(),
        generation: 1,
        incarnation: "it".into(),
        is_verified_anew: false,
        at: Instant::now(),
        is_fresh: false,
        is_calm: true,
    };
    let (epoch, last, acknowledged) = (Epoch(1), LogNumber(0), LogNumber(0));
    (loaded, Renewal { account, session, epoch, last, acknowledged, life: Some(Life(3)) })
}

fn told(loaded: &Loaded, renewal: &Renewal) -> Option<Renewed> {
    let mut state = State::new();
    state.learn(loaded, &LIMITS, false);
    state.renewed(renewal)
}

#[test]
fn what_has_not_changed_is_told_as_a_step_would() {
    let (mut loaded, renewal) = loaded();
    let from_memory = told(&loaded, &renewal).unwrap();
    assert_eq!(from_memory, loaded.slot.renew(&LIMITS, &renewal));
    assert_eq!((from_memory.standing, from_memory.life), (Standing::Held, Life(3)));
}

#[test]
fn what_may_have_changed_is_left_to_a_step() {
    let (mut loaded, renewal) = loaded();
    let others = [
        Renewal { session: SessionId(5), ..renewal.clone() },
        Renewal { epoch: Epoch(2), ..renewal.clone() },
        Renewal { last: LogNumber(1), ..renewal.clone() },
        Renewal { acknowledged: LogNumber(1), ..renewal.clone() },
    ];
    for other in others {
        assert_eq!(told(&loaded, &other), None, "{other:?}");
    }
    let (now, mut random) = (Timestamp(1), || 7);
    let mut context = Context { now, clock: now, limits: &LIMITS, is_failing: false, random: &mut random };
    loaded.is_verified_anew = true;
    assert_eq!(told(&loaded, &renewal), None, "the record does not say so yet");
    loaded.is_verified_anew = false;
    loaded.slot.let_go(&mut context, NODE);
    assert_eq!(told(&loaded, &renewal), None);
}
