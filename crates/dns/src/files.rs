//! What the system says of names: resolv.conf(5) and hosts(5).

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

/// A server is asked again when it has not answered by then, if resolv.conf does not say sooner: a lost packet is to cost less than the
/// whole of a lookup's time.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Who is asked where resolv.conf names nobody, as resolv.conf(5) has it.
const HERE: &[u8] = b"nameserver 127.0.0.1\n";

/// Where the system says it. A file that is not there says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Name servers, the search list, `ndots`, `timeout`, `attempts`.
    pub resolv_conf: PathBuf,
    /// Names that are known without asking.
    pub hosts: PathBuf,
    /// The port of all name servers.
    pub port: u16,
}

impl Default for Files {
    fn default() -> Files {
        Files { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }
}

impl Files {
    pub(crate) async fn read(&self) -> Result<(ResolverConfig, ResolverOpts, Hosts), NetError> {
        let text = read(&self.resolv_conf).await?;
        let named = resolv_conf(&text).or_else(|_| resolv_conf(&[text.as_slice(), b"\n", HERE].concat()));
        let (config, options) = named?;
        let servers = config.name_servers().iter().map(|server| self.at_port(server)).collect();
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(read(&self.hosts).await?.as_slice())?;
        Ok((ResolverConfig::from_parts(None, config.search().to_vec(), servers), options, hosts))
    }

    fn at_port(&self, server: &NameServerConfig) -> NameServerConfig {
        let mut server = server.clone();
        server.connections.iter_mut().for_each(|connection| connection.port = self.port);
        server
    }
}

fn resolv_conf(text: &[u8]) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let (mut config, mut options) = parse_resolv_conf(text)?;
    if config.search().is_empty()
        && let Some(own) = config.domain().cloned()
    {
        config.add_search(own);
    }
    options.timeout = options.timeout.min(ASK_AGAIN);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never; // that file is looked at here, before any question
    options.cache_size = 0;
    Ok((config, options))
}

async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    match tokio::fs::read(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// What the hosts file says of a name, as it is written: no search list, no question. Without it `localhost` is this machine, too.
pub(crate) fn known(hosts: &Hosts, name: &Name) -> Vec<IpAddr> {
    let mut known = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let found = hosts.lookup_static_host(&Query::query(name.to_lowercase(), kind));
        let records = found.iter().flat_map(|found| found.answers());
        known.extend(records.filter_map(|record| record.data.ip_addr()));
    }
    if known.is_empty() && name.is_localhost() {
        known.push(Ipv4Addr::LOCALHOST.into());
    }
    known
}
