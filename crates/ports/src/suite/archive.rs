//! For `Archive`.

use starling_jid::BareJid;

use super::{fresh_user, row};
use crate::archive::{Archive, Born, Direction, Query, Row, StanzaKey, Table};
use crate::ids::{ArchiveId, Life, SessionId, Timestamp};
use crate::sessions::Role;

async fn filled(store: &dyn Archive, count: u64) -> (BareJid, Vec<Row>) {
    let owner = fresh_user();
    let rows: Vec<Row> = (1..=count).map(|number| row(number, &format!("body {number}"))).collect();
    store.put(Table::Archive, &owner, rows.clone()).await.unwrap();
    (owner, rows)
}

/// Every field comes back as it was.
pub async fn a_row_comes_back_as_it_was(store: &dyn Archive) {
    let owner = fresh_user();
    let mut sent = row(7, "hello &amp; goodbye");
    sent.direction = Direction::Sent;
    sent.resource = Some("desk \u{e9}".into());
    (sent.deliverable, sent.copied, sent.origin) = (false, false, None);
    let key = StanzaKey { session: SessionId(u128::MAX - 7), number: 9, role: Role::Sent, hash: u64::MAX };
    sent.born = Born { life: Life(u64::MAX - 3), key: Some(key) };
    let mut told = row(8, "hello");
    told.born = Born { life: Life(5), key: None }; // the server's own words have no key
    for table in [Table::Archive, Table::Spool] {
        store.put(table, &owner, vec![sent.clone(), told.clone()]).await.unwrap();
        assert_eq!(store.get(table, &owner, sent.id).await.unwrap(), Some(sent.clone()));
        let page = store.page(table, &owner, &Query::default(), 10).await.unwrap();
        assert_eq!(page.rows, [sent.clone(), told.clone()]);
    }
    assert_eq!(store.get(Table::Archive, &fresh_user(), sent.id).await.unwrap(), None);
}

/// Writing a row again changes nothing.
pub async fn putting_twice_keeps_one(store: &dyn Archive) {
    let (owner, rows) = filled(store, 1).await;
    store.put(Table::Archive, &owner, rows.clone()).await.unwrap();
    let page = store.page(Table::Archive, &owner, &Query::default(), 10).await.unwrap();
    assert_eq!((page.rows, page.complete), (rows, true));
}

/// Forwards and backwards, every row once and in order.
pub async fn pages_from_both_ends_miss_none(store: &dyn Archive) {
    let (owner, rows) = filled(store, 25).await;
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    let mut query = Query::default();
    loop {
        let page = store.page(Table::Archive, &owner, &query, 7).await.unwrap();
        assert!(page.rows.len() <= 7);
        forwards.extend(page.rows);
        query.after = forwards.last().map(|row| row.id);
        if page.complete {
            break;
        }
    }
    let mut query = Query { backwards: true, ..Query::default() };
    loop {
        let mut page = store.page(Table::Archive, &owner, &query, 7).await.unwrap();
        assert!(page.rows.is_sorted_by_key(|row| row.id), "ascending in every page");
        page.rows.append(&mut backwards);
        backwards = page.rows;
        query.before = backwards.first().map(|row| row.id);
        if page.complete {
            break;
        }
    }
    assert_eq!(forwards, rows);
    assert_eq!(backwards, rows);
}

/// A page that ends exactly at the last row says so.
pub async fn a_full_last_page_is_complete(store: &dyn Archive) {
    let (owner, _) = filled(store, 5).await;
    assert!(store.page(Table::Archive, &owner, &Query::default(), 5).await.unwrap().complete);
    assert!(!store.page(Table::Archive, &owner, &Query::default(), 4).await.unwrap().complete);
    let none = store.page(Table::Archive, &fresh_user(), &Query::default(), 5).await.unwrap();
    assert!(none.complete && none.rows.is_empty());
}

