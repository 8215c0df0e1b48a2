//! Who may send a browser here: no other site, and no name that another site may have made point here.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};

/// The request names a host that is ours: an address, `localhost`, or a name of the configuration. A name that is none of them may
/// belong to a page whose DNS was made to point here after it was loaded ("rebinding").
pub(crate) fn is_ours(uri: &Uri, headers: &HeaderMap, names: &[String]) -> bool {
    let Some(authority) = authority(uri, headers) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// No page of another origin asks: browsers say which one does, for whatever is not a mere link.
pub(crate) fn is_same_origin(uri: &Uri, headers: &HeaderMap, is_tls: bool) -> bool {
    let scheme = if is_tls { "https" } else { "http" };
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let own = authority(uri, headers).map(|authority| format!("{scheme}://{authority}"));
    origins.next().is_none()
        && own.is_some_and(|own| origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&own)))
}

/// What browsers say of a request besides (Fetch Metadata): `none` is somebody's own doing.
pub(crate) fn is_own_fetch(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// HTTP/2 has it in the request's URI, HTTP/1.1 in one header.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (first, second) = (hosts.next()?, hosts.next());
    if second.is_some() { None } else { first.to_str().ok()?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_host_is_an_address_or_a_name_of_ours() {
        let names = ["Chat.example".to_owned()];
        let ours = |host: &str| is_ours(&Uri::from_static("/"), &headers(&[("host", host)]), &names);
        for host in
            ["localhost", "LOCALHOST:5282", "127.0.0.1:5282", "[::1]:5282", "192.0.2.1", "chat.example"]
        {
            assert!(ours(host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "chat.example.", "", "a b"]
        {
            assert!(!ours(host), "{host}");
        }
        assert!(!is_ours(&Uri::from_static("/"), &HeaderMap::new(), &names));
        let twice = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(!is_ours(&Uri::from_static("/"), &twice, &names));
        assert!(!is_ours(
            &Uri::from_static("http://evil.example/"),
            &headers(&[("host", "localhost")]),
            &names
        ));
    }

    #[test]
    fn another_origin_is_refused() {
        let same = |origins: &[&str], is_tls| {
            let mut all = headers(&[("host", "localhost:5282")]);
            for origin in origins {
                all.append("origin", origin.parse().unwrap());
            }
            is_same_origin(&Uri::from_static("/v1/users"), &all, is_tls)
        };
        assert!(
            same(&[], false)
                && same(&["http://localhost:5282"], false)
                && same(&["https://localhost:5282"], true)
        );
        for origin in [
            "null",
            "http://localhost",
            "http://localhost:8080",
            "https://localhost:5282",
            "http://evil.example",
            "",
        ] {
            assert!(!same(&[origin], false), "{origin}");
        }
        assert!(!same(&["http://localhost:5282", "http://evil.example"], false));
    }

    #[test]
    fn a_fetch_of_another_site_is_known_without_an_origin() {
        assert!(is_own_fetch(&HeaderMap::new()));
        assert!(is_own_fetch(&headers(&[("sec-fetch-site", "same-origin")])));
        for site in ["cross-site", "same-site", "x"] {
            assert!(!is_own_fetch(&headers(&[("sec-fetch-site", site)])), "{site}");
        }
    }
}
