//! Reading the configuration again: log level, limits, domains and certificates change at once, the rest is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::RwLock;
use starling_connection_manager::{Listeners, Tls};
use starling_im::Domains;
use starling_ports::trace::Tracer;
use starling_telemetry::LogHandle;

use crate::assemble::{self, Keeper};
use crate::cli::Origin;
use crate::config::Config;

/// What may change while the server runs.
const AT_ONCE: &[&str] = &[
    "log.level",
    "domains",
    "tls",
    "limits",
    "http.origins",
    "http.public-url",
    "api.hosts",
    "api.tokens",
    "otlp.sample-rate",
    "otlp.sample-accounts",
    "otlp.most-per-second",
];

/// Changes what may change while the server runs.
pub(crate) struct Reload {
    pub(crate) origin: Origin,
    pub(crate) running: Config,
    pub(crate) log: LogHandle,
    /// Where this process decides about stanzas.
    pub(crate) domains: Option<Domains>,
    /// Where clients come in here.
    pub(crate) clients: Option<Arc<Clients>>,
    pub(crate) tracer: Tracer,
    /// Where administration is served here.
    pub(crate) api: Option<Keeper>,
}

/// The listeners, and what they tell clients.
pub(crate) struct Clients {
    pub(crate) tls: Arc<Tls>,
    pub(crate) listeners: Listeners,
    /// What the routers add to the features of a stream.
    pub(crate) features: RwLock<String>,
}

impl Reload {
    /// What is shown to clients, or else to administrators.
    pub(crate) fn tls(&self) -> Option<&Arc<Tls>> {
        let of_clients = self.clients.as_ref().map(|clients| &clients.tls);
        of_clients.or_else(|| self.api.as_ref()?.tls.as_ref())
    }

    /// Reads the configuration again; on an error the former one holds as a whole. The keys that have changed
    /// and need a restart are the answer.
    pub(crate) fn reload(&self) -> Result<Vec<String>> {
        let config = self.origin.load()?;
        let served = assemble::domains(&config)?;
        if let Some(tls) = self.tls() {
            let before = tls.expiries().into_iter().map(|(domain, _)| domain);
            tls.reload(&config.tls, &served).context("certificates")?;
            crate::metrics::no_certificates(
                before.filter(|domain| !served.iter().any(|one| one.as_str() == domain)),
            );
            crate::metrics::certificates(tls);
        }
        if let Some(api) = &self.api {
            let read = api.guard.reload(&config.api, &config.domains);
            read.map_err(|invalid| anyhow::anyhow!("api.{}: {}", invalid.field, invalid.why))?;
        }
        self.log.set_level(&config.log.level)?;
        self.tracer.follow(crate::trace::sampling(&config.otlp)?);
        if let Some(domains) = &self.domains {
            domains.replace(served.clone());
        }
        if let Some(clients) = &self.clients {
            let features = clients.features.read().clone();
            clients.listeners.reload(config.connection_manager(), served, features);
        }
        let (before, after) = (values(&self.running)?, values(&config)?);
        let is_changed = |key: &&String| before.get(*key) != after.get(*key);
        let needs_restart = |key: &&String| {
            !AT_ONCE.iter().any(|part| {
                key.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        Ok(after.keys().filter(is_changed).filter(needs_restart).cloned().collect())
    }
}

/// All values by the path of their key.
fn values(config: &Config) -> Result<BTreeMap<String, toml::Value>> {
    let mut found = BTreeMap::new();
    flatten(&config.to_table()?, "", &mut found);
    Ok(found)
}

fn flatten(table: &toml::Table, path: &str, found: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(inner, &path, found),
            value => drop(found.insert(path, value.clone())),
        }
    }
}
