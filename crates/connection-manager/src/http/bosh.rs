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
/// How long it is waited for in a body that is too long for anybody.
const NAME_WITHIN: Duration = Duration::from_secs(2);

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
    let body = timeout(BODY_WITHIN, read(present, request.into_body()));
    let Some(body) = present.shared.stop.run_until_cancelled(body).await else {
        return closing(refuse(StatusCode::SERVICE_UNAVAILABLE, "the server stops"));
    };
    match body {
        Ok(Ok(body)) => {
            if bosh::sid_in(&body).is_some_and(|sid| present.shared.bosh.is_authenticated(sid)) {
                place.is_known();
            }
            taken(bosh::answer(present, security, caller.peer, &body).await)
        }
        Ok(Err(Unread::TooBig(sid))) => closing(taken(bosh::refuse(present, sid).await)),
        Ok(Err(Unread::Broken)) => closing(refuse(StatusCode::BAD_REQUEST, "the body cannot be read")),
        Err(_) => closing(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// An answer of XEP-0124 itself. A client that has said its version gets no HTTP code, but the condition (§17.1).
fn taken(answer: bosh::Answer) -> Answer {
    let text = match answer {
        bosh::Answer::Body(text) => text,
        bosh::Answer::Code(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
            return refuse(status, status.canonical_reason().unwrap_or_default());
        }
    };
    let mut answer = Response::new(Full::new(text));
    // Never what `content` asks for: as `text/html` a message could become a page of this origin.
    answer.headers_mut().insert(CONTENT_TYPE, plain("text/xml; charset=utf-8"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, plain("nosniff"));
    answer.headers_mut().insert(CACHE_CONTROL, plain("no-store"));
    answer
}

/// Why a body was not read to its end.
enum Unread {
    /// The client broke off, or broke the rules of HTTP.
    Broken,
    /// It has more than its session may send; or whoever is unknown.
    TooBig(Option<u128>),
}

/// The body, as long as its sender may send so much: more than a login needs only inside a session that has signed in.
async fn read(present: &Present, mut body: Incoming) -> Result<Bytes, Unread> {
    let limit = |is_known: bool| bosh::max_body(&present.shared.limits, is_known) as u64;
    let announced = body.size_hint().exact().unwrap_or(u64::MAX); // and hyper reads no more
    let mut read = Vec::new();
    // Too big for anybody: only the name is still wanted, if it comes soon.
    let within = if announced > limit(true) { NAME_WITHIN } else { BODY_WITHIN };
    if let Ok(result) = timeout(within, read_until(&mut body, &mut read, SID_WITHIN)).await {
        result?;
    }
    let sid = bosh::sid_in(read.get(..SID_WITHIN).unwrap_or(&read));
    if announced > limit(sid.is_some_and(|sid| present.shared.bosh.is_authenticated(sid))) {
        return Err(Unread::TooBig(sid));
    }
    read_until(&mut body, &mut read, usize::MAX).await?;
    Ok(read.into())
}

/// Reads until so much is there, or all.
async fn read_until(body: &mut Incoming, read: &mut Vec<u8>, length: usize) -> Result<(), Unread> {
    while read.len() < length
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|_| Unread::Broken)?;
        read.extend_from_slice(frame.data_ref().map(|data| &**data).unwrap_or_default());
    }
    Ok(())
}
