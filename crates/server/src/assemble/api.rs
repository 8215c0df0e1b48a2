//! Administration over HTTP: the listener, whoever keeps its door, and what TLS is spoken with.

use std::sync::Arc;

use anyhow::{Context, Result};
use starling_admin::{Bound, Doors, Guard};
use starling_connection_manager::Tls;

use super::{Base, not_listening};
use crate::config::Config;
use crate::control::Control;
use crate::reload::Clients;

/// What may change while it is served.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) guard: Arc<Guard>,
    /// Where no client's listener reads the same certificates.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Bound, and not answering yet.
pub(super) struct Api {
    pub(super) bound: Bound,
    pub(super) keeper: Keeper,
    with: Option<Arc<Tls>>,
}

/// In a session router too, which shows certificates to nobody else.
pub(super) async fn bind(config: &Config, base: &Base, clients: Option<&Clients>) -> Result<Api> {
    let guard = Guard::open(&config.api, &config.domains)
        .map_err(|invalid| anyhow::anyhow!("api.{}: {}", invalid.field, invalid.why))?;
    let own = match (config.api.tls, clients) {
        (true, None) => {
            let tls = Tls::open(&config.tls, &base.served, &config.data_dir).context("certificates")?;
            Some(Arc::new(tls))
        }
        _ => None,
    };
    let shared = clients.filter(|_| config.api.tls).map(|clients| clients.tls.clone());
    let bound = starling_admin::bind(&config.api).await.map_err(|refused| {
        not_listening(config.api.listen, " for administrators", refused, "in api.listen")
    })?;
    let keeper = Keeper { guard: Arc::new(guard), tls: own.clone() };
    Ok(Api { bound, keeper, with: own.or(shared) })
}

impl Api {
    pub(super) fn serve(self, control: Arc<Control>, base: &Base) -> Result<()> {
        let tls = self.with.map(|tls| tls.for_protocols(&[b"h2", b"http/1.1"])).transpose().context("TLS")?;
        let doors = Doors::new(control, base.services.clone());
        self.bound.serve(doors, self.keeper.guard, tls, &base.services, base.stop.clone());
        Ok(())
    }
}
