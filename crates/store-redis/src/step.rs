//! A step of a slot: run on what the router knows, written if the record is still that, run again if it is not.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::sessions::View;
use starling_slot::{Context, Saved, Slot};

use crate::Sessions;
use crate::cells::{Cell, Inner, Known, Loaded};
use crate::error::{Failure, unavailable};
use crate::node::Live;
use crate::record::{self, Answer, Origins, Record, Request, Stamp, Write};

/// How long a record lies that nothing but the other stores is needed for.
const REST: Duration = Duration::from_secs(24 * 3600);
/// What is waited before a step is tried again over a connection that was lost, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How often other routers may be quicker before somebody waits a little.
const QUICKER: u32 = 3;

/// How much a step that changes nothing trusts what the router knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// What it knows will do: whoever decides on it finds out when it commits.
    Known,
    /// Redis is asked whether it still holds.
    Asked,
}

/// What a step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Change,
    /// It leaves the slot as it is. A glance has not told it.
    Look,
}

/// What an attempt came to.
enum Attempt<T> {
    Done(T),
    /// Another router has written; its record is loaded now.
    Overtaken,
}

impl Sessions {
    /// Runs `act` on the account's slot, as often as it takes until what it did is written, or turns out to have been
    /// written. A step whose reply was lost is found among the stamps of the record: it is never done twice.
    pub(crate) async fn step<T: Send>(
        &self,
        account: &BareJid,
        trust: impl Fn(&T) -> Trust + Send + Sync,
        act: impl FnMut(&mut Slot, &mut Context<'_>) -> T + Send,
    ) -> Result<T> {
        self.step_as(Does::Change, account, trust, act).await
    }

    /// The account's view as Redis has it now. It is a question only: what waits to be written waits on, if it can.
    pub(crate) async fn look(&self, account: &BareJid) -> Result<Arc<View>> {
        if let Some(view) = self.glance(account).await {
            return Ok(view);
        }
        // In a box: it is seldom, and big.
        Box::pin(self.step_as(Does::Look, account, |_| Trust::Asked, |slot, _| slot.view())).await
    }

    /// The view that this router knows, if Redis says that its record is the present one. For that no step is made, nor waited for.
    async fn glance(&self, account: &BareJid) -> Option<Arc<View>> {
        let cell = self.cells.get(account);
        if cell.riders.lock().are_due() {
            return None; // a step takes them along
        }
        let Known { view, generation, calm, .. } = cell.view.lock().clone()?;
        let live = self.link.present(&cell.keys.record).filter(|live| live.generation == generation)?;
        let asked = Instant::now();
        if !record::is_still(&self.link, &live, &cell.keys, &calm?).await.ok()? {
            return None;
        }
        if let Some(known) = cell.view.lock().as_mut().filter(|known| Arc::ptr_eq(&known.view, &view)) {
            known.at = known.at.max(asked);
        }
        Some(view)
    }

    async fn step_as<T: Send>(
        &self,
        does: Does,
        account: &BareJid,
        trust: impl Fn(&T) -> Trust + Send + Sync,
        mut act: impl FnMut(&mut Slot, &mut Context<'_>) -> T + Send,
    ) -> Result<T> {
        let cell = self.cells.get(account);
        // Those that wait while Redis is away give up together, not one after the other.
        let waited = tokio::time::timeout(self.config.deadline, cell.inner.lock()).await;
        let mut inner = waited.map_err(|_| unavailable(std::io::Error::from(ErrorKind::TimedOut).into()))?;
        let (begun, mut pause, mut overtaken) = (Instant::now(), AGAIN.0, 0);
        // Writes of which it is not known whether they were done, with what they would have come to.
        let mut unsure: Vec<(Stamp, T)> = Vec::new();
        loop {
            let error = match self.attempt(does, &cell, &mut inner, &mut unsure, &trust, &mut act).await {
                Ok(Attempt::Done(done)) => return Ok(done),
                Ok(Attempt::Overtaken) => {
                    self.metrics.conflicts.increment(1);
                    overtaken += 1;
                    if overtaken > QUICKER {
                        let jitter = Duration::from_micros(self.random() % 4000);
                        tokio::time::sleep(jitter).await;
                    }
                    continue;
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => error,
            };
            if begun.elapsed() + pause > self.config.deadline {
                return Err(unavailable(error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    async fn attempt<T: Send>(
        &self,
        does: Does,
        cell: &Cell,
        inner: &mut Inner,
        unsure: &mut Vec<(Stamp, T)>,
        trust: &(impl Fn(&T) -> Trust + Send + Sync),
        act: &mut (impl FnMut(&mut Slot, &mut Context<'_>) -> T + Send),
    ) -> Result<Attempt<T>, Failure> {
        // Taken out: whatever ends this early, nobody goes on with a slot that was changed and not written.
        let known =
            inner.loaded.take().filter(|known| known.generation == self.link.generation(&cell.keys.record));
        let mut loaded = match known {
            Some(known) => known,
            None => Box::pin(self.read(cell)).await?, // seldom, and big
        };
        if loaded.is_fresh
            && let Some(at) = unsure.iter().position(|(stamp, _)| loaded.stamps.contains(stamp))
        {
            let (_, done) = unsure.swap_remove(at);
            self.keep(cell, inner, loaded, None);
            return Ok(Attempt::Done(done));
        }
        let riders = {
            let riders = cell.riders.lock();
            let ride = does == Does::Change || loaded.is_verified_anew || riders.are_due();
            ride.then(|| riders.clone())
        };
        let before = (loaded.slot.has_changed(), loaded.slot.changes());
        let fits = riders.as_ref().is_none_or(|riders| riders.apply(&mut loaded.slot));
        let done = self.run(|context| act(&mut loaded.slot, context));
        // Where nobody has changed anything it is not looked for.
        let mut delta = riders.as_ref().map(|_| loaded.slot.delta(&loaded.saved)).unwrap_or_default();
        if loaded.slot.has_missed() {
            return Ok(Attempt::Overtaken); // all of it is read, and this done on that
        }
        let writes = !delta.is_empty() || loaded.is_verified_anew;
        if !writes && (loaded.is_fresh || (fits && trust(&done) == Trust::Known)) {
            riders.inspect(|riders| cell.riders.lock().done(riders));
            self.keep(cell, inner, loaded, Some(before));
            return Ok(Attempt::Done(done));
        }
        let live = self.link.live(&cell.keys.record).await?;
        if live.generation != loaded.generation {
            // Redis may be another one by now: then the stamp alone says nothing of what was lost beside it (rule 8).
            return Ok(Attempt::Overtaken);
        }
        let asked = Instant::now();
        if writes {
            self.index(cell, inner, &loaded.slot).await?;
            if loaded.stamp.is_none() {
                (loaded.saved, delta) = loaded.slot.whole(&delta);
            }
        }
        let stamp = self.random().to_be_bytes();
        let rests = if loaded.slot.is_at_rest() { REST.as_millis() as u64 } else { 0 };
        let (incarnation, marks) = (&*loaded.incarnation, &loaded.marks[..]);
        let write = Write { stamp, incarnation, rests, delta: &delta, marks };
        // Where there was no record, what this router would have called its stanzas means nothing to others.
        let known = loaded.stamp.map_or(0, |_| loaded.saved.known());
        let (expected, is_calm) = (loaded.stamp, loaded.is_calm && does == Does::Change);
        let origins = match (loaded.stamp, loaded.slot.is_partial()) {
            (None, _) => Origins::None,
            (_, true) => Origins::Some,
            (_, false) => Origins::All,
        };
        let request = Request { expected, write: writes.then_some(write), known, origins, is_calm };
        match record::ask(&self.link, &live, &self.scripts, &cell.keys, request).await {
            Ok(Answer::Same) => {
                if writes {
                    loaded.saved.confirm(delta);
                    loaded.stamp = Some(stamp);
                    loaded.marks = vec![stamp];
                    loaded.is_verified_anew = false;
                }
                (loaded.at, loaded.is_calm) = (asked, true);
                riders.inspect(|riders| cell.riders.lock().done(riders));
                self.keep(cell, inner, loaded, Some(before));
                Ok(Attempt::Done(done))
            }
            Ok(Answer::Other(record)) => {
                // One that was never the one that is known has other stanzas under the same names: it is read as a whole.
                let follows = loaded.stamp.is_none_or(|stamp| record.stamps.contains(&stamp));
                let known = loaded.stamp.map(|_| &loaded.saved);
                let is_partial = record.is_partial;
                // One that is to be verified is read as a whole, too.
                let is_enough = !is_partial || *record.incarnation == *live.incarnation;
                if follows && is_enough && live.generation == loaded.generation {
                    let mut read = Box::pin(self.load(cell, &live, asked, record, known)).await?;
                    if is_partial {
                        read.slot.recall(loaded.slot, delta);
                    }
                    inner.loaded = Some(read);
                }
                Ok(Attempt::Overtaken)
            }
            Err(failure) => {
                unsure.push((stamp, done));
                Err(failure)
            }
        }
    }

    /// Runs one step of a slot.
    fn run<T>(&self, act: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let (now, clock) = self.link.now();
        let mut random = || self.random();
        let limits = &self.limits;
        act(&mut Context { now, clock, limits, is_failing: false, random: &mut random })
    }

    /// The slot is as the record says; whoever asks next begins with it. `before` this router's step, if it is known: whether there was
    /// something to save, and what the slot counted.
    fn keep(&self, cell: &Cell, inner: &mut Inner, mut loaded: Loaded, before: Option<(bool, u64)>) {
        loaded.is_fresh = false;
        let (view, at, generation) = (loaded.slot.view(), loaded.at, loaded.generation);
        let calm = loaded.stamp.filter(|_| loaded.is_calm && !loaded.is_verified_anew);
        *cell.view.lock() = Some(Known { view, at, generation, calm });
        let changes = before.is_none_or(|(had, count)| !had || loaded.slot.changes() != count);
        cell.state.lock().learn(&loaded, &self.limits, changes);
        self.cells.keep(cell, inner, loaded);
    }

    /// Reads the account's record, or makes a slot of what the other stores know.
    async fn read(&self, cell: &Cell) -> Result<Loaded, Failure> {
        let live = self.link.live(&cell.keys.record).await?;
        let asked = Instant::now();
        let mut record =
            match record::ask(&self.link, &live, &self.scripts, &cell.keys, record::whole()).await? {
                Answer::Other(record) => record,
                Answer::Same => Record::default(),
            };
        if let Some(stamp) = record.stamps.first()
            && *record.incarnation != *live.incarnation
            && record.is_torn()
        {
            tracing::warn!(account = %cell.account, "redis has torn what it had of an account, which is made anew");
            record::remove(&self.link, &live, &self.scripts, &cell.keys, stamp).await?;
            record = Record::default();
        }
        self.load(cell, &live, asked, record, None).await
    }

    async fn load(
        &self,
        cell: &Cell,
        live: &Live,
        asked: Instant,
        record: Record,
        known: Option<&Saved>,
    ) -> Result<Loaded, Failure> {
        let (now, _) = self.link.now();
        let Record { stamps, marks, incarnation, fields, bodies, is_partial: _ } = record;
        let is_verified_anew = !stamps.is_empty() && *incarnation != *live.incarnation;
        let (slot, saved) = if stamps.is_empty() {
            // Rule 9: nothing is known of it, which does not mean that nothing was.
            let facts = self.ports.facts(&cell.account, now, live.life).await?;
            let mut slot = Slot::new(cell.account.clone(), facts, now.0, now);
            slot.track(true);
            let mut saved = Saved::nothing(now.0);
            let made = slot.delta(&saved);
            saved.confirm(made);
            (slot, saved)
        } else {
            let (mut slot, saved) = Slot::load(&cell.account, &fields, &bodies, known, now)?;
            slot.tidy(now, &self.limits);
            if is_verified_anew {
                slot.verify(self.ports.facts(&cell.account, now, live.life).await?, now);
                // What the record takes for owed may have been stored long ago: nobody is to wait for it (rule 13).
                let stored = self.ports.store(&cell.account, slot.owed()).await?;
                slot.settle(&stored, None);
            }
            slot.live_in(live.life);
            (slot, saved)
        };
        Ok(Loaded {
            slot,
            saved,
            stamp: stamps.first().copied(),
            stamps,
            marks,
            generation: live.generation,
            incarnation: live.incarnation.clone(),
            is_verified_anew,
            at: asked,
            is_fresh: true,
            is_calm: false,
        })
    }
}
