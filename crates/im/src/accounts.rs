//! What administrators and users do to accounts: made, given new keys, suspended, erased; sessions seen and ended.

use starling_jid::{BareJid, prepare_username};
use starling_ports::StoreError;
use starling_ports::accounts::Created;
use starling_ports::authentication::SaslFailure;
use starling_ports::delivery::Command;
use starling_ports::ids::SessionId;
use starling_ports::ingress::{RegisterError, SessionRef};
use starling_ports::sessions::{Counted, Departed, Detach, Ended, SessionInfo};

use crate::Context;
use crate::effect::Left;

/// Why an account is not as somebody wants it.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Empty, or with characters that RFC 8265 forbids.
    #[error("the password is empty or has characters that are not allowed")]
    Password,
    /// Too many passwords are being stretched.
    #[error("too busy, try again")]
    Busy,
    /// A store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SaslFailure> for AccountError {
    fn from(failure: SaslFailure) -> AccountError {
        match failure {
            SaslFailure::NotAuthorized => AccountError::Password,
            _ => AccountError::Busy,
        }
    }
}

type Result<T, E = AccountError> = std::result::Result<T, E>;

impl Context {
    /// Makes an account; `false` if there is one of that name.
    pub async fn create_account(&self, jid: &BareJid, password: &str) -> Result<bool> {
        if self.stores.accounts.get(jid).await?.is_some() {
            return Ok(false);
        }
        let credentials = self.login.credentials(password).await?;
        self.stores.sessions.unsettle(jid).await?;
        let created = self.stores.accounts.create(jid, credentials, self.clock.now()).await?;
        self.stores.sessions.refresh(jid).await?;
        Ok(created == Created::Yes)
    }

    /// Gives an account other keys and ends its sessions, and their resumption, but for `except`; `false` if there is no
    /// such account.
    pub async fn set_password(
        &self,
        jid: &BareJid,
        password: &str,
        except: Option<SessionId>,
    ) -> Result<bool> {
        let credentials = self.login.credentials(password).await?;
        let found = self.stores.accounts.set_credentials(jid, credentials).await?;
        if found {
            self.end_sessions(jid, except).await?;
        }
        Ok(found)
    }

    /// Lets nobody sign in, and ends all sessions; or lets people in again. `false` if there is no such account.
    pub async fn set_suspended(&self, jid: &BareJid, suspended: bool) -> Result<bool> {
        let found = self.stores.accounts.set_suspended(jid, suspended).await?;
        if found && suspended {
            self.end_sessions(jid, None).await?;
        }
        Ok(found)
    }

    /// Erases an account and everything that is kept under its name; its contacts lose their subscriptions. `false` if
    /// there was none.
    pub async fn remove_account(&self, jid: &BareJid) -> Result<bool> {
        self.erase(jid, None).await
    }

    /// The same, but one session is still to hear of it.
    pub(crate) async fn erase(&self, jid: &BareJid, hears: Option<&SessionRef>) -> Result<bool> {
        if self.stores.accounts.get(jid).await?.is_none() {
            return Ok(self.stores.accounts.remove(jid).await?); // somebody may have died over what is left of it
        }
        // In this order everybody hears `unavailable` once: of each session when it goes, and there is nobody left to be hidden.
        self.end_sessions(jid, hears.map(|session| session.id)).await?;
        if let Some(session) = hears {
            self.depart(session).await?;
        }
        self.leave_contacts(jid).await?;
        self.stores.sessions.unsettle(jid).await?;
        let removed = self.stores.accounts.remove(jid).await?;
        self.stores.sessions.refresh(jid).await?;
        Ok(removed)
    }

    /// Nobody keeps a subscription to somebody who is gone (XEP-0077 §3.2). Somebody may have begun with it and died.
    pub(crate) async fn leave_contacts(&self, jid: &BareJid) -> Result<()> {
        let roster = self.stores.rosters.get(jid).await?;
        for contact in &roster.contacts {
            self.cancel_subscriptions(jid, &contact.jid, contact.state, true).await?;
        }
        Ok(())
    }

    /// Ends all sessions of an account but one, attached or waiting.
    pub(crate) async fn end_sessions(&self, jid: &BareJid, except: Option<SessionId>) -> Result<()> {
        let Departed { ended, owed } = self.stores.sessions.end_all(jid, except).await?;
        let left = Left::default();
        for ended in ended {
            self.dismiss(ended, "not-authorized", &left).await;
        }
        for farewell in owed {
            self.take_leave(&farewell, &left).await;
        }
        Ok(())
    }

    /// An ended session's client is told why, the others that it is gone.
    async fn dismiss(&self, ended: Ended, condition: &'static str, left: &Left) {
        if ended.attached {
            let told =
                self.router.delivery().command(ended.node, ended.id, ended.epoch, Command::Close(condition));
            told.unwrap_or_else(|error| tracing::debug!(%error, "an ended session was not told"));
        }
        self.finish(ended, left).await;
    }

    /// At most `limit` accounts after `after`, in the order of their names.
    pub async fn list_accounts(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>> {
        Ok(self.stores.accounts.list(after, limit).await?)
    }

    /// How many sessions there are, nearly.
    pub async fn count_sessions(&self) -> Result<Counted> {
        Ok(self.stores.sessions.count().await?)
    }

    /// At most `limit` sessions, of one account or of all.
    pub async fn list_sessions(&self, account: Option<&BareJid>, limit: usize) -> Result<Vec<SessionInfo>> {
        Ok(self.stores.sessions.list(account, limit).await?)
    }

    /// Ends the session of one resource, or all of an account; how many they were.
    pub async fn kick(&self, account: &BareJid, resource: Option<&str>) -> Result<usize> {
        let sessions = self.stores.sessions.list(Some(account), usize::MAX).await?;
        let mut count = 0;
        for session in
            sessions.iter().filter(|one| resource.is_none_or(|resource| one.jid.resource() == resource))
        {
            let gone =
                self.stores.sessions.detach(account, session.id, session.epoch, Detach::Closed).await?;
            if let Some(ended) = gone.ended() {
                // The detach has let go of the socket already; its client is still to hear why.
                self.dismiss(
                    Ended { attached: session.attached, ..ended },
                    "policy-violation",
                    &Left::default(),
                )
                .await;
                count += 1;
            }
        }
        Ok(count)
    }

    /// XEP-0077 before login.
    pub(crate) async fn register_account(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
    ) -> Result<(), RegisterError> {
        let local = prepare_username(username).map_err(|_| RegisterError::NotAcceptable)?;
        let jid =
            BareJid::from_parts(Some(&local), domain.as_str()).map_err(|_| RegisterError::NotAcceptable)?;
        match self.create_account(&jid, password).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RegisterError::Conflict),
            Err(AccountError::Password) => Err(RegisterError::NotAcceptable),
            Err(AccountError::Busy | AccountError::Store(_)) => Err(RegisterError::ResourceConstraint),
        }
    }
}
