//! Which part answers a request.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use starling_stream::Security;

use super::caller::Caller;
use super::{Answer, Upgrade, bosh, handshake, host_meta, page};
use crate::listeners::Present;
use crate::room::Place;

/// After so many seconds a client that was one too many may come again.
const RETRY: &str = "10";
pub(super) const NOT_WITHOUT_TLS: &str = "not without TLS: use https or wss";

/// Answers; a granted WebSocket is left in `upgrade`.
pub(super) async fn answer(
    present: Arc<Present>,
    caller: Caller,
    place: &Place,
    request: Request<Incoming>,
    upgrade: Arc<Mutex<Option<Upgrade>>>,
) -> Result<Answer, Infallible> {
    if place.is_refused() {
        present.shared.metrics.full.increment(1);
        let mut answer = refuse(StatusCode::SERVICE_UNAVAILABLE, "too many clients are here");
        answer.headers_mut().insert(RETRY_AFTER, plain(RETRY));
        return Ok(closing(answer));
    }
    // RFC 9112 §6.1: where a length is given two ways, a proxy may have read another request than we do. What is
    // sent here has a length.
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return Ok(closing(refuse(StatusCode::LENGTH_REQUIRED, "only Content-Length")));
    }
    let http = &present.config.http;
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/ws" | "/ws/") if caller.security.is_none() => {
            refuse(StatusCode::FORBIDDEN, NOT_WITHOUT_TLS)
        }
        (&Method::GET, "/ws" | "/ws/") => {
            let is_proxied = caller.security == Some(Security::Proxied);
            let answer = handshake::answer(&request, &http.origins, is_proxied);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                *upgrade.lock() = Some(Upgrade { caller });
            }
            answer
        }
        (_, "/bosh" | "/bosh/") => bosh::answer(&present, &caller, place, request).await,
        (_, "/ws" | "/ws/") => refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET"),
        (method, path) => host_meta::answer(&present, &caller, method, path)
            .or_else(|| page::answer(present.page?, method, path))
            .unwrap_or_else(|| refuse(StatusCode::NOT_FOUND, "nothing is here")),
    })
}

/// A refusal, with a line for a person.
pub(super) fn refuse(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, plain("text/plain; charset=utf-8"));
    answer
}

/// The same, after which nothing more is read: what follows cannot be trusted to be a request.
pub(super) fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, plain("close"));
    answer
}

/// Text as a header's value; what cannot be one is left empty.
pub(super) fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
