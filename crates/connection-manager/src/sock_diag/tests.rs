//! What the kernel says of real connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::Descriptors;

/// Idle connections beside the one that is asked for.
const MANY: usize = 2_000;

/// A listener, and two ends of a connection to it by `host`.
fn connect(listen: &str, host: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).unwrap();
    let client = TcpStream::connect((host, listener.local_addr().unwrap().port())).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

fn ask_for(end: &TcpStream) -> io::Result<Queue> {
    queue(end.local_addr()?, end.peer_addr()?)
}

/// Writes until the peer's window and the buffers are full.
fn fill(end: &mut TcpStream) -> usize {
    end.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| end.write(&[0; 65536]).ok()).sum()
}

#[test]
fn what_a_peer_does_not_read_is_on_its_way() {
    for (listen, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
        let (listener, mut client, mut server) = connect(listen, host);
        assert_eq!(server.local_addr().unwrap().is_ipv6(), listen.starts_with('['), "{listen}: mapped");
        let idle = Queue { bytes: 0, tries: 0 };
        assert_eq!((ask_for(&server).unwrap(), ask_for(&client).unwrap()), (idle, idle), "{listen}");

        let written = fill(&mut server);
        let stalled = ask_for(&server).unwrap();
        assert!(stalled.bytes > 0 && stalled.tries <= 1, "{listen}: slow is not dead: {stalled:?}");
        client.read_exact(&mut vec![0; written]).unwrap();
        until("all was read", || ask_for(&server).unwrap() == idle);
        drop(listener);
    }
}

/// Waits until all that was under way has arrived.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn nobody_answers_for_a_connection_that_is_gone() {
    let (_listener, client, server) = connect("[::]:0", "127.0.0.1");
    let ends = (server.local_addr().unwrap(), server.peer_addr().unwrap());
    drop(server); // this end says goodbye first, and waits for what is late (TIME_WAIT)
    drop(client);
    let is_gone = || queue(ends.0, ends.1).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    until("what is left of it is not it", is_gone);

    let (_listener, client, mut server) = connect("127.0.0.1:0", "127.0.0.1");
    let ends = (server.local_addr().unwrap(), server.peer_addr().unwrap());
    fill(&mut server);
    drop(client); // unread: the connection is reset
    let is_gone = || queue(ends.0, ends.1).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    until("its listener is not it", is_gone);
}

#[test]
fn it_is_known_whether_the_system_tells() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let local = listener.local_addr().unwrap();
        check(local).unwrap();
        drop(listener);
        assert_eq!(check(local).map_err(|error| error.kind()), Err(ErrorKind::NotFound), "{address}");
    }
}

/// The shortest of many questions: what else the machine does only adds to them.
fn cost(end: &TcpStream) -> Duration {
    let costs = (0..500).map(|_| {
        let begun = Instant::now();
        ask_for(end).unwrap();
        begun.elapsed()
    });
    costs.min().unwrap()
}

#[test]
fn a_question_costs_the_same_among_many_connections() {
    Descriptors::raise();
    let (listener, _client, server) = connect("127.0.0.1:0", "127.0.0.1");
    let alone = cost(&server);
    let address = listener.local_addr().unwrap();
    let others =
        Vec::from_iter((0..MANY).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap())));
    let among_many = cost(&server);
    assert!(among_many < 3 * alone, "{alone:?} alone, {among_many:?} beside {} others", others.len());
}
