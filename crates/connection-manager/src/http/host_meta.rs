//! XEP-0156 Discovering Alternative XMPP Connection Methods: where WebSocket and BOSH are.
//!
//! Version 1.4.0 of XEP-0156: complete.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use hyper::{Method, Response, StatusCode};
use starling_xml::escape_attr;

use super::Answer;
use super::caller::Caller;
use super::route::{plain, refuse};
use crate::listeners::Present;

const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";

/// The document at `path`; `None` if there is none.
pub(super) fn answer(present: &Present, caller: &Caller, method: &Method, path: &str) -> Option<Answer> {
    let is_json = match path {
        "/.well-known/host-meta" => false,
        "/.well-known/host-meta.json" => true,
        _ => return None,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Some(refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET"));
    }
    let links = links(present, caller);
    let (content_type, text) = match is_json {
        true => ("application/json", json(&links)),
        false => ("application/xrd+xml; charset=utf-8", xrd(&links)),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    answer.headers_mut().insert(CONTENT_TYPE, plain(content_type));
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, plain("*")); // §3: pages of any host look here
    Some(answer)
}

/// As the client came here, unless it is configured where clients are to come. Where nobody could sign in, as he came: at the
/// first address that speaks TLS, or nowhere.
fn links(present: &Present, caller: &Caller) -> Vec<(&'static str, String)> {
    let public = present.config.http.public_url.trim_end_matches('/');
    let (is_tls, host) = match public.split_once("://") {
        Some((scheme, host)) => (scheme == "https", host.to_owned()),
        None => {
            let domain = || present.domains.first().map(|domain| domain.as_str().to_owned());
            let host = caller.host.clone().or_else(domain).unwrap_or_default();
            match (caller.security, present.config.listen.https.first()) {
                (Some(_), _) => (caller.is_tls, host),
                (None, Some(https)) => (true, format!("{}:{}", without_port(&host), https.port())),
                (None, None) => return Vec::new(),
            }
        }
    };
    let secure = if is_tls { "s" } else { "" };
    vec![(WEBSOCKET, format!("ws{secure}://{host}/ws")), (BOSH, format!("http{secure}://{host}/bosh"))]
}

/// `example.org` of `example.org:5280`; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn xrd(links: &[(&str, String)]) -> String {
    let mut text =
        b"<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n"
            .to_vec();
    for (rel, href) in links {
        text.extend_from_slice(format!("  <Link rel='{rel}' href='").as_bytes());
        escape_attr(&mut text, href);
        text.extend_from_slice(b"'/>\n");
    }
    text.extend_from_slice(b"</XRD>\n");
    String::from_utf8_lossy(&text).into_owned()
}

/// The hosts hold nothing that JSON would want escaped: see `Caller::host` and `HttpConfig::public_url`.
fn json(links: &[(&str, String)]) -> String {
    let links: Vec<String> =
        links.iter().map(|(rel, href)| format!("{{\"rel\":\"{rel}\",\"href\":\"{href}\"}}")).collect();
    format!("{{\"links\":[{}]}}\n", links.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_without_its_port() {
        for (host, name) in [
            ("example.org:5280", "example.org"),
            ("example.org", "example.org"),
            ("[::1]:5280", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
