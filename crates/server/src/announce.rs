//! What a start says on standard output: where the data is, where clients come in, who has an account.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use starling_connection_manager::Descriptors;

use crate::assemble::{Addresses, Node};
use crate::cli::say;

/// So many accounts are named.
const NAMED: usize = 8;

/// For whoever started it by hand; the log says the same to machines.
pub(crate) async fn announce(node: &Node) -> Result<()> {
    let domains: Vec<&str> = node.domains.iter().map(|domain| domain.as_str()).collect();
    say(&format!("Starling {} serves {}", env!("CARGO_PKG_VERSION"), domains.join(", ")));
    say(&format!("  data       {}", std::path::absolute(&node.data_dir)?.display()));
    for (what, addresses) in ports(&node.addresses) {
        if !addresses.is_empty() {
            let shown: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            say(&format!("  {what:10} {}", shown.join(", ")));
        }
    }
    let Descriptors(limit) = Descriptors::raise();
    if let (Some(limit), Some(clients)) = (limit, Descriptors(limit).clients()) {
        say(&format!("  room       {clients} clients (of {limit} file descriptors)"));
    }
    if node.control.routing.is_some() {
        say(&format!("  accounts   {}", accounts(node).await?));
    }
    Ok(())
}

fn ports(addresses: &Addresses) -> [(&'static str, &[SocketAddr]); 9] {
    [
        ("starttls", &addresses.c2s),
        ("tls", &addresses.direct_tls),
        ("plain", &addresses.plain),
        ("http", &addresses.http),
        ("plain http", &addresses.plain_http),
        ("https", &addresses.https),
        ("admin", &addresses.admin),
        ("link", &addresses.link),
        ("console", &addresses.api),
    ]
}

async fn accounts(node: &Node) -> Result<String> {
    let mut found = node.control.pipeline()?.context().list_accounts(None, NAMED + 1).await?;
    let more = found.len() > NAMED;
    found.truncate(NAMED);
    let ctl = ctl(&node.data_dir);
    if found.is_empty() {
        let domain = node.domains.first().map_or("localhost", |domain| domain.as_str());
        return Ok(format!("none yet; `{ctl} user add NAME@{domain}` makes one"));
    }
    let names: Vec<&str> = found.iter().map(|jid| jid.as_str()).collect();
    let rest = if more { format!(" and more: `{ctl} user list`") } else { String::new() };
    Ok(format!("{}{rest}", names.join(", ")))
}

/// How this server is asked.
fn ctl(data_dir: &Path) -> String {
    match data_dir.to_str() {
        Some("data") => "starling ctl".to_owned(),
        _ => format!("starling ctl --data-dir {}", data_dir.display()),
    }
}
