//! How a node listens to clients.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_ports::authentication::Mechanism;

use crate::error::Invalid;
use crate::network::Network;

/// Everything about client sockets. Every field has a default that is right for one laptop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where clients come in.
    pub listen: ListenConfig,
    /// What a client may cost.
    pub limits: LimitsConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// What HTTP listeners serve.
    pub http: HttpConfig,
    /// How clients leave when the node stops and others take them.
    pub drain: DrainConfig,
}

/// What clients may prove themselves by, strongest first.
const OFFERED: [&str; 3] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

/// Addresses to listen on. `[::]` takes IPv4 clients too; an empty list switches that way in off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListenConfig {
    /// TCP with STARTTLS.
    pub c2s: Vec<SocketAddr>,
    /// TCP with TLS from the first byte.
    pub direct_tls: Vec<SocketAddr>,
    /// TCP where login without TLS is allowed; loopback addresses only.
    pub plain: Vec<SocketAddr>,
    /// HTTP: WebSocket (`/ws`), BOSH (`/bosh`), host-meta. Nobody signs in here unless a trusted proxy says that the
    /// client came by TLS.
    pub http: Vec<SocketAddr>,
    /// The same, and login without TLS is allowed; loopback addresses only.
    pub plain_http: Vec<SocketAddr>,
    /// The same over TLS.
    pub https: Vec<SocketAddr>,
    /// Proxies that may say for whom they speak, as addresses or ranges: by the PROXY protocol v2 before anything else on any
    /// listener, by X-Forwarded-For, -Proto and -Host on HTTP. TLS that ended at such a proxy counts as TLS, without channel
    /// binding: on `c2s` where its PROXY header says so, on HTTP where X-Forwarded-Proto is `https`.
    pub trusted_proxies: Vec<Network>,
    /// How clients may prove who they are: `SCRAM-SHA-256`, `SCRAM-SHA-1`, `PLAIN`; the `-PLUS` of each where there is TLS to bind to.
    /// Clients take the best that is offered, so where accounts came from a server that kept only keys for SHA-1, leave
    /// `SCRAM-SHA-256` out until their passwords were set anew.
    pub mechanisms: Vec<String>,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let everywhere = |port| vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
        Self {
            c2s: everywhere(5222),
            direct_tls: everywhere(5223),
            plain: Vec::new(),
            http: everywhere(5280),
            plain_http: Vec::new(),
            https: everywhere(5443),
            trusted_proxies: Vec::new(),
            mechanisms: OFFERED.map(str::to_owned).to_vec(),
        }
    }
}

/// How clients leave a connection manager that is stopped, or told to by `starling ctl drain start`, while others can take them:
/// who can resume its stream (XEP-0198) loses its socket, others are told `system-shutdown`. Without effect with
/// `mode = "embedded"`: where this process is the only one, it stops at once, and its sessions are saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DrainConfig {
    /// Over which time they leave, evenly, and never more than a second apart; 0: all at once. Whoever stops the process must give
    /// it a minute more than this before it kills it.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How many leave in a second at most, though it takes longer than the window then; 0: any number.
    pub max_rate: u32,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(120), max_rate: 500 }
    }
}

/// What HTTP listeners serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// Pages that may connect by WebSocket or BOSH, by their origins such as `https://chat.example.org`; none listed:
    /// pages of any origin. A page can do nothing here without its user's password, for there are no cookies.
    pub origins: Vec<String>,
    /// Where clients reach this server by HTTP, such as `https://chat.example.org`, for host-meta (XEP-0156). Empty: as the
    /// request came, by its Host, and by X-Forwarded-Host and X-Forwarded-Proto of a trusted proxy.
    pub public_url: String,
    /// Whether the chat page is served at `/`; `run --quickstart` serves it in any case.
    pub page: bool,
}

