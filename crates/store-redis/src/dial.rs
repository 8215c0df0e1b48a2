//! How a connection is made: to whom, as whom, under which certificates. Files are read anew each time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisError, RedisFuture, TlsCertificates, Value,
};
use starling_dns::Resolver;
use starling_ports::ids::Life;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::topology::{Address, Drawn};

/// Makes connections, and counts what they are good for.
pub(crate) struct Dialler {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    names: Names,
    continuity: AtomicU64,
}

/// A connection just made, and what the Redis behind it says of itself.
pub(crate) struct Fresh {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) info: String,
}

impl Fresh {
    /// A line of what it says.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub(crate) fn is_of_a_cluster(&self) -> bool {
        self.field("redis_mode") == Some("cluster")
    }

    /// Which life of which Redis (rule 8), and a digest of that, never 0.
    pub(crate) fn incarnation(&self) -> (Arc<str>, Life) {
        let run = self.field("run_id").unwrap_or_default();
        let replid = self.field("master_replid").unwrap_or_default();
        let incarnation: Arc<str> = format!("{run}{replid}").into();
        let life = Life(xxh3_64(incarnation.as_bytes()) | 1);
        (incarnation, life)
    }
}

/// Of each file with a secret: when it was written, and how long it is.
pub(crate) type Files = Vec<Option<(SystemTime, u64)>>;

impl Dialler {
    pub(crate) fn new(config: Config) -> Dialler {
        let names = Names(Resolver::system());
        Dialler { config, metrics: Metrics::new(), names, continuity: AtomicU64::new(0) }
    }

    /// See `Link::continuity`.
    pub(crate) fn continuity(&self) -> u64 {
        self.continuity.load(Ordering::Acquire)
    }

    /// Something committed since the last one may be gone. Returns the next number.
    pub(crate) fn interrupt(&self) -> u64 {
        self.continuity.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// To a master that takes writes: the node at `to`, or the one that `url` or the Sentinels name.
    pub(crate) async fn master(&self, to: Option<&Address>) -> Result<Fresh, RedisError> {
        let found;
        let to = match to {
            None if !self.config.sentinels.is_empty() => {
                found = self.master_by_sentinel().await?;
                Some(&found)
            }
            to => to,
        };
        let fresh = self.any(to).await?;
        if fresh.field("loading") == Some("1") {
            return Err(other("redis is loading its data"));
        }
        if fresh.field("role") != Some("master") {
            return Err(other("redis is a replica"));
        }
        self.metrics.connections.increment(1);
        Ok(fresh)
    }

    /// To whatever answers there.
    pub(crate) async fn any(&self, to: Option<&Address>) -> Result<Fresh, RedisError> {
        let mut connection = self.open(to).await?;
        let info = redis::cmd("INFO");
        let info = self.in_time(info.query_async(&mut connection)).await?;
        Ok(Fresh { connection, info })
    }

    /// The answer, if it comes soon enough. The client's own limit would be a second clock for each call, and is off.
    pub(crate) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        let answered = tokio::time::timeout(self.config.call_timeout, asked).await;
        answered.unwrap_or_else(|_| Err(RedisError::from(std::io::Error::from(ErrorKind::TimedOut))))
    }

    /// What the node there knows of its cluster.
    pub(crate) async fn draw(&self, at: &Address) -> Result<Option<Drawn>, RedisError> {
        let asking = async {
            let mut connection = self.open(Some(at)).await?;
            let mut both = redis::pipe();
            both.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
            let (info, slots): (String, Value) = both.query_async(&mut connection).await?;
            Drawn::read(at, &info, slots)
        };
        let asked = tokio::time::timeout(self.config.call_timeout, asking).await;
        asked.unwrap_or_else(|_| Err(other("it does not say where slots are")))
    }

