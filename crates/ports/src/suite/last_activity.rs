//! For `LastActivities`.

use super::fresh_user;
use crate::ids::Timestamp;
use crate::last_activity::{LastActivities, LastActivity};

/// What was said last, some time soon: a write is not waited for.
pub async fn the_last_activity_is_there_soon(store: &dyn LastActivities) {
    let owner = fresh_user();
    assert_eq!(store.get(&owner).await.unwrap(), None);
    for last in [
        LastActivity { at: Timestamp(5), status: Some("gone fishing".into()) },
        LastActivity { at: Timestamp(6), status: None },
    ] {
        store.put(&owner, last.clone()).await.unwrap();
        super::soon(async || store.get(&owner).await.unwrap() == Some(last.clone())).await;
    }
}
