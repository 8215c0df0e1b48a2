//! What is owed to others when a session has gone, until somebody has said it (rule 18).

use std::sync::Arc;
use std::time::Duration;

use starling_jid::Jid;
use starling_ports::delivery::Copy;
use starling_ports::ids::{SessionId, Timestamp};
use starling_ports::sessions::Farewell;
use starling_stanza::{Kind, Wire};

use crate::log::Logged;
use crate::session::Session;
use crate::{Context, Estate, Slot, usual};

/// How long whoever is to say it has for that, before it is anybody's.
const LATE: Duration = Duration::from_secs(10);

/// How many an account has at once: the oldest makes room. There are so many only where the store of the rosters is away.
const MOST: usize = 64;

/// How many addresses a session's directed presence is remembered for.
const DIRECTED: usize = 1000;

/// Requests that are kept to be answered, and their bytes. A session that leaves more has not answered for long.
const REQUESTS: usize = 64;
const REQUEST_BYTES: usize = 64 * 1024;

/// What is owed of one account, oldest first; one of each session.
#[derive(Debug, Default)]
pub(crate) struct Farewells(pub(crate) Vec<Owing>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Owing {
    pub(crate) farewell: Farewell,
    /// From then on it is anybody's to say.
    pub(crate) late: Timestamp,
}

impl Farewells {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of(&self, id: SessionId) -> Option<&Farewell> {
        self.0.iter().map(|owing| &owing.farewell).find(|farewell| farewell.session == id)
    }

    /// When the first of them is anybody's.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.iter().map(|owing| owing.late).min()
    }

    /// It is to be said. What its session owed before is said with it.
    fn owe(&mut self, mut farewell: Farewell, now: Timestamp) {
        let before = self.0.iter().position(|owing| owing.farewell.session == farewell.session);
        if let Some(Owing { farewell: before, .. }) = before.map(|at| self.0.remove(at)) {
            farewell.to_all |= before.to_all;
            farewell.turn = before.turn + 1;
            before.directed.into_iter().for_each(|to| remember(&mut farewell.directed, to));
        }
        if farewell.is_empty() {
            return;
        }
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(Owing { farewell, late: now.after(LATE) });
    }

    /// Whoever asks says them now, and has as long for that as whoever was to say them first.
    fn hand_out(&mut self, now: Timestamp, which: impl Fn(&Owing) -> bool) -> Vec<Farewell> {
        let asked = self.0.iter_mut().filter(|owing| which(owing));
        asked
            .map(|owing| {
                owing.late = now.after(LATE);
                owing.farewell.turn += 1;
                owing.farewell.clone()
            })
            .collect()
    }
}

impl Slot {
    /// A session is no longer available: what it owes to others, with what it owed before.
    pub(crate) fn owe_farewell(&mut self, farewell: Farewell, now: Timestamp) -> Option<Farewell> {
        let id = farewell.session;
        self.farewells.owe(farewell, now);
        self.farewells.of(id).cloned()
    }

    /// Whoever believes the one that waited to be there hears `unavailable` when `session` goes, which takes its place.
    pub(crate) fn bequeath_believers(
        &mut self,
        waited: SessionId,
        session: &mut Session,
    ) -> Option<Farewell> {
        let owing = self.farewells.0.iter_mut().find(|owing| owing.farewell.session == waited)?;
        let all = std::mem::take(&mut owing.farewell.to_all).then(|| Jid::from(session.jid.bare()));
        let heirs = std::mem::take(&mut owing.farewell.directed).into_iter().chain(all);
        heirs.for_each(|to| remember(Arc::make_mut(&mut session.directed), to));
        self.farewells.0.retain(|owing| !owing.farewell.is_empty());
        self.farewells.of(waited).cloned()
    }

    /// All have heard it. What has come to it since is owed still, and so it is if somebody else is about to say it: what that one
    /// says last is to be looked at again.
    pub fn settle_farewell(&mut self, said: &Farewell) {
        self.farewells.0.retain(|owing| owing.farewell != *said);
    }

    /// What is anybody's to say by now.
    pub fn late_farewells(&mut self, now: Timestamp) -> Vec<Farewell> {
        self.farewells.hand_out(now, |owing| owing.late <= now)
    }

    /// Ends all its sessions but `except`; and all that is owed of those that have gone before.
    pub fn end_all(
        &mut self,
        context: &mut Context<'_>,
        except: Option<SessionId>,
    ) -> (Vec<Estate>, Vec<Farewell>) {
        let before = self.farewells.hand_out(context.now, |_| true);
        let ids: Vec<SessionId> = self.sessions.iter().map(|session| session.id).collect();
        let ends = ids.into_iter().filter(|id| Some(*id) != except);
        (ends.filter_map(|id| self.end(context, id)).collect(), before)
    }
}

/// What `session` owes to those who believe it to be there. The account itself, among those to whom it sent its presence, stands for
/// all: see `bequeath_believers`.
pub(crate) fn of(session: &mut Session, was_available: bool) -> Farewell {
    let account = Jid::from(session.jid.bare());
    let mut directed = Arc::unwrap_or_clone(std::mem::replace(&mut session.directed, usual::nobody()));
    let known = directed.len();
    directed.retain(|to| *to != account);
    let to_all = was_available || directed.len() < known;
    Farewell {
        session: session.id,
        jid: session.jid.clone(),
        to_all,
        directed,
        requests: Vec::new(),
        turn: 0,
    }
}

/// What the store does not keep is told to who asked, if it is a request and there is room.
pub(crate) fn owe_answer(farewell: &mut Farewell, logged: &Logged) {
    let wire = &logged.stanza.committed.wire;
    let is_own_copy = logged.copy != Copy::Original || logged.stanza.keep.is_some();
    let bytes: usize = farewell.requests.iter().map(Wire::len).sum();
    let has_room = farewell.requests.len() < REQUESTS && bytes + wire.len() <= REQUEST_BYTES;
    if wire.kind() == Kind::Iq && !is_own_copy && has_room {
        farewell.requests.push(wire.clone());
    }
}

/// Remembers an address once; where they are too many, the oldest is forgotten.
pub(crate) fn remember(directed: &mut Vec<Jid>, to: Jid) {
    directed.retain(|known| *known != to);
    directed.push(to);
    let most = directed.len().saturating_sub(DIRECTED);
    directed.drain(..most);
}
