//! Last activities: one small row an account.

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::ids::Timestamp;
use starling_ports::last_activity::{LastActivities, LastActivity};

use crate::error::corrupt;
use crate::store::Store;
use crate::values::{signed, unsigned};

const WHAT: &str = "a last activity";

type Columns = (Option<i64>, Option<String>);

fn decode((at, status): Columns) -> Result<LastActivity> {
    let at = Timestamp(unsigned(at.ok_or(corrupt(WHAT))?, WHAT)?);
    Ok(LastActivity { at, status: status.map(Into::into) })
}

#[async_trait]
impl LastActivities for Store {
    async fn get(&self, owner: &BareJid) -> Result<Option<LastActivity>> {
        let found = self.client.read(&self.client.statements.last_activities.get, (owner.as_str(),)).await?;
        let Some(row) = found.first::<Columns>() else { return Ok(None) };
        row.ok_or(corrupt(WHAT))
            .and_then(decode)
            .map(Some)
            .map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    async fn put(&self, owner: &BareJid, last: LastActivity) -> Result<()> {
        let values = (owner.as_str(), signed(last.at.0), last.status.as_deref(), self.stamps.next());
        self.client.write(&self.client.statements.last_activities.put, values).await
    }
}
