//! Deciding on the embedded store: the default, and a cluster of one session router.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use starling_connection_manager::Descriptors;
use starling_im::{Around, Domains, Pipeline, Stores};
use starling_ports::attempts::Attempts;
use starling_ports::delivery::Delivery;
use starling_ports::nodes::Nodes;
use starling_session_router::Login;
use starling_store_embedded::{self as store_embedded, ClockGap, Store};

use super::{Base, Routing};
use crate::clock;
use crate::config::Config;

/// Opens the store of the data directory, and builds on it what decides.
pub(super) fn open(config: &Config, base: &Base, delivery: Arc<dyn Delivery>) -> Result<Routing> {
    // Read before a client comes: what clients leave to the store is shared out by it.
    let files = usize::try_from(Descriptors::raise().store()).unwrap_or(usize::MAX);
    let limited = store_embedded::Config { max_open_files: files, ..config.store() };
    let store = Store::open(&limited, base.clock.clone(), base.node)?;
    if let Some(ClockGap::Behind(_)) = store.clock_gap() {
        clock::warn_of(clock::trouble_of_store(&store)); // of the opposite the store itself speaks
    }
    let stores = Stores::of(&store);
    let given = &config.cluster.secret;
    let secret = if given.as_os_str().is_empty() { config.data_dir.join("secret") } else { given.clone() };
    let backing = Backing { stores, nodes: store.clone(), attempts: store.clone(), secret };
    let routing = routing(config, base, delivery, backing)?;
    Ok(Routing { embedded: Some(store), ..routing })
}

/// What is decided on.
pub(super) struct Backing {
    pub(super) stores: Stores,
    pub(super) nodes: Arc<dyn Nodes>,
    pub(super) attempts: Arc<dyn Attempts>,
    /// The file with the secret of the installation.
    pub(super) secret: PathBuf,
}

/// What decides, on any stores.
pub(super) fn routing(
    config: &Config,
    base: &Base,
    delivery: Arc<dyn Delivery>,
    backing: Backing,
) -> Result<Routing> {
    let Backing { stores, nodes, attempts, secret } = backing;
    let (sessions, archive, positions) =
        (stores.sessions.clone(), stores.archive.clone(), stores.positions.clone());
    let domains = Domains::new(base.served.clone());
    let secret = read_or_make(&secret)?;
    let login = Login::new(stores.accounts.clone(), attempts, secret, base.services.clone());
    let login = Arc::new(if config.im.login_back_off { login } else { login.without_back_off() });
    let pipeline = Pipeline::new(
        config.im.clone(),
        domains.clone(),
        stores,
        Around { delivery, login: login.clone(), clock: base.clock.clone(), tracer: base.tracer.clone() },
        &base.services,
    );
    Ok(Routing { domains, pipeline, login, sessions, archive, positions, nodes, embedded: None })
}

/// 256 random bits that stay the same for the life of the installation; made where there are none.
fn read_or_make(path: &Path) -> Result<[u8; 32]> {
    if let Ok(bytes) = std::fs::read(path) {
        let secret = bytes.try_into().ok();
        return secret.with_context(|| format!("{} does not hold 32 bytes", path.display()));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    crate::quickstart::write_secret(path, &secret).with_context(|| format!("writing {}", path.display()))?;
    Ok(secret)
}
