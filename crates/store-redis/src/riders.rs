//! Riders: what is written with the next step of an account, because nobody waits for it; alone when there is none for too long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::{ArchiveId, BySession, Epoch, Handled, LogNumber, SessionId};
use starling_ports::position::Position;
use starling_ports::{Result, StoreError};
use starling_slot::{Context, Slot};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Sessions;
use crate::cells::Cell;
use crate::housekeeping::OFTEN;
use crate::step::Trust;

/// How long the record may take a row for owed that is stored (session log §2): whoever reads meanwhile stores it again.
const SOON: Duration = Duration::from_millis(30);
/// How often it is looked what has waited for so long.
pub(crate) const LOOKED_EVERY: Duration = Duration::from_millis(15);
/// How many accounts are written at once.
const AT_ONCE: usize = 64;

/// How long riders wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A few tens of milliseconds.
    Soon,
    /// Until the next look at what is to be saved, once a second: nobody is hindered by it, and a renewal says again what is lost
    /// with this router.
    Later,
}

/// What waits.
#[derive(Debug, Default, Clone)]
pub(crate) struct Riders {
    stored: Vec<ArchiveId>,
    handled: BySession<(Epoch, Handled)>,
    acknowledged: HashMap<(SessionId, Epoch), LogNumber>,
    /// The position that its store has.
    position: Option<Position>,
    /// Rows that are gone from the spool.
    deleted: Vec<ArchiveId>,
    /// Since when something of it is due soon.
    soon: Option<Instant>,
    /// Since when something waits for the next look.
    later: Option<Instant>,
    is_listed_soon: bool,
    is_listed_later: bool,
}

impl Riders {
    pub(crate) fn is_empty(&self) -> bool {
        self.stored.is_empty()
            && self.handled.is_empty()
            && self.acknowledged.is_empty()
            && self.position.is_none()
            && self.deleted.is_empty()
    }

    /// Rows are stored.
    pub(crate) fn store(&mut self, stored: impl IntoIterator<Item = ArchiveId>) {
        self.stored.extend(stored);
    }

    /// What a session sent is handled so far.
    pub(crate) fn handle(&mut self, session: SessionId, epoch: Epoch, handled: Handled) {
        self.handled.insert(session, (epoch, handled));
    }

    /// A client has everything up to `upto`.
    pub(crate) fn acknowledge(&mut self, session: SessionId, epoch: Epoch, upto: LogNumber) {
        let known = self.acknowledged.entry((session, epoch)).or_default();
        *known = upto.max(*known);
    }

    /// The position is saved.
    pub(crate) fn save(&mut self, position: Position) {
        self.position = Some(position);
    }

    /// Rows are gone from the spool.
    pub(crate) fn delete(&mut self, gone: Vec<ArchiveId>) {
        self.deleted.extend(gone);
    }

    /// They are done, but for those that came meanwhile.
    pub(crate) fn done(&mut self, done: &Riders) {
        self.stored.retain(|id| !done.stored.contains(id));
        self.handled.retain(|session, known| done.handled.get(session) != Some(known));
        self.acknowledged.retain(|session, upto| done.acknowledged.get(session) != Some(upto));
        if self.position == done.position {
            self.position = None;
        }
        self.deleted.retain(|id| !done.deleted.contains(id));
        self.soon = (!self.stored.is_empty()).then(Instant::now);
        self.later = (!self.is_empty()).then(Instant::now);
    }

    /// `false`: an acknowledgement is beyond what `slot` has handed out, which may be an old one.
    pub(crate) fn apply(&self, slot: &mut Slot) -> bool {
        slot.settle(&self.stored, None);
        for (session, (epoch, handled)) in &self.handled {
            slot.settle(&[], Some((*session, *epoch, *handled)));
        }
        let mut fits = true;
        for ((session, epoch), upto) in &self.acknowledged {
            fits &= slot.acknowledge(*session, *epoch, *upto);
        }
        if let Some(position) = &self.position {
            slot.saved_position(position);
        }
        slot.deleted(&self.deleted);
        fits
    }

    /// Whether it has waited for so long that it would be written alone before long: a call that goes to Redis anyway takes it.
    pub(crate) fn are_due(&self) -> bool {
        let is_over =
            |since: Option<Instant>, half: Duration| since.is_some_and(|since| since.elapsed() >= half);
        is_over(self.soon, SOON / 2) || is_over(self.later, OFTEN / 2)
    }

    /// Whether it is to be put on that list.
    fn enlist(&mut self, due: Due) -> bool {
        let is_listed = match due {
            Due::Soon => {
                self.soon.get_or_insert_with(Instant::now);
                &mut self.is_listed_soon
            }
            Due::Later => {
                self.later.get_or_insert_with(Instant::now);
                &mut self.is_listed_later
            }
        };
        !std::mem::replace(is_listed, true)
    }

