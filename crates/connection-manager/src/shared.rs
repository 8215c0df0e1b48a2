//! What all connections of a node have in common.

use std::sync::Arc;

use starling_ports::authentication::Authentication;
use starling_ports::ingress::Ingress;
use starling_ports::trace::Tracer;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::config::LimitsConfig;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::room::Room;
use crate::scratch::Pool;
use crate::strangers::Strangers;
use crate::tls::Tls;
use crate::transport::bosh;

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) ingress: Arc<dyn Ingress>,
    pub(crate) authentication: Arc<dyn Authentication>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) limits: LimitsConfig,
    pub(crate) pool: Arc<Pool>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) room: Room,
    pub(crate) bosh: Arc<bosh::Sessions>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// The process is to stop.
    pub(crate) stop: CancellationToken,
}
