//! A connection manager: client sockets, and whoever decides for them, here or behind the link.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use starling_connection_manager::{Hub, Listeners, Setup, Tls};
use starling_dns::Resolver;
use starling_ports::authentication::Authentication;
use starling_ports::ingress::Ingress;
use starling_rpc::Identity;
use starling_rpc::link::client::{self, Uplinks};
use tokio_util::sync::CancellationToken;

use super::{Base, Routing, features};
use crate::admin::Health;
use crate::config::Config;
use crate::reload::Clients;

/// What a manager cannot do without.
const NO_ROUTER: &str = "no session router is reached";
/// How often it is looked whether a router is there.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// Everything is in this process.
pub(super) fn alone(config: &Config, base: &Base, hub: Arc<Hub>, routing: &Routing) -> Result<Clients> {
    let features = features(&routing.pipeline);
    listen(config, base, hub, routing.pipeline.clone(), routing.login.clone(), features)
}

/// Session routers decide. Where this process is one, it decides itself, and has links to be reached by the others.
pub(super) async fn linked(
    config: &Config,
    base: &Base,
    hub: Arc<Hub>,
    routing: Option<&Routing>,
) -> Result<Clients> {
    let own = base.own.clone();
    let setup = client::Setup {
        node: base.node,
        routers: config.cluster.routers.clone(),
        resolver: Resolver::system(),
        identity: Identity::open(&config.cluster)?,
        holder: hub.clone(),
        report: Arc::new(move || own.report()),
        peers: base.peers.clone(),
        tasks: base.links.clone(),
        stop: base.unlink.clone(),
    };
    let local = routing.map(|routing| routing.pipeline.clone() as Arc<dyn Ingress>);
    let uplinks = Uplinks::start(setup, local);
    base.own.dials(&uplinks);
    if let Some(routing) = routing {
        return alone(config, base, hub, routing);
    }
    base.health.lacks(Some(NO_ROUTER));
    let mut announced = uplinks.announced();
    let first = announced.wait_for(Option::is_some).await.context(NO_ROUTER)?;
    let features = first.as_ref().map(|announced| announced.features.clone()).unwrap_or_default();
    drop(first);
    base.health.lacks(None);
    base.services.spawn(watch(uplinks.clone(), base.health.clone(), base.stop.clone()));
    listen(config, base, hub, uplinks.clone(), uplinks, features)
}

fn listen(
    config: &Config,
    base: &Base,
    hub: Arc<Hub>,
    ingress: Arc<dyn Ingress>,
    authentication: Arc<dyn Authentication>,
    features: String,
) -> Result<Clients> {
    let tls = Tls::open(&config.tls, &base.served, &config.data_dir).context("certificates")?;
    let tls = Arc::new(tls);
    let listeners = Listeners::start(Setup {
        config: config.connection_manager(),
        hub,
        ingress,
        authentication,
        domains: base.served.clone(),
        features: features.clone(),
        tls: tls.clone(),
        page: config.http.page.then_some(crate::page::PAGE),
        tracer: base.tracer.clone(),
        tasks: base.tasks.clone(),
        stop: base.clients.clone(),
    })?;
    Ok(Clients { tls, listeners, features: features.into() })
}

/// Ready while there is a router.
async fn watch(uplinks: Arc<Uplinks>, health: Arc<Health>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(LOOKED_EVERY);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        health.lacks((uplinks.count() == 0).then_some(NO_ROUTER));
    }
}
