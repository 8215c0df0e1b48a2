//! The handshake of WebSocket (RFC 6455 §4.2), with the subprotocol of RFC 7395 §3.1.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use sha1::{Digest, Sha1};

use super::Answer;
use super::route::{plain, refuse};

/// RFC 6455 §1.3.
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const PROTOCOL: &str = "xmpp";

/// Answers a request for a WebSocket; `101` says that it is granted. A proxy hands an `Upgrade` on to clients of HTTP/2, for which the
/// answer is malformed then (RFC 9113 §8.2.2; nginx 1.22 does): where one speaks for its client, none is sent but with `101`.
pub(super) fn answer<B>(request: &Request<B>, origins: &[String], is_proxied: bool) -> Answer {
    let headers = request.headers();
    let is_upgrade = has_token(headers, UPGRADE, "websocket") && has_token(headers, CONNECTION, "upgrade");
    if !is_upgrade && is_proxied {
        return refuse(StatusCode::BAD_REQUEST, "here is WebSocket (RFC 7395)");
    }
    if !is_upgrade {
        let mut answer = refuse(StatusCode::UPGRADE_REQUIRED, "here is WebSocket (RFC 7395)");
        answer.headers_mut().insert(UPGRADE, value("websocket"));
        return answer;
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut answer = refuse(StatusCode::UPGRADE_REQUIRED, "only version 13");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, value("13"));
        return answer;
    }
    if !is_allowed(headers, origins) {
        return refuse(StatusCode::FORBIDDEN, "not from that page");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(hyper::header::HeaderValue::as_bytes).unwrap_or_default();
    if BASE64_STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return refuse(StatusCode::BAD_REQUEST, "no key of 16 bytes");
    }
    if !has_token(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return refuse(StatusCode::BAD_REQUEST, "only the subprotocol xmpp is spoken here");
    }
    let mut answer: Answer = Response::new(Default::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(SALT).finalize());
    for (name, text) in [
        (UPGRADE, "websocket"),
        (CONNECTION, "upgrade"),
        (SEC_WEBSOCKET_PROTOCOL, PROTOCOL),
        (SEC_WEBSOCKET_ACCEPT, &accept),
    ] {
        answer.headers_mut().insert(name, value(text));
    }
    answer
}

/// Whether a page of that origin may connect. Who is no browser sends none; an empty list allows all: there are no
/// cookies, so a page can do nothing that its user's password does not allow it.
pub(super) fn is_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    match headers.get(ORIGIN) {
        Some(origin) if !origins.is_empty() => {
            origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
        }
        _ => true,
    }
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

fn value(text: &str) -> hyper::header::HeaderValue {
    plain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl Fn(&mut HeaderMap)) -> Answer {
        let mut request = Request::new(());
        for (name, text) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "other, xmpp"),
        ] {
            request.headers_mut().insert(name, text.parse().unwrap());
        }
        change(request.headers_mut());
        answer(&request, &["https://chat.example".to_owned()], false)
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let answer = asked(|_| {});
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "xmpp");
    }

    #[test]
    fn what_is_no_websocket_for_xmpp_is_refused() {
        let without = |name: &'static str| asked(move |headers| drop(headers.remove(name))).status().as_u16();
        assert_eq!(without("upgrade"), 426);
        assert_eq!(without("sec-websocket-version"), 426);
        assert_eq!(without("sec-websocket-key"), 400);
        assert_eq!(without("sec-websocket-protocol"), 400);
        let chat = asked(|headers| drop(headers.insert("sec-websocket-protocol", "chat".parse().unwrap())));
        assert_eq!(chat.status(), 400);
    }

    /// RFC 9110 §15.5.22 wants `Upgrade` with 426, and RFC 9113 §8.2.2 forbids it to whoever is behind the proxy.
    #[test]
    fn a_proxy_is_given_no_upgrade_to_hand_on() {
        let bare = Request::new(());
        let [direct, proxied] = [false, true].map(|is_proxied| answer(&bare, &[], is_proxied));
        assert_eq!((direct.status().as_u16(), proxied.status().as_u16()), (426, 400));
        assert_eq!([direct, proxied].map(|answer| answer.headers().contains_key("upgrade")), [true, false]);
    }

    #[test]
    fn pages_that_are_not_listed_are_refused() {
        let from = |origin: &str| {
            asked(|headers| drop(headers.insert("origin", origin.parse().unwrap()))).status().as_u16()
        };
        assert_eq!(from("https://chat.example"), 101);
        assert_eq!(from("https://evil.example"), 403);
        assert_eq!(from("null"), 403);
    }
}