/// What a client may cost. A limit of 0 is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsConfig {
    /// The largest stanza, in bytes; a bigger one ends the stream with `policy-violation`.
    pub stanza_bytes: usize,
    /// The same before login.
    pub login_bytes: usize,
    /// How many elements may be open at once in a stanza of who has signed in, itself included; before login 8. What is deeper than
    /// 256 the server passes on where this allows it, but does not read itself.
    pub depth: usize,
    /// How long a client may take to sign in.
    #[serde(with = "humantime_serde")]
    pub login_within: Duration,
    /// How long a stanza may take from its first byte to its last.
    #[serde(with = "humantime_serde")]
    pub stanza_within: Duration,
    /// How long a client may be silent, down to its TCP, while something is on its way to it: then it is dead. One whose
    /// TCP answers is slow, and kept. Where the system does not say what TCP answers, because it refuses sockets of AF_NETLINK, the
    /// log warns (`sock_diag_silent`), and a client is dead when the system gives it up, after a quarter of an hour.
    #[serde(with = "humantime_serde")]
    pub dead_after: Duration,
    /// How long a client without XEP-0198 may leave a ping unanswered; then what its TCP has acknowledged counts as
    /// received.
    #[serde(with = "humantime_serde")]
    pub ping_within: Duration,
    /// How many stanzas a second are read from one client for long; what is more waits in its socket.
    pub stanzas_per_second: u32,
    /// How many stanzas may come at once above that; not 0 where the rate is limited.
    pub stanzas_at_once: u32,
    /// How many bytes a second are read from one client for long.
    pub bytes_per_second: u32,
    /// How many bytes may come at once above that; not 0 where the rate is limited.
    pub bytes_at_once: u32,
    /// How many connections one address may have that have not signed in.
    pub unauthenticated_per_address: u32,
    /// How many connections there may be in all that have not signed in; never more than half of what the file descriptors of
    /// the process allow.
    pub unauthenticated: u32,
    /// How many sessions may be on their way to begin at once; others wait, and those that are resumed (XEP-0198) go first.
    pub logins_at_once: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            stanza_bytes: 256 * 1024,
            login_bytes: 10_000,
            depth: 64,
            login_within: Duration::from_secs(30),
            stanza_within: Duration::from_secs(60),
            dead_after: Duration::from_secs(90),
            ping_within: Duration::from_secs(60),
            stanzas_per_second: 1000,
            stanzas_at_once: 5000,
            bytes_per_second: 1024 * 1024,
            bytes_at_once: 8 * 1024 * 1024,
            unauthenticated_per_address: 1000,
            unauthenticated: 10_000,
            logins_at_once: 256,
        }
    }
}

/// Certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsConfig {
    /// By domain. A domain that is not named here gets a self-signed one.
    pub certificates: BTreeMap<String, CertificateFiles>,
}

/// The files of one domain, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertificateFiles {
    /// The certificate, then its issuers.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Config {
    /// Checked before the first socket is bound, and by `starling config check`.
    pub fn check(&self) -> Result<(), Invalid> {
        let invalid = |field, why: &str| Err(Invalid { field, why: why.to_owned() });
        let listen = &self.listen;
        for (addresses, field) in [(&listen.plain, "listen.plain"), (&listen.plain_http, "listen.plain-http")]
        {
            if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
                let why = format!("{address} is not a loopback address: there nobody signs in without TLS");
                return Err(Invalid { field, why });
            }
        }
        listen.check_once()?;
        listen.check_mechanisms()?;
        self.http.check()?;
        let limits = &self.limits;
        if (1..10_000).contains(&limits.stanza_bytes) {
            return invalid("limits.stanza-bytes", "RFC 6120 §13.12 wants at least 10000");
        }
        if (1..1024).contains(&limits.login_bytes) {
            return invalid("limits.login-bytes", "a login needs up to 1024");
        }
        if (1..4).contains(&limits.depth) {
            return invalid("limits.depth", "stanzas are at least 4 deep");
        }
        if limits.ping_within < Duration::from_secs(1) {
            return invalid("limits.ping-within", "an answer takes its time: at least 1s");
        }
        for (rate, burst, field) in [
            (limits.stanzas_per_second, limits.stanzas_at_once, "limits.stanzas-at-once"),
            (limits.bytes_per_second, limits.bytes_at_once, "limits.bytes-at-once"),
        ] {
            if rate > 0 && burst == 0 {
                return invalid(field, "must be above 0 where the rate is limited");
            }
        }
        Ok(())
    }
}

impl ListenConfig {
    /// The mechanisms that are offered, strongest first.
    pub(crate) fn offered(&self) -> Vec<Mechanism> {
        let is_listed = |mechanism: &Mechanism| {
            let name = mechanism.as_str();
            self.mechanisms.iter().any(|listed| listed == name.strip_suffix("-PLUS").unwrap_or(name))
        };
        Mechanism::ALL.into_iter().filter(is_listed).collect()
    }

    fn check_mechanisms(&self) -> Result<(), Invalid> {
        let field = "listen.mechanisms";
        if let Some(other) = self.mechanisms.iter().find(|name| !OFFERED.contains(&name.as_str())) {
            let why = format!("{other:?} is none of {}", OFFERED.join(", "));
            return Err(Invalid { field, why });
        }
        if self.mechanisms.is_empty() {
            return Err(Invalid { field, why: "nobody could sign in".to_owned() });
        }
        Ok(())
    }

