//! A name server (RFC 1035) that answers what a test tells it, over UDP and TCP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// So many addresses have no room in a packet over UDP (RFC 1035 §4.2.1): the answer is cut, and asked for again over TCP.
const ROOM: usize = 25;

/// Answers until it is dropped.
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Zone {
    names: Mutex<HashMap<String, (u32, Vec<IpAddr>)>>,
    is_silent: Mutex<bool>,
    asked: Mutex<Vec<String>>,
}

impl NameServer {
    /// On a free port of 127.0.0.1. It knows no name yet.
    pub async fn start() -> NameServer {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let (address, zone, mut tasks) =
            (tcp.local_addr().unwrap(), Arc::new(Zone::default()), JoinSet::new());
        tasks.spawn(over_udp(udp, zone.clone()));
        tasks.spawn(over_tcp(tcp, zone.clone()));
        NameServer { address, zone, _tasks: tasks }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on `name`, without a dot at its end, has these addresses, for `ttl` seconds.
    pub fn set(&self, name: &str, ttl: u32, addresses: &[IpAddr]) {
        self.zone.names.lock().insert(name.to_owned(), (ttl, addresses.to_vec()));
    }

    /// From now on there is no such name.
    pub fn remove(&self, name: &str) {
        self.zone.names.lock().remove(name);
    }

    /// From now on it answers nothing, or answers again.
    pub fn silence(&self, is_silent: bool) {
        *self.zone.is_silent.lock() = is_silent;
    }

    /// The names that it was asked for, each question once.
    pub fn asked(&self) -> Vec<String> {
        self.zone.asked.lock().clone()
    }
}

async fn over_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = zone.answer(buffer.get(..length).unwrap_or_default(), ROOM) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, zone: Arc<Zone>) {
    let mut tasks = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        tasks.spawn(converse(socket, zone.clone()));
    }
}

async fn converse(mut socket: TcpStream, zone: Arc<Zone>) {
    while let Ok(length) = socket.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if socket.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = zone.answer(&query, usize::MAX) else { return };
        let _ = socket.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).await;
    }
}

impl Zone {
    fn answer(&self, query: &[u8], room: usize) -> Option<Vec<u8>> {
        let query = Packet::parse(query).ok()?;
        let question = query.questions.first()?.clone();
        let name = question.qname.to_string();
        self.asked.lock().push(name.clone());
        if *self.is_silent.lock() {
            return None;
        }
        let mut reply = Packet::new_reply(query.id());
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        match self.names.lock().get(&name.to_lowercase()) {
            Some((ttl, addresses)) => {
                let records = addresses.iter().filter_map(|address| match (address, question.qtype) {
                    (IpAddr::V4(v4), QTYPE::TYPE(TYPE::A)) => Some(RData::A(A::from(*v4))),
                    (IpAddr::V6(v6), QTYPE::TYPE(TYPE::AAAA)) => Some(RData::AAAA(AAAA::from(*v6))),
                    _ => None,
                });
                let record = |data| ResourceRecord::new(question.qname.clone(), CLASS::IN, *ttl, data);
                reply.answers = records.map(record).collect();
            }
            None => *reply.rcode_mut() = RCODE::NameError,
        }
        if reply.answers.len() > room {
            reply.answers.clear();
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        reply.questions.push(question.clone());
        reply.build_bytes_vec().ok()
    }
}
