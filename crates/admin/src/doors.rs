//! What all doors have in common: may the caller ask this, what comes of it, and a line in the audit log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::{Response, Status};

use crate::audit::{self, Subject};
use crate::commands::{Administration, Asks, Request};
use crate::refused::Refused;
use crate::token::Role;

/// How long a caller waits for an answer. What was begun is done all the same.
const WITHIN: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// From which address, if over the network.
    pub from: Option<IpAddr>,
}

impl Caller {
    /// Whoever may open the control socket: it is the server's own user.
    pub fn local() -> Caller {
        Caller { name: "control-socket".to_owned(), role: Role::Admin, from: None }
    }
}

/// The way to the commands.
#[derive(Clone)]
pub struct Doors {
    administration: Arc<dyn Administration>,
    tasks: TaskTracker,
}

impl Doors {
    /// To these, done in `tasks`.
    pub fn new(administration: Arc<dyn Administration>, tasks: TaskTracker) -> Doors {
        crate::metrics::describe();
        Doors { administration, tasks }
    }

    /// The answer to any request, as JSON.
    pub async fn answer(&self, caller: &Caller, request: Request) -> Result<Value, Refused> {
        request.answer(self, caller).await
    }

    /// In a task of its own: who hangs up in the middle of it leaves no account half removed.
    pub(crate) async fn perform<R: Asks>(&self, caller: &Caller, request: R) -> Result<R::Answer, Refused> {
        let (subject, caller) = (Subject::of(&request), caller.clone());
        if caller.role < R::COMMAND.role {
            let refused = Err(Refused::Forbidden);
            audit::done(&caller, &R::COMMAND, &subject, &refused);
            return refused;
        }
        let administration = self.administration.clone();
        let doing = self.tasks.spawn(async move {
            let outcome = request.done_by(&*administration).await;
            audit::done(&caller, &R::COMMAND, &subject, &outcome);
            outcome
        });
        match timeout(WITHIN, doing).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Refused::Failed("it broke off".to_owned())),
            Err(_) => Err(Refused::Failed(format!("not done within {} s; it goes on", WITHIN.as_secs()))),
        }
    }
}

/// The door for gRPC.
pub(crate) struct Grpc(pub(crate) Doors);

impl Grpc {
    /// The listener has left word of who asks.
    pub(crate) async fn perform<R: Asks>(
        &self,
        request: tonic::Request<R>,
    ) -> Result<Response<R::Answer>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = extensions.get::<Caller>().ok_or(Refused::Unauthenticated)?;
        Ok(Response::new(self.0.perform(caller, request).await?))
    }
}
