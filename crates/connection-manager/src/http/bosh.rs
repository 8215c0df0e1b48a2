//! `/bosh`: requests with their limits, and what browsers ask before they send any (CORS).

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::Answer;
use super::caller::Caller;
use super::handshake::is_allowed;
use super::route::{NOT_WITHOUT_TLS, closing, plain, refuse};
use crate::listeners::Present;
use crate::room::Place;
use crate::transport::bosh;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Where the session's name must stand in a body that is longer than an unknown client may send.
const SID_WITHIN: usize = 1024;

/// Answers a request to the connection manager of XEP-0124.
pub(super) async fn answer(
    present: &Present,
    caller: &Caller,
    place: &Place,
    request: Request<Incoming>,
) -> Answer {
    let origin = request.headers().get(ORIGIN).cloned();
    if !is_allowed(request.headers(), &present.config.http.origins) {
        return refuse(StatusCode::FORBIDDEN, "not from that page");
    }
    let mut answer = match *request.method() {
        Method::OPTIONS => preflight(),
        Method::POST => post(present, caller, place, request).await,
        _ => {
            let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "here is BOSH (XEP-0124): only POST");
            answer.headers_mut().insert(ALLOW, plain("POST, OPTIONS"));
            answer
        }
    };
    let origin = origin.unwrap_or_else(|| HeaderValue::from_static("*"));
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
    answer
}

fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    for (name, text) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        answer.headers_mut().insert(name, plain(text));
    }
    answer
}

async fn post(present: &Present, caller: &Caller, place: &Place, request: Request<Incoming>) -> Answer {
    let Some(security) = caller.security else {
        return closing(refuse(StatusCode::FORBIDDEN, NOT_WITHOUT_TLS));
    };
    let body = match timeout(BODY_WITHIN, read(present, request.into_body())).await {
        Ok(Ok(body)) => body,
        Ok(Err(status)) => return closing(refuse(status, "the body cannot be taken")),
        Err(_) => return closing(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    if bosh::sid_in(&body).is_some_and(|sid| present.shared.bosh.is_authenticated(sid)) {
        place.is_known();
    }
    let text = bosh::answer(present, security, caller.peer, &body).await;
    let mut answer = Response::new(Full::new(text));
    // Never what `content` asks for: as `text/html` a message could become a page of this origin.
    answer.headers_mut().insert(CONTENT_TYPE, plain("text/xml; charset=utf-8"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, plain("nosniff"));
    answer.headers_mut().insert(CACHE_CONTROL, plain("no-store"));
    answer
}

/// The body, as long as its sender may send so much: more than a login needs only inside a session that has signed in.
async fn read(present: &Present, mut body: Incoming) -> Result<Bytes, StatusCode> {
    let sessions = &present.shared.bosh;
    let announced = body.size_hint().exact().unwrap_or(u64::MAX);
    let limit = |is_known: bool| bosh::max_body(&present.shared.limits, is_known);
    if announced > limit(true) as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut read = Vec::new();
    let mut is_known = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        read.extend_from_slice(frame.data_ref().map(|data| &**data).unwrap_or_default());
        if is_known.is_none() && (read.len() >= SID_WITHIN || body.is_end_stream()) {
            let sid = bosh::sid_in(read.get(..SID_WITHIN).unwrap_or(&read));
            is_known = Some(sid.is_some_and(|sid| sessions.is_authenticated(sid)));
        }
        if read.len() > limit(is_known.unwrap_or(true)) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    Ok(read.into())
}
