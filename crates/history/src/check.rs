//! From a history to its faults.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::{Expect, Fault, History, Id, Receipt};

pub(crate) fn faults(history: &History, expect: Expect) -> Vec<Fault> {
    let mut found = Vec::new();
    strangers(history, &mut found);
    repeats(history, &mut found);
    order(history, &mut found);
    ids(history, &mut found);
    losses(history, expect, &mut found);
    found.extend(
        history
            .flaps
            .iter()
            .map(|(device, contact)| Fault::Flapped { device: device.clone(), contact: contact.clone() }),
    );
    found
}

/// What came and was not sent, or came though it was refused.
fn strangers(history: &History, found: &mut Vec<Fault>) {
    let rows = history.rows.iter().map(|(_, id, _)| id);
    let came: BTreeSet<&Id> = history.receipts.iter().map(|(id, _)| id).chain(rows).collect();
    for id in came {
        match history.sent.get(id) {
            None => found.push(Fault::Invented { id: id.clone() }),
            Some(sent) if sent.refused => found.push(Fault::RefusedAndDelivered { id: id.clone() }),
            Some(_) => {}
        }
    }
}

/// Twice on one stream; again on a later one without a word; twice in an archive.
fn repeats(history: &History, found: &mut Vec<Fault>) {
    let mut streams: HashMap<(&Id, &Arc<str>), BTreeSet<u32>> = HashMap::new();
    for (id, Receipt { device, stream, delayed, .. }) in &history.receipts {
        let known = streams.entry((id, device)).or_default();
        if known.contains(stream) {
            found.push(Fault::Doubled { id: id.clone(), device: device.clone() });
        } else if !known.is_empty() && !delayed {
            found.push(Fault::Unmarked { id: id.clone(), device: device.clone() });
        }
        known.insert(*stream);
    }
    let mut rows = HashSet::new();
    for (account, id, _) in &history.rows {
        if !rows.insert((account, id)) {
            found.push(Fault::ArchivedTwice { id: id.clone(), account: account.clone() });
        }
    }
}

/// Each stream has two orders: what came live, and what came late (session-log rule 18).
fn order(history: &History, found: &mut Vec<Fault>) {
    let mut last: HashMap<_, u64> = HashMap::new();
    for (id, Receipt { device, stream, delayed, .. }) in &history.receipts {
        let last = last.entry((device, stream, delayed, &id.sender)).or_default();
        if id.number < *last {
            found.push(Fault::Reordered { id: id.clone(), behind: *last, device: device.clone() });
        }
        *last = id.number.max(*last);
    }
}

/// One id a message, ascending in each archive.
fn ids(history: &History, found: &mut Vec<Fault>) {
    let mut known: BTreeMap<(&Arc<str>, &Id), &Arc<str>> = BTreeMap::new();
    let mut last: HashMap<&Arc<str>, &Arc<str>> = HashMap::new();
    for (account, id, archive_id) in &history.rows {
        known.entry((account, id)).or_insert(archive_id);
        if last.insert(account, archive_id).is_some_and(|before| before >= archive_id) {
            found.push(Fault::IdFell { id: id.clone(), account: account.clone() });
        }
    }
    let mut named = BTreeSet::new();
    for (id, receipt) in &history.receipts {
        let Some(told) = &receipt.archive_id else { continue };
        let first = *known.entry((&receipt.account, id)).or_insert(told);
        if first != told && named.insert((&receipt.account, id)) {
            found.push(Fault::OtherId { id: id.clone(), account: receipt.account.clone() });
        }
    }
}

/// What was acknowledged must be somewhere.
fn losses(history: &History, expect: Expect, found: &mut Vec<Fault>) {
    let came: HashSet<(&Arc<str>, &Id)> =
        history.receipts.iter().map(|(id, receipt)| (&receipt.account, id)).collect();
    let kept: HashSet<(&Arc<str>, &Id)> = history.rows.iter().map(|(account, id, _)| (account, id)).collect();
    for (id, sent) in history.sent.iter().filter(|(_, sent)| sent.acked && !sent.refused) {
        if expect.all_delivered && !came.contains(&(&sent.to, id)) {
            found.push(Fault::Lost { id: id.clone(), account: sent.to.clone() });
        }
        if expect.all_archived && !kept.contains(&(&sent.to, id)) {
            found.push(Fault::NotArchived { id: id.clone(), account: sent.to.clone() });
        }
    }
}
