//! Rows that are committed and not stored.

use super::{message, sender};
use crate::archive::{Archive, Query, Table};
use crate::sessions::{CommitReply, Sessions};
use crate::suite::fresh_user;

/// Rule 13: whoever would be told to wait for what others owe stores it, and is taken.
pub async fn what_others_owe_refuses_nobody(sessions: &dyn Sessions, archive: &dyn Archive) {
    /// More than may be owed.
    const MANY: usize = 10_500;
    let (account, sender) = (fresh_user(), sender());
    let (mut version, mut committed, mut was_told) =
        (sessions.view(&account).await.unwrap().version, 0, false);
    while committed < MANY {
        let planned =
            (committed..committed + 500).map(|number| message(sender, number as u64 + 1, &[])).collect();
        match sessions.commit(&account, version, planned, None).await.unwrap() {
            CommitReply::Done(outcomes) => committed += outcomes.len(), // by one that dies before it stores them
            CommitReply::Stale(view) => (version, was_told) = (view.version, true),
            CommitReply::Wait | CommitReply::Away(_) => panic!("the store takes everything"),
        }
    }
    assert!(was_told, "so many may be owed");
    let page = archive.page(Table::Archive, &account, &Query::default(), MANY).await.unwrap();
    assert!(page.rows.len() >= 10_000, "{} rows are stored", page.rows.len());
}
