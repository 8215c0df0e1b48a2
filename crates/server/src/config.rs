//! One configuration: the file, then the environment, then the flags. Checked before anything runs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use starling_connection_manager as connection_manager;
use starling_jid::BareJid;
use starling_store_embedded as store_embedded;

/// `EX_USAGE`: what a bad configuration ends with.
pub(crate) const EXIT_USAGE: u8 = 64;

/// Everything that can be set. No file is needed: every key has a default that is right for one laptop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The domains that are served. A client says which one it wants in its stream header.
    pub domains: Vec<String>,
    /// Where everything is kept that must outlive the process: the store, certificates, the control socket.
    pub data_dir: PathBuf,
    /// Where clients come in.
    pub listen: connection_manager::ListenConfig,
    /// What a client may cost.
    pub limits: connection_manager::LimitsConfig,
    /// Certificates.
    pub tls: connection_manager::TlsConfig,
    /// What HTTP listeners serve.
    pub http: connection_manager::HttpConfig,
    /// Messages, archives, rosters, accounts.
    pub im: starling_im::Config,
    /// The embedded store.
    pub store: store_embedded::Config,
    /// Health, metrics and control.
    pub admin: crate::admin::Config,
    /// Logs.
    pub log: starling_telemetry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            domains: vec!["localhost".to_owned()],
            data_dir: PathBuf::from("data"),
            listen: Default::default(),
            limits: Default::default(),
            tls: Default::default(),
            http: Default::default(),
            im: Default::default(),
            store: Default::default(),
            admin: Default::default(),
            log: Default::default(),
        }
    }
}

/// A configuration that cannot be used: where, what and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}{}", mend.as_deref().map(|mend| format!("; {mend}")).unwrap_or_default())]
pub(crate) struct ConfigError {
    /// File and line, or the variable.
    pub place: String,
    /// What is wrong.
    pub why: String,
    /// What would be right.
    pub mend: Option<String>,
}

impl ConfigError {
    fn new(place: impl Into<String>, why: impl Into<String>) -> ConfigError {
        ConfigError { place: place.into(), why: why.into(), mend: None }
    }
}

impl Config {
    /// Reads `file` if there is one, then the variables `STARLING_…` of `environment`, and checks the whole.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let (text, name) = match file {
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::new(&name, format!("cannot be read: {error}")))?;
                (text, name)
            }
            None => (String::new(), "defaults".to_owned()),
        };
        let config: Config = toml::from_str(&text).map_err(|error| explain(&name, &text, &error))?;
        let config = config.with_environment(environment)?;
        config.check(&name)?;
        Ok(config)
    }

    /// `STARLING_` and the path of the key, in capitals, with `_` for every dot and hyphen.
    fn with_environment(
        self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let set: Vec<(String, String)> =
            environment.filter(|(name, _)| name.starts_with("STARLING_")).collect();
        if set.is_empty() {
            return Ok(self);
        }
        let mut table =
            toml::Table::try_from(&self).map_err(|error| ConfigError::new("defaults", error.to_string()))?;
        let mut keys = Vec::new();
        paths(&table, &mut Vec::new(), &mut keys);
        for (name, value) in set {
            let variable =
                |path: &[String]| format!("STARLING_{}", path.join("_").replace('-', "_").to_uppercase());
            let Some(path) = keys.iter().find(|path| variable(path) == name) else {
                let known: Vec<String> = keys.iter().map(|path| variable(path)).collect();
                let mend = nearest(&name, known.iter().map(String::as_str))
                    .map(|near| format!("did you mean {near}?"));
                return Err(ConfigError { place: name, why: "no such key".to_owned(), mend });
            };
            let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
            let value =
                parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or(toml::Value::String(value));
            insert(&mut table, path, value);
            Config::deserialize(table.clone()).map_err(|error| ConfigError::new(name, error.message()))?;
        }
        Config::deserialize(table).map_err(|error| ConfigError::new("environment", error.message()))
    }

    /// What no type can say.
    pub(crate) fn check(&self, place: &str) -> Result<(), ConfigError> {
        if self.domains.is_empty() {
            return Err(ConfigError::new(format!("{place}: domains"), "at least one domain must be served"));
        }
        for domain in &self.domains {
            let good = BareJid::new(domain).is_ok_and(|jid| jid.is_domain() && jid.as_str() == domain);
            if !good {
                return Err(ConfigError::new(
                    format!("{place}: domains"),
                    format!("{domain:?} is not a domain in its canonical form (RFC 7622)"),
                ));
            }
        }
        let at = |field: &str| format!("{place}: {field}");
        self.connection_manager()
            .check()
            .map_err(|invalid| ConfigError::new(at(invalid.field), invalid.why))?;
        self.im
            .check()
            .map_err(|invalid| ConfigError::new(at(&format!("im.{}", invalid.field)), invalid.why))?;
        self.store()
            .check()
            .map_err(|invalid| ConfigError::new(at(&format!("store.{}", invalid.field)), invalid.why))?;
        self.log.check().map_err(|error| ConfigError::new(at("log.level"), error.to_string()))
    }

    /// The part of the connection manager.
    pub(crate) fn connection_manager(&self) -> connection_manager::Config {
        connection_manager::Config {
            listen: self.listen.clone(),
            limits: self.limits.clone(),
            tls: self.tls.clone(),
            http: self.http.clone(),
        }
    }

    /// The part of the store, in the data directory.
    pub(crate) fn store(&self) -> store_embedded::Config {
        store_embedded::Config {
            data_dir: self.data_dir.join("store"),
            resume_within: self.im.resume_within,
            ..self.store.clone()
        }
    }

    /// The whole as TOML.
    pub(crate) fn dump(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError::new("dump", error.to_string()))
    }
}

