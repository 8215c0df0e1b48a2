//! What a session router answers.

use bytes::Bytes;
use starling_jid::FullJid;
use starling_ports::StoreError;
use starling_ports::delivery::Outgoing;
use starling_ports::ids::{Epoch, Handled, LogNumber};
use starling_ports::ingress::{Answered, BindError, Handling, PulledBatch, SessionRef};
use starling_ports::position::Position;
use starling_ports::sessions::{Claimed, Flags, Portrait, Registered, Renewed};
use starling_stanza::Wire;

use super::{Malformed, Result, again, archive_id, base, kept, of_archive_id, of_base, of_session, session};
use crate::pb::{self, answer::Body};

type Stored<T> = starling_ports::Result<T>;

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Stored<()>),
    Detached(Stored<bool>),
    Answered(Stored<Answered>),
    Acknowledged(Stored<bool>),
    Pulled(Stored<PulledBatch>),
    Enabled(Stored<u32>),
    Bound(std::result::Result<SessionRef, BindError>),
    Claimed(Stored<Claimed>),
    Portrait(Stored<Portrait>),
    Registered(Stored<Registered>),
    Renewed(Stored<Vec<Renewed>>),
}

/// Turns an answer into what the caller asked for; another one is malformed.
macro_rules! readers {
    ($($name:ident: $variant:ident => $of:ty;)*) => {
        $(pub(crate) fn $name(self) -> Result<$of> {
            match self {
                Reply::$variant(result) => Ok(result),
                other => other.instead(),
            }
        })*
    };
}

impl Reply {
    readers! {
        done: Done => Stored<()>;
        answered: Answered => Stored<Answered>;
        acknowledged: Acknowledged => Stored<bool>;
        pulled: Pulled => Stored<PulledBatch>;
        enabled: Enabled => Stored<u32>;
        claimed: Claimed => Stored<Claimed>;
        portrait: Portrait => Stored<Portrait>;
        registered: Registered => Stored<Registered>;
        renewed: Renewed => Stored<Vec<Renewed>>;
    }

    /// Whether there was such a session. A router that does not say so does not know.
    pub(crate) fn detached(self) -> Result<Stored<bool>> {
        match self {
            Reply::Done(result) => Ok(result.map(|()| true)),
            Reply::Detached(result) => Ok(result),
            _ => Err(Malformed("answer")),
        }
    }

    pub(crate) fn bound(self) -> Result<std::result::Result<SessionRef, BindError>> {
        match self {
            Reply::Bound(result) => Ok(result),
            Reply::Done(Err(_)) => Ok(Err(BindError::Unavailable)),
            _ => Err(Malformed("answer")),
        }
    }

    /// A failure is read as that of `Done`, whatever was asked.
    fn instead<T>(self) -> Result<Stored<T>> {
        match self {
            Reply::Done(Err(error)) => Ok(Err(error)),
            _ => Err(Malformed("answer")),
        }
    }

    /// A call that could not be understood.
    pub(crate) fn malformed(why: Malformed) -> Reply {
        Reply::Done(Err(StoreError::Corrupt { what: why.0 }))
    }

    pub(crate) fn write(self) -> Body {
        fn or<T>(result: Stored<T>, body: impl FnOnce(T) -> Body) -> Body {
            result.map_or_else(|error| Body::Failure(failure(&error)), body)
        }
        match self {
            Reply::Done(result) => or(result, |()| Body::Done(pb::Done { nobody: false })),
            Reply::Detached(result) => or(result, |is_known| Body::Done(pb::Done { nobody: !is_known })),
            Reply::Answered(result) => or(result, |answered| Body::Handling(handling(&answered))),
            Reply::Acknowledged(result) => or(result, Body::Acknowledged),
            Reply::Pulled(result) => or(result, |batch| Body::Pulled(pulled(batch))),
            Reply::Enabled(result) => or(result, Body::ResumeSeconds),
            Reply::Bound(result) => Body::Bound(bound(result)),
            Reply::Claimed(result) => or(result, |answer| Body::Claimed(claimed(answer))),
            Reply::Portrait(result) => or(result, |answer| Body::Flags(again::portrait(&answer))),
            Reply::Registered(result) => or(result, |answer| Body::Registered(again::registered(answer))),
            Reply::Renewed(result) => or(result, |answer| Body::Renewed(again::renewed(&answer))),
        }
    }

