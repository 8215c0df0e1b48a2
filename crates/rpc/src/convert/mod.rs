//! Between the words of the ports and the messages of the wire.

mod again;
mod answer;
mod call;
mod delivery;
mod login;

pub(crate) use answer::Reply;
pub(crate) use call::{Call, of_report};
pub(crate) use delivery::{command, deliveries, of_command, of_delivery};
pub(crate) use login::{register_outcome, register_result, reply, step, to_peer, to_reply, to_step};

use bytes::Bytes;
use starling_jid::{BareJid, FullJid};
use starling_ports::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId};
use starling_ports::ingress::SessionRef;
use starling_ports::sessions::SmBase;
use starling_ports::trace::{Carried, Context};

use crate::pb;

/// What arrived is nothing that a node of this version sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// So small a piece is copied: it would keep the whole batch in memory that it came in, as long as a client does not read.
const SMALL: usize = 4096;

/// For what may be kept long.
pub(crate) fn kept(bytes: Bytes) -> Bytes {
    if bytes.len() < SMALL { Bytes::copy_from_slice(&bytes) } else { bytes }
}

pub(crate) fn id(number: u128) -> pb::Id {
    pb::Id { high: (number >> 64) as u64, low: number as u64 }
}

pub(crate) fn of_id(id: Option<pb::Id>) -> Result<u128> {
    let pb::Id { high, low } = id.ok_or(Malformed("id"))?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

pub(crate) fn archive_id(of: ArchiveId) -> pb::Id {
    pb::Id { high: of.number, low: of.random }
}

pub(crate) fn of_archive_id(id: pb::Id) -> ArchiveId {
    ArchiveId { number: id.high, random: id.low }
}

pub(crate) fn node(NodeId { name, incarnation }: NodeId) -> pb::Node {
    pb::Node { name, incarnation }
}

/// A node has a name and a life.
pub(crate) fn of_node(node: Option<pb::Node>) -> Result<NodeId> {
    match node {
        Some(pb::Node { name, incarnation }) if name != 0 && incarnation != 0 => {
            Ok(NodeId { name, incarnation })
        }
        _ => Err(Malformed("node")),
    }
}

pub(crate) fn session(session: &SessionRef) -> pb::Session {
    pb::Session { id: Some(id(session.id.0)), jid: session.jid.as_str().to_owned(), epoch: session.epoch.0 }
}

pub(crate) fn of_session(session: Option<pb::Session>) -> Result<SessionRef> {
    let pb::Session { id, jid, epoch } = session.ok_or(Malformed("session"))?;
    let jid = FullJid::new(&jid).map_err(|_| Malformed("jid"))?;
    Ok(SessionRef { id: SessionId(of_id(id)?), jid, epoch: Epoch(epoch) })
}

pub(crate) fn of_account(text: &str) -> Result<BareJid> {
    BareJid::new(text).map_err(|_| Malformed("account"))
}

pub(crate) fn base(SmBase { sent, handled }: SmBase) -> pb::SmBase {
    pb::SmBase { sent: sent.0, handled: handled.0 }
}

pub(crate) fn of_base(base: Option<pb::SmBase>) -> Result<SmBase> {
    let pb::SmBase { sent, handled } = base.ok_or(Malformed("base"))?;
    Ok(SmBase { sent: LogNumber(sent), handled: Handled(handled) })
}

/// Empty where nothing is followed.
pub(crate) fn traceparent(trace: &Carried) -> String {
    trace.as_ref().map(|context| context.to_traceparent()).unwrap_or_default()
}

/// What cannot be read is not followed.
pub(crate) fn of_traceparent(text: &str) -> Carried {
    if text.is_empty() {
        return None;
    }
    Context::from_traceparent(text).map(Box::new)
}

#[cfg(test)]
mod tests;
