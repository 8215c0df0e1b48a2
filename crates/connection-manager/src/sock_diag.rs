//! Asks Linux for one connection (sock_diag(7)). It is looked up by its ends: that costs the same however many others there are.

use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, SockDiagMessage, TCP_LISTEN};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send};
use tracing::warn;

/// `INET_DIAG_NOCOOKIE`: whichever connection has these ends.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// More than one answer has, which is about 400 bytes.
const ANSWER: usize = 4096;

/// What is on its way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Bytes that its TCP has not acknowledged.
    pub(crate) bytes: u32,
    /// How often they, or a probe of its zero window, were sent again in vain since it last acknowledged anything.
    pub(crate) tries: u32,
}

/// What is on its way from `local` to `peer` at this moment, in some 10 µs; nothing is waited for. `NotFound` where the connection
/// is gone; any other error says why the system does not tell.
pub(crate) fn queue(local: SocketAddr, peer: SocketAddr) -> io::Result<Queue> {
    let answer = ask(local, peer)?;
    // Of a connection that is gone its listener answers, or what is left of it in TIME_WAIT, which has no TCP_INFO.
    let info = answer.nlas.iter().find_map(|nla| match nla {
        Nla::TcpInfo(info) if answer.header.state != TCP_LISTEN => Some(info),
        _ => None,
    });
    let info = info.ok_or(io::ErrorKind::NotFound)?;
    let tries = u32::from(info.retransmits) + u32::from(info.probes);
    Ok(Queue { bytes: answer.header.send_queue, tries })
}

/// Asks for a socket that is there, so that the log says once what follows where the system does not tell.
pub(crate) fn warn_if_silent(listener: SocketAddr) {
    if let Err(error) = check(listener) {
        warn!(
            event = "sock_diag_silent",
            %error,
            "the system does not say what clients acknowledge by TCP: who vanishes is noticed after a quarter of an hour, not after limits.dead-after"
        );
    }
}

fn check(listener: SocketAddr) -> io::Result<()> {
    let anybody = SocketAddr::new(listener.ip(), 0);
    ask(listener, anybody).map(drop)
}

/// The kernel answers before `send` returns, so a socket that does not block is enough.
fn ask(local: SocketAddr, peer: SocketAddr) -> io::Result<InetResponse> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(netlink::SOCK_DIAG);
    let kernel = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
    send(&kernel, &question(local, peer), SendFlags::empty())?;
    let mut buffer = [0; ANSWER];
    let (length, _) = recv(&kernel, &mut buffer, RecvFlags::empty())?;
    let answer = NetlinkMessage::deserialize(buffer.get(..length).unwrap_or_default());
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)) => Ok(*answer),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn question(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    // By its IPv4 addresses the kernel also finds an IPv6 socket that has mapped ones.
    let (source, destination) = (local.ip().to_canonical(), peer.ip().to_canonical());
    let mut question = NetlinkMessage::from(SockDiagMessage::InetRequest(InetRequest {
        family: if source.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: peer.port(),
            source_address: source,
            destination_address: destination,
            interface_id: scope(local),
            cookie: NO_COOKIE,
        },
    }));
    question.header.flags = NLM_F_REQUEST;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    bytes
}

/// The interface of a link-local address, to which its connections are bound; 0 is any.
fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

#[cfg(test)]
mod tests;
