//! `starling run --quickstart`: two accounts, and how to send the first message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use starling_jid::BareJid;

use crate::assemble::Node;
use crate::cli::say;
use crate::config::Config;

/// What a first look wants and a server on the Internet does not.
pub(crate) fn prepare(config: &mut Config) {
    config.im.registration.enabled = true;
    config.http.page = true;
    let loopback = std::mem::take(&mut config.listen.http).into_iter().flat_map(on_loopback);
    config.listen.plain_http.extend(loopback);
}

/// The page is opened as `http://localhost`, where browsers want no TLS: so HTTP stays on this machine.
fn on_loopback(address: SocketAddr) -> Vec<SocketAddr> {
    if address.ip().is_loopback() {
        return vec![address];
    }
    let mut addresses = vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())];
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if has_ipv6 && address.port() != 0 {
        addresses.push(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port()));
    }
    addresses
}

/// Makes alice and bob, unless they are there; a line for each, with its password.
pub(crate) async fn accounts(node: &Node) -> Result<Vec<String>> {
    let domain = node.domains.first().context("no domain is served")?;
    let mut lines = Vec::new();
    for name in ["alice", "bob"] {
        let jid = BareJid::from_parts(Some(name), domain.as_str())?;
        lines.push(format!("  {jid}   password {}", password_of(node, &jid).await?));
    }
    Ok(lines)
}

/// Says what to do next with the accounts that were made.
pub(crate) fn welcome(node: &Node, accounts: Vec<String>) {
    let mut lines = vec![String::new(), "Two accounts to try it with:".to_owned()];
    lines.extend(accounts);
    if let Some(http) = node.addresses.plain_http.first() {
        let page = format!("http://localhost:{}/", http.port());
        lines.push(format!(
            "First message: open {page} in two tabs, sign in as alice in one and as bob in the other, and write."
        ));
    }
    if let Some(tcp) = node.addresses.c2s.first() {
        lines.push(format!(
            "Or any XMPP client: server localhost, port {} (STARTTLS; the certificate is self-signed).",
            tcp.port()
        ));
    }
    lines.push(
        "Anybody may register more accounts, because this is a quickstart. Ctrl-C stops it.\n".to_owned(),
    );
    say(&lines.join("\n"));
}

/// The password that was made for the account, here or on a former start, if it still is its password.
async fn password_of(node: &Node, jid: &BareJid) -> Result<String> {
    let file = file(&node.data_dir, jid);
    let made = password()?;
    if node.control.create_account(jid, &made).await? {
        write_secret(&file, made.as_bytes()).with_context(|| format!("writing {}", file.display()))?;
        return Ok(made);
    }
    match std::fs::read_to_string(&file) {
        Ok(kept) if node.control.accepts(jid, &kept).await => Ok(kept),
        _ => Ok("(as somebody set it)".to_owned()),
    }
}

fn file(data_dir: &Path, jid: &BareJid) -> PathBuf {
    data_dir.join(format!("{}.password", jid.local().unwrap_or_default()))
}

/// 100 random bits, in letters and digits that nobody mistakes for one another.
pub(crate) fn password() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|byte| char::from(*byte))
        .collect())
}

/// Readable by its owner only.
pub(crate) fn write_secret(path: &Path, secret: &[u8]) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret)?;
    file.sync_all()?;
    Ok(())
}