/// All bounds hold at once.
pub async fn bounds_exclude_their_ids_and_hold_together(store: &dyn Archive) {
    let (owner, rows) = filled(store, 10).await;
    let numbers = async |query: Query| -> Vec<u64> {
        let page = store.page(Table::Archive, &owner, &query, 100).await.unwrap();
        page.rows.iter().map(|row| row.id.number).collect()
    };
    let id = |number: usize| Some(rows[number - 1].id);
    assert_eq!(numbers(Query { after: id(3), before: id(6), ..Query::default() }).await, [4, 5]);
    assert_eq!(numbers(Query { after: id(7), upto: id(9), ..Query::default() }).await, [8, 9]);
    assert_eq!(numbers(Query { before: id(3), upto: id(9), ..Query::default() }).await, [1, 2]);
    assert_eq!(numbers(Query { before: id(9), upto: id(3), ..Query::default() }).await, [1, 2, 3]);
    assert!(numbers(Query { after: id(6), before: id(6), ..Query::default() }).await.is_empty());
    assert!(numbers(Query { after: id(8), before: id(2), ..Query::default() }).await.is_empty());
    let span = Query { start: Some(Timestamp(4)), end: Some(Timestamp(6)), ..Query::default() };
    assert_eq!(numbers(span).await, [4, 5, 6]);
}

/// By the other one, bare or full, and by what waits.
pub async fn filters_pass_over_other_rows(store: &dyn Archive) {
    let owner = fresh_user();
    let mut rows: Vec<Row> = (1..=6).map(|number| row(number, &format!("body {number}"))).collect();
    rows[1].with = BareJid::new("carol@example.org").unwrap();
    rows[2].deliverable = false;
    store.put(Table::Archive, &owner, rows.clone()).await.unwrap();
    let count =
        async |query: Query| store.page(Table::Archive, &owner, &query, 100).await.unwrap().rows.len();
    let with = Some(BareJid::new("alice@example.org").unwrap());
    assert_eq!(count(Query { with, ..Query::default() }).await, 5);
    assert_eq!(count(Query { deliverable: true, ..Query::default() }).await, 5);
    let desk = Some("alice@example.org/desk".into());
    assert_eq!(count(Query { with_resource: desk, ..Query::default() }).await, 6);
    let phone = Some("alice@example.org/phone".into());
    assert_eq!(count(Query { with_resource: phone, ..Query::default() }).await, 0);
    let waiting = store.waiting(Table::Archive, &owner, Some(rows[0].id), 100).await.unwrap();
    assert_eq!(waiting, (4, rows[1..].iter().filter(|row| row.deliverable).map(|row| row.wire.len()).sum()));
    assert_eq!(store.waiting(Table::Archive, &owner, None, 2).await.unwrap().0, 2);
}

/// One owner's name that begins another's does not mix their rows.
pub async fn owners_do_not_mix(store: &dyn Archive) {
    let (owner, rows) = filled(store, 3).await;
    let longer = BareJid::new(&format!("{owner}.net")).unwrap();
    store.put(Table::Archive, &longer, vec![row(99, "other")]).await.unwrap();
    assert_eq!(store.page(Table::Archive, &owner, &Query::default(), 10).await.unwrap().rows, rows);
    assert_eq!(store.last(&owner).await.unwrap(), Some(rows[2].id));
}

/// The highest id of both tables.
pub async fn last_is_the_highest_of_both_tables(store: &dyn Archive) {
    let owner = fresh_user();
    assert_eq!(store.last(&owner).await.unwrap(), None);
    store.put(Table::Archive, &owner, vec![row(5, "a")]).await.unwrap();
    store.put(Table::Spool, &owner, vec![row(8, "b")]).await.unwrap();
    assert_eq!(store.last(&owner).await.unwrap().map(|id| id.number), Some(8));
}

/// Only what is named, and only in its table.
pub async fn deleting_takes_what_is_named(store: &dyn Archive) {
    let owner = fresh_user();
    let rows = vec![row(1, "a"), row(2, "b")];
    for table in [Table::Archive, Table::Spool] {
        store.put(table, &owner, rows.clone()).await.unwrap();
    }
    let unknown = ArchiveId { number: 77, random: 0 };
    store.delete(Table::Spool, &owner, &[rows[0].id, unknown]).await.unwrap();
    assert_eq!(store.page(Table::Spool, &owner, &Query::default(), 9).await.unwrap().rows, rows[1..]);
    assert_eq!(store.page(Table::Archive, &owner, &Query::default(), 9).await.unwrap().rows, rows);
}
