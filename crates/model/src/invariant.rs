//! What must hold in every state, and in every state at rest.

use stateright::Property;

use crate::Config;
use crate::slot::{Id, Life, Msg};
use crate::state::Push;
use crate::state::{Ghost, Op, Stage, State};

/// The invariants, by the names that the documentation has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    AckedIsKept,
    ToldIsStored,
    ToldNeverFalls,
    ConnectedIsThere,
    NumberedOnce,
    ReceivedOnce,
    DoneOnce,
    Order,
    NoIdTwice,
    ReaderMissesNone,
    PresenceConverges,
    NothingIsStuck,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 12] = [
        Invariant::AckedIsKept,
        Invariant::ToldIsStored,
        Invariant::ToldNeverFalls,
        Invariant::ConnectedIsThere,
        Invariant::NumberedOnce,
        Invariant::ReceivedOnce,
        Invariant::DoneOnce,
        Invariant::Order,
        Invariant::NoIdTwice,
        Invariant::ReaderMissesNone,
        Invariant::PresenceConverges,
        Invariant::NothingIsStuck,
    ];

    /// As the documentation says it.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::AckedIsKept => "acked is kept",
            Invariant::ToldIsStored => "a told h is stored",
            Invariant::ToldNeverFalls => "a told h never falls",
            Invariant::ConnectedIsThere => "connected is not gone",
            Invariant::NumberedOnce => "numbered once",
            Invariant::ReceivedOnce => "received once",
            Invariant::DoneOnce => "done once",
            Invariant::Order => "order",
            Invariant::NoIdTwice => "no id twice",
            Invariant::ReaderMissesNone => "a reader misses none",
            Invariant::PresenceConverges => "presence converges",
            Invariant::NothingIsStuck => "nothing is stuck",
        }
    }

    /// What that means.
    pub fn meaning(self) -> &'static str {
        match self {
            Invariant::AckedIsKept => {
                "what was acknowledged to its sender waits for a device, stored, or a device has received it"
            }
            Invariant::ToldIsStored => "an `h` that was told never exceeds what is stored",
            Invariant::ToldNeverFalls => "no `h` is below one that was told before",
            Invariant::ConnectedIsThere => "a connected client is not taken for gone",
            Invariant::NumberedOnce => "no entry has two numbers, and no number two entries",
            Invariant::ReceivedOnce => "a device receives nothing twice on one stream, resumed or not",
            Invariant::DoneOnce => "the archive has no message under two ids",
            Invariant::Order => {
                "what comes without a delay keeps the sender's order, in the archive and at each device"
            }
            Invariant::NoIdTwice => "no two acknowledged messages have one number",
            Invariant::ReaderMissesNone => {
                "who pages through the archive finds every acknowledged message up to where it is"
            }
            Invariant::PresenceConverges => "at rest a contact sees what was said last",
            Invariant::NothingIsStuck => {
                "at rest everything sent is acknowledged, everything owed is stored, everybody named has what he was to get"
            }
        }
    }

    fn holds(self, config: &Config, state: &State) -> bool {
        match self {
            Invariant::AckedIsKept => state.ghost.acked.iter().all(|msg| is_kept(state, *msg)),
            Invariant::ToldIsStored => state.ghost.acked.iter().all(|msg| is_stored(config, state, *msg)),
            Invariant::ToldNeverFalls => !state.ghost.is_h_fallen,
            Invariant::ConnectedIsThere => !state.ghost.is_gone,
            Invariant::NumberedOnce => !state.ghost.is_numbered_twice,
            Invariant::ReceivedOnce => is_received_once(state),
            Invariant::DoneOnce => is_done_once(state),
            Invariant::Order => is_ordered(state),
            Invariant::NoIdTwice => has_no_id_twice(state),
            Invariant::ReaderMissesNone => misses_none(state),
            Invariant::PresenceConverges => {
                let has_converged = state.presence.has_converged() && state.address.has_converged();
                !config.is_at_rest(state) || has_converged
            }
            Invariant::NothingIsStuck => !config.is_at_rest(state) || is_finished(config, state),
        }
    }

    pub(crate) fn properties() -> Vec<Property<Config>> {
        macro_rules! properties {
            ($($name:ident),*) => {
                vec![$(Property::always(Invariant::$name.name(), |config, state| Invariant::$name.holds(config, state))),*]
            };
        }
        properties![
            AckedIsKept,
            ToldIsStored,
            ToldNeverFalls,
            ConnectedIsThere,
            NumberedOnce,
            ReceivedOnce,
            DoneOnce,
            Order,
            NoIdTwice,
            ReaderMissesNone,
            PresenceConverges,
            NothingIsStuck
        ]
    }
}

