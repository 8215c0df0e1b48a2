//! Clients without sockets, for whoever counts what one costs: bytes go in and out by hand.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use starling_stream::{Ending, Input, Security, Settings};

use crate::descriptors::Descriptors;
use crate::driver::Driver;
use crate::listeners::{Present, Setup};
use crate::pump::{self, MAX_UNSENT};
use crate::scratch::Scratch;
use crate::shared::Shared;
use crate::transport::Transport;

/// What listeners would serve clients with.
pub struct Unplugged {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
}

impl Unplugged {
    /// As `Listeners::start`, without any.
    pub fn new(setup: Setup) -> Unplugged {
        let shared = setup.shared(Descriptors::raise(), 0);
        let Setup { config, domains, features, page, .. } = setup;
        let present = Present::new(shared, config, domains, features, page);
        Unplugged { settings: present.settings(Security::Plain, Transport::Tcp), shared: present.shared }
    }

    /// Serves one client until its stream ends. Its timers do not run.
    pub fn serve(&self, wire: Arc<Wire>) -> impl Future<Output = ()> + Send + 'static {
        serve(self.shared.clone(), self.settings.clone(), wire)
    }
}

async fn serve(shared: Arc<Shared>, settings: Arc<Settings>, wire: Arc<Wire>) {
    let held = OnceLock::new();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut driver = Driver::new(&shared, &held, settings, peer, None);
    let ended = poll_fn(|cx| pump::turn(&shared.pool, |scratch| turn(&mut driver, &wire, cx, scratch))).await;
    if let Ok(ending) = ended {
        driver.finish(ending.detach).await;
    }
}

/// As with a socket: everything that can be done now; what is written goes out at its end, in one piece.
fn turn(
    driver: &mut Driver<'_>,
    wire: &Wire,
    cx: &mut Context<'_>,
    scratch: &mut Scratch,
) -> io::Result<Option<Ending>> {
    let Scratch { decrypted: read, out, .. } = scratch;
    loop {
        driver.turn(cx, MAX_UNSENT, out);
        if driver.ending().is_some() || !driver.wants_input() || !wire.take(cx, read) {
            break;
        }
        driver.handle(Input::Bytes(read), out);
        read.clear();
    }
    wire.put(&out.bytes);
    Ok(driver.ending())
}

/// Bytes on their way to a server and back.
#[derive(Debug, Default)]
pub struct Wire(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    up: Vec<u8>,
    down: Vec<u8>,
    server: Option<Waker>,
    client: Option<Waker>,
}

impl Wire {
    /// The client says this.
    pub fn send(&self, bytes: &[u8]) {
        let mut ends = self.0.lock();
        ends.up.extend_from_slice(bytes);
        ends.server.take().into_iter().for_each(Waker::wake);
    }

    /// What the server has said since is appended; waits until it says something.
    pub fn poll_receive(&self, cx: &mut Context<'_>, read: &mut Vec<u8>) -> Poll<()> {
        let mut ends = self.0.lock();
        if ends.down.is_empty() {
            ends.client = Some(cx.waker().clone());
            return Poll::Pending;
        }
        read.append(&mut ends.down);
        Poll::Ready(())
    }

    /// What the client has said, if it has said something; else it wakes the server when it does.
    fn take(&self, cx: &Context<'_>, read: &mut Vec<u8>) -> bool {
        let mut ends = self.0.lock();
        if ends.up.is_empty() {
            ends.server = Some(cx.waker().clone());
            return false;
        }
        read.append(&mut ends.up);
        true
    }

    fn put(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut ends = self.0.lock();
        ends.down.extend_from_slice(bytes);
        ends.client.take().into_iter().for_each(Waker::wake);
    }
}
