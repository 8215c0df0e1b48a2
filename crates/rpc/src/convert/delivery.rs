//! What a session router sends down unasked: stanzas and commands.

use bytes::Bytes;
use starling_ports::delivery::{Command, Outgoing, Target};
use starling_ports::ids::{Epoch, LogNumber, SessionId};

use super::{
    Malformed, Result, answer::of_wire, archive_id, id, kept, of_archive_id, of_id, of_traceparent,
    traceparent,
};
use crate::pb::{self, command::Body};

/// The conditions of stream errors that a router may ask for.
const CONDITIONS: [&str; 8] = [
    "not-authorized",
    "policy-violation",
    "conflict",
    "system-shutdown",
    "reset",
    "resource-constraint",
    "internal-server-error",
    "undefined-condition",
];

/// Neighbours that write the same bytes travel together.
pub(crate) fn deliveries(targets: Vec<Target>) -> Vec<pb::Delivery> {
    let mut all: Vec<pb::Delivery> = Vec::with_capacity(1);
    for Target { session, epoch, outgoing } in targets {
        let Outgoing { number, wire, more, address, late, id: archived, trace } = outgoing;
        let trace = traceparent(&trace);
        let archived = archived.map(archive_id);
        let (session, epoch, number) = (Some(id(session.0)), epoch.0, number.0);
        let target = pb::Target { session, epoch, number, more, late, id: archived };
        match all.last_mut() {
            Some(last)
                if last.address == address
                    && is_same(&last.stanza, wire.as_bytes())
                    && last.trace == trace =>
            {
                last.targets.push(target);
            }
            _ => all.push(pb::Delivery {
                stanza: wire.as_bytes().clone(),
                address,
                targets: vec![target],
                trace,
            }),
        }
    }
    all
}

/// One allocation: what is equal but lies elsewhere is not worth the comparison.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

pub(crate) fn of_delivery(delivery: pb::Delivery) -> Result<Vec<Target>> {
    let wire = of_wire(delivery.stanza)?;
    let (address, trace) = (delivery.address, of_traceparent(&delivery.trace));
    let target = |target: pb::Target| {
        let pb::Target { session, epoch, number, more, late, id } = target;
        let (number, id) = (LogNumber(number), id.map(of_archive_id));
        let (wire, more, trace) = (wire.clone(), kept(more), trace.clone());
        let outgoing = Outgoing { number, wire, more, address, late, id, trace };
        Ok(Target { session: SessionId(of_id(session)?), epoch: Epoch(epoch), outgoing })
    };
    delivery.targets.into_iter().map(target).collect()
}

pub(crate) fn command(session: SessionId, epoch: Epoch, command: &Command) -> pb::Command {
    let body = match command {
        Command::Pull => Body::Pull(pb::Empty {}),
        Command::Conflict => Body::Conflict(pb::Empty {}),
        Command::Close(condition) => Body::Close((*condition).to_owned()),
        Command::Fenced => Body::Fenced(pb::Empty {}),
    };
    pb::Command { session: Some(id(session.0)), epoch: epoch.0, body: Some(body) }
}

pub(crate) fn of_command(command: pb::Command) -> Result<(SessionId, Epoch, Command)> {
    let body = match command.body.ok_or(Malformed("command"))? {
        Body::Pull(pb::Empty {}) => Command::Pull,
        Body::Conflict(pb::Empty {}) => Command::Conflict,
        Body::Close(text) => {
            let known = CONDITIONS.into_iter().find(|condition| *condition == text);
            Command::Close(known.unwrap_or("undefined-condition"))
        }
        Body::Fenced(pb::Empty {}) => Command::Fenced,
    };
    Ok((SessionId(of_id(command.session)?), Epoch(command.epoch), body))
}
