//! `Authentication` by way of a session router: all steps of an exchange at the same one, which keeps its state.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::authentication::{Authentication, Reply, SaslFailure, Step};
use starling_ports::ingress::RegisterError;
use tokio::time::timeout;
use tonic::Status;
use tracing::debug;

use super::Uplinks;
use super::lane::{Lane, is_same};
use crate::calls::Method;
use crate::convert;
use crate::pb::login_client::LoginClient;
use crate::pb::{self};

/// How long a step may take; guessing is slowed down at the router.
const STEP_WITHIN: Duration = Duration::from_secs(30);
/// How long no router may be there.
const ROUTER_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether the exchanges of a router are over that leaves.
const LOOKED_EVERY: Duration = Duration::from_millis(20);
/// Exchanges under way at once; one more is told to come back.
const MAX_EXCHANGES: usize = 100_000;

impl Uplinks {
    /// Any router will do; those of one domain go to different ones.
    async fn any(&self, exchange: u128, domain: &BareJid) -> Option<Arc<Lane>> {
        let _ = timeout(ROUTER_WITHIN, self.routers.wait_for(domain)).await.ok()?.ok()?;
        let all = self.routers.all();
        all.get(usize::try_from(exchange % all.len().max(1) as u128).unwrap_or_default()).cloned()
    }

    /// Waits until no exchange that was begun at this router goes on.
    pub(super) async fn exchanged(&self, lane: &Arc<Lane>) {
        while self.exchanges.lock().values().any(|one| is_same(one, lane)) {
            tokio::time::sleep(LOOKED_EVERY).await; // rare and short: not worth a message from each exchange
        }
    }

    /// The answer of the router at which the exchange was begun, or of one for it: it is that one's while it goes on.
    async fn exchange(&self, step: &Step) -> Result<Reply, Status> {
        let begun = self.exchanges.lock().get(&step.exchange).cloned();
        if let Some(lane) = begun {
            return self.ask(&lane, step).await;
        }
        // Nobody has heard of the exchange: if this router is lost, another one may be asked.
        let nobody = || Status::unavailable("no session router");
        let mut answered = Err(nobody());
        for _ in 0..2 {
            let lane = self.any(step.exchange, &step.domain).await.ok_or_else(nobody)?;
            {
                let mut exchanges = self.exchanges.lock();
                if exchanges.len() >= MAX_EXCHANGES {
                    return Err(Status::resource_exhausted("too many exchanges"));
                }
                exchanges.insert(step.exchange, lane.clone());
            }
            answered = self.ask(&lane, step).await;
            if answered.is_ok() {
                break;
            }
        }
        answered
    }

    async fn ask(&self, lane: &Lane, step: &Step) -> Result<Reply, Status> {
        let asked = async { LoginClient::new(lane.channel.clone()).step(convert::step(step)).await };
        let answer = self.calls.timed(Method::Step, timeout(STEP_WITHIN, asked)).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("no answer"))??;
        convert::to_reply(answer.into_inner()).map_err(|why| Status::internal(why.to_string()))
    }

    pub(super) async fn register_by(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<(), RegisterError> {
        let account = domain.clone();
        let lane = self.any(0, &account).await.ok_or(RegisterError::ResourceConstraint)?;
        let request = pb::RegisterRequest {
            domain: domain.as_str().to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            peer: peer.to_string(),
        };
        // Not repeated: a second attempt would find the name taken by the first.
        let asked = async { LoginClient::new(lane.channel.clone()).register(request).await };
        match self.calls.timed(Method::Register, timeout(STEP_WITHIN, asked)).await {
            Ok(Ok(answer)) => convert::register_result(answer.into_inner().outcome()),
            Ok(Err(status)) => {
                debug!(%status, "nobody was registered");
                Err(RegisterError::ResourceConstraint)
            }
            Err(_) => Err(RegisterError::ResourceConstraint),
        }
    }
}

#[async_trait]
impl Authentication for Uplinks {
    async fn step(&self, step: Step) -> Reply {
        let answered = self.exchange(&step).await;
        if !matches!(answered, Ok(Reply::Challenge(_))) {
            self.exchanges.lock().remove(&step.exchange);
        }
        answered.unwrap_or_else(|status| {
            debug!(%status, "a login was not answered");
            Reply::Failure(SaslFailure::TemporaryAuthFailure)
        })
    }

    fn abort(&self, exchange: u128) {
        let Some(lane) = self.exchanges.lock().remove(&exchange) else { return };
        let request = pb::AbortRequest { exchange: Some(convert::id(exchange)) };
        let calls = self.calls.clone();
        self.tasks.spawn(async move {
            let asked = async { LoginClient::new(lane.channel.clone()).abort(request).await };
            let answered = calls.timed(Method::Abort, timeout(STEP_WITHIN, asked)).await;
            if !matches!(answered, Ok(Ok(_))) {
                debug!("an exchange that was broken off stays until the router forgets it");
            }
        });
    }
}