    async fn open(&self, to: Option<&Address>) -> Result<MultiplexedConnection, RedisError> {
        let mut info = self.config.url.as_str().into_connection_info()?;
        if let Some(password) = secret(&self.config.password_file).await? {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        self.connect(at(info, to)).await
    }

    async fn connect(&self, info: ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        let client = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, self.certificates().await?)?,
            _ => Client::open(info)?,
        };
        let limits = AsyncConnectionConfig::new()
            .set_dns_resolver(self.names.clone())
            .set_connection_timeout(Some(self.config.call_timeout))
            .set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&limits).await
    }

    async fn certificates(&self) -> Result<TlsCertificates, RedisError> {
        let tls = &self.config.tls;
        let client_tls = match (read(&tls.certificate).await?, read(&tls.key).await?) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
            _ => None,
        };
        Ok(TlsCertificates { client_tls, root_cert: read(&tls.ca).await? })
    }

    /// Sentinels are asked one after the other: each may be the one that is away.
    async fn master_by_sentinel(&self) -> Result<Address, RedisError> {
        let mut why = other("no Sentinel is named");
        for sentinel in self.config.sentinels.iter().filter_map(|text| Address::read(text)) {
            let asked = tokio::time::timeout(self.config.call_timeout, self.ask_sentinel(&sentinel)).await;
            match asked.unwrap_or_else(|_| Err(other("it does not answer"))) {
                Ok(master) => return Ok(master),
                Err(error) => {
                    tracing::debug!(%error, %sentinel, "a Sentinel does not say who is master");
                    why = error;
                }
            }
        }
        Err(why)
    }

    async fn ask_sentinel(&self, sentinel: &Address) -> Result<Address, RedisError> {
        let info = at(self.config.url.as_str().into_connection_info()?, Some(sentinel));
        let mut settings = redis::RedisConnectionInfo::default();
        if !self.config.sentinel_user.is_empty() {
            settings = settings.set_username(&self.config.sentinel_user);
        }
        if let Some(password) = secret(&self.config.sentinel_password_file).await? {
            settings = settings.set_password(password);
        }
        let mut connection = self.connect(info.set_redis_settings(settings)).await?;
        let mut ask = Cmd::new();
        ask.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.config.sentinel_master);
        let named: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        let (host, port) = named.ok_or_else(|| other("no Sentinel knows a master of that name"))?;
        Ok(Address { host, port })
    }

    /// By which a change of what is secret is seen.
    pub(crate) async fn files(&self) -> Files {
        let Config { password_file, tls, .. } = &self.config;
        let all = [password_file, &tls.ca, &tls.certificate, &tls.key];
        let mut files = Vec::new();
        for path in all.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            let found = tokio::fs::metadata(path).await.ok();
            files.push(found.and_then(|found| Some((found.modified().ok()?, found.len()))));
        }
        files
    }
}

/// Looks the names of nodes and Sentinels up.
#[derive(Clone)]
struct Names(Resolver);

impl AsyncDNSResolver for Names {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = self.0.addresses(host).await.map_err(std::io::Error::from)?;
            let sockets = found.into_iter().map(move |address| SocketAddr::new(address, port));
            Ok(Box::new(sockets) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

/// The same manner of connection, elsewhere.
fn at(info: ConnectionInfo, to: Option<&Address>) -> ConnectionInfo {
    let Some(Address { host, port }) = to.cloned() else { return info };
    let address = match info.addr() {
        ConnectionAddr::TcpTls { .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.set_addr(address)
}

/// A file's first line.
async fn secret(path: &Path) -> Result<Option<String>, RedisError> {
    let text = read(path).await?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(text.map(|text| text.lines().next().unwrap_or_default().to_owned()))
}

async fn read(path: &Path) -> Result<Option<Vec<u8>>, RedisError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = tokio::fs::read(path).await;
    read.map(Some).map_err(|error| other(&format!("{}: {error}", path.display())))
}

/// Trouble that no library has a name for.
pub(crate) fn other(what: &str) -> RedisError {
    RedisError::from(std::io::Error::other(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use starling_dns::Files;
    use starling_testkit::{NameServer, Redis};

    use super::*;

    /// A short name, as a pod writes it; then nobody knows it, and the error says so.
    #[tokio::test]
    async fn redis_is_found_by_its_name() {
        let (server, folder) = (NameServer::start().await, tempfile::tempdir().unwrap());
        let (resolv_conf, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        std::fs::write(&resolv_conf, "search stores.svc.cluster.local\nnameserver 127.0.0.1\n").unwrap();
        let redis = Redis::start_somewhere(folder.path()).await.unwrap();
        let port = redis.address().port();
        let mut dialler = Dialler::new(Config { url: format!("redis://redis:{port}"), ..Config::default() });
        dialler.names = Names(Resolver::of(Files { resolv_conf, hosts, port: server.port() }));
        let error = dialler.any(None).await.err().unwrap().to_string();
        assert!(error.contains("redis: no such name"), "{error}");
        server.set("redis.stores.svc.cluster.local", 60, &["127.0.0.1".parse().unwrap()]);
        assert!(dialler.any(None).await.unwrap().field("redis_version").is_some());
    }
}
