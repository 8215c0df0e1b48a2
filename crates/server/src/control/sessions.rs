//! The sessions, as their store has them; where it does not answer, as those processes know them that have their sockets.

use std::time::Duration;

use starling_admin::Refused;
use starling_admin::messages::{Session, SessionListAnswer, SessionListRequest};
use starling_jid::BareJid;
use tokio::time::timeout;

use super::Control;
use super::cluster::Asked;
use super::commands::{MAX_LIST, account, limit, of_account};

/// How long the store may take for one account, and for all.
const WITHIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

impl Control {
    /// The first sessions; `more` says that there are others.
    pub(super) async fn list_sessions(
        &self,
        asked: &SessionListRequest,
    ) -> Result<SessionListAnswer, Refused> {
        self.pipeline()?;
        let of = asked.jid.as_deref().map(account).transpose()?;
        let within = if of.is_some() { WITHIN.0 } else { WITHIN.1 };
        let late = |_| Refused::Failed(format!("their store does not answer within {} s", within.as_secs()));
        let stored = timeout(within, self.stored_sessions(of.as_ref(), asked)).await;
        match stored.map_err(late).and_then(|stored| stored) {
            Ok(answer) => Ok(answer),
            Err(why) => self.held_anywhere(asked, &why).await,
        }
    }

    async fn stored_sessions(
        &self,
        of: Option<&BareJid>,
        asked: &SessionListRequest,
    ) -> Result<SessionListAnswer, Refused> {
        let limit = limit(asked.limit)?;
        let looked_at = if asked.node.is_some() { MAX_LIST } else { limit };
        let found = self.pipeline()?.context().list_sessions(of, looked_at + 1).await.map_err(of_account)?;
        let names = self.names().await;
        let is_cut = found.len() > looked_at;
        let shown = found.into_iter().take(looked_at).map(|session| Session {
            jid: session.jid.to_string(),
            node: names.of(session.node),
            attached: session.attached,
            priority: session.priority.map(i32::from),
            unacknowledged: session.unacknowledged as u64,
            since: session.since.to_xep_0082(),
        });
        let mut sessions: Vec<Session> =
            shown.filter(|one| asked.node.as_ref().is_none_or(|node| *node == one.node)).collect();
        let more = is_cut || sessions.len() > limit;
        sessions.truncate(limit);
        Ok(SessionListAnswer { sessions, more, missing: Vec::new() })
    }

    /// What all processes have sockets of. Who waits to be resumed is known to the store alone.
    async fn held_anywhere(
        &self,
        asked: &SessionListRequest,
        why: &Refused,
    ) -> Result<SessionListAnswer, Refused> {
        let Asked { answers, mut missing } = self.ask_all::<SessionListAnswer>("sessions", asked).await?;
        missing.push(self.lacks(format!("sessions that wait to be resumed: {why}")));
        missing.sort_by(|one, other| one.node.cmp(&other.node));
        let mut whole = SessionListAnswer { missing, ..SessionListAnswer::default() };
        for (_, answer) in answers {
            whole.more |= answer.more;
            whole.sessions.extend(answer.sessions);
        }
        whole.sessions.sort_by(|one, other| one.jid.cmp(&other.jid));
        let limit = limit(asked.limit)?;
        whole.more |= whole.sessions.len() > limit;
        whole.sessions.truncate(limit);
        Ok(whole)
    }

    /// What this process has sockets of.
    pub(super) fn held_here(&self, asked: &SessionListRequest) -> Result<SessionListAnswer, Refused> {
        let of = asked.jid.as_deref().map(account).transpose()?;
        let (limit, own) = (limit(asked.limit)?, self.own.name());
        let is_meant = asked.node.as_deref().is_none_or(|node| node == own);
        let Some(hub) = self.hub.as_ref().filter(|_| is_meant) else {
            return Ok(SessionListAnswer::default());
        };
        let held = hub.held(of.as_ref(), limit + 1);
        let more = held.len() > limit;
        let sessions = held.into_iter().take(limit).map(|one| Session {
            jid: one.jid.to_string(),
            node: own.to_owned(),
            attached: true,
            priority: None,
            unacknowledged: one.unacknowledged,
            since: one.since.to_xep_0082(),
        });
        Ok(SessionListAnswer { sessions: sessions.collect(), more, missing: Vec::new() })
    }
}
