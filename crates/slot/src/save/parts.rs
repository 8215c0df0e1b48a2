//! The parts of a slot as bytes, and back: stanzas, sessions, lists, what was seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use starling_ports::Result;
use starling_ports::archive::{Born, Direction, Table};
use starling_ports::blocklist::BlockList;
use starling_ports::delivery::{Committed, Copy};
use starling_ports::ids::{Epoch, Handled, LogNumber, NodeId, SessionId};
use starling_ports::preferences::{DefaultPreference, Preferences};
use starling_ports::sessions::{Availability, Farewell, Flags, Keep, Role, SmBase};

use super::{CORRUPT, In, Out, read};
use crate::farewell::Owing;
use crate::log::{Logged, Stanza};
use crate::seen::{Record, Stream};
use crate::session::{Backlog, Session};

/// Stanzas by the names under which they were saved.
pub(super) type Stanzas = BTreeMap<u64, Arc<Stanza>>;

pub(super) fn write_stanza(stanza: &Stanza) -> Vec<u8> {
    let mut out = Out::with_room(256 + stanza.committed.wire.len());
    out.option(stanza.id(), Out::id);
    out.number(stanza.committed.at.0);
    out.option(stanza.origin, Out::wide);
    out.bytes(&stanza.born.to_bytes());
    out.bool(stanza.has_row());
    out.option(stanza.keep.as_ref(), |out, keep| {
        out.text(keep.with.as_str());
        out.bits(&[
            keep.direction == Direction::Sent,
            keep.deliverable,
            keep.copied,
            keep.table == Table::Spool,
            keep.only_if_nobody,
        ]);
        out.option(keep.resource.as_deref(), Out::text);
    });
    out.bytes(stanza.committed.wire.as_bytes());
    out.into_bytes()
}

pub(super) fn read_stanza(name: u64, value: &[u8]) -> Result<Stanza> {
    let mut value = read(value);
    let (id, at) = (value.option(In::id)?, value.timestamp()?);
    let origin = value.option(In::wide)?;
    let born = Born::from_bytes(value.bytes()?).ok_or(CORRUPT)?;
    let has_row = value.bool()?;
    let keep = value.option(|value| {
        let with = value.bare()?;
        let [sent, deliverable, copied, spooled, only_if_nobody] = value.bits()?;
        Ok(Keep {
            with,
            direction: if sent { Direction::Sent } else { Direction::Received },
            resource: value.option(|value| value.text().map(Into::into))?,
            deliverable,
            copied,
            table: if spooled { Table::Spool } else { Table::Archive },
            only_if_nobody,
        })
    })?;
    let committed = Arc::new(Committed { id, at, wire: value.wire()? });
    value.end()?;
    Ok(Stanza { committed, keep, origin, born, has_row: has_row.into(), saved_as: name.into() })
}

/// What changes seldom: who it is, and what it has said of itself.
pub(super) fn write_identity(session: &Session) -> Vec<u8> {
    let mut out = Out::default();
    out.text(session.jid.as_str());
    out.number(session.since.0);
    out.option(session.available.as_ref(), |out, available| {
        out.byte(available.priority.to_be_bytes()[0]);
        out.bytes(available.presence.as_bytes());
    });
    out.list(session.directed.iter(), |out, jid| out.text(jid.as_str()));
    out.into_bytes()
}

/// What changes with what it is sent. Stanzas are named, not repeated.
pub(super) fn write_state(session: &Session) -> Vec<u8> {
    // A number has up to nine bytes; what may be coalesced has an address too, and is rare.
    let mut out = Out::with_room(160 + 12 * session.queued().count());
    out.fixed(session.node.name);
    out.fixed(session.node.incarnation);
    out.number(session.epoch.0);
    out.option(session.token, Out::wide);
    let flags = session.flags;
    out.bits(&[
        flags.carbons,
        flags.interested,
        flags.blocklist,
        flags.sm,
        flags.resumable,
        flags.inactive,
        session.attached,
        session.doubtful,
    ]);
    out.option(session.expires, |out, at| out.number(at.0));
    out.option(session.resume, |out, resume| {
        out.number(u64::try_from(resume.as_micros()).unwrap_or(u64::MAX));
    });
    out.number(session.handled);
    out.number(session.acknowledged);
    out.number(session.base.sent.0);
    out.number(session.base.handled.0);
    out.option(session.backlog, |out, backlog| {
        out.number(backlog.after);
        out.number(backlog.before);
    });
    for queue in [&session.log, &session.held, &session.behind] {
        out.list(queue.iter(), |out, logged| {
            out.number(logged.stanza.saved_as());
            let (received, sent) = (logged.copy == Copy::CarbonReceived, logged.copy == Copy::CarbonSent);
            out.bits(&[received, sent, logged.late, logged.coalesce.is_some()]);
            if let Some(address) = &logged.coalesce {
                out.text(address.as_str());
            }
        });
    }
    out.into_bytes()
}

fn read_logged(value: &mut In<'_>, stanzas: &Stanzas) -> Result<Logged> {
    let stanza = stanzas.get(&value.number()?).ok_or(CORRUPT)?.clone();
    let [received, sent, late, coalesces] = value.bits()?;
    let copy = match (received, sent) {
        (true, _) => Copy::CarbonReceived,
        (_, true) => Copy::CarbonSent,
        _ => Copy::Original,
    };
    let coalesce = if coalesces { Some(value.jid()?) } else { None };
    Ok(Logged { stanza, copy, late, coalesce })
}