/// An error of the TOML reader with its line and, for an unknown key, the nearest that is known.
fn explain(name: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
    let place = match line {
        Some(line) => format!("{name}:{line}"),
        None => name.to_owned(),
    };
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let mend = match (message.starts_with("unknown field"), quoted.split_first()) {
        (true, Some((wrong, known))) => {
            nearest(wrong, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        }
        _ => None,
    };
    let why = if mend.is_some() { message.split(", expected").next().unwrap_or(message) } else { message };
    ConfigError { place, why: why.to_owned(), mend }
}

fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)))
}

fn paths(table: &toml::Table, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        at.push(key.clone());
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => paths(inner, at, found),
            _ => found.push(at.clone()),
        }
        at.pop();
    }
}

fn insert(table: &mut toml::Table, path: &[String], value: toml::Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            if let Some(toml::Value::Table(inner)) = table.get_mut(first) {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("starling.toml");
        std::fs::write(&path, text).unwrap();
        let name = path.display().to_string();
        Config::load(Some(&path), std::iter::empty())
            .map_err(|error| ConfigError { place: error.place.replace(&name, "starling.toml"), ..error })
    }

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(None, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn nothing_need_be_set() {
        assert_eq!(with(&[]).unwrap().domains, ["localhost"]);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        let error = read("domains = ['a.example']\n[limits]\nstanza-byte = 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "starling.toml:3: unknown field `stanza-byte`; did you mean `stanza-bytes`?"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_reason() {
        assert!(read("[listen]\nplain = ['0.0.0.0:5222']").unwrap_err().to_string().contains("loopback"));
        assert!(read("domains = ['UPPER.example']").unwrap_err().to_string().contains("canonical"));
        assert!(read("domains = []").is_err());
        assert!(read("[log]\nlevel = 'loud'").unwrap_err().to_string().contains("loud"));
        assert_eq!(read("domains = [").unwrap_err().place, "starling.toml:1");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = with(&[
            ("STARLING_LIMITS_STANZA_BYTES", "20000"),
            ("STARLING_LOG_LEVEL", "debug"),
            ("PATH", "x"),
        ])
        .unwrap();
        assert_eq!((config.limits.stanza_bytes, config.log.level.as_str()), (20_000, "debug"));
        let config = with(&[("STARLING_DOMAINS", "['a.example', 'b.example']")]).unwrap();
        assert_eq!(config.domains, ["a.example", "b.example"]);
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_nearest() {
        let error = with(&[("STARLING_LOG_LEVL", "debug")]).unwrap_err();
        assert_eq!(error.to_string(), "STARLING_LOG_LEVL: no such key; did you mean STARLING_LOG_LEVEL?");
    }

    #[test]
    fn what_is_dumped_can_be_read_again() {
        let dumped = Config::default().dump().unwrap();
        let again = read(&dumped).unwrap();
        assert_eq!(again.dump().unwrap(), dumped);
    }
}
