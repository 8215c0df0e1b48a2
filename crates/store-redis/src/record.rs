//! A record as it is read and written: the script's arguments and its answers.

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use starling_slot::{Body, Delta, Field, ORIGINS};

use crate::connect::Link;
use crate::error::Failure;
use crate::keys::AccountKeys;
use crate::metrics::{LOOK, READ, REMOVE, WRITE};
use crate::node::Live;
use crate::packed;
use crate::scripts::Scripts;

/// Names one write. No two are alike, so a record that came back older is never taken for a newer one.
pub(crate) type Stamp = [u8; 8];

/// What is asked of a record.
pub(crate) struct Request<'a> {
    /// The record that the caller knows; `None`: that there is none.
    pub(crate) expected: Option<Stamp>,
    /// What is to be written, if anything.
    pub(crate) write: Option<Write<'a>>,
    /// The last body that the caller knows.
    pub(crate) known: u64,
    /// What the caller knows of the origin-ids of a record.
    pub(crate) origins: Origins,
    /// The caller knows it for the present one, most likely: if nothing is to be written, its stamp is looked at first.
    pub(crate) is_calm: bool,
}

/// What is known of origin-ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Nothing.
    None,
    /// There may be others: one that is to be written, and stands there, was committed by another router (rule 4).
    Some,
    /// Those of the record as it was at this stamp. One that follows it has few others.
    All,
}

/// What is to be written.
pub(crate) struct Write<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) incarnation: &'a str,
    /// How many milliseconds it may rest; 0 for ever.
    pub(crate) rests: u64,
    pub(crate) delta: &'a Delta,
    /// Of former writes, which go with this one.
    pub(crate) marks: &'a [Stamp],
}

/// A record that is not the one that the caller knew.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Of its last writes, the newest first. Empty: there is no record.
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) incarnation: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) bodies: Vec<Body>,
    /// It has origin-ids that are not among the fields.
    pub(crate) is_partial: bool,
    /// Of which writes the beginning is there: of the last one.
    pub(crate) marks: Vec<Stamp>,
}

impl Record {
    /// Whether it has the beginning of a write that nobody was told of and that has no end. A Redis that was killed when half a write was
    /// in its file leaves that half there, and what it writes next is its end when the file is read once more (valkey-io/valkey#4342).
    pub(crate) fn is_torn(&self) -> bool {
        self.marks.iter().any(|mark| Some(mark) != self.stamps.first())
    }
}

/// The answer.
pub(crate) enum Answer {
    /// It is as the caller knew it; what was to be written is written.
    Same,
    Other(Record),
}

/// No record has it: who expects it only wants to read.
const NOBODY: Stamp = *b"unknown!";

/// A record with more fields is read whole: then its origin-ids are more than are to be remembered.
const MOST_FIELDS: usize = 3 * ORIGINS;
/// Of so many writes before the last one a record keeps the stamps.
const STAMPS: usize = 31;

/// Whether the record is the one of this stamp.
pub(crate) async fn is_still(
    link: &Link,
    live: &Live,
    keys: &AccountKeys,
    stamp: &Stamp,
) -> Result<bool, Failure> {
    let (held, mut connection) = (Cmd::hget(&keys.record, "v"), live.connection.clone());
    let held: Option<Vec<u8>> = link.call(live, LOOK, held.query_async(&mut connection)).await?;
    Ok(held.is_some_and(|held| held.starts_with(stamp)))
}

/// Reads the whole record.
pub(crate) fn whole() -> Request<'static> {
    Request { expected: Some(NOBODY), write: None, known: 0, origins: Origins::None, is_calm: false }
}

/// Asks. A record that nobody has changed since the caller heard of it is told by its stamp alone: for Redis that is a fraction of what
/// the script costs, and most that is asked without a write is asked of such a one.
pub(crate) async fn ask(
    link: &Link,
    live: &Live,
    scripts: &Scripts,
    keys: &AccountKeys,
    request: Request<'_>,
) -> Result<Answer, Failure> {
    if request.is_calm
        && request.write.is_none()
        && let Some(expected) = &request.expected
        && is_still(link, live, keys, expected).await?
    {
        return Ok(Answer::Same);
    }
    let mut connection = live.connection.clone();
    let command = command(scripts, keys, &request);
    let name = if request.write.is_some() { WRITE } else { READ };
    let asked = async {
        match command.query_async::<Value>(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                Box::pin(scripts.step.prepare_invoke().load_async(&mut connection)).await?; // once
                command.query_async(&mut connection).await
            }
            answered => answered,
        }
    };
    let value = link.call(live, name, asked).await?;
    let (time, answer) = read(value).map_err(Failure::of)?;
    link.told(live, time);
    Ok(answer)
}

