//! For `PreferenceStore`.

use starling_jid::Jid;

use super::fresh_user;
use crate::preferences::{DefaultPreference, PreferenceStore, Preferences};

/// Never set is told from set to the default.
pub async fn preferences_come_back(store: &dyn PreferenceStore) {
    let owner = fresh_user();
    assert_eq!(store.get(&owner).await.unwrap(), None);
    for default in [DefaultPreference::Never, DefaultPreference::Roster, DefaultPreference::Always] {
        let always = vec![Jid::new("alice@example.org").unwrap()];
        let never = vec![Jid::new("mallory@example.org").unwrap(), Jid::new("example.net").unwrap()];
        let preferences = Preferences { default, always, never };
        store.put(&owner, preferences.clone()).await.unwrap();
        assert_eq!(store.get(&owner).await.unwrap(), Some(preferences));
    }
}
