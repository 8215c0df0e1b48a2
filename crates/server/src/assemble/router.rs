//! A session router: decides for connection managers, which reach it by the link.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use starling_connection_manager::Hub;
use starling_im::Pipeline;
use starling_ports::delivery::Delivery;
use starling_rpc::link::server::{self, Downlinks};
use starling_rpc::{Identity, Role, Stores};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Base, Routing, embedded, features, shared};
use crate::admin::Health;
use crate::config::Config;

/// How often the stores are asked whether they answer, and how long they may take.
const ASKED_EVERY: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(4);

/// What decides, and where managers reach it; neither where this process is no router. `hub` has its own sockets.
pub(super) async fn start(
    config: &Config,
    base: &Base,
    hub: Option<Arc<Hub>>,
) -> Result<(Option<Routing>, Option<SocketAddr>)> {
    if !config.plays(Role::SessionRouter) {
        return Ok((None, None));
    }
    let downlinks = Downlinks::new(hub.map(|hub| (base.node, hub as Arc<dyn Delivery>)));
    let routing = match config.cluster.stores {
        Stores::Embedded => embedded::open(config, base, downlinks.clone())?,
        Stores::Shared => shared::open(config, base, downlinks.clone()).await?,
    };
    let address = server::start(server::Setup {
        node: base.node,
        ingress: routing.pipeline.clone(),
        authentication: routing.login.clone(),
        downlinks,
        features: features(&routing.pipeline),
        identity: Identity::open(&config.cluster)?,
        listen: config.cluster.listen,
        tasks: base.links.clone(),
        stop: base.unlink.clone(),
    })
    .await?;
    base.services.spawn(watch(routing.pipeline.clone(), base.health.clone(), base.stop.clone()));
    Ok((Some(routing), Some(address)))
}

/// Ready while the stores answer.
async fn watch(pipeline: Arc<Pipeline>, health: Arc<Health>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(ASKED_EVERY);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let asked = timeout(WITHIN, pipeline.context().list_accounts(None, 1)).await;
        health.reaches(matches!(asked, Ok(Ok(_))));
    }
}