/// The script's call, in one piece: its many small arguments are not put together anywhere else.
fn command(scripts: &Scripts, keys: &AccountKeys, request: &Request<'_>) -> Cmd {
    let expected = request.expected.as_ref().map_or(&[][..], |stamp| &stamp[..]);
    let (arguments, bytes) = request.write.as_ref().map_or((0, 0), |write| room(write.delta));
    let mut call = Cmd::with_capacity(21 + arguments, 256 + bytes);
    call.arg("EVALSHA").arg(scripts.step.get_hash()).arg(2).arg(&keys.record).arg(&keys.bodies).arg(expected);
    let fields = if request.origins == Origins::None { 0 } else { MOST_FIELDS };
    let Some(Write { stamp, incarnation, rests, delta, marks }) = &request.write else {
        call.arg("").arg("").arg(0).arg(request.known).arg(fields);
        return call;
    };
    let stamps = if delta.begins_anew() { 0 } else { STAMPS * size_of::<Stamp>() };
    call.arg(&stamp[..]).arg(*incarnation).arg(*rests).arg(request.known);
    call.arg(fields).arg(usize::from(request.origins == Origins::Some)).arg(stamps);
    call.arg(delta.set.len());
    for (name, value) in &delta.set {
        call.arg(&name[..]).arg(&value[..]);
    }
    call.arg(delta.gone.len());
    for name in &delta.gone {
        call.arg(&name[..]);
    }
    call.arg(delta.added.len());
    for (name, bytes) in &delta.added {
        call.arg(*name).arg(&bytes[..]);
    }
    call.arg(delta.dropped.len());
    for name in &delta.dropped {
        call.arg(*name);
    }
    for mark in *marks {
        call.arg(&mark[..]);
    }
    call
}

/// Removes the record of this stamp, if it is still that one.
pub(crate) async fn remove(
    link: &Link,
    live: &Live,
    scripts: &Scripts,
    keys: &AccountKeys,
    stamp: &Stamp,
) -> Result<(), Failure> {
    let mut connection = live.connection.clone();
    let mut call = scripts.remove_record.key(&keys.record);
    let call = call.key(&keys.bodies).arg(&stamp[..]);
    link.call(live, REMOVE, call.invoke_async(&mut connection)).await
}

/// How many arguments it makes, and about how many bytes. A number has up to twenty.
fn room(delta: &Delta) -> (usize, usize) {
    let named = |(name, value): &Field| name.len() + value.len();
    let fields = delta.set.iter().map(named).chain(delta.gone.iter().map(Vec::len)).sum::<usize>();
    let bodies = delta.added.iter().map(|(_, bytes)| 20 + bytes.len()).sum::<usize>();
    let arguments = 2 * (delta.set.len() + delta.added.len()) + delta.gone.len() + delta.dropped.len();
    (arguments, fields + bodies + 20 * delta.dropped.len())
}

fn read(value: Value) -> Result<(u64, Answer), RedisError> {
    if let Value::Int(time) = value {
        return Ok((u64::try_from(time).unwrap_or_default(), Answer::Same));
    }
    let mut parts: std::vec::IntoIter<Value> = redis::from_redis_value::<Vec<Value>>(value)?.into_iter();
    let mut part = || parts.next().unwrap_or(Value::Nil);
    let (seconds, micros): (u64, u64) = (redis::from_redis_value(part())?, redis::from_redis_value(part())?);
    let time = seconds.saturating_mul(1_000_000).saturating_add(micros);
    let mut record = Record::default();
    let (fields, bodies): (Vec<u8>, Vec<u8>) =
        (redis::from_redis_value(part())?, redis::from_redis_value(part())?);
    record.is_partial = redis::from_redis_value::<Option<u64>>(part())?.is_some();
    for (name, value) in packed::pairs(&fields)? {
        match name {
            b"v" => record.stamps = value.as_chunks().0.to_vec(),
            b"n" => {} // the script's own
            b"i" => record.incarnation = String::from_utf8_lossy(value).into_owned(),
            [b't', stamp @ ..] => record.marks.extend(stamp.as_chunks().0),
            _ => record.fields.push((name.to_vec(), value.to_vec())),
        }
    }
    for (name, bytes) in packed::pairs(&bodies)? {
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        let number =
            number.ok_or_else(|| RedisError::from((ErrorKind::Parse, "a stanza without a number")))?;
        record.bodies.push((number, bytes.to_vec()));
    }
    Ok((time, Answer::Other(record)))
}
