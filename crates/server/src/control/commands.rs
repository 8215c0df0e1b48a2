//! What is done when an administrator asks, through whichever door.

use std::time::Duration;

use async_trait::async_trait;
use starling_admin::messages as pb;
use starling_admin::{Administration, MOST_LISTED, Refused};
use starling_im::AccountError;
use starling_jid::{BareJid, FullJid};
use starling_ports::StoreError;
use tokio::time::timeout;
use tracing::info;

use super::Control;
use super::drains::Wish;

/// How many accounts or sessions one answer lists at most, and how many unless it is said.
pub(super) const MAX_LIST: usize = MOST_LISTED as usize;
const USUAL_LIST: usize = 1000;
/// How long the store of sessions may take to count them.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);

#[async_trait]
impl Administration for Control {
    async fn status(&self, _: pb::StatusRequest) -> Result<pb::StatusAnswer, Refused> {
        let (mut sessions, mut missing) = (None, Vec::new());
        if let Some(routing) = &self.routing {
            let counted = timeout(COUNTED_WITHIN, routing.pipeline.context().count_sessions()).await;
            let late = |_| Refused::Failed(format!("no answer within {} s", COUNTED_WITHIN.as_secs()));
            match counted.map_err(late).and_then(|counted| counted.map_err(of_account)) {
                Ok(counted) => sessions = Some((counted.attached + counted.waiting) as u64),
                Err(why) => missing.push(self.lacks(format!("sessions: {why}"))),
            }
        }
        Ok(pb::StatusAnswer {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.since.elapsed().as_secs(),
            sessions,
            addresses: Some(self.addresses.shown()),
            missing,
        })
    }

    async fn counts(&self, _: pb::CountsRequest) -> Result<pb::CountsAnswer, Refused> {
        Ok(self.count_here().await)
    }

    async fn node_list(&self, _: pb::NodeListRequest) -> Result<pb::NodeListAnswer, Refused> {
        self.list_nodes().await
    }

    async fn node_counts(&self, _: pb::NodeCountsRequest) -> Result<pb::NodeCountsAnswer, Refused> {
        self.count_nodes().await
    }

    async fn session_list(&self, asked: pb::SessionListRequest) -> Result<pb::SessionListAnswer, Refused> {
        self.list_sessions(&asked).await
    }

    async fn session_kick(&self, asked: pb::SessionKickRequest) -> Result<pb::SessionKickAnswer, Refused> {
        let context = self.pipeline()?.context();
        let ended = match FullJid::new(&asked.jid) {
            Ok(full) => context.kick(&full.bare(), Some(full.resource())).await,
            Err(_) => context.kick(&account(&asked.jid)?, None).await,
        };
        match ended.map_err(of_account)? {
            0 => Err(Refused::NotFound(format!("{} has no session", asked.jid))),
            ended => Ok(pb::SessionKickAnswer { ended: ended as u64 }),
        }
    }

    /// A page of names; `more` says that `after` the last one there are others.
    async fn user_list(&self, asked: pb::UserListRequest) -> Result<pb::UserListAnswer, Refused> {
        let after = asked.after.as_deref().map(account).transpose()?;
        let limit = limit(asked.limit)?;
        let context = self.pipeline()?.context();
        let mut found = context.list_accounts(after.as_ref(), limit + 1).await.map_err(of_account)?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(pb::UserListAnswer { accounts: found.iter().map(BareJid::to_string).collect(), more })
    }

    async fn user_add(&self, asked: pb::UserAddRequest) -> Result<pb::UserAddAnswer, Refused> {
        let jid = account(&asked.jid)?;
        if !self.pipeline()?.context().domains.serves(jid.domain()) {
            let why = format!("{} is not served here: it is not among the `domains`", jid.domain());
            return Err(Refused::Invalid(why));
        }
        if !self.create_account(&jid, &asked.password).await? {
            return Err(Refused::Conflict(format!("{jid} exists already")));
        }
        info!(event = "account_created", "account made by an administrator");
        Ok(pb::UserAddAnswer { created: jid.to_string() })
    }

