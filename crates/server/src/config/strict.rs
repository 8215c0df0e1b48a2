//! What `starling config check` looks at beyond what a start must insist on: a server whose certificate ran out last night
//! still starts.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::SystemTime;

use starling_connection_manager::{files_of, inspect, mend_of_bind};

use super::fault::nearest;
use super::{Config, Wrong, wrong_file};

/// Parts of the server that log by a name of their own, by the names of their crates.
pub(super) const PARTS: [&str; 18] = [
    "starling",
    "starling_admin",
    "starling_connection_manager",
    "starling_dns",
    "starling_im",
    "starling_jid",
    "starling_ports",
    "starling_rpc",
    "starling_session_router",
    "starling_slot",
    "starling_stanza",
    "starling_store_embedded",
    "starling_store_redis",
    "starling_store_scylla",
    "starling_stream",
    "starling_telemetry",
    "starling_xml",
    "audit",
];
/// Libraries that log.
const LIBRARIES: [&str; 18] = [
    "fjall",
    "h2",
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "hyper_util",
    "lsm_tree",
    "mio",
    "redis",
    "rustls",
    "scylla",
    "tokio",
    "tokio_rustls",
    "tokio_util",
    "tonic",
    "tower",
    "want",
];

impl Config {
    /// The first thing that clients or operators would stumble over.
    pub(super) fn check_strictly(&self) -> Result<(), Wrong> {
        self.check_dates_and_names()?;
        self.check_addresses()?;
        self.check_log_parts()
    }

    fn check_dates_and_names(&self) -> Result<(), Wrong> {
        for domain in self.tls.certificates.keys() {
            let files = files_of(&self.tls, domain, &self.data_dir);
            let certificate = inspect(&files).map_err(|error| wrong_file(domain, &files, &error))?;
            if let Some(refused) = certificate.refused(domain, SystemTime::now()) {
                let key = ["tls", "certificates", domain, "certificate"].map(str::to_owned).into();
                let why = format!("{}: {refused}", files.certificate.display());
                return Err(Wrong { key, why, mend: Some(refused.mend().to_owned()) });
            }
        }
        Ok(())
    }

    /// Every address is one of this machine, and each port is listened on once.
    fn check_addresses(&self) -> Result<(), Wrong> {
        let all = self.addresses();
        for (at, (key, address)) in all.iter().enumerate() {
            let taken = all.iter().take(at).find(|(_, other)| overlap(other, address));
            if let Some((other, taken)) = taken {
                let why = format!("{address} is taken already by {taken} of {other}");
                return Err(Wrong::new(key, why).mend("give one of them another port"));
            }
            // Port 0: what is asked is whether the machine has the address, not who uses the port.
            let tried = TcpListener::bind(SocketAddr::new(address.ip(), 0));
            if let Err(error) = tried
                && !address.ip().is_unspecified()
            {
                let why = format!("{address} cannot be listened on: {error}");
                return Err(
                    Wrong::new(key, why).mend("name an address of this machine, or [::] for all of them")
                );
            }
        }
        Ok(())
    }

    /// Listeners for which this user has no right. The server's user may have it, so they are no fault of the configuration.
    pub(crate) fn forbidden(&self) -> Vec<String> {
        let privileged =
            self.addresses().into_iter().filter(|(_, address)| (1..1024).contains(&address.port()));
        let forbidden = |(key, address): (&str, SocketAddr)| {
            let refused = TcpListener::bind(address).err()?;
            let mend = mend_of_bind(address, &refused, &format!("in {key}"));
            (refused.kind() == ErrorKind::PermissionDenied)
                .then(|| format!("{key}: this user may not listen on {address}; {mend}"))
        };
        privileged.filter_map(forbidden).collect()
    }

    /// Every listener but that of the link, by its key.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let listen = &self.listen;
        let lists = [
            ("listen.c2s", &listen.c2s),
            ("listen.direct-tls", &listen.direct_tls),
            ("listen.plain", &listen.plain),
            ("listen.http", &listen.http),
            ("listen.plain-http", &listen.plain_http),
            ("listen.https", &listen.https),
        ];
        let all = lists.into_iter().flat_map(|(key, list)| list.iter().map(move |address| (key, *address)));
        all.chain([("admin.listen", self.admin.listen)]).collect()
    }

    /// A part that does not exist would be silent for ever.
    fn check_log_parts(&self) -> Result<(), Wrong> {
        for part in starling_telemetry::parts(&self.log.level) {
            let name = part.split("::").next().unwrap_or_default();
            if PARTS.contains(&name) || LIBRARIES.contains(&name) {
                continue;
            }
            let mend = match nearest(name, PARTS.into_iter().chain(LIBRARIES)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("parts are {}", PARTS.join(", ")),
            };
            return Err(
                Wrong::new("log.level", format!("there is no part {name:?} of the server")).mend(mend)
            );
        }
        Ok(())
    }
}

/// Whether one socket would be in the way of the other: `[::]` takes IPv4 too.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let (a, b) = (one.ip(), other.ip());
    one.port() != 0 && one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_program_is_a_part_that_can_be_named() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = std::fs::read_to_string(crates.join("server/Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("[dev-").next().unwrap();
        let used = dependencies
            .lines()
            .filter_map(|line| line.split_once('.'))
            .map(|(name, _)| name.replace('-', "_"));
        for name in used.filter(|name| name.starts_with("starling_")) {
            assert!(PARTS.contains(&name.as_str()), "{name}");
        }
        // Two are no crates: all of them, and the audit log.
        for part in PARTS.into_iter().filter(|part| !["starling", "audit"].contains(part)) {
            let directory = part.trim_start_matches("starling_").replace('_', "-");
            assert!(crates.join(&directory).is_dir(), "{part} is no crate");
        }
    }

    #[test]
    fn sockets_are_in_the_way_of_each_other() {
        for (one, other, is_so) in [
            ("[::]:5222", "127.0.0.1:5222", true),
            ("127.0.0.1:5222", "0.0.0.0:5222", true),
            ("0.0.0.0:5222", "[::1]:5222", false),
            ("127.0.0.1:5222", "127.0.0.2:5222", false),
            ("[::]:5222", "[::]:5223", false),
            ("[::]:0", "[::]:0", false),
        ] {
            assert_eq!(overlap(&one.parse().unwrap(), &other.parse().unwrap()), is_so, "{one} {other}");
        }
    }
}
