//! One configuration: the file, then the environment, then the flags. Checked before anything runs.

mod environment;
mod fault;
mod strict;
mod words;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use starling_connection_manager as connection_manager;
use starling_jid::BareJid;
use starling_rpc as rpc;
use starling_rpc::Role;
use starling_store_embedded as store_embedded;
use starling_store_redis as store_redis;
use starling_store_scylla as store_scylla;

use crate::memory;

pub(crate) use fault::ConfigError;
use fault::Source;

/// `EX_USAGE`: what a bad configuration ends with.
pub(crate) const EXIT_USAGE: u8 = 64;

/// Everything that can be set. No file is needed: every key has a default that is right for one laptop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// `embedded`: everything in this process. `cluster`: this process is one of several, as `[cluster]` says.
    pub mode: Mode,
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
    /// How clients leave when this node stops and others take them.
    pub drain: connection_manager::DrainConfig,
    /// Messages, archives, rosters, accounts.
    pub im: starling_im::Config,
    /// The embedded store.
    pub store: store_embedded::Config,
    /// The Redis of a cluster.
    pub redis: store_redis::Config,
    /// The CQL store of a cluster. `starling store migrate` makes its tables.
    pub scylla: store_scylla::Config,
    /// The part of this process in a cluster.
    pub cluster: rpc::Config,
    /// Health, metrics and control.
    pub admin: crate::admin::Config,
    /// Administration over HTTP.
    pub api: starling_admin::Config,
    /// Logs.
    pub log: starling_telemetry::Config,
    /// An OpenTelemetry receiver.
    pub otlp: starling_telemetry::otlp::Config,
}

/// Whether one process is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// It is.
    #[default]
    Embedded,
    /// It plays one role or more.
    Cluster,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::default(),
            domains: vec!["localhost".to_owned()],
            data_dir: PathBuf::from("data"),
            listen: Default::default(),
            limits: Default::default(),
            tls: Default::default(),
            http: Default::default(),
            drain: Default::default(),
            im: Default::default(),
            store: Default::default(),
            redis: Default::default(),
            scylla: Default::default(),
            cluster: Default::default(),
            admin: Default::default(),
            api: Default::default(),
            log: Default::default(),
            otlp: Default::default(),
        }
    }
}

/// A key and what is wrong with its value.
struct Wrong {
    key: Vec<String>,
    why: String,
    /// Where the default is not it.
    mend: Option<String>,
}

impl Wrong {
    fn new(key: &str, why: impl Into<String>) -> Wrong {
        Wrong { key: key.split('.').map(str::to_owned).collect(), why: why.into(), mend: None }
    }
    fn mend(self, mend: impl Into<String>) -> Wrong {
        Wrong { mend: Some(mend.into()), ..self }
    }
}

