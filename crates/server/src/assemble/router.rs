//! A session router: decides for connection managers, which reach it by the link.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use starling_connection_manager::Hub;
use starling_ports::delivery::Delivery;
use starling_rpc::link::server::{self, Downlinks};
use starling_rpc::{Identity, Role, Stores};

use super::{Base, Routing, embedded, features, not_listening, shared};
use crate::config::Config;

/// What decides, and how managers reach it.
pub(super) struct Router {
    pub(super) routing: Routing,
    pub(super) downlinks: Arc<Downlinks>,
    pub(super) address: SocketAddr,
}

/// `None` where this process is no router. `hub` has its own sockets.
pub(super) async fn start(config: &Config, base: &Base, hub: Option<Arc<Hub>>) -> Result<Option<Router>> {
    if !config.plays(Role::SessionRouter) {
        return Ok(None);
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
        nodes: routing.nodes.clone(),
        peers: base.peers.clone(),
        downlinks: downlinks.clone(),
        features: features(&routing.pipeline),
        identity: Identity::open(&config.cluster)?,
        listen: config.cluster.listen,
        tasks: base.links.clone(),
        stop: base.unlink.clone(),
    })
    .await
    .map_err(|error| match error {
        starling_rpc::Error::Listen { address, source } => {
            not_listening(address, " for connection managers", source, "in cluster.listen")
        }
        other => other.into(),
    })?;
    Ok(Some(Router { routing, downlinks, address }))
}