fn is_kept(state: &State, msg: Msg) -> bool {
    if state.ghost.got.contains(&msg) {
        return true;
    }
    match state.slot() {
        Some(slot) => slot.pending.values().any(|waiting| *waiting == msg),
        // Whoever verifies the account finds it.
        None => state.cql.rows.iter().any(|(id, row)| row.msg == msg && !state.cql.position.contains(id)),
    }
}

fn is_stored(config: &Config, state: &State, msg: Msg) -> bool {
    let is_in_archive = state.cql.rows.values().any(|row| row.msg == msg);
    is_in_archive && (!config.own_copies || state.cql.own.contains(&msg))
}

fn is_received_once(state: &State) -> bool {
    state.devices.iter().all(|device| {
        let mut all: Vec<Msg> = device.received.iter().map(|entry| entry.msg).collect();
        all.sort_unstable();
        all.windows(2).all(|pair| pair[0] != pair[1])
    })
}

/// Rows whose writer is about to ask whether their commit is still there do not count: it deletes them if not.
fn settled_rows(state: &State) -> impl Iterator<Item = (Id, Msg)> {
    let asks = |op: &Op| op.stage <= Stage::Settle && op.incarnation < state.redis.incarnation;
    let is_settled =
        move |id: Id| !state.ops.iter().any(|op| asks(op) && op.rows.iter().any(|row| row.0 == id));
    state.cql.rows.iter().filter(move |(id, _)| is_settled(**id)).map(|(id, row)| (*id, row.msg))
}

fn acked_rows(state: &State) -> impl Iterator<Item = (Id, Msg)> {
    settled_rows(state).filter(|(_, msg)| state.ghost.acked.contains(msg))
}

fn is_done_once(state: &State) -> bool {
    let mut all: Vec<Msg> = settled_rows(state).map(|(_, msg)| msg).collect();
    all.sort_unstable();
    all.windows(2).all(|pair| pair[0] != pair[1])
}

fn is_ordered(state: &State) -> bool {
    let rises = |all: &[Msg]| {
        all.iter().enumerate().all(|(at, (from, body))| {
            all.iter().skip(at + 1).all(|(other, later)| other != from || later >= body)
        })
    };
    let archived: Vec<Msg> = state.cql.rows.values().map(|row| row.msg).collect();
    let received = state.devices.iter().map(|device| {
        let in_order = device.received.iter().filter(|entry| !entry.is_late);
        in_order.map(|entry| entry.msg).collect::<Vec<_>>()
    });
    rises(&archived) && received.into_iter().all(|all| rises(&all))
}

fn has_no_id_twice(state: &State) -> bool {
    let rows: Vec<(Id, Msg)> = acked_rows(state).collect();
    rows.windows(2).all(|pair| pair[0].0.0 != pair[1].0.0)
}

fn misses_none(state: &State) -> bool {
    let Some(mark) = state.reader.mark else { return true };
    acked_rows(state).filter(|(id, _)| *id <= mark).all(|(id, _)| state.reader.read.contains(&id))
}

fn is_finished(config: &Config, state: &State) -> bool {
    let Some(slot) = state.slot() else { return false };
    let senders = state
        .senders
        .iter()
        .all(|one| one.lane.is_some() && one.next == config.bodies && one.unacked.is_empty());
    let receivers = slot
        .sessions
        .iter()
        .flatten()
        .all(|session| session.life == Life::Attached && session.log.is_empty());
    let named = state.ghost.named.iter().all(|(device, stream, msg)| {
        let device = &state.devices[usize::from(*device)];
        device.is_away || device.stream != *stream || device.received.iter().any(|entry| entry.msg == *msg)
    });
    let is_read = state.devices.iter().any(|device| !device.is_away);
    senders && receivers && named && slot.owed.is_empty() && (!is_read || slot.pending.is_empty())
}

impl Ghost {
    /// Entries were numbered.
    pub(crate) fn note(&mut self, pushes: &[Push]) {
        for push in pushes {
            let Some((num, entry)) = push.what else { continue };
            let Some(known) = self.numbered.get_mut(usize::from(push.to.device)) else { continue };
            let is_same = known.iter().all(|(other, id)| (*other == num) == (*id == entry.id));
            self.is_numbered_twice |= !is_same;
            known.insert(num, entry.id);
        }
    }
}
