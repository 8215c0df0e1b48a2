//! Writes that come late, and again: they override nothing, and bring nothing back (session-log rule 14).

use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::documents::{Document, Documents};
use starling_ports::suite::{fresh_user, row};

use crate::server::store;

#[tokio::test]
async fn a_row_written_again_after_its_deletion_stays_deleted() {
    let store = store().await;
    let owner = fresh_user();
    let rows: Vec<Row> = (1..=3).map(|number| row(number, "hello")).collect();
    for table in [Table::Archive, Table::Spool] {
        Archive::put(&*store, table, &owner, rows.clone()).await.unwrap();
        store.delete(table, &owner, &[rows[1].id]).await.unwrap();
        Archive::put(&*store, table, &owner, rows.clone()).await.unwrap();
        let page = store.page(table, &owner, &Query::default(), 10).await.unwrap();
        assert_eq!(page.rows, [rows[0].clone(), rows[2].clone()], "{table:?}");
        assert_eq!(Archive::get(&*store, table, &owner, rows[1].id).await.unwrap(), None);
        let query = Query { with: Some(rows[1].with.clone()), ..Query::default() };
        assert_eq!(store.page(table, &owner, &query, 10).await.unwrap().rows.len(), 2);
    }
}

/// Collected before it was stored: the retry of the store comes last.
#[tokio::test]
async fn a_row_deleted_before_it_is_written_never_appears() {
    let store = store().await;
    let owner = fresh_user();
    store.delete(Table::Spool, &owner, &[row(5, "").id]).await.unwrap();
    Archive::put(&*store, Table::Spool, &owner, vec![row(5, "hello"), row(6, "hello")]).await.unwrap();
    let page = store.page(Table::Spool, &owner, &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.id.number).collect::<Vec<_>>(), [6]);
    assert_eq!(store.waiting(Table::Spool, &owner, None, 10).await.unwrap().0, 1);
}

/// Writes of one process follow each other, though its clock stands still for them.
#[tokio::test]
async fn of_many_quick_writes_the_last_one_stays() {
    let store = store().await;
    let owner = fresh_user();
    for number in 0..50 {
        Documents::put(&*store, &owner, &Document::Vcard, format!("<v>{number}</v>").into()).await.unwrap();
        let found = Documents::get(&*store, &owner, &Document::Vcard).await.unwrap();
        assert_eq!(found, Some(format!("<v>{number}</v>").into()));
    }
}
