//! A cluster's archive with promises broken on purpose, to see that the fault tests notice: only with the feature `broken`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Direction, Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;
use starling_slot::Promise;
use tokio_util::task::TaskTracker;

/// So long rows wait for which nobody waits: a kill finds something to lose.
const LATER: Duration = Duration::from_millis(100);
/// So much longer the rows of some take: newer ones of others come before.
const SLOW: Duration = Duration::from_millis(200);

/// `archive`, unless a promise is broken.
pub(super) fn keep_badly(archive: Arc<dyn Archive>, tasks: TaskTracker) -> Arc<dyn Archive> {
    Arc::new(Unkept { archive, tasks })
}

struct Unkept {
    archive: Arc<dyn Archive>,
    tasks: TaskTracker,
}

/// What comes from every second sender, by the length of its name.
fn is_slow(row: &Row) -> bool {
    row.direction == Direction::Received && row.with.as_str().len() % 2 == 1
}

#[async_trait]
impl Archive for Unkept {
    async fn put(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()> {
        if Promise::StoreBeforeAck.is_broken() {
            let (archive, owner) = (self.archive.clone(), owner.clone());
            self.tasks.spawn(async move {
                tokio::time::sleep(LATER).await;
                archive.put(table, &owner, rows).await
            });
            return Ok(());
        }
        if Promise::StoreBeforeRead.is_broken() && rows.iter().any(is_slow) {
            tokio::time::sleep(SLOW).await;
        }
        self.archive.put(table, owner, rows).await
    }

    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page> {
        self.archive.page(table, owner, query, limit).await
    }

    async fn get(&self, table: Table, owner: &BareJid, id: ArchiveId) -> Result<Option<Row>> {
        self.archive.get(table, owner, id).await
    }

    async fn last(&self, owner: &BareJid) -> Result<Option<ArchiveId>> {
        self.archive.last(owner).await
    }

    async fn delete(&self, table: Table, owner: &BareJid, ids: &[ArchiveId]) -> Result<()> {
        self.archive.delete(table, owner, ids).await
    }

    async fn waiting(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)> {
        self.archive.waiting(table, owner, after, limit).await
    }
}
