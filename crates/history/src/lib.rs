//! The checker of what was sent, acked and received; it knows nothing of the server, so it makes none of its mistakes.
#![forbid(unsafe_code)]

mod check;
mod fault;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use fault::Fault;

/// One message: whose, and which of theirs, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Whoever numbers its messages; one sender is one order.
    pub sender: Arc<str>,
    /// Its number.
    pub number: u64,
}

impl Id {
    /// The message `number` of `sender`.
    pub fn new(sender: &str, number: u64) -> Id {
        Id { sender: sender.into(), number }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.sender, self.number)
    }
}

/// A message as a device got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose device.
    pub account: Arc<str>,
    /// Which of them.
    pub device: Arc<str>,
    /// Which of the device's streams; a resumed stream is the same one (XEP-0198 §5).
    pub stream: u32,
    /// The id in the account's archive, if it was told (XEP-0359).
    pub archive_id: Option<Arc<str>>,
    /// Whether it said that it comes late (XEP-0203).
    pub delayed: bool,
}

/// What became of a message, as its sender saw it.
#[derive(Debug, Clone, Default)]
struct Sent {
    to: Arc<str>,
    acked: bool,
    refused: bool,
    /// To a device of the account that it is for.
    came: bool,
}

impl Sent {
    fn is_due(&self) -> bool {
        self.acked && !self.refused && !self.came
    }
}

/// What must hold at the end of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// All devices have come and read what there was: nothing acknowledged is still on its way.
    pub all_delivered: bool,
    /// The archives were read to their ends.
    pub all_archived: bool,
}

/// Everything that clients saw. Written down in the order in which each of them saw it.
#[derive(Debug, Clone, Default)]
pub struct History {
    sent: BTreeMap<Id, Sent>,
    receipts: Vec<(Id, Receipt)>,
    rows: Vec<(Arc<str>, Id, Arc<str>)>,
    flaps: Vec<(Arc<str>, Arc<str>)>,
    left: BTreeSet<Arc<str>>,
    so_far: Counts,
}

/// Kept beside what is counted: tests ask often, while much flows.
#[derive(Debug, Clone, Default)]
struct Counts {
    acked: usize,
    refused: usize,
    accepted: usize,
    /// By sender.
    acked_of: HashMap<Arc<str>, usize>,
    /// By account.
    received_by: HashMap<Arc<str>, usize>,
    /// What was acknowledged and has not come, by the account that it is for.
    due: HashMap<Arc<str>, usize>,
}

impl History {
    /// The message was written to the sender's socket, for the first time.
    pub fn sent(&mut self, id: Id, to: &str) {
        self.sent.entry(id).or_insert_with(|| Sent { to: to.into(), ..Sent::default() });
    }

    /// The server acknowledged it to its sender (`<a/>`).
    pub fn acked(&mut self, id: &Id) {
        let Some(sent) = self.sent.get(id).filter(|sent| !sent.acked) else { return };
        self.so_far.acked += 1;
        self.so_far.accepted += usize::from(!sent.refused);
        *self.so_far.acked_of.entry(id.sender.clone()).or_default() += 1;
        self.change(id, |sent| sent.acked = true);
    }

    /// The server answered it with an error.
    pub fn refused(&mut self, id: &Id) {
        let Some(sent) = self.sent.get(id).filter(|sent| !sent.refused) else { return };
        self.so_far.refused += 1;
        self.so_far.accepted -= usize::from(sent.acked);
        self.change(id, |sent| sent.refused = true);
    }

    /// A device got it.
    pub fn received(&mut self, id: Id, receipt: Receipt) {
        *self.so_far.received_by.entry(receipt.account.clone()).or_default() += 1;
        self.change(&id, |sent| sent.came |= sent.to == receipt.account);
        self.receipts.push((id, receipt));
    }

    /// Keeps the count of what is due.
    fn change(&mut self, id: &Id, change: impl FnOnce(&mut Sent)) {
        let Some(sent) = self.sent.get_mut(id) else { return };
        let was_due = sent.is_due();
        change(sent);
        let due = self.so_far.due.entry(sent.to.clone()).or_default();
        *due = *due + usize::from(sent.is_due()) - usize::from(was_due);
    }

    /// The archive of `account` has it, in the next row.
    pub fn archived(&mut self, account: &str, id: Id, archive_id: &str) {
        self.rows.push((account.into(), id, archive_id.into()));
    }

    /// A device says goodbye, or will never come back: from now on its contacts may see it go.
    pub fn left(&mut self, device: &str) {
        self.left.insert(device.into());
    }

    /// A contact saw a device go (RFC 6121 §4.5).
    pub fn went(&mut self, device: &str, contact: &str) {
        if !self.left.contains(device) {
            self.flaps.push((device.into(), contact.into()));
        }
    }

    /// Forgets what the archives had, to read them again.
    pub fn reopen_archives(&mut self) {
        self.rows.clear();
    }

    /// How many messages were sent, how many of them acknowledged, and how often devices got one.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.sent.len(), self.so_far.acked, self.receipts.len())
    }

    /// How many were sent and are not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.sent.len() - self.so_far.acked
    }

    /// How many messages were refused.
    pub fn refusals(&self) -> usize {
        self.so_far.refused
    }

    /// How many of a sender's messages were acknowledged.
    pub fn acked_of(&self, sender: &str) -> usize {
        self.so_far.acked_of.get(sender).copied().unwrap_or_default()
    }

    /// How often a device of `account` got a message.
    pub fn received_by(&self, account: &str) -> usize {
        self.so_far.received_by.get(account).copied().unwrap_or_default()
    }

    /// How many were acknowledged and not refused.
    pub fn accepted(&self) -> usize {
        self.so_far.accepted
    }

    /// Whether all that was acknowledged and is for `account` has come to one of its devices.
    pub fn is_delivered(&self, account: &str) -> bool {
        self.so_far.due.get(account).is_none_or(|due| *due == 0)
    }

    /// How many different messages a device got on one of its streams.
    pub fn came(&self, device: &str, stream: u32) -> usize {
        let on_it = |receipt: &Receipt| receipt.stream == stream && *receipt.device == *device;
        let ids = self.receipts.iter().filter(|(_, receipt)| on_it(receipt)).map(|(id, _)| id);
        ids.collect::<BTreeSet<_>>().len()
    }

    /// Every promise that was broken.
    pub fn faults(&self, expect: Expect) -> Vec<Fault> {
        check::faults(self, expect)
    }
}
