//! For `Positions`.

use super::fresh_user;
use crate::ids::ArchiveId;
use crate::position::{Position, Positions};

/// The last one saved, some time soon: a write is not waited for.
pub async fn the_position_is_there_soon(store: &dyn Positions) {
    let owner = fresh_user();
    assert_eq!(store.get(&owner).await.unwrap(), Position::default());
    let id = |number| ArchiveId { number, random: 3 };
    for position in [
        Position { low: None, acknowledged: vec![id(4)] },
        Position { low: Some(id(5)), acknowledged: vec![id(7), id(9)] },
    ] {
        store.save(&owner, position.clone()).await.unwrap();
        super::soon(async || store.get(&owner).await.unwrap() == position).await;
    }
}