    pub(crate) fn read(body: Body) -> Result<Reply> {
        Ok(match body {
            Body::Failure(failure) => Reply::Done(Err(of_failure(failure))),
            Body::Done(pb::Done { nobody: false }) => Reply::Done(Ok(())),
            Body::Done(pb::Done { nobody: true }) => Reply::Detached(Ok(false)),
            Body::Handling(handling) => Reply::Answered(Ok(of_handling(handling)?)),
            Body::Acknowledged(is_known) => Reply::Acknowledged(Ok(is_known)),
            Body::Pulled(pb::Pulled { entries, more }) => {
                let entries: Result<Vec<Outgoing>> = entries.into_iter().map(of_entry).collect();
                Reply::Pulled(Ok(PulledBatch { entries: entries?, more }))
            }
            Body::ResumeSeconds(seconds) => Reply::Enabled(Ok(seconds)),
            Body::Bound(bound) => Reply::Bound(of_bound(bound)?),
            Body::Claimed(claimed) => Reply::Claimed(Ok(of_claimed(claimed)?)),
            Body::Flags(flags) => Reply::Portrait(Ok(again::of_portrait(flags)?)),
            Body::Registered(registered) => Reply::Registered(Ok(again::of_registered(registered)?)),
            Body::Renewed(renewed) => Reply::Renewed(Ok(again::of_renewed(&renewed)?)),
        })
    }
}

fn failure(error: &StoreError) -> pb::Failure {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error {
        StoreError::Unavailable { store, .. } => {
            pb::Failure { corrupt: false, text: format!("{store}: {source}") }
        }
        StoreError::Corrupt { what } => pb::Failure { corrupt: true, text: (*what).to_owned() },
    }
}

fn of_failure(failure: pb::Failure) -> StoreError {
    if failure.corrupt {
        tracing::warn!(what = failure.text, "a session router could not read what is stored");
        return StoreError::Corrupt { what: "at a session router" };
    }
    StoreError::Unavailable { store: "a store of a session router", source: failure.text.into() }
}

fn handling(answered: &Answered) -> pb::Handling {
    use pb::handling::Body;
    let body = match answered.handling {
        Handling::Done(Handled(upto)) => Body::Done(upto),
        Handling::Fenced => Body::Fenced(pb::Empty {}),
        Handling::InvalidFrom => Body::InvalidFrom(pb::Empty {}),
    };
    pb::Handling { body: Some(body), portrait: answered.portrait.as_ref().map(again::portrait) }
}

fn of_handling(handling: pb::Handling) -> Result<Answered> {
    use pb::handling::Body;
    let portrait = handling.portrait.map(again::of_portrait).transpose()?;
    let handling = match handling.body.ok_or(Malformed("handling"))? {
        Body::Done(upto) => Handling::Done(Handled(upto)),
        Body::Fenced(pb::Empty {}) => Handling::Fenced,
        Body::InvalidFrom(pb::Empty {}) => Handling::InvalidFrom,
    };
    Ok(Answered { handling, portrait })
}

fn pulled(batch: PulledBatch) -> pb::Pulled {
    pb::Pulled { entries: batch.entries.iter().map(entry).collect(), more: batch.more }
}

pub(super) fn entry(entry: &Outgoing) -> pb::Entry {
    pb::Entry {
        number: entry.number.0,
        stanza: entry.wire.as_bytes().clone(),
        more: entry.more.clone(),
        address: entry.address,
        late: entry.late,
        id: entry.id.map(archive_id),
    }
}

pub(super) fn of_entry(entry: pb::Entry) -> Result<Outgoing> {
    Ok(Outgoing {
        number: LogNumber(entry.number),
        wire: of_wire(entry.stanza)?,
        more: kept(entry.more),
        address: entry.address,
        late: entry.late,
        id: entry.id.map(of_archive_id),
        trace: None,
    })
}

pub(super) fn of_wire(bytes: Bytes) -> Result<Wire> {
    Wire::from_bytes(kept(bytes)).ok_or(Malformed("stanza"))
}