    /// Whether it has waited for long enough. If it still waits it stays on its list.
    fn stays_listed(&mut self) -> bool {
        self.is_listed_soon = self.soon.is_some_and(|since| since.elapsed() < SOON);
        self.is_listed_soon
    }
}

/// Accounts with riders, in the order in which they came.
#[derive(Default)]
pub(crate) struct Waiting {
    soon: Mutex<Vec<Arc<Cell>>>,
    later: Mutex<Vec<Arc<Cell>>>,
    /// Something is due soon.
    pub(crate) some: Notify,
}

impl Sessions {
    /// Leaves something to the next step of the account.
    pub(crate) fn ride(&self, account: &BareJid, due: Due, add: impl FnOnce(&mut Riders)) {
        let cell = self.cells.get(account);
        let is_new = {
            let mut riders = cell.riders.lock();
            add(&mut riders);
            riders.enlist(due)
        };
        if !is_new {
            return;
        }
        match due {
            Due::Soon => {
                self.waiting.soon.lock().push(cell);
                self.waiting.some.notify_one();
            }
            Due::Later => self.waiting.later.lock().push(cell),
        }
    }

    /// What is due soon, and has found no step that took it along.
    pub(crate) async fn write_soon(self: &Arc<Self>) {
        let listed = std::mem::take(&mut *self.waiting.soon.lock());
        let (young, due): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|cell| cell.riders.lock().stays_listed());
        if !young.is_empty() {
            self.waiting.soon.lock().extend(young);
            self.waiting.some.notify_one();
        }
        let is_due = |cell: &Arc<Cell>| cell.riders.lock().soon.is_some();
        self.write(due.into_iter().filter(is_due).collect()).await;
    }

    /// What can wait.
    pub(crate) async fn write_later(self: &Arc<Self>) {
        let listed = std::mem::take(&mut *self.waiting.later.lock());
        listed.iter().for_each(|cell| cell.riders.lock().is_listed_later = false);
        self.write(listed.into_iter().filter(|cell| !cell.riders.lock().is_empty()).collect()).await;
    }

    async fn write(self: &Arc<Self>, cells: Vec<Arc<Cell>>) {
        let written = |cell: Arc<Cell>| {
            let sessions = self.clone();
            async move { sessions.write_one(&cell).await }
        };
        at_once(cells, written).await;
    }

    async fn write_one(&self, cell: &Cell) {
        if self.link.is_away(&cell.keys.record) {
            self.ride(&cell.account, Due::Later, |_| ()); // those behind it do not wait for its master
            return;
        }
        let written = self.step(&cell.account, |()| Trust::Known, |_, _| ()).await;
        if let Err(error) = written {
            tracing::debug!(%error, "what can wait goes on waiting");
            self.ride(&cell.account, Due::Later, |_| ());
        }
        if let Err(error) = self.refill(cell).await {
            tracing::debug!(%error, "what waits for an account is not read yet");
        }
    }

    /// Reads what waits beyond what was known of it, when all that is done.
    async fn refill(&self, cell: &Cell) -> Result<()> {
        let Some(after) = cell.state.lock().refill else { return Ok(()) };
        let (owed, last) = self.owed(&cell.account).await?;
        self.store_rows(&cell.account, owed).await?;
        let (waiting, more) = self.ports.waiting_after(&cell.account, Some(after)).await?;
        let refill = |slot: &mut Slot, _: &mut Context<'_>| {
            if slot.wants_refill() == Some(after) {
                slot.refill(waiting.clone(), more, last);
            }
        };
        self.step(&cell.account, |()| Trust::Asked, refill).await
    }

    /// All riders are written now, but for those of a record that cannot be read: the others do not wait for who mends it.
    pub(crate) async fn write_waiting(&self) -> Result<()> {
        let mut cells = Vec::new();
        self.cells.each(|cell| {
            if !cell.riders.lock().is_empty() {
                cells.push(cell.clone());
            }
        });
        for cell in cells {
            match self.step(&cell.account, |()| Trust::Known, |_, _| ()).await {
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::warn!(%error, account = %cell.account, "what waits for an account is not written");
                }
                written => written?,
            }
        }
        Ok(())
    }
}

/// Does it for all of them, so many at a time.
pub(crate) async fn at_once<F: Future<Output = ()> + Send + 'static>(
    cells: Vec<Arc<Cell>>,
    act: impl Fn(Arc<Cell>) -> F,
) {
    let mut acting = JoinSet::new();
    for cell in cells {
        if acting.len() >= AT_ONCE {
            acting.join_next().await;
        }
        acting.spawn(act(cell));
    }
    while acting.join_next().await.is_some() {}
}
