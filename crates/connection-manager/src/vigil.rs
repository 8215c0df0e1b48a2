//! Tells the dead from the slow (session-log rule 26): whoever's TCP answers is slow, for as long as it likes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So often the system is asked until it is sure; the looks together span `dead_after`.
const LOOKS: u8 = 4;
/// One reading of the system's tables serves all connections for so long: it lists every connection of the machine.
const FRESH: Duration = Duration::from_secs(1);
/// The same for looks, of which there are many when many have signed in, and which need not be as sharp.
const FRESH_FOR_LOOKS: Duration = Duration::from_secs(5);
/// Where Linux lists its connections.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Watches one connection to which something was written and from which nothing has come since.
#[derive(Debug, Default)]
pub(crate) struct Vigil {
    /// When it was last known to be alive, or the first thing after that was written.
    since: Option<Duration>,
    /// How many looks in a row found no answer.
    silent: u8,
    /// How often the system had tried in vain at the last look.
    tries: u32,
    /// The last look found everything acknowledged, and nothing was written since.
    is_quiet: bool,
}

impl Vigil {
    /// Something was written.
    pub(crate) fn wrote(&mut self, now: Duration) {
        self.since.get_or_insert(now);
        self.is_quiet = false;
    }

    /// Something came.
    pub(crate) fn heard(&mut self) {
        *self = Vigil::default();
    }

    /// When to look; never while nothing is outstanding, or where the limit is zero.
    pub(crate) fn look_at(&self, dead_after: Duration) -> Option<Duration> {
        let step = dead_after / u32::from(LOOKS - 1);
        let since = self.since.filter(|_| !dead_after.is_zero())?;
        Some(since + step * (u32::from(self.silent) + 1))
    }

    /// `tries`: what `Stalls` says now; `has_all`: whether it says that the peer has acknowledged everything. Whether the peer is dead: no
    /// TCP acknowledgement through all looks. One try fewer than before means that there was one in between. What `Stalls` says may be older
    /// than what was written last, so it ends when the second look in a row finds that everything was acknowledged.
    pub(crate) fn look(&mut self, now: Duration, tries: u32, has_all: bool) -> bool {
        if tries == 0 {
            let since = Some(now).filter(|_| !(has_all && self.is_quiet));
            *self = Vigil { since, is_quiet: has_all && since.is_some(), ..Vigil::default() };
            return false;
        }
        if tries < self.tries {
            *self = Vigil { since: Some(now), ..Vigil::default() };
        }
        self.silent += 1;
        self.tries = tries;
        self.is_quiet = false;
        self.silent >= LOOKS
    }
}

/// Local and remote address.
type Pair = (SocketAddr, SocketAddr);

/// What the system says of a connection on which something is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// Bytes that the peer's TCP has not acknowledged.
    bytes: u32,
    /// How often they, or a probe of a zero window, were sent again in vain.
    tries: u32,
}

/// The connections on which something is under way, as Linux lists them.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Mutex<Option<Read>>);

#[derive(Debug)]
struct Read {
    at: Instant,
    /// `None` where the system has no such tables.
    queues: Option<HashMap<Pair, Queue>>,
}

impl Stalls {
    /// How often the system has tried in vain since the peer's last TCP acknowledgement; 0 where it answers, zero-window
    /// probes included, and where the system does not say. And whether the peer's TCP had acknowledged everything, a moment before that is
    /// short beside what lies between two looks.
    pub(crate) fn tries(&self, local: SocketAddr, peer: SocketAddr, dead_after: Duration) -> (u32, bool) {
        let fresh = FRESH_FOR_LOOKS.min(dead_after / u32::from(2 * LOOKS));
        self.queue(local, peer, fresh).map_or((0, false), |queue| (queue.tries, queue.bytes == 0))
    }

    /// How many bytes the peer's TCP has not acknowledged; `None` where the system does not say.
    pub(crate) fn outstanding(&self, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
        self.queue(local, peer, FRESH).map(|queue| queue.bytes)
    }

    fn queue(&self, local: SocketAddr, peer: SocketAddr, fresh: Duration) -> Option<Queue> {
        let mut known = self.0.lock();
        if known.as_ref().is_none_or(|read| read.at.elapsed() >= fresh) {
            *known = Some(Read { at: Instant::now(), queues: read() });
        }
        let queues = known.as_ref()?.queues.as_ref()?;
        let idle = Queue { bytes: 0, tries: 0 };
        Some(queues.get(&(canonical(local), canonical(peer))).copied().unwrap_or(idle))
    }
}

fn read() -> Option<HashMap<Pair, Queue>> {
    let mut queues = HashMap::new();
    for text in
        [std::fs::read_to_string(TABLES[0]).ok()?, std::fs::read_to_string(TABLES[1]).unwrap_or_default()]
    {
        queues.extend(text.lines().filter_map(busy));
    }
    Some(queues)
}

