//! How long calls between nodes take, seen from either end. The only place that names these metrics.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Histogram, describe_histogram, histogram};

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::{METHODS, Method, Status};

/// What a call has come to that may take only so long.
type Timed<T> = Result<Result<T, tonic::Status>, Elapsed>;

#[derive(Debug, Clone, Copy)]
enum End {
    Client,
    Server,
}

/// Calls as one end sees them. What goes well is resolved once: counting it is an addition.
#[derive(Clone)]
pub(crate) struct Calls {
    end: End,
    well: Arc<[OnceLock<Histogram>; METHODS]>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Calls({:?})", self.end)
    }
}

impl Calls {
    /// Those that this process makes.
    pub(crate) fn made() -> Calls {
        describe_histogram!(
            "rpc_client_call_duration_seconds",
            "Time from a call to another process until its answer, with what was sent again meanwhile, by method and status"
        );
        Calls { end: End::Client, well: Arc::default() }
    }

    /// Those that it answers.
    pub(crate) fn answered() -> Calls {
        describe_histogram!(
            "rpc_server_call_duration_seconds",
            "Time that this process took to answer a call of another one, by method and status"
        );
        Calls { end: End::Server, well: Arc::default() }
    }

    pub(crate) fn took(&self, method: Method, status: Status, time: Duration) {
        match self.well.get(method as usize).filter(|_| status == Status::Ok) {
            Some(known) => known.get_or_init(|| self.named(method, status)).record(time),
            None => self.named(method, status).record(time),
        }
    }

    /// A call of its own, to another process.
    pub(crate) async fn timed<T>(&self, method: Method, call: impl Future<Output = Timed<T>>) -> Timed<T> {
        let begun = Instant::now();
        let answered = call.await;
        let status = match &answered {
            Ok(Ok(_)) => Status::Ok,
            Ok(Err(_)) => Status::Refused,
            Err(_) => Status::Late,
        };
        self.took(method, status, begun.elapsed());
        answered
    }

    fn named(&self, method: Method, status: Status) -> Histogram {
        let (method, status) = (method.as_str(), status.as_str());
        match self.end {
            End::Client => {
                histogram!("rpc_client_call_duration_seconds", "method" => method, "status" => status)
            }
            End::Server => {
                histogram!("rpc_server_call_duration_seconds", "method" => method, "status" => status)
            }
        }
    }
}
