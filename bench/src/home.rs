//! The server in this process: parser to store and back, without sockets, timers or the time of day.

use std::path::{Path as File, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use starling_connection_manager::{Config, Hub, ListenConfig, Setup, Tls, Unplugged, Wire};
use starling_im::{Around, Domains, Pipeline, Stores};
use starling_jid::BareJid;
use starling_ports::accounts::{Accounts, Credentials, ScramKeys};
use starling_ports::clock::Clock;
use starling_ports::ids::{NodeId, Timestamp};
use starling_ports::roster::{Contact, Edit, Rosters, Subscription};
use starling_ports::trace::Tracer;
use starling_session_router::Login;
use starling_store_embedded::{self as store_embedded, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The one domain.
pub(crate) const DOMAIN: &str = "localhost";
/// Nothing that depends on how fast the machine is happens before this is over.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A server, and the directory that goes with it.
pub(crate) struct Home {
    store: Arc<Store>,
    pipeline: Arc<Pipeline>,
    door: Unplugged,
    tasks: TaskTracker,
    directory: PathBuf,
}

/// It goes on by a millisecond whenever it is looked at.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

impl Home {
    pub(crate) fn open(archive: bool) -> Result<Home> {
        let directory = std::env::temp_dir().join(format!("starling-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let home = Home::open_in(&directory, archive);
        home.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))
    }

    fn open_in(directory: &File, archive: bool) -> Result<Home> {
        let clock = Arc::new(Steps(AtomicU64::new(1_795_000_000_000_000)));
        let node = NodeId { name: 0, incarnation: 1 };
        let tasks = TaskTracker::new();
        // Not synced: that takes time and no instructions.
        let config = store_embedded::Config {
            data_dir: directory.join("store"),
            save_every: NEVER,
            min_free_bytes: 0,
            sync: false,
            ..store_embedded::Config::default()
        };
        let store = Store::open(&config, clock.clone(), node)?;
        let hub = Arc::new(Hub::new(node));
        let login = Arc::new(Login::new(store.clone(), store.clone(), [7; 32], tasks.clone()));
        let domain = BareJid::new(DOMAIN)?;
        let tracer = Tracer::default();
        let pipeline = Pipeline::new(
            starling_im::Config { archive, ..starling_im::Config::default() },
            Domains::new([domain.clone()]),
            Stores::of(&store),
            Around { delivery: hub.clone(), login: login.clone(), clock, tracer: tracer.clone() },
            &tasks,
        );
        let listen = ListenConfig { mechanisms: vec!["SCRAM-SHA-1".to_owned()], ..ListenConfig::default() };
        let mut config = Config { listen, ..Config::default() };
        config.limits.stanzas_per_second = 0; // no time goes by in which a client could say more
        config.limits.bytes_per_second = 0;
        let domains = vec![domain];
        let door = Unplugged::new(Setup {
            tls: Arc::new(Tls::open(&config.tls, &domains, directory)?),
            config,
            hub,
            ingress: pipeline.clone(),
            authentication: login,
            domains,
            features: String::new(),
            page: None,
            tracer,
            tasks: tasks.clone(),
            stop: CancellationToken::new(),
        });
        Ok(Home { store, pipeline, door, tasks, directory: directory.to_owned() })
    }

    /// Makes an account that these keys prove.
    pub(crate) async fn account(&self, name: &str, keys: &ScramKeys) -> Result<()> {
        let credentials = Credentials { sha1: Some(keys.clone()), sha256: None };
        let created = self.store.create(&jid(name)?, credentials, Timestamp(0)).await?;
        if created == starling_ports::accounts::Created::Exists {
            bail!("{name} exists");
        }
        Ok(())
    }

    /// Both see each other's presence.
    pub(crate) async fn befriend(&self, one: &str, other: &str) -> Result<()> {
        let state = Subscription { to: true, from: true, ..Subscription::default() };
        for (owner, contact) in [(one, other), (other, one)] {
            let owner = jid(owner)?;
            let roster = Rosters::get(&*self.store, &owner).await?;
            let jid = jid(contact)?;
            let contact = Contact {
                jid,
                name: None,
                groups: Vec::new(),
                state,
                version: 0,
                request: None,
                listed: true,
            };
            self.store.write(&owner, roster.version, vec![Edit::Put(contact)]).await?;
        }
        Ok(())
    }

    /// A client connects.
    pub(crate) fn connect(&self) -> (Arc<Wire>, JoinHandle<()>) {
        let wire = Arc::new(Wire::default());
        let served = self.tasks.spawn(self.door.serve(wire.clone()));
        (wire, served)
    }

    /// What waits is written, as at a stop.
    pub(crate) fn close(&self) {
        self.pipeline.stop();
        self.store.close();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory); // it lies among the files of the moment
    }
}

fn jid(name: &str) -> Result<BareJid> {
    Ok(BareJid::new(&format!("{name}@{DOMAIN}"))?)
}
