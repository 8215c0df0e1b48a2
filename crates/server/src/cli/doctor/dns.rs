//! DNS: do clients that know only the domain find this server (RFC 6120 §3.2, XEP-0368)?

use std::net::{IpAddr, SocketAddr};

use super::Finding;
use super::resolver::{Resolver, Service};
use crate::config::Config;

const CHECK: &str = "dns";
/// Where clients go that find no record (RFC 6120 §3.2.2).
const FALLBACK: u16 = 5222;

pub(super) fn check(config: &Config, resolver: &Resolver) -> Vec<Finding> {
    config.domains.iter().flat_map(|domain| domain_of(config, resolver, domain)).collect()
}

fn domain_of(config: &Config, resolver: &Resolver, domain: &str) -> Vec<Finding> {
    let is_local = domain == "localhost" || domain.ends_with(".localhost");
    if is_local || domain.parse::<IpAddr>().is_ok() || domain.starts_with('[') {
        return vec![Finding::sound(CHECK, format!("{domain} is not looked up"))];
    }
    if !domain.is_ascii() {
        return vec![Finding::sound(CHECK, format!("{domain} is not looked up: it is not written in ASCII"))];
    }
    let direct = &config.listen.direct_tls;
    let mut findings = vec![starttls(resolver, domain, &config.listen.c2s)];
    // Where nobody answered once, nobody is asked again.
    if findings.iter().all(|finding| finding.trouble.as_deref() != Some(SILENT)) && !direct.is_empty() {
        findings.push(direct_tls(resolver, domain, direct));
    }
    findings
}

const SILENT: &str = "no name server answers";

fn silent(name: &str, why: &str) -> Finding {
    let mend = "check the network and /etc/resolv.conf, or name a server that answers with --nameserver";
    Finding::trouble(CHECK, format!("{name} ({why})"), SILENT, mend)
}

fn starttls(resolver: &Resolver, domain: &str, listen: &[SocketAddr]) -> Finding {
    let name = format!("_xmpp-client._tcp.{domain}");
    let port = listen.first().map_or(FALLBACK, SocketAddr::port);
    let publish =
        format!("publish `{name}. 3600 IN SRV 0 5 {port} {domain}.`, or the name of this machine at its end");
    match resolver.services(&name) {
        Err(why) => silent(&name, &why),
        Ok(found) if !found.is_empty() => records(resolver, &name, &found, listen, publish),
        Ok(_) => match resolver.addresses(domain) {
            Err(why) => silent(domain, &why),
            Ok(addresses) if addresses.is_empty() => {
                let trouble = "there is neither such a record nor an address of the domain";
                Finding::trouble(CHECK, name, trouble, publish)
            }
            Ok(_) if listen.iter().all(|address| address.port() != FALLBACK) => Finding::trouble(
                CHECK,
                name,
                "without a record clients try port 5222, which is not listened on",
                publish,
            ),
            Ok(addresses) => Finding::sound(
                CHECK,
                format!("{name}: none, so clients try port 5222 of {domain} ({})", list(&addresses)),
            ),
        },
    }
}

fn direct_tls(resolver: &Resolver, domain: &str, listen: &[SocketAddr]) -> Finding {
    let name = format!("_xmpps-client._tcp.{domain}");
    let port = listen.first().map_or(5223, SocketAddr::port);
    let publish = format!("publish `{name}. 3600 IN SRV 0 5 {port} {domain}.`, or remove the record");
    match resolver.services(&name) {
        Err(why) => silent(&name, &why),
        Ok(found) if found.is_empty() => {
            Finding::sound(CHECK, format!("{name}: none, so clients use STARTTLS"))
        }
        Ok(found) => records(resolver, &name, &found, listen, publish),
    }
}

/// Each record leads to a port that is listened on, of a machine that has an address.
fn records(
    resolver: &Resolver,
    name: &str,
    found: &[Service],
    listen: &[SocketAddr],
    publish: String,
) -> Finding {
    for Service { target, port } in found {
        let what = format!("{name}: port {port} of {target}");
        if target.is_empty() || target == "." {
            return Finding::trouble(CHECK, name, "the record says that there is no such service", publish);
        }
        if listen.iter().all(|address| address.port() != *port) {
            return Finding::trouble(CHECK, what, "that port is not listened on", publish);
        }
        match resolver.addresses(target) {
            Err(why) => return silent(target, &why),
            Ok(addresses) if addresses.is_empty() => {
                return Finding::trouble(CHECK, what, "that name has no address", publish);
            }
            Ok(_) => {}
        }
    }
    let shown: Vec<String> = found.iter().map(|one| format!("port {} of {}", one.port, one.target)).collect();
    Finding::sound(CHECK, format!("{name}: {}", shown.join(", ")))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
