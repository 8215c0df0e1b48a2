//! A session's life: bound, resumed, switched, ended.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::delivery::Command;
use starling_ports::ids::NodeId;
use starling_ports::ingress::{BindError, Resume, SessionRef};
use starling_ports::sessions::{
    Bind, Change, Changed, Claim, Claimed, Detach, Farewell, Flags, Registered, Registration, SmBase,
};

use super::Left;
use crate::Context;
use crate::config::most;
use crate::context::random_id;

impl Context {
    pub(crate) async fn bind_session(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        node: NodeId,
    ) -> Result<SessionRef, BindError> {
        let unavailable = |_| BindError::Unavailable;
        let known = self.stores.accounts.get(account).await.map_err(unavailable)?;
        if known.is_none_or(|account| account.suspended) {
            return Err(BindError::NotAllowed);
        }
        let resource = resource.filter(|resource| !resource.is_empty());
        let jid = match resource {
            Some(resource) => account.with_resource(resource),
            None => account.with_resource(&random_id()),
        };
        let jid = jid.map_err(|_| BindError::BadRequest)?;
        let view = self.stores.sessions.view(account).await.map_err(unavailable)?;
        if view.session(jid.resource()).is_none() && view.sessions.len() >= most(self.config.max_sessions) {
            self.make_room(account).await?;
        }
        let bound = self.stores.sessions.bind(Bind { jid: jid.clone(), node }).await.map_err(unavailable)?;
        let session = SessionRef { id: bound.id, jid, epoch: bound.epoch };
        if let Some(former) = bound.replaced {
            // RFC 6120 §7.7.2.2: the new one lives. One that only waited ends without an `unavailable` (rule 18).
            if former.attached {
                let told = self.router.delivery();
                let gone = told.command(former.node, former.id, former.epoch, Command::Conflict);
                gone.unwrap_or_else(|error| tracing::debug!(%error, "a replaced session was not told"));
            }
            self.finish(former, &Left::default()).await;
        }
        Ok(session)
    }

    /// Nobody is locked out by sessions that nobody holds: the oldest of those that wait to be resumed ends.
    async fn make_room(&self, account: &BareJid) -> Result<(), BindError> {
        let sessions = self.stores.sessions.list(Some(account), usize::MAX).await;
        let sessions = sessions.map_err(|_| BindError::Unavailable)?;
        let waiting = sessions.into_iter().filter(|session| !session.attached);
        let oldest = waiting.min_by_key(|session| session.since).ok_or(BindError::ResourceConstraint)?;
        let gone = self.stores.sessions.detach(account, oldest.id, oldest.epoch, Detach::Closed).await;
        if let Some(ended) = gone.map_err(|_| BindError::Unavailable)?.ended() {
            self.finish(ended, &Left::default()).await;
        }
        Ok(())
    }

    pub(crate) async fn claim(&self, resume: Resume, node: NodeId) -> Result<Claimed> {
        let Resume { account, session, h, token } = resume;
        let claimed = self.stores.sessions.claim(Claim { account, session, node, h, token }).await?;
        if let Claimed::Resumed { fenced: Some((node, epoch)), .. } = &claimed {
            let told = self.router.delivery().command(*node, session, *epoch, Command::Fenced);
            told.unwrap_or_else(|error| tracing::debug!(%error, "a fenced owner was not told"));
        }
        Ok(claimed)
    }

    /// A session that its store has forgotten goes on, if its account may still be signed in.
    pub(crate) async fn register_again(&self, registration: Registration) -> Result<Registered> {
        let known = self.stores.accounts.get(&registration.jid.bare()).await?;
        if known.is_none_or(|account| account.suspended) {
            return Ok(Registered::Over);
        }
        let resume = registration.resume.map(|_| self.config.resume_within);
        self.stores.sessions.register(Registration { resume, ..registration }).await
    }

    pub(crate) async fn begin_sm(&self, session: &SessionRef, resume: bool, base: SmBase) -> Result<u32> {
        let within = self.config.resume_within;
        let resume = Some(within).filter(|within| resume && !within.is_zero());
        self.change(session, Change::EnableSm { resume, base }).await?;
        Ok(resume.map_or(0, |within| u32::try_from(within.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Changes the flags of a session.
    pub(crate) async fn flag(
        &self,
        session: &SessionRef,
        set: &(dyn Fn(&mut Flags) + Send + Sync),
    ) -> Result<()> {
        let view = self.stores.sessions.view(&session.jid.bare()).await?;
        let Some(mut flags) = view.sessions.iter().find(|one| one.id == session.id).map(|one| one.flags)
        else {
            return Ok(());
        };
        let before = flags;
        set(&mut flags);
        if flags != before {
            self.change(session, Change::Flags(flags)).await?;
        }
        Ok(())
    }

    /// Changes a session's state; its pump is told if something waits for it now.
    pub(crate) async fn change(&self, session: &SessionRef, change: Change) -> Result<Changed> {
        let account = session.jid.bare();
        let changed = self.stores.sessions.change(&account, session.id, session.epoch, change).await?;
        if matches!(changed, Changed::Pull) {
            let view = self.stores.sessions.view(&account).await?;
            if let Some(node) = view.sessions.iter().find(|one| one.id == session.id).map(|one| one.node) {
                let told = self.router.delivery().command(node, session.id, session.epoch, Command::Pull);
                told.unwrap_or_else(|error| tracing::debug!(%error, "a session was not told to pull"));
            }
        }
        Ok(changed)
    }

    /// The session is no longer available. Returns what is to be said of it: also what a router was about to say that has died.
    pub(crate) async fn leave(&self, session: &SessionRef) -> Result<Option<Farewell>> {
        match self.change(session, Change::Presence(None)).await? {
            Changed::Left(farewell) => Ok(Some(farewell)),
            Changed::Pull | Changed::Nothing | Changed::Fenced => Ok(None),
        }
    }
}
