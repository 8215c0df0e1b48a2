//! Asks name servers (RFC 1035): one question, one answer, over UDP, and over TCP where the answer is too long.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

/// How long one server is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// A record of RFC 2782.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) target: String,
    pub(super) port: u16,
}

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// The servers of this system.
    pub(super) fn system() -> Resolver {
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
        let addresses = servers.filter_map(|server| server.trim().parse::<IpAddr>().ok());
        Resolver { servers: addresses.map(|address| SocketAddr::new(address, 53)).collect() }
    }
    /// This one.
    pub(super) fn of(server: SocketAddr) -> Resolver {
        Resolver { servers: vec![server] }
    }

    /// Services of that name; none if there is no such record.
    pub(super) fn services(&self, name: &str) -> Result<Vec<Service>, String> {
        self.ask(name, TYPE::SRV, |data| match data {
            RData::SRV(srv) => Some(Service { target: srv.target.to_string(), port: srv.port }),
            _ => None,
        })
    }

    /// Addresses of that name, through aliases.
    pub(super) fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut found = self.ask(name, TYPE::A, |data| match data {
            RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
            _ => None,
        })?;
        found.extend(self.ask(name, TYPE::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(IpAddr::from(Ipv6Addr::from(aaaa.address))),
            _ => None,
        })?);
        Ok(found)
    }

    fn ask<T>(
        &self,
        name: &str,
        kind: TYPE,
        take: impl Fn(&RData<'_>) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let mut packet = Packet::new_query(getrandom::u32().map_err(|error| error.to_string())? as u16);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let asked = Name::new(name).map_err(|error| format!("{name}: {error}"))?;
        packet.questions.push(Question::new(asked, kind.into(), CLASS::IN.into(), false));
        let query = packet.build_bytes_vec().map_err(|error| error.to_string())?;
        let mut failures = Vec::new();
        for server in &self.servers {
            let answered = exchange(*server, packet.id(), &query).and_then(|bytes| {
                let answer = Packet::parse(&bytes).map_err(|error| error.to_string())?;
                match answer.rcode() {
                    RCODE::NoError | RCODE::NameError => {
                        Ok(answer.answers.iter().filter_map(|record| take(&record.rdata)).collect())
                    }
                    other => Err(format!("{other:?}")),
                }
            });
            match answered {
                Ok(found) => return Ok(found),
                Err(why) => failures.push(format!("{server}: {why}")),
            }
        }
        match failures.is_empty() {
            true => Err("/etc/resolv.conf names no name server".to_owned()),
            false => Err(failures.join("; ")),
        }
    }
}

fn exchange(server: SocketAddr, id: u16, query: &[u8]) -> Result<Vec<u8>, String> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match over_udp(server, id, query) {
            Ok(bytes) if is_cut(&bytes) => {
                return over_tcp(server, query).map_err(|error| error.to_string());
            }
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => last = "no answer".to_owned(),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn is_cut(bytes: &[u8]) -> bool {
    simple_dns::header_buffer::has_flags(bytes, PacketFlag::TRUNCATION).unwrap_or(false)
}

/// Connected, so that only the server's own packets come in; those that do not answer this question are passed over.
fn over_udp(server: SocketAddr, id: u16, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if simple_dns::header_buffer::id(bytes) == Ok(id) {
            return Ok(bytes.to_vec());
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
