//! Which stanzas are followed: a share of all, and those of accounts that an administrator names. May change at any time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use starling_jid::{BareJid, FullJid, Jid};

use super::{Context, Ended, Kind, Span, Spans};
use crate::clock::{Clock, SystemClock};

/// Which stanzas are followed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// Of all, from 0 to 1.
    pub rate: f64,
    /// All that these send, and all that is sent to them.
    pub accounts: Vec<BareJid>,
    /// At most so many traces begin in a second, whatever else is said; 0: as many as may be.
    pub most_per_second: u64,
}

impl Sampling {
    fn is_on(&self) -> bool {
        self.rate > 0.0 || !self.accounts.is_empty()
    }
    /// Below which of all numbers it is taken.
    fn threshold(&self) -> u64 {
        (self.rate.clamp(0.0, 1.0) * u64::MAX as f64) as u64 // saturates
    }
}

/// Why a stanza is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sampled {
    /// By chance.
    Rate,
    /// It is from or to this account, which was named.
    Account(BareJid),
}

/// Begins traces where stanzas come in, and spans of those that have begun elsewhere. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The one thing that is looked at for a stanza where nothing is followed.
    is_on: AtomicBool,
    threshold: AtomicU64,
    sampling: RwLock<Sampling>,
    /// The second of the day that is counted, and how many traces have begun in it.
    begun: Mutex<(u64, u64)>,
    dice: AtomicU64,
    spans: Option<Arc<dyn Spans>>,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

impl Tracer {
    /// Spans go there. `seed` is random.
    pub fn new(spans: Arc<dyn Spans>, seed: u64) -> Tracer {
        Tracer(Arc::new(Inner { spans: Some(spans), dice: AtomicU64::new(seed), ..Inner::default() }))
    }

    /// Whether spans go anywhere.
    pub fn has_receiver(&self) -> bool {
        self.0.spans.is_some()
    }

    /// From now on these are followed. Without a receiver none is.
    pub fn follow(&self, sampling: Sampling) {
        let is_on = sampling.is_on() && self.has_receiver();
        self.0.threshold.store(sampling.threshold(), Ordering::Relaxed);
        *self.0.sampling.write() = sampling;
        self.0.is_on.store(is_on, Ordering::Relaxed);
    }

    /// Which are followed.
    pub fn sampling(&self) -> Sampling {
        self.0.sampling.read().clone()
    }

    /// Whether any is: all that is asked where none is.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Whether this stanza of `from` is to be followed, and why.
    pub fn sample(&self, from: &FullJid, to: Option<&Jid>) -> Option<Sampled> {
        if !self.is_on() {
            return None;
        }
        let sampled = self.named(from, to).map(Sampled::Account);
        let sampled = sampled.or_else(|| self.is_lucky().then_some(Sampled::Rate))?;
        self.has_room().then_some(sampled)
    }

    fn named(&self, from: &FullJid, to: Option<&Jid>) -> Option<BareJid> {
        let sampling = self.0.sampling.read();
        if sampling.accounts.is_empty() {
            return None;
        }
        let (from, to) = (from.bare(), to.map(Jid::bare));
        let is_named = |account: &&BareJid| **account == from || to.as_ref() == Some(*account);
        sampling.accounts.iter().find(is_named).cloned()
    }

    fn is_lucky(&self) -> bool {
        let threshold = self.0.threshold.load(Ordering::Relaxed);
        threshold > 0 && self.number() <= threshold
    }

    fn has_room(&self) -> bool {
        let most = self.0.sampling.read().most_per_second;
        let now = SystemClock.now().0 / 1_000_000;
        let mut begun = self.0.begun.lock();
        if begun.0 != now {
            *begun = (now, 0);
        }
        begun.1 += 1;
        most == 0 || begun.1 <= most
    }

    /// The next of a row of numbers that look random (splitmix64): what is kept secret is never made of them.
    fn number(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.dice.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The first span of a trace.
    pub fn begin(&self, name: &'static str, kind: Kind) -> Span {
        let trace = (u128::from(self.number()) << 64 | u128::from(self.number())).max(1);
        self.span(name, kind, trace, None)
    }

    /// A span of a trace that has begun.
    pub fn follow_on(&self, name: &'static str, kind: Kind, after: &Context) -> Span {
        self.span(name, kind, after.trace, Some(after.span))
    }

    fn span(&self, name: &'static str, kind: Kind, trace: u128, parent: Option<u64>) -> Span {
        // Without a receiver it takes no part: what comes next belongs to what came before.
        let span = if self.has_receiver() { self.number().max(1) } else { parent.unwrap_or(1) };
        let begun = SystemClock.now();
        let (attributes, has_failed) = (Vec::new(), false);
        let ended = Ended { name, kind, trace, span, parent, begun, ended: begun, attributes, has_failed };
        Span { ended: Some(ended), spans: self.0.spans.clone() }
    }
}