/// A line of proc_net_tcp(5), if something is under way on its connection.
fn busy(line: &str) -> Option<(Pair, Queue)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (address(fields.next()?)?, address(fields.next()?)?);
    let (sending, _) = fields.nth(1)?.split_once(':')?;
    let bytes = u32::from_str_radix(sending, 16).ok()?;
    let retransmissions = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    let probes: u32 = fields.nth(1)?.parse().ok()?;
    let queue = Queue { bytes, tries: retransmissions.saturating_add(probes) };
    (queue.bytes > 0 || queue.tries > 0).then_some(((local, peer), queue))
}

/// Words of 32 bits as the machine reads them, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(host.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match host.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut octets = [0; 16];
            for (chunk, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                chunk.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks when it is time, with these answers; after how many the peer counts as dead.
    fn looks(answers: &[u32]) -> Option<usize> {
        let mut vigil = Vigil::default();
        vigil.wrote(Duration::ZERO);
        answers.iter().position(|tries| {
            let now = vigil.look_at(90 * SECOND).unwrap();
            vigil.look(now, *tries, false)
        })
    }

    #[test]
    fn a_peer_whose_tcp_is_silent_through_all_looks_is_dead() {
        assert_eq!(looks(&[7, 8, 8, 9]), Some(3));
        assert_eq!(looks(&[7, 8, 8]), None);
    }

    #[test]
    fn a_peer_whose_tcp_has_answered_in_between_is_slow() {
        assert_eq!(looks(&[0; 1000]), None);
        assert_eq!(looks(&[7, 8, 0, 9, 9, 9]), None);
        assert_eq!(looks(&[7, 8, 8, 1, 2, 3]), None, "a count that falls is another silence");
    }

    #[test]
    fn the_looks_span_the_time_and_begin_with_what_was_written() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.look_at(90 * SECOND), None);
        vigil.wrote(5 * SECOND);
        vigil.wrote(9 * SECOND);
        assert_eq!(vigil.look_at(90 * SECOND), Some(35 * SECOND));
        vigil.look(35 * SECOND, 5, false);
        assert_eq!(vigil.look_at(90 * SECOND), Some(65 * SECOND));
        assert_eq!(vigil.look_at(Duration::ZERO), None);
        vigil.heard();
        assert_eq!(vigil.look_at(90 * SECOND), None);
    }

    #[test]
    fn nobody_looks_any_more_when_everything_was_acknowledged() {
        let mut vigil = Vigil::default();
        let step = 30 * SECOND;
        vigil.wrote(Duration::ZERO);
        vigil.look(step, 0, true);
        assert_eq!(
            vigil.look_at(90 * SECOND),
            Some(2 * step),
            "something may have been written a moment ago"
        );
        vigil.wrote(step + SECOND);
        vigil.look(2 * step, 0, true);
        assert_eq!(vigil.look_at(90 * SECOND), Some(3 * step), "something was");
        vigil.look(3 * step, 0, true);
        assert_eq!(vigil.look_at(90 * SECOND), None);
        vigil.wrote(4 * step);
        vigil.look(5 * step, 0, false);
        vigil.look(6 * step, 0, true);
        assert_eq!(vigil.look_at(90 * SECOND), Some(7 * step), "a slow one that has read all");
    }

    #[test]
    fn the_tables_of_the_system_are_understood() {
        let line = |bytes: &str, retransmissions: &str, probes: &str| {
            let pair = "0100007F:1466 0200007F:D431";
            format!(
                "  1: {pair} 01 {bytes}:00000007 01:00000200 {retransmissions}     0        {probes} 77 3 0 20"
            )
        };
        let pair: Pair = ("127.0.0.1:5222".parse().unwrap(), "127.0.0.2:54321".parse().unwrap());
        let queue = |bytes, tries| Some((pair, Queue { bytes, tries }));
        assert_eq!(busy(&line("00000000", "00000000", "0")), None);
        assert_eq!(busy(&line("000000FF", "00000000", "0")), queue(255, 0));
        assert_eq!(busy(&line("00000001", "0000000A", "0")), queue(1, 10));
        assert_eq!(busy(&line("00000001", "00000000", "3")), queue(1, 3));
        let mapped = address("0000000000000000FFFF00000100007F:1466");
        assert_eq!(mapped, Some(pair.0));
        assert_eq!(address("00000000000000000000000001000000:0050"), "[::1]:80".parse().ok());
        for bad in ["", "local_address", "0100007F", "0100007:1466", "0100007F:x"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_peer_does_not_read_is_outstanding() {
        use std::io::Write;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!(Stalls::default().outstanding(local, peer), Some(0));
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65536]).is_ok() {}
        let stalls = Stalls::default();
        assert!(stalls.outstanding(local, peer).is_some_and(|bytes| bytes > 0));
        let (tries, has_all) = stalls.tries(local, peer, 90 * SECOND);
        assert!(tries <= 1 && !has_all, "slow is not dead");
    }
}
