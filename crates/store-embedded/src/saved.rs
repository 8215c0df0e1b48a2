//! Sessions that outlive a clean stop: written when it stops, waiting to be resumed when it starts.

use std::sync::Arc;
use std::time::Duration;

use starling_jid::FullJid;
use starling_ports::Result;
use starling_ports::archive::{Direction, Table};
use starling_ports::delivery::{Committed, Copy};
use starling_ports::ids::{Epoch, Handled, LogNumber, SessionId, Timestamp};
use starling_ports::sessions::{Availability, Flags, Keep, SmBase};

use crate::Store;
use crate::codec::{self, In, Out};
use crate::disk::{Op, Space, pair};
use starling_slot::{Backlog, Logged, Session, Stanza};

const WHAT: &str = "a saved session";

fn key(id: SessionId) -> [u8; 16] {
    id.0.to_be_bytes()
}

fn encode(session: &Session, now: Timestamp) -> Option<Vec<u8>> {
    let resume = session.resume?;
    let mut out = codec::out();
    out.text(session.jid.as_str());
    out.number(session.epoch.0);
    out.number(session.handled);
    let flags = session.flags;
    let bits = [flags.carbons, flags.interested, flags.blocklist, flags.inactive];
    out.byte(bits.iter().rev().fold(0, |bits, bit| bits << 1 | u8::from(*bit)));
    out.option(session.available.as_ref(), |out, available| {
        out.byte(available.priority.to_be_bytes()[0]);
        out.bytes(available.presence.as_bytes());
    });
    out.list(session.directed.iter(), |out, jid| out.text(jid.as_str()));
    out.number(session.since.0);
    // How long it still waits, not until when: the time without a server does not count (rule 11).
    let left = session.expires.map_or(resume, |at| at.since(now).min(resume));
    out.number(u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
    out.number(u64::try_from(resume.as_micros()).unwrap_or(u64::MAX));
    out.number(session.acknowledged);
    out.number(session.base.sent.0);
    out.number(session.base.handled.0);
    for queue in [&session.log, &session.held, &session.behind] {
        out.number(queue.len() as u64);
        queue.iter().for_each(|logged| write(&mut out, logged));
    }
    out.option(session.backlog, |out, backlog| {
        out.number(backlog.after);
        out.number(backlog.before);
    });
    Some(codec::seal(out, &key(session.id)))
}

fn write(out: &mut Out, logged: &Logged) {
    let Logged { stanza, copy, late, coalesce } = logged;
    out.option(stanza.id(), Out::id);
    out.number(stanza.committed.at.0);
    out.bytes(stanza.committed.wire.as_bytes());
    out.option(stanza.origin, Out::wide);
    out.bool(stanza.has_row());
    out.byte(match copy {
        Copy::Original => 0,
        Copy::CarbonReceived => 1,
        Copy::CarbonSent => 2,
    });
    out.bool(*late);
    out.option(coalesce.as_ref(), |out, jid| out.text(jid.as_str()));
    out.option(stanza.keep.as_ref(), |out, keep| {
        out.text(keep.with.as_str());
        let bits = [
            keep.direction == Direction::Sent,
            keep.deliverable,
            keep.copied,
            keep.table == Table::Spool,
            keep.only_if_nobody,
        ];
        out.byte(bits.iter().rev().fold(0, |bits, bit| bits << 1 | u8::from(*bit)));
        out.option(keep.resource.as_deref(), Out::text);
    });
}

fn read(value: &mut In<'_>) -> Result<Logged> {
    let committed =
        Arc::new(Committed { id: value.option(In::id)?, at: value.timestamp()?, wire: value.wire()? });
    let origin = value.option(|value| value.wide())?;
    let has_row = value.bool()?;
    let copy = match value.byte()? {
        0 => Copy::Original,
        1 => Copy::CarbonReceived,
        2 => Copy::CarbonSent,
        _ => return Err(value.corrupt()),
    };
    let late = value.bool()?;
    let coalesce = value.option(In::jid)?;
    let keep = value.option(|value| {
        let with = value.bare()?;
        let bits = value.byte()?;
        let bit = |at: u8| bits & (1 << at) != 0;
        Ok(Keep {
            with,
            direction: if bit(0) { Direction::Sent } else { Direction::Received },
            resource: value.option(|value| value.text().map(Into::into))?,
            deliverable: bit(1),
            copied: bit(2),
            table: if bit(3) { Table::Spool } else { Table::Archive },
            only_if_nobody: bit(4),
        })
    })?;
    Ok(Logged {
        stanza: Arc::new(Stanza::new(committed, keep, origin).with_row(has_row)),
        copy,
        late,
        coalesce,
    })
}

fn decode(store: &Store, key: &[u8], stored: &[u8]) -> Result<Session> {
    let mut value = codec::unseal(key, stored, WHAT)?;
    let id = SessionId(u128::from_be_bytes(key.try_into().map_err(|_| value.corrupt())?));
    let jid = FullJid::new(value.text()?).map_err(|_| value.corrupt())?;
    let (epoch, handled) = (value.number()?, value.number()?);
    let bits = value.byte()?;
    let bit = |at: u8| bits & (1 << at) != 0;
    let mut session = Session::new(id, jid, store.node, Timestamp(0));
    session.epoch = Epoch(epoch);
    session.handled = handled;
    session.attached = false;
    session.flags = Flags {
        carbons: bit(0),
        interested: bit(1),
        blocklist: bit(2),
        inactive: bit(3),
        sm: true,
        resumable: true,
    };
    session.available = value.option(|value| {
        let priority = i8::from_be_bytes([value.byte()?]);
        Ok(Arc::new(Availability { priority, presence: value.wire()? }))
    })?;
    session.directed = Arc::new(value.list(In::jid)?);
    session.since = value.timestamp()?;
    session.expires = Some(store.clock.now().after(Duration::from_micros(value.number()?)));
    session.resume = Some(Duration::from_micros(value.number()?));
    session.acknowledged = value.number()?;
    session.base = SmBase { sent: LogNumber(value.number()?), handled: Handled(value.number()?) };
    session.log = value.list(read)?;
    session.held = value.list(read)?;
    session.behind = value.list(read)?;
    session.numbered = session.log.iter().map(Logged::bytes).sum();
    session.bytes =
        [&session.log, &session.held, &session.behind].into_iter().flatten().map(Logged::bytes).sum();
    session.backlog =
        value.option(|value| Ok(Backlog { after: value.number()?, before: value.number()? }))?;
    Ok(session)
}

impl Store {
    /// Writes every session that may be resumed.
    pub(crate) async fn save_sessions(&self) -> Result<()> {
        let now = self.clock.now();
        let (mut ops, mut owed) = (Vec::new(), Vec::new());
        self.slots.each(|shared| {
            let slot = shared.lock();
            let rows = slot.owed();
            if !rows.is_empty() {
                owed.push((slot.account().clone(), rows));
            }
            let saved = slot.sessions().iter().filter_map(|session| {
                let value = encode(session, now)?;
                Some(Op::Put(Space::Sessions, key(session.id).to_vec(), value))
            });
            ops.extend(saved);
        });
        for (account, rows) in owed {
            self.store_rows(&account, rows).await?;
        }
        ops.extend(self.changed_positions());
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(500));
            self.writer.write(std::mem::replace(&mut ops, rest)).await?;
        }
        Ok(())
    }

    /// Brings back what `save_sessions` wrote. Each is read once: after a kill an old one must not come again.
    pub(crate) fn restore_sessions(&self) -> Result<()> {
        let saved: Vec<_> = {
            let tables = self.disk.read()?;
            tables.space(Space::Sessions).iter().map(pair).collect::<Result<_>>()?
        };
        let mut gone = Vec::new();
        for (key, value) in saved {
            let session = decode(self, &key, &value)?;
            let account = session.jid.bare();
            let slot = self.slot(&account)?;
            self.slots.add_session(session.id, account);
            slot.lock().restore(session);
            gone.push(Op::Remove(Space::Sessions, key.to_vec()));
        }
        self.writer.write_now(gone)
    }
}
