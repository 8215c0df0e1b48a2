//! Reading the configuration again: log level, limits, domains and certificates change at once, the rest is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use starling_connection_manager::{Listeners, Tls};
use starling_im::Domains;
use starling_telemetry::LogHandle;

use crate::assemble;
use crate::cli::Place;
use crate::config::Config;
use crate::quickstart;

/// What may change while the server runs.
const AT_ONCE: &[&str] = &["log.level", "domains", "tls", "limits", "http.origins", "http.public-url"];

/// Changes what may change while the server runs.
pub(crate) struct Reload {
    pub(crate) place: Place,
    pub(crate) is_quickstart: bool,
    pub(crate) running: Config,
    pub(crate) log: LogHandle,
    pub(crate) domains: Domains,
    pub(crate) tls: Arc<Tls>,
    pub(crate) listeners: Listeners,
    pub(crate) features: String,
}

impl Reload {
    /// Reads the configuration again; on an error the former one holds as a whole. The keys that have changed
    /// and need a restart are the answer.
    pub(crate) fn reload(&self) -> Result<Vec<String>> {
        let mut config = self.place.load()?;
        if self.is_quickstart {
            quickstart::prepare(&mut config);
        }
        let domains = assemble::domains(&config)?;
        self.tls.reload(&config.tls, &domains).context("certificates")?;
        crate::metrics::certificates(&config);
        self.log.set_level(&config.log.level)?;
        self.domains.replace(domains.clone());
        self.listeners.reload(config.connection_manager(), domains, self.features.clone());
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