fn bound(result: std::result::Result<SessionRef, BindError>) -> pb::Bound {
    use pb::bound::Body;
    let body = match result {
        Ok(bound) => Body::Session(session(&bound)),
        Err(error) => Body::Error(bound_error(error).into()),
    };
    pb::Bound { body: Some(body) }
}

fn bound_error(error: BindError) -> pb::BindError {
    match error {
        BindError::BadRequest => pb::BindError::BadRequest,
        BindError::ResourceConstraint => pb::BindError::ResourceConstraint,
        BindError::NotAllowed => pb::BindError::NotAllowed,
        BindError::Unavailable => pb::BindError::Unavailable,
    }
}

fn of_bound(bound: pb::Bound) -> Result<std::result::Result<SessionRef, BindError>> {
    use pb::bound::Body;
    Ok(match bound.body.ok_or(Malformed("bound"))? {
        Body::Session(session) => Ok(of_session(Some(session))?),
        Body::Error(error) => Err(match pb::BindError::try_from(error) {
            Ok(pb::BindError::BadRequest) => BindError::BadRequest,
            Ok(pb::BindError::ResourceConstraint) => BindError::ResourceConstraint,
            Ok(pb::BindError::NotAllowed) => BindError::NotAllowed,
            _ => BindError::Unavailable,
        }),
    })
}

/// Whom a claim fenced is told by the router itself: that does not travel.
fn claimed(claimed: Claimed) -> pb::Claimed {
    use pb::claimed::Body;
    let body = match claimed {
        Claimed::Resumed { jid, epoch, handled, base: from, acknowledged, portrait, fenced: _, done } => {
            Body::Resumed(pb::Resumed {
                jid: jid.as_str().to_owned(),
                epoch: epoch.0,
                handled: handled.0,
                base: Some(base(from)),
                acknowledged: acknowledged.0,
                flags: Some(again::portrait(&portrait)),
                done_up_to: done.low.map(archive_id),
                done: done.acknowledged.into_iter().map(archive_id).collect(),
            })
        }
        Claimed::Failed { handled } => {
            Body::Failed(pb::ResumeFailed { handled: handled.map(|handled| handled.0), in_doubt: false })
        }
        Claimed::TooHigh { sent } => Body::TooHigh(sent.0),
        Claimed::Doubtful => Body::Failed(pb::ResumeFailed { handled: None, in_doubt: true }),
    };
    pb::Claimed { body: Some(body) }
}

fn of_claimed(claimed: pb::Claimed) -> Result<Claimed> {
    use pb::claimed::Body;
    Ok(match claimed.body.ok_or(Malformed("claimed"))? {
        Body::Resumed(resumed) => Claimed::Resumed {
            jid: FullJid::new(&resumed.jid).map_err(|_| Malformed("jid"))?,
            epoch: Epoch(resumed.epoch),
            handled: Handled(resumed.handled),
            base: of_base(resumed.base)?,
            acknowledged: LogNumber(resumed.acknowledged),
            portrait: again::of_portrait(resumed.flags.ok_or(Malformed("flags"))?)?,
            fenced: None,
            done: Position {
                low: resumed.done_up_to.map(of_archive_id),
                acknowledged: resumed.done.into_iter().map(of_archive_id).collect(),
            },
        },
        Body::Failed(pb::ResumeFailed { in_doubt: true, .. }) => Claimed::Doubtful,
        Body::Failed(pb::ResumeFailed { handled, .. }) => Claimed::Failed { handled: handled.map(Handled) },
        Body::TooHigh(sent) => Claimed::TooHigh { sent: LogNumber(sent) },
    })
}

pub(super) fn flags(flags: Flags) -> pb::Flags {
    let Flags { carbons, interested, blocklist, sm, resumable, inactive } = flags;
    let (available, directed) = (None, Vec::new());
    pb::Flags { carbons, interested, blocklist, sm, resumable, inactive, available, directed }
}

pub(super) fn of_flags(flags: pb::Flags) -> Flags {
    let pb::Flags { carbons, interested, blocklist, sm, resumable, inactive, .. } = flags;
    Flags { carbons, interested, blocklist, sm, resumable, inactive }
}
