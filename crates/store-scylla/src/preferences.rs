//! What users want archived: one row an account.

use async_trait::async_trait;
use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::preferences::{DefaultPreference, PreferenceStore, Preferences};

use crate::error::corrupt;
use crate::store::Store;
use crate::values::jids;

const WHAT: &str = "archiving preferences";

type Columns = (Option<i8>, Option<Vec<String>>, Option<Vec<String>>);

fn decode((otherwise, always, never): Columns) -> Result<Preferences> {
    let default = match otherwise {
        Some(0) => DefaultPreference::Always,
        Some(1) => DefaultPreference::Never,
        Some(2) => DefaultPreference::Roster,
        _ => return Err(corrupt(WHAT)),
    };
    Ok(Preferences { default, always: jids(always, WHAT)?, never: jids(never, WHAT)? })
}

fn number(default: DefaultPreference) -> i8 {
    match default {
        DefaultPreference::Always => 0,
        DefaultPreference::Never => 1,
        DefaultPreference::Roster => 2,
    }
}

#[async_trait]
impl PreferenceStore for Store {
    async fn get(&self, owner: &BareJid) -> Result<Option<Preferences>> {
        let found = self.client.read(&self.client.statements.preferences.get, (owner.as_str(),)).await?;
        let Some(row) = found.first::<Columns>() else { return Ok(None) };
        row.ok_or(corrupt(WHAT))
            .and_then(decode)
            .map(Some)
            .map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    async fn put(&self, owner: &BareJid, preferences: Preferences) -> Result<()> {
        fn texts(jids: &[Jid]) -> Vec<&str> {
            jids.iter().map(|jid| jid.as_str()).collect()
        }
        let (always, never) = (texts(&preferences.always), texts(&preferences.never));
        let values = (owner.as_str(), number(preferences.default), always, never, self.stamps.next());
        self.client.write(&self.client.statements.preferences.put, values).await
    }
}
