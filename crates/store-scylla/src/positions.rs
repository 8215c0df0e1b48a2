//! Positions: one small row an account.

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::position::{Position, Positions};

use crate::error::corrupt;
use crate::store::Store;
use crate::values::{id_bytes, id_of};

const WHAT: &str = "a position";

type Columns = (Option<Vec<u8>>, Option<Vec<Vec<u8>>>);

fn decode((low, acknowledged): Columns) -> Result<Position> {
    let low = low.map(|id| id_of(&id, WHAT)).transpose()?;
    let acknowledged = acknowledged.unwrap_or_default();
    Ok(Position { low, acknowledged: acknowledged.iter().map(|id| id_of(id, WHAT)).collect::<Result<_>>()? })
}

#[async_trait]
impl Positions for Store {
    async fn get(&self, owner: &BareJid) -> Result<Position> {
        let found = self.client.read(&self.client.statements.positions.get, (owner.as_str(),)).await?;
        let Some(row) = found.first::<Columns>() else { return Ok(Position::default()) };
        row.ok_or(corrupt(WHAT)).and_then(decode).map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    async fn save(&self, owner: &BareJid, position: Position) -> Result<()> {
        let acknowledged: Vec<[u8; 16]> = position.acknowledged.iter().map(|id| id_bytes(*id)).collect();
        let values = (owner.as_str(), position.low.map(id_bytes), acknowledged, self.stamps.next());
        self.client.write(&self.client.statements.positions.put, values).await
    }
}
