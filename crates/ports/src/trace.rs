//! Where a sampled stanza has been: spans of one trace, across processes. For what is not sampled nothing of this is made.

mod sampling;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use starling_jid::BareJid;

use crate::clock::{Clock, SystemClock};
use crate::ids::Timestamp;

pub use self::sampling::{Sampled, Sampling, Tracer};

/// Carried beside a sampled stanza: to which span what comes next belongs. A pointer, so that the others carry one word.
pub type Carried = Option<Box<Context>>;

/// A place in a trace, as W3C Trace Context names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace: one stanza's whole way.
    pub trace: u128,
    /// The span that comes before.
    pub span: u64,
    /// When it came to this process, if that is known. Stays in the process.
    pub arrived: Option<Timestamp>,
}

impl Context {
    /// W3C `traceparent`, marked as sampled.
    pub fn to_traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.span)
    }

    /// The other way round; `None` for what is not sampled, or not a `traceparent` of version 0.
    pub fn from_traceparent(text: &str) -> Option<Context> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        if version != "00" || lengths != [2, 32, 16, 2] || parts.next().is_some() {
            return None;
        }
        if ![trace, span, flags].into_iter().all(is_hex) || u8::from_str_radix(flags, 16).ok()? & 1 == 0 {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        (trace != 0 && span != 0).then_some(Context { trace, span, arrived: None })
    }
}

/// What a span says beside its times: no addresses and no contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// How spans name an account: the first 16 hexadecimal digits of the SHA-256 of its bare JID. Who knows the account finds its
/// traces; who sees traces learns no account that they do not guess.
pub fn account_hash(account: &BareJid) -> String {
    let digest = Sha256::digest(account.as_str());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Which side of a queue a span stands on, as OpenTelemetry says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It puts a message on its way.
    Producer,
    /// Something within the server.
    Internal,
    /// It asks a store.
    Client,
    /// It takes a message off its way.
    Consumer,
}

/// A span that is over.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What was done.
    pub name: &'static str,
    /// On which side.
    pub kind: Kind,
    /// The trace.
    pub trace: u128,
    /// Its own name.
    pub span: u64,
    /// What came before; `None` for the first.
    pub parent: Option<u64>,
    /// From when.
    pub begun: Timestamp,
    /// Until when.
    pub ended: Timestamp,
    /// What it says.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it went wrong.
    pub has_failed: bool,
}

/// Who takes spans. Never waits: what it has no room for is lost, and counted.
pub trait Spans: Send + Sync + 'static {
    /// Takes one.
    fn ended(&self, span: Ended);
}

/// Something that is done with a sampled stanza, from here until it is dropped.
pub struct Span {
    ended: Option<Ended>,
    spans: Option<Arc<dyn Spans>>,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ended.fmt(f)
    }
}

impl Span {
    /// What belongs to it follows this.
    pub fn context(&self) -> Context {
        let (trace, span) = self.ended.as_ref().map_or((0, 0), |ended| (ended.trace, ended.span));
        Context { trace, span, arrived: None }
    }

    /// The same, to be carried beside the stanza.
    pub fn carried(&self) -> Carried {
        Some(Box::new(self.context()))
    }

    /// It says this.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(ended) = &mut self.ended {
            ended.attributes.push((key, value.into()));
        }
    }

    /// It began earlier than it was made.
    #[must_use]
    pub fn since(mut self, begun: Option<Timestamp>) -> Span {
        if let (Some(ended), Some(begun)) = (&mut self.ended, begun) {
            ended.begun = begun.min(ended.begun);
        }
        self
    }

    /// It went wrong.
    pub fn fail(&mut self) {
        if let Some(ended) = &mut self.ended {
            ended.has_failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some(mut ended), Some(spans)) = (self.ended.take(), self.spans.take()) else { return };
        ended.ended = SystemClock.now().max(ended.begun);
        spans.ended(ended);
    }
}

#[cfg(test)]
mod tests;
