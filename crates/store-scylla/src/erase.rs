//! What an account leaves when it is removed: nothing but its name and three numbers.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Archive;

use crate::accounts::Removal;
use crate::store::Store;

impl Store {
    /// Until when what is there is erased. Ids may be ahead of this machine's clock.
    pub(crate) async fn removal(&self, owner: &BareJid) -> Result<Removal> {
        let at = self.stamps.next();
        let last = self.last(owner).await?.map_or(0, |id| id.number.saturating_add(1));
        Ok(Removal { at, id: last.max(at.unsigned_abs()) })
    }

    /// Erases everything that any port keeps for `owner`. May be done again, from any point.
    ///
    /// The stamps lie in what is deleted for `gc_grace_seconds`, ten days: a write from before the removal that comes later is
    /// deleted with it. Space comes back when compaction has met both, after that time.
    pub(crate) async fn erase(&self, owner: &BareJid, removal: Removal) -> Result<()> {
        self.erase_rows(owner, removal.id).await?;
        for statement in &self.client.statements.erase_owner {
            self.client.write(statement, (removal.at, owner.as_str())).await?;
        }
        self.empty_roster(owner, removal).await?;
        self.remove_name(owner, removal.at).await
    }
}