impl Config {
    /// Reads `file` if there is one, then the variables `STARLING_…` of `environment`, and checks the whole.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Config::load_checked(file, environment, Config::check)
    }

    /// The same, and everything else that `starling config check` looks at.
    pub(crate) fn load_strictly(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Config::load_checked(file, environment, |config| {
            config.check().and_then(|()| config.check_strictly())
        })
    }

    fn load_checked(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        check: impl Fn(&Config) -> Result<(), Wrong>,
    ) -> Result<Config, ConfigError> {
        let mut source = Source::read(file)?;
        let config: Config = toml::from_str(&source.text).map_err(|error| source.explain(&error))?;
        let config = environment::overlay(config, environment, &mut source)?;
        check(&config).map_err(|wrong| source.error(wrong))?;
        Ok(config)
    }

    /// The same for a process that the command line gives these roles; none given: as it is.
    pub(crate) fn with_roles(mut self, roles: &[Role]) -> Result<Config, ConfigError> {
        if roles.is_empty() {
            return Ok(self);
        }
        self.mode = Mode::Cluster;
        self.cluster.roles = roles.to_vec();
        let named = |Wrong { key, why, mend }| ConfigError {
            place: format!("--roles: {}", key.join(".")),
            why,
            mend,
        };
        self.check().map_err(named)?;
        Ok(self)
    }

    /// Whether this process plays that role.
    pub(crate) fn plays(&self, role: Role) -> bool {
        self.mode == Mode::Embedded || self.cluster.has(role)
    }

    /// What no type can say.
    fn check(&self) -> Result<(), Wrong> {
        if self.domains.is_empty() {
            return Err(Wrong::new("domains", "at least one domain must be served"));
        }
        self.check_domains()?;
        if self.data_dir.as_os_str().is_empty() {
            return Err(Wrong::new("data-dir", "must name a directory"));
        }
        self.connection_manager().check().map_err(|invalid| Wrong::new(invalid.field, invalid.why))?;
        self.im.check().map_err(|invalid| Wrong::new(&format!("im.{}", invalid.field), invalid.why))?;
        self.store()
            .check()
            .map_err(|invalid| Wrong::new(&format!("store.{}", invalid.field), invalid.why))?;
        self.redis.check().map_err(|invalid| Wrong::new(&format!("redis.{}", invalid.field), invalid.why))?;
        self.scylla
            .check()
            .map_err(|invalid| Wrong::new(&format!("scylla.{}", invalid.field), invalid.why))?;
        self.log.check().map_err(|error| Wrong::new("log.level", error.to_string()))?;
        self.otlp.check().map_err(|wrong| Wrong::new(&format!("otlp.{}", wrong.field), wrong.why))?;
        crate::trace::sampling(&self.otlp)
            .map_err(|error| Wrong::new("otlp.sample-accounts", format!("{error:#}")))?;
        self.check_cluster()?;
        self.check_api()?;
        self.check_certificates()
    }

    fn check_cluster(&self) -> Result<(), Wrong> {
        if self.mode == Mode::Embedded {
            return Ok(());
        }
        let cluster = &self.cluster;
        cluster.check().map_err(|invalid| Wrong::new(&format!("cluster.{}", invalid.field), invalid.why))?;
        let identity = rpc::Identity::open(cluster);
        identity.map(drop).map_err(|error| Wrong::new("cluster.certificate", error.to_string()))
    }

    /// It is served by whoever has the stores.
    fn check_api(&self) -> Result<(), Wrong> {
        self.api.check().map_err(|invalid| Wrong::new(&format!("api.{}", invalid.field), invalid.why))?;
        if self.api.is_served() && !self.plays(Role::SessionRouter) {
            let key = if self.api.tokens.is_empty() { "api.tokens-file" } else { "api.tokens" };
            let why =
                "a connection manager has no stores, so it cannot serve administration: session routers do";
            return Err(Wrong::new(key, why).mend("give tokens to session routers, and none to this process"));
        }
        Ok(())
    }

    /// Each once, in the form in which clients' addresses are compared with it.
    fn check_domains(&self) -> Result<(), Wrong> {
        let mut known = Vec::with_capacity(self.domains.len());
        for domain in &self.domains {
            let why = match BareJid::new(domain) {
                Ok(jid) if !jid.is_domain() => format!("{domain:?} is an address, not a domain"),
                Ok(jid) if jid.as_str() != domain => {
                    format!("{domain:?} is written {:?} in its canonical form (RFC 7622)", jid.as_str())
                }
                Ok(_) if known.contains(&domain) => format!("{domain:?} stands there twice"),
                Ok(_) => {
                    known.push(domain);
                    continue;
                }
                Err(error) => format!("{domain:?} is not a domain: {error}"),
            };
            return Err(Wrong::new("domains", why));
        }
        Ok(())
    }

    /// The files are read: a certificate that cannot be used is found before anything runs.
    fn check_certificates(&self) -> Result<(), Wrong> {
        for (domain, files) in &self.tls.certificates {
            let key = vec!["tls".to_owned(), "certificates".to_owned(), domain.clone()];
            if !self.domains.contains(domain) {
                let why = format!("{domain:?} is not among the `domains` that are served");
                let mend = Some("add it there, or remove this section".to_owned());
                return Err(Wrong { key, why, mend });
            }
            connection_manager::check_files(files).map_err(|error| wrong_file(domain, files, &error))?;
        }
        Ok(())
    }

    /// The part of the connection manager.
    pub(crate) fn connection_manager(&self) -> connection_manager::Config {
        connection_manager::Config {
            listen: self.listen.clone(),
            limits: self.limits.clone(),
            tls: self.tls.clone(),
            http: self.http.clone(),
            drain: self.drain.clone(),
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

    /// The part of Redis.
    pub(crate) fn redis(&self) -> store_redis::Config {
        store_redis::Config {
            resume_within: self.im.resume_within,
            kept_bytes: memory::share(),
            ..self.redis.clone()
        }
    }

    /// The whole as TOML, without passwords.
    pub(crate) fn dump(&self) -> Result<String, ConfigError> {
        let mut shown = self.clone();
        shown.scylla.password = self.scylla.password.masked();
        shown.redis.url = self.redis.shown_url();
        toml::to_string_pretty(&shown).map_err(|error| ConfigError::of_defaults(error.to_string()))
    }

    /// The whole as a table.
    pub(crate) fn to_table(&self) -> Result<toml::Table, ConfigError> {
        toml::Table::try_from(self).map_err(|error| ConfigError::of_defaults(error.to_string()))
    }
}

/// Which of the two files of a domain cannot be used.
fn wrong_file(
    domain: &str,
    files: &connection_manager::CertificateFiles,
    error: &connection_manager::Error,
) -> Wrong {
    let is_key = matches!(error, connection_manager::Error::Certificate { path, .. } if *path == files.key);
    let key = ["tls", "certificates", domain, if is_key { "key" } else { "certificate" }];
    let mend = "name files in PEM form that belong together and that the server's user may read";
    Wrong { key: key.map(str::to_owned).into(), why: error.to_string(), mend: Some(mend.to_owned()) }
}

#[cfg(test)]
mod tests;
