//! A record as it is read and written: the script's arguments and its answers.

use redis::{RedisError, Value};
use starling_slot::{Body, Delta, Field};

use crate::connect::Link;
use crate::error::Failure;
use crate::keys::AccountKeys;
use crate::node::Live;
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
}

/// What is to be written.
pub(crate) struct Write<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) incarnation: &'a str,
    /// How many milliseconds it may rest; 0 for ever.
    pub(crate) rests: u64,
    pub(crate) delta: &'a Delta,
}

/// A record that is not the one that the caller knew.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Of its last writes, the newest first. Empty: there is no record.
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) incarnation: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) bodies: Vec<Body>,
}

/// The answer.
pub(crate) enum Answer {
    /// It is as the caller knew it; what was to be written is written.
    Same,
    Other(Record),
}

/// No record has it: who expects it only wants to read.
const NOBODY: Stamp = *b"unknown!";

/// Reads the whole record.
pub(crate) fn whole() -> Request<'static> {
    Request { expected: Some(NOBODY), write: None, known: 0 }
}

/// Asks.
pub(crate) async fn ask(
    link: &Link,
    live: &Live,
    scripts: &Scripts,
    keys: &AccountKeys,
    request: Request<'_>,
) -> Result<Answer, Failure> {
    let mut call = scripts.step.prepare_invoke();
    call.key(&keys.record).key(&keys.bodies);
    call.arg(request.expected.as_ref().map_or(&[][..], |stamp| &stamp[..]));
    match &request.write {
        Some(write) => {
            call.arg(&write.stamp[..]).arg(write.incarnation).arg(write.rests).arg(request.known);
            let delta = write.delta;
            call.arg(delta.set.len());
            for (name, value) in &delta.set {
                call.arg(&name[..]).arg(&value[..]);
            }
            call.arg(delta.gone.len());
            delta.gone.iter().for_each(|name| {
                call.arg(&name[..]);
            });
            call.arg(delta.added.len());
            for (name, bytes) in &delta.added {
                call.arg(*name).arg(&bytes[..]);
            }
            call.arg(delta.dropped.len());
            delta.dropped.iter().for_each(|name| {
                call.arg(*name);
            });
        }
        None => {
            call.arg("").arg("").arg(0).arg(request.known);
        }
    }
    let mut connection = live.connection.clone();
    let name = if request.write.is_some() { "write" } else { "read" };
    let value: Value = link.call(live, name, call.invoke_async(&mut connection)).await?;
    let (time, answer) = read(value).map_err(Failure::of)?;
    link.told(live, time);
    Ok(answer)
}

fn read(value: Value) -> Result<(u64, Answer), RedisError> {
    let mut parts: std::vec::IntoIter<Value> = redis::from_redis_value::<Vec<Value>>(value)?.into_iter();
    let mut part = || parts.next().unwrap_or(Value::Nil);
    let same: i64 = redis::from_redis_value(part())?;
    let (seconds, micros): (u64, u64) = (redis::from_redis_value(part())?, redis::from_redis_value(part())?);
    let time = seconds.saturating_mul(1_000_000).saturating_add(micros);
    if same == 1 {
        return Ok((time, Answer::Same));
    }
    let mut record = Record::default();
    let fields: Vec<Field> = redis::from_redis_value(part())?;
    for (name, value) in fields {
        match name.as_slice() {
            b"v" => record.stamps = value.as_chunks().0.to_vec(),
            b"i" => record.incarnation = String::from_utf8_lossy(&value).into_owned(),
            _ => record.fields.push((name, value)),
        }
    }
    record.bodies = redis::from_redis_value(part())?;
    Ok((time, Answer::Other(record)))
}
