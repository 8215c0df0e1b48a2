//! The calls that come before a session.

use std::sync::Arc;

use starling_ports::authentication::Authentication;
use starling_ports::ingress::Ingress;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::authorise;
use crate::calls::metrics::Calls;
use crate::calls::{self, Method};
use crate::convert::{self, Malformed};
use crate::metrics::{Refused, refused};
use crate::pb::{self, login_server::Login};

pub(super) struct LoginService {
    ingress: Arc<dyn Ingress>,
    authentication: Arc<dyn Authentication>,
    calls: Calls,
}

impl LoginService {
    pub(super) fn new(
        ingress: Arc<dyn Ingress>,
        authentication: Arc<dyn Authentication>,
        calls: Calls,
    ) -> LoginService {
        LoginService { ingress, authentication, calls }
    }

    fn took(&self, method: Method, begun: Instant) {
        self.calls.took(method, calls::Status::Ok, begun.elapsed());
    }
}

fn malformed(why: Malformed) -> Status {
    refused(Refused::Malformed);
    Status::invalid_argument(why.to_string())
}

#[tonic::async_trait]
impl Login for LoginService {
    async fn step(&self, request: Request<pb::StepRequest>) -> Result<Response<pb::StepReply>, Status> {
        authorise(&request)?;
        let step = convert::to_step(request.into_inner()).map_err(malformed)?;
        let begun = Instant::now();
        let reply = self.authentication.step(step).await;
        self.took(Method::Step, begun);
        Ok(Response::new(convert::reply(reply)))
    }

    async fn abort(&self, request: Request<pb::AbortRequest>) -> Result<Response<pb::Empty>, Status> {
        authorise(&request)?;
        let exchange = convert::of_id(request.into_inner().exchange).map_err(malformed)?;
        self.authentication.abort(exchange);
        Ok(Response::new(pb::Empty {}))
    }

    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterReply>, Status> {
        authorise(&request)?;
        let pb::RegisterRequest { domain, username, password, peer } = request.into_inner();
        let domain = convert::of_account(&domain).map_err(malformed)?;
        let peer = convert::to_peer(&peer).map_err(malformed)?;
        let begun = Instant::now();
        let registered = self.ingress.register(&domain, &username, &password, peer).await;
        self.took(Method::Register, begun);
        Ok(Response::new(pb::RegisterReply { outcome: convert::register_outcome(registered).into() }))
    }
}