    async fn user_passwd(&self, asked: pb::UserPasswdRequest) -> Result<pb::UserPasswdAnswer, Refused> {
        let jid = account(&asked.jid)?;
        found(self.pipeline()?.context().set_password(&jid, &asked.password, None).await, &jid)?;
        Ok(pb::UserPasswdAnswer { changed: jid.to_string() })
    }

    async fn user_suspend(&self, asked: pb::UserSuspendRequest) -> Result<pb::UserSuspendAnswer, Refused> {
        let (jid, suspended) = (account(&asked.jid)?, asked.suspended);
        found(self.pipeline()?.context().set_suspended(&jid, suspended).await, &jid)?;
        Ok(pb::UserSuspendAnswer { suspended, jid: jid.to_string() })
    }

    async fn user_remove(&self, asked: pb::UserRemoveRequest) -> Result<pb::UserRemoveAnswer, Refused> {
        let jid = account(&asked.jid)?;
        found(self.pipeline()?.context().remove_account(&jid).await, &jid)?;
        Ok(pb::UserRemoveAnswer { removed: jid.to_string() })
    }

    async fn message(&self, asked: pb::MessageRequest) -> Result<pb::MessageAnswer, Refused> {
        self.trace(asked).await
    }

    async fn drain_status(&self, asked: pb::DrainStatusRequest) -> Result<pb::DrainAnswer, Refused> {
        self.drain_of(asked.node, Wish::Status).await
    }

    async fn drain_start(&self, asked: pb::DrainStartRequest) -> Result<pb::DrainAnswer, Refused> {
        self.drain_of(asked.node, if asked.now { Wish::StartNow } else { Wish::Start }).await
    }

    async fn drain_abort(&self, asked: pb::DrainAbortRequest) -> Result<pb::DrainAnswer, Refused> {
        self.drain_of(asked.node, Wish::Abort).await
    }

    async fn trace_status(&self, _: pb::TraceStatusRequest) -> Result<pb::TraceAnswer, Refused> {
        self.followed().await
    }

    async fn trace_change(&self, asked: pb::TraceChangeRequest) -> Result<pb::TraceAnswer, Refused> {
        self.follow(&asked).await
    }

    async fn config_reload(&self, _: pb::ConfigReloadRequest) -> Result<pb::ConfigReloadAnswer, Refused> {
        match self.reload.reload() {
            Ok(restart) => Ok(pb::ConfigReloadAnswer { reloaded: true, restart }),
            Err(error) => Err(Refused::Conflict(format!("{error:#}"))),
        }
    }
}

pub(super) fn limit(asked: Option<u32>) -> Result<usize, Refused> {
    match asked {
        None => Ok(USUAL_LIST),
        Some(asked @ 1..=MOST_LISTED) => Ok(asked as usize),
        Some(_) => Err(Refused::Invalid(format!("a limit is from 1 to {MAX_LIST}"))),
    }
}

pub(super) fn account(text: &str) -> Result<BareJid, Refused> {
    match BareJid::new(text) {
        Err(error) => Err(Refused::Invalid(format!("{text:?} is not a bare JID: {error}"))),
        Ok(jid) if jid.is_domain() => {
            Err(Refused::Invalid(format!("{text:?} names a domain, not an account: name@domain")))
        }
        Ok(jid) => Ok(jid),
    }
}

fn found(done: Result<bool, AccountError>, jid: &BareJid) -> Result<(), Refused> {
    match done.map_err(of_account)? {
        true => Ok(()),
        false => Err(Refused::NotFound(format!("there is no account {jid}"))),
    }
}

/// Whose fault it was.
pub(super) fn of_account(error: AccountError) -> Refused {
    match error {
        AccountError::Password => Refused::Invalid(error.to_string()),
        AccountError::Busy => Refused::Failed(error.to_string()),
        AccountError::Store(error) => of_store(error),
    }
}

pub(super) fn of_store(error: StoreError) -> Refused {
    Refused::Failed(error.to_string())
}