    /// One socket is one way in; the system chooses another port for each 0.
    fn check_once(&self) -> Result<(), Invalid> {
        let lists = [
            ("listen.c2s", &self.c2s),
            ("listen.direct-tls", &self.direct_tls),
            ("listen.plain", &self.plain),
            ("listen.http", &self.http),
            ("listen.plain-http", &self.plain_http),
            ("listen.https", &self.https),
        ];
        let mut known = BTreeMap::new();
        for (field, addresses) in lists {
            for address in addresses.iter().filter(|address| address.port() != 0) {
                match known.insert(address, field) {
                    None => {}
                    Some(other) if other == field => {
                        return Err(Invalid { field, why: format!("{address} is listed twice in {field}") });
                    }
                    Some(other) => {
                        let why =
                            format!("{address} is listed in {other} and in {field}: it can be one of them");
                        return Err(Invalid { field, why });
                    }
                }
            }
        }
        Ok(())
    }
}

impl HttpConfig {
    fn check(&self) -> Result<(), Invalid> {
        let is_url = |url: &str| {
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            host.is_some_and(|host| {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
            })
        };
        if let Some(origin) = self.origins.iter().find(|origin| !is_url(origin)) {
            let why = format!("{origin:?} is not an origin such as https://chat.example.org");
            return Err(Invalid { field: "http.origins", why });
        }
        if !self.public_url.is_empty() && !is_url(self.public_url.trim_end_matches('/')) {
            let why = format!("{:?} is not a URL such as https://chat.example.org", self.public_url);
            return Err(Invalid { field: "http.public-url", why });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn login_without_tls_stays_on_loopback() {
        let mut config = Config::default();
        config.listen.plain = vec!["127.0.0.1:5224".parse().unwrap(), "[::1]:5224".parse().unwrap()];
        assert_eq!(config.check(), Ok(()));
        config.listen.plain.push("0.0.0.0:5224".parse().unwrap());
        assert_eq!(config.check().unwrap_err().field, "listen.plain");
        let mut config = Config::default();
        config.listen.plain_http = vec!["[::1]:5280".parse().unwrap(), "192.0.2.1:5280".parse().unwrap()];
        assert_eq!(config.check().unwrap_err().field, "listen.plain-http");
    }

    #[test]
    fn an_address_is_one_way_in() {
        let (one, any): (SocketAddr, SocketAddr) =
            ("127.0.0.1:5222".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
        let mut config = Config::default();
        config.listen.c2s = vec![one];
        config.listen.direct_tls = vec![any, any];
        config.listen.plain = vec![any];
        assert_eq!(config.check(), Ok(()));
        config.listen.plain.push(one);
        let wrong = config.check().unwrap_err();
        assert_eq!(wrong.field, "listen.plain");
        assert!(wrong.why.contains("listen.c2s") && wrong.why.contains("127.0.0.1:5222"), "{wrong:?}");
        config.listen.plain.clear();
        config.listen.c2s.push(one);
        assert!(config.check().unwrap_err().why.contains("twice in listen.c2s"));
    }

    #[test]
    fn mechanisms_are_offered_strongest_first_and_each_must_be_known() {
        let mut listen = ListenConfig::default();
        assert_eq!(listen.offered(), Mechanism::ALL);
        listen.mechanisms = vec!["PLAIN".to_owned(), "SCRAM-SHA-1".to_owned()];
        assert_eq!(listen.offered(), [Mechanism::ScramSha1Plus, Mechanism::ScramSha1, Mechanism::Plain]);
        for (listed, good) in [(&["PLAIN"][..], true), (&[], false), (&["PLAIN", "SCRAM-SHA-512"], false)] {
            listen.mechanisms = listed.iter().map(|name| (*name).to_owned()).collect();
            let config = Config { listen: listen.clone(), ..Config::default() };
            assert_eq!(
                config.check().map_err(|wrong| wrong.field),
                if good { Ok(()) } else { Err("listen.mechanisms") }
            );
        }
    }

    #[test]
    fn origins_and_the_public_url_are_urls_without_a_path() {
        for (origin, good) in [
            ("https://chat.example", true),
            ("http://localhost:8080", true),
            ("chat.example", false),
            ("https://chat.example/page", false),
            ("*", false),
        ] {
            let config = HttpConfig { origins: vec![origin.to_owned()], ..HttpConfig::default() };
            assert_eq!(config.check().is_ok(), good, "{origin}");
            let config = HttpConfig { public_url: origin.to_owned(), ..HttpConfig::default() };
            assert_eq!(config.check().is_ok(), good, "{origin}");
        }
    }
}
