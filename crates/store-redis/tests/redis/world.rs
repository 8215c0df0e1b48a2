//! Routers on one Redis, with the embedded store for all that is not Redis.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use starling_ports::archive::Archive;
use starling_ports::clock::SystemClock;
use starling_ports::ids::NodeId;
use starling_ports::position::Positions;
use starling_store_embedded::Store;
use starling_store_redis::{Config, Ports, Sessions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::Server;

/// A single Redis, and routers on it.
pub(crate) struct World {
    pub(crate) server: Server,
    routers: Routers,
}

impl World {
    pub(crate) fn new() -> World {
        World { server: Server::start(), routers: Routers::new() }
    }

    pub(crate) fn config(&self) -> Config {
        Config { url: self.server.url(), password_file: self.server.password_file(), ..patient() }
    }

    pub(crate) async fn router(&self) -> Arc<Sessions> {
        self.router_with(self.config()).await
    }
}

impl Deref for World {
    type Target = Routers;
    fn deref(&self) -> &Routers {
        &self.routers
    }
}

/// For a busy machine.
pub(crate) fn patient() -> Config {
    Config { call_timeout: Duration::from_secs(10), deadline: Duration::from_secs(60), ..Config::default() }
}

/// What routers have beside Redis.
pub(crate) struct Routers {
    pub(crate) store: Arc<Store>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Routers {
    pub(crate) fn new() -> Routers {
        let dir = tempfile::tempdir().unwrap();
        let config = starling_store_embedded::Config {
            data_dir: dir.path().to_owned(),
            sync: false,
            ..Default::default()
        };
        let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
        Routers { store, stop: CancellationToken::new(), _dir: dir }
    }

    pub(crate) async fn router_with(&self, config: Config) -> Arc<Sessions> {
        self.mortal_router(config).await.0
    }

    /// With what ends its tasks.
    pub(crate) async fn mortal_router(&self, config: Config) -> (Arc<Sessions>, CancellationToken) {
        self.router_on(config, self.store.clone()).await
    }

    /// The same with another archive before the same rows.
    pub(crate) async fn router_on(
        &self,
        config: Config,
        archive: Arc<dyn Archive>,
    ) -> (Arc<Sessions>, CancellationToken) {
        self.router_with_positions(config, archive, self.store.clone()).await
    }

    /// The same with other positions, too.
    pub(crate) async fn router_with_positions(
        &self,
        config: Config,
        archive: Arc<dyn Archive>,
        positions: Arc<dyn Positions>,
    ) -> (Arc<Sessions>, CancellationToken) {
        let stop = self.stop.child_token();
        let store = self.store.clone();
        let ports = Ports {
            accounts: store.clone(),
            blocklists: store.clone(),
            preferences: store,
            archive,
            positions,
            clock: Arc::new(SystemClock),
        };
        (Sessions::connect(config, ports, TaskTracker::new(), stop.clone()).await.unwrap(), stop)
    }
}

impl Drop for Routers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
