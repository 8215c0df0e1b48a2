//! Who sent a request, and what protects it: by the socket, or by what a trusted proxy says.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::HOST;
use starling_stream::Security;

use crate::listeners::Kind;
use crate::network::Network;

/// A request's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The client, not the proxy.
    pub(crate) peer: IpAddr,
    /// What a stream on it is told; `None` where nobody may sign in.
    pub(crate) security: Option<Security>,
    /// Whether the client speaks TLS, to us or to the proxy.
    pub(crate) is_tls: bool,
    /// The host and port the client asked for.
    pub(crate) host: Option<String>,
}

impl Caller {
    /// Whether the TLS is our own, so that a login can be bound to it.
    pub(crate) fn has_own_tls(&self) -> bool {
        self.security == Some(Security::Direct)
    }
}

/// Judges a request that came from `peer` on a listener of `kind`.
pub(crate) fn of(kind: Kind, peer: IpAddr, proxies: &[Network], headers: &HeaderMap) -> Caller {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).filter(|host| is_host(host)).map(str::to_owned);
    let forwarded = list(headers, "x-forwarded-for");
    let own = match kind {
        Kind::Https => Some(Security::Direct),
        Kind::PlainHttp => Some(Security::Plain),
        _ => None,
    };
    if !is_proxy(peer) || forwarded.is_empty() && text("x-forwarded-proto").is_none() {
        return Caller { peer, security: own, is_tls: kind == Kind::Https, host };
    }
    // The last entry is what the proxy itself has seen; entries before it are believed as far as they are proxies too.
    let mut client = peer;
    for entry in forwarded.iter().rev() {
        let Some(address) = address(entry) else { break };
        client = address;
        if !is_proxy(address) {
            break;
        }
    }
    let proto = list(headers, "x-forwarded-proto").pop().unwrap_or_default();
    let is_tls = matches!(proto.to_ascii_lowercase().as_str(), "https" | "wss");
    let host = list(headers, "x-forwarded-host").pop().filter(|host| is_host(host)).or(host);
    Caller { peer: client.to_canonical(), security: is_tls.then_some(Security::Proxied), is_tls, host }
}

/// The entries of a header that is a list, or several.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|entry| entry.trim().to_owned()).collect()
}

/// Some proxies add the port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

/// What may stand in a URL without a second thought.
fn is_host(text: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(kind: Kind, peer: &str, headers: &[(&'static str, &str)]) -> Caller {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        of(kind, peer.parse().unwrap(), &proxies, &map)
    }

    const SAYS_TLS: &[(&str, &str)] = &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];

    #[test]
    fn without_tls_nobody_signs_in_but_where_it_is_allowed() {
        assert_eq!(judge(Kind::Http, "127.0.0.1", &[]).security, None);
        assert_eq!(judge(Kind::Http, "192.0.2.1", &[]).security, None);
        assert_eq!(judge(Kind::PlainHttp, "127.0.0.1", &[]).security, Some(Security::Plain));
        assert_eq!(judge(Kind::Https, "192.0.2.1", &[]).security, Some(Security::Direct));
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let caller = judge(Kind::Http, "10.1.1.1", SAYS_TLS);
        assert_eq!((caller.peer, caller.security), ("192.0.2.7".parse().unwrap(), Some(Security::Proxied)));
        let plain = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "http")];
        assert_eq!(judge(Kind::Http, "10.1.1.1", &plain).security, None);
        assert_eq!(judge(Kind::PlainHttp, "10.1.1.1", &plain).security, None);
        assert_eq!(judge(Kind::Https, "10.1.1.1", SAYS_TLS).security, Some(Security::Proxied));
    }

    #[test]
    fn anybody_else_is_not() {
        let caller = judge(Kind::Http, "192.0.2.1", SAYS_TLS);
        assert_eq!((caller.peer, caller.security), ("192.0.2.1".parse().unwrap(), None));
        let lie = [("x-forwarded-for", "127.0.0.1, 192.0.2.7, 10.2.2.2"), ("x-forwarded-proto", "https")];
        assert_eq!(judge(Kind::Http, "10.1.1.1", &lie).peer, "192.0.2.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_host_is_a_host() {
        for (host, good) in [("a.example:5280", true), ("[::1]:80", true), ("a'/><x", false), ("", false)] {
            assert_eq!(judge(Kind::Http, "192.0.2.1", &[("host", host)]).host.is_some(), good, "{host}");
        }
    }
}