pub(super) fn read_session(id: SessionId, who: &[u8], state: &[u8], stanzas: &Stanzas) -> Result<Session> {
    let mut value = read(who);
    let (jid, since) = (value.full()?, value.timestamp()?);
    let available = value.option(|value| {
        let priority = i8::from_be_bytes([value.byte()?]);
        Ok(Arc::new(Availability { priority, presence: value.wire()? }))
    })?;
    let directed = Arc::new(value.list(In::jid)?);
    value.end()?;
    let mut value = read(state);
    let node = NodeId { name: value.fixed()?, incarnation: value.fixed()? };
    let mut session = Session { available, directed, ..Session::new(id, jid, node, since) };
    session.epoch = Epoch(value.number()?);
    session.token = value.option(In::wide)?;
    let [carbons, interested, blocklist, sm, resumable, inactive, attached, doubtful] = value.bits()?;
    session.flags = Flags { carbons, interested, blocklist, sm, resumable, inactive };
    (session.attached, session.doubtful) = (attached, doubtful);
    session.expires = value.option(In::timestamp)?;
    session.resume = value.option(In::number)?.map(Duration::from_micros);
    (session.handled, session.acknowledged) = (value.number()?, value.number()?);
    session.base = SmBase { sent: LogNumber(value.number()?), handled: Handled(value.number()?) };
    session.backlog =
        value.option(|value| Ok(Backlog { after: value.number()?, before: value.number()? }))?;
    let mut queue = || value.list::<_, VecDeque<_>>(|value| read_logged(value, stanzas));
    (session.log, session.held, session.behind) = (queue()?, queue()?, queue()?);
    value.end()?;
    session.numbered = session.log.iter().map(Logged::bytes).sum();
    let rest: usize = session.held.iter().chain(&session.behind).map(Logged::bytes).sum();
    session.bytes = session.numbered + rest;
    Ok(session)
}

pub(super) fn write_farewell(owing: &Owing) -> Vec<u8> {
    let Owing { farewell, late } = owing;
    let mut out = Out::default();
    out.text(farewell.jid.as_str());
    out.number(late.0);
    out.bool(farewell.to_all);
    out.list(farewell.directed.iter(), |out, jid| out.text(jid.as_str()));
    out.list(farewell.requests.iter(), |out, wire| out.bytes(wire.as_bytes()));
    out.number(farewell.turn);
    out.into_bytes()
}

pub(super) fn read_farewell(session: SessionId, value: &[u8]) -> Result<Owing> {
    let mut value = read(value);
    let (jid, late, to_all) = (value.full()?, value.timestamp()?, value.bool()?);
    let (directed, requests) = (value.list(In::jid)?, value.list(In::wire)?);
    let turn = value.number()?;
    value.end()?;
    Ok(Owing { farewell: Farewell { session, jid, to_all, directed, requests, turn }, late })
}

pub(super) fn write_lists(blocked: &BlockList, preferences: &Preferences) -> Vec<u8> {
    let mut out = Out::default();
    out.byte(match preferences.default {
        DefaultPreference::Always => 0,
        DefaultPreference::Never => 1,
        DefaultPreference::Roster => 2,
    });
    for jids in [&blocked.items, &preferences.always, &preferences.never] {
        out.list(jids.iter(), |out, jid| out.text(jid.as_str()));
    }
    out.into_bytes()
}

pub(super) fn read_lists(value: &[u8]) -> Result<(BlockList, Preferences)> {
    let mut value = read(value);
    let default = match value.byte()? {
        0 => DefaultPreference::Always,
        1 => DefaultPreference::Never,
        2 => DefaultPreference::Roster,
        _ => return Err(CORRUPT),
    };
    let items = value.list(In::jid)?;
    let (always, never) = (value.list(In::jid)?, value.list(In::jid)?);
    value.end()?;
    Ok((BlockList { items }, Preferences { default, always, never }))
}

pub(super) fn write_stream(stream: &Stream) -> Vec<u8> {
    let mut out = Out::with_room(64 + 64 * stream.records.len());
    out.number(stream.epoch);
    out.number(stream.handled);
    out.number(stream.at.0);
    out.list(stream.records.iter(), |out, record| {
        out.number(record.number);
        out.number(record.epoch);
        out.fixed(record.hash);
        out.byte(match record.role {
            Role::Receive => 0,
            Role::Sent => 1,
            Role::Answer => 2,
        });
        out.option(record.id, Out::id);
        // What is in no log any more need not be found again.
        out.number(record.stanza.upgrade().map_or(0, |stanza| stanza.saved_as()));
    });
    out.into_bytes()
}

pub(super) fn read_stream(value: &[u8], stanzas: &Stanzas) -> Result<Stream> {
    let mut value = read(value);
    let (epoch, handled, at) = (value.number()?, value.number()?, value.timestamp()?);
    let records = value.list(|value| {
        let (number, epoch, hash) = (value.number()?, value.number()?, value.fixed()?);
        let role = match value.byte()? {
            0 => Role::Receive,
            1 => Role::Sent,
            2 => Role::Answer,
            _ => return Err(CORRUPT),
        };
        let id = value.option(In::id)?;
        let stanza = stanzas.get(&value.number()?).map_or_else(Weak::new, Arc::downgrade);
        Ok(Record { number, epoch, hash, role, id, stanza })
    })?;
    value.end()?;
    Ok(Stream { epoch, handled, at, records })
}
