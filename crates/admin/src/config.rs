//! Where administration is served, and to whom.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::uri::Authority;
use serde::{Deserialize, Serialize};

use crate::token::{Known, Role};

/// Administration over HTTP: REST, gRPC and the console. Served where a token is known, by a process that decides about stanzas: by the
/// only one, or by session routers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where. An address that is not on loopback needs `tls`.
    pub listen: SocketAddr,
    /// With the certificates of `[tls]`, or the self-signed ones that clients are shown too.
    pub tls: bool,
    /// Names by which browsers reach it, beside `localhost`, the domains that are served, and addresses: of a proxy, for example. Any other name is refused, because a
    /// page of another site may have made it point here.
    pub hosts: Vec<String>,
    /// Tokens by their names: `[api.tokens.alice]` with `role` (`read`, `operate` or `admin`) and `hash`; `starling token new` prints one.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// A file with more of them, one a line: name, role and hash with spaces between.
    pub tokens_file: PathBuf,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenConfig {
    /// What it is for.
    pub role: Role,
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
}

/// A key that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which, below `api`.
    pub field: &'static str,
    /// Why.
    pub why: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 5282)),
            tls: false,
            hosts: Vec::new(),
            tokens: BTreeMap::new(),
            tokens_file: PathBuf::new(),
        }
    }
}

impl Config {
    /// Whether anything is to be served.
    pub fn is_served(&self) -> bool {
        !self.tokens.is_empty() || self.has_file()
    }

    fn has_file(&self) -> bool {
        !self.tokens_file.as_os_str().is_empty()
    }

    /// Checked before anything runs; the file of tokens is read.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.tls && !self.listen.ip().is_loopback() {
            let why = format!(
                "{} can be reached from other machines, and tokens would go there in the open: set api.tls = true, \
                 or listen on 127.0.0.1",
                self.listen
            );
            return Err(Invalid { field: "listen", why });
        }
        if self.listen != Config::default().listen && !self.is_served() {
            let why = "nobody could use it without a token: `starling token new` prints one".to_owned();
            return Err(Invalid { field: "tokens", why });
        }
        if let Some(wrong) = self.hosts.iter().find(|host| !is_name(host)) {
            let why = format!("{wrong:?}: names as browsers write them, in ASCII, without scheme and port");
            return Err(Invalid { field: "hosts", why });
        }
        self.known().map(drop)
    }

    /// All tokens.
    pub(crate) fn known(&self) -> Result<Vec<Known>, Invalid> {
        let mut known = Vec::with_capacity(self.tokens.len());
        for (name, token) in &self.tokens {
            let one = Known::new(name, token.role, &token.hash);
            known.push(one.map_err(|why| Invalid { field: "tokens", why })?);
        }
        if self.has_file() {
            let wrong = |why: String| {
                let why = format!("{}: {why}", self.tokens_file.display());
                Invalid { field: "tokens-file", why }
            };
            for one in read(&self.tokens_file).map_err(wrong)? {
                if known.iter().any(|other| other.name == one.name) {
                    return Err(wrong(format!("{:?} is there twice", one.name)));
                }
                known.push(one);
            }
        }
        Ok(known)
    }
}

fn is_name(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| authority.host() == host)
}

fn read(path: &Path) -> Result<Vec<Known>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut known: Vec<Known> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, role, hash] = words[..] else {
            return Err("a line is a name, a role and a hash, with spaces between".to_owned());
        };
        let one = Known::new(name, role.parse()?, hash)?;
        if known.iter().any(|other| other.name == one.name) {
            return Err(format!("{name:?} is there twice"));
        }
        known.push(one);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::hash;

    fn config(listen: &str, tls: bool) -> Config {
        let token = TokenConfig { role: Role::Read, hash: hash("x") };
        let tokens = BTreeMap::from([("a".to_owned(), token)]);
        Config { listen: listen.parse().unwrap(), tls, tokens, ..Config::default() }
    }

    #[test]
    fn other_machines_get_tls_and_nothing_less() {
        for listen in ["0.0.0.0:5282", "192.0.2.1:5282", "[::]:5282", "[2001:db8::1]:5282"] {
            assert_eq!(config(listen, false).check().unwrap_err().field, "listen", "{listen}");
            assert_eq!(config(listen, true).check(), Ok(()), "{listen}");
        }
        for listen in ["127.0.0.1:5282", "127.9.9.9:1", "[::1]:5282"] {
            assert_eq!(config(listen, false).check(), Ok(()), "{listen}");
        }
    }

    #[test]
    fn without_a_token_nothing_is_served_and_nobody_is_to_think_so() {
        assert!(!Config::default().is_served());
        assert_eq!(Config::default().check(), Ok(()));
        let nobody = Config { tokens: BTreeMap::new(), ..config("127.0.0.1:1", false) };
        assert_eq!(nobody.check().unwrap_err().field, "tokens");
    }

    #[test]
    fn a_host_is_a_name_alone() {
        let with =
            |host: &str| Config { hosts: vec![host.to_owned()], ..config("127.0.0.1:1", false) }.check();
        for host in ["chat.example", "Chat.example", "xn--mnchen-3ya.example", "[2001:db8::1]", "192.0.2.1"] {
            assert_eq!(with(host), Ok(()), "{host}");
        }
        for host in
            ["", "a b", "chat.example:5282", "https://chat.example", "admin@chat.example", "münchen.example"]
        {
            assert_eq!(with(host).unwrap_err().field, "hosts", "{host}");
        }
    }

    #[test]
    fn a_file_of_tokens_is_read_strictly() {
        let path = std::env::temp_dir().join(format!("starling-tokens-{}", std::process::id()));
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Config { tokens_file: path.clone(), ..config("127.0.0.1:1", false) }.known()
        };
        let hash = hash("y");
        let known = with(&format!("# people\n\n b  operate\t{hash}\r\nc admin {hash}\n")).unwrap();
        let names: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        for wrong in [
            format!("a read {hash}"),
            format!("b read {hash}\nb admin {hash}"),
            format!("b root {hash}"),
            "b read".to_owned(),
            "b read nothing".to_owned(),
        ] {
            let Invalid { field, why } = with(&wrong).unwrap_err();
            assert!(field == "tokens-file" && why.contains("starling-tokens"), "{why}");
        }
        std::fs::remove_file(&path).unwrap();
        let gone = Config { tokens_file: path, ..Config::default() };
        assert_eq!(gone.check().unwrap_err().field, "tokens-file");
    }
}
