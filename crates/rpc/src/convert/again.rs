//! Renewals and registrations: what a connection manager keeps of its sessions, and what it hears of them.

use std::sync::Arc;
use std::time::Duration;

use starling_jid::Jid;
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, LogNumber, NodeId};
use starling_ports::position::Position;
use starling_ports::sessions::{Availability, Portrait, Registered, Registration, Renewed, Standing};

use super::answer::{entry, flags, of_entry, of_flags, of_wire};
use super::{Malformed, Result, archive_id, base, id, of_archive_id, of_base, of_id, of_session, session};
use crate::pb;

/// Of an account whose position was never saved: no archive id is so low.
const NEVER: ArchiveId = ArchiveId { number: 0, random: 0 };

pub(super) fn renewed(all: &[Renewed]) -> pb::Renewed {
    let standing = |one: &Renewed| match one.standing {
        // Said apart: who does not read that goes on with what it knows.
        Standing::Held | Standing::Away => pb::Standing::Held,
        Standing::Behind => pb::Standing::Behind,
        Standing::Over => pb::Standing::Over,
        Standing::Unknown => pb::Standing::Unknown,
    };
    pb::Renewed {
        sessions: all.iter().map(|one| standing(one).into()).collect(),
        lives: all.iter().map(|one| one.life.0).collect(),
        saved: all.iter().map(|one| archive_id(one.saved.unwrap_or(NEVER))).collect(),
        away: all
            .iter()
            .zip(0..)
            .filter(|(one, _)| one.standing == Standing::Away)
            .map(|(_, at)| at)
            .collect(),
    }
}

/// Who says no lives does not know of them.
pub(super) fn of_renewed(renewed: &pb::Renewed) -> Result<Vec<Renewed>> {
    let lives = renewed.lives.iter().copied().chain(std::iter::repeat(Life::UNKNOWN.0));
    let saved = renewed.saved.iter().copied().map(of_archive_id).chain(std::iter::repeat(NEVER));
    let one = |((standing, life), saved): ((pb::Standing, u64), ArchiveId)| {
        let standing = match standing {
            pb::Standing::Held => Standing::Held,
            pb::Standing::Behind => Standing::Behind,
            pb::Standing::Over => Standing::Over,
            pb::Standing::Unknown => Standing::Unknown,
            pb::Standing::Unspecified => return Err(Malformed("standing")),
        };
        Ok(Renewed { standing, life: Life(life), saved: Some(saved).filter(|saved| *saved != NEVER) })
    };
    let mut all: Vec<Renewed> = renewed.sessions().zip(lives).zip(saved).map(one).collect::<Result<_>>()?;
    for at in &renewed.away {
        let one = usize::try_from(*at).ok().and_then(|at| all.get_mut(at)).ok_or(Malformed("away"))?;
        one.standing = Standing::Away;
    }
    Ok(all)
}

pub(super) fn portrait(portrait: &Portrait) -> pb::Flags {
    let available = portrait.available.as_ref().map(|available| pb::Available {
        priority: available.priority.into(),
        stanza: available.presence.as_bytes().clone(),
    });
    let directed = portrait.directed.iter().map(|jid| jid.as_str().to_owned()).collect();
    pb::Flags { available, directed, ..flags(portrait.flags) }
}

pub(super) fn of_portrait(of: pb::Flags) -> Result<Portrait> {
    let available = of.available.clone().map(|pb::Available { priority, stanza }| {
        let priority = i8::try_from(priority).map_err(|_| Malformed("priority"))?;
        Ok(Arc::new(Availability { priority, presence: of_wire(stanza)? }))
    });
    let jid = |text: &String| Jid::new(text).map_err(|_| Malformed("jid"));
    let directed: Result<Vec<Jid>> = of.directed.iter().map(jid).collect();
    Ok(Portrait { available: available.transpose()?, directed: Arc::new(directed?), flags: of_flags(of) })
}

pub(super) fn registration(of: &Registration) -> pb::Registration {
    let named = starling_ports::ingress::SessionRef { id: of.session, jid: of.jid.clone(), epoch: of.epoch };
    pb::Registration {
        session: Some(session(&named)),
        life: of.life.0,
        token: Some(id(of.token)),
        portrait: Some(portrait(&of.portrait)),
        resume: of.resume.is_some(),
        base: Some(base(of.base)),
        handled: of.handled.0,
        acknowledged: of.acknowledged.0,
        entries: of.entries.iter().map(entry).collect(),
        done: of.done.acknowledged.iter().copied().map(archive_id).collect(),
        done_up_to: of.done.low.map(archive_id),
    }
}

/// `node` says it. For how long the session may wait is for the router to say.
pub(super) fn of_registration(of: pb::Registration, node: NodeId) -> Result<Registration> {
    let named = of_session(of.session)?;
    let entries: Result<Vec<_>> = of.entries.into_iter().map(of_entry).collect();
    Ok(Registration {
        session: named.id,
        jid: named.jid,
        node,
        epoch: named.epoch,
        life: Life(of.life),
        token: of_id(of.token)?,
        portrait: of_portrait(of.portrait.unwrap_or_default())?,
        resume: of.resume.then_some(Duration::MAX),
        base: of_base(of.base)?,
        handled: Handled(of.handled),
        acknowledged: LogNumber(of.acknowledged),
        entries: entries?,
        done: Position {
            low: of.done_up_to.map(of_archive_id),
            acknowledged: of.done.into_iter().map(of_archive_id).collect(),
        },
    })
}

pub(super) fn registered(registered: Registered) -> pb::Registered {
    use pb::registered::Body;
    let body = match registered {
        Registered::Again { epoch } => Body::Epoch(epoch.0),
        Registered::Over => Body::Over(pb::Empty {}),
    };
    pb::Registered { body: Some(body) }
}

pub(super) fn of_registered(registered: pb::Registered) -> Result<Registered> {
    use pb::registered::Body;
    Ok(match registered.body.ok_or(Malformed("registered"))? {
        Body::Epoch(epoch) => Registered::Again { epoch: Epoch(epoch) },
        Body::Over(pb::Empty {}) => Registered::Over,
    })
}
