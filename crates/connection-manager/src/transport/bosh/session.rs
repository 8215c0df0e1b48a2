//! One BOSH session: a machine whose client comes by one request after another.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use starling_stream::{Ending, Input, Output, Settings, StreamError};
use starling_xml::{escape_attr, ns};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::body::{self, Request};
use super::keys::Keys;
use super::window::{Offered, Window};
use super::{Answer, Incoming};
use crate::conn::LINGER;
use crate::driver::Driver;
use crate::pump::MAX_UNSENT;
use crate::rate::{Bucket, Rate};
use crate::shared::Shared;

/// The longest time a request waits for something to answer.
const MAX_WAIT: u64 = 60;
/// Requests that wait: one is enough where connections are kept (§7.1).
const MAX_HOLD: u64 = 1;
/// How long a client may have no request here.
const INACTIVITY: Duration = Duration::from_secs(45);
/// The same for a client that polls.
const POLLING_INACTIVITY: Duration = Duration::from_secs(90);
/// How long a client may ask to be left alone (§10).
const MAX_PAUSE: u64 = 120;
/// How often a client that polls may do so without need (§12).
const POLLING: Duration = Duration::from_secs(2);
/// Requests of one client: each one costs an answer.
const REQUESTS: Rate = Rate { per_second: 20, at_once: 200 };

/// Opens and closes the machine's stream, as over WebSocket (RFC 7395 §3.4, §3.6).
const CLOSE: &[u8] = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
/// The highest version that is spoken here.
const VERSION: (u16, u16) = (1, 11);

type Reply = oneshot::Sender<Answer>;

/// What a session begins with.
pub(super) struct Start {
    pub(super) sid: u128,
    pub(super) peer: IpAddr,
    pub(super) settings: Arc<Settings>,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) is_authenticated: Arc<AtomicBool>,
}

/// Serves one client until its session ends.
pub(super) async fn serve(shared: Arc<Shared>, start: Start, stop: CancellationToken) {
    let held = OnceLock::new();
    let mut session = Session {
        driver: Driver::new(&shared, &held, start.settings, start.peer, None),
        shared: &shared,
        sid: start.sid,
        incoming: start.incoming,
        is_authenticated: start.is_authenticated,
        terms: None,
        payloads: VecDeque::new(),
        outgoing: Vec::new(),
        error: Vec::new(),
        answered_at: Duration::ZERO,
        bytes: Bucket::new(shared.byte_rate()),
        requests: Bucket::new(REQUESTS),
        sleep: pin!(sleep_until(Instant::now())),
        stop: pin!(stop.cancelled()),
        is_stopping: false,
        unread: None,
        condition: None,
    };
    let ending = (&mut session).await;
    Box::pin(session.end(ending)).await;
}

struct Session<'a, 's> {
    driver: Driver<'a>,
    shared: &'a Shared,
    sid: u128,
    incoming: mpsc::Receiver<Incoming>,
    is_authenticated: Arc<AtomicBool>,
    terms: Option<Terms>,
    payloads: VecDeque<Vec<u8>>, // of requests that had their turn
    outgoing: Vec<u8>,
    error: Vec<u8>, // the stream's last word
    answered_at: Duration,
    bytes: Bucket,
    requests: Bucket,
    sleep: Pin<&'a mut Sleep>,
    stop: Pin<&'a mut WaitForCancellationFuture<'s>>,
    is_stopping: bool,
    unread: Option<Reply>, // of a request that could not be read
    condition: Option<&'static str>,
}

/// What was agreed with the first request (§7).
struct Terms {
    window: Window<Reply>,
    keys: Keys,
    first: Option<Request>, // until it is answered
    wait: Duration,
    hold: u64,
    has_acks: bool,
    is_legacy: bool,            // it says no version, and reads no terminal conditions (§17.1)
    inactivity: Duration,       // of now: a pause makes it longer, or shorter
    empty_at: Option<Duration>, // the last request, if it asked for nothing
}

impl Terms {
    fn new(first: Request) -> Terms {
        let hold = first.hold.unwrap_or(MAX_HOLD).min(MAX_HOLD);
        let wait = Duration::from_secs(first.wait.unwrap_or(MAX_WAIT).min(MAX_WAIT));
        let mut terms = Terms {
            window: Window::new(hold + 1, first.rid),
            keys: Keys::default(),
            wait,
            hold: if wait.is_zero() { 0 } else { hold },
            has_acks: first.ack == Some(1),
            is_legacy: first.version.is_none(),
            inactivity: INACTIVITY,
            empty_at: None,
            first: Some(first),
        };
        terms.inactivity = terms.usual_inactivity();
        terms
    }

    fn is_polling(&self) -> bool {
        self.hold == 0
    }

    fn usual_inactivity(&self) -> Duration {
        if self.is_polling() { POLLING_INACTIVITY } else { INACTIVITY }
    }
}

impl Future for Session<'_, '_> {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let pool = &self.shared.pool;
        let mut scratch = pool.take();
        let ending = self.turn(cx, &mut scratch.out);
        pool.give(scratch);
        ending.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Session<'_, '_> {
    /// Everything that can be done now.
    fn turn(&mut self, cx: &mut Context<'_>, out: &mut Output) -> Option<Ending> {
        if !self.is_stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            self.driver.handle(Input::Drain, out);
        }
        if self.due().is_some_and(|due| due <= self.driver.now()) {
            self.driver.handle(Input::Tick, out);
        }
        if self.idle_until().is_some_and(|until| until <= self.driver.now()) {
            self.driver.handle(Input::Eof, out);
        }
        loop {
            let mut moved = self.receive(cx, out);
            moved |= self.feed(out);
            // Without a request to answer, what is delivered stays in the log.
            let can_answer = self.terms.as_ref().is_some_and(|terms| terms.window.held() > 0);
            let room = if can_answer { MAX_UNSENT.saturating_sub(self.outgoing.len()) } else { 0 };
            self.driver.turn_away(out);
            self.driver.turn(cx, room, out);
            self.collect(out);
            moved |= self.respond();
            if !moved || self.driver.ending().is_some() {
                break;
            }
        }
        if self.driver.is_authenticated() {
            self.is_authenticated.store(true, Ordering::Relaxed);
        }
        self.arm(cx);
        self.driver.ending()
    }

    /// Takes requests in, whenever they come.
    fn receive(&mut self, cx: &mut Context<'_>, out: &mut Output) -> bool {
        let mut moved = false;
        while self.driver.ending().is_none()
            && let Poll::Ready(Some(Incoming { request, reply })) = self.incoming.poll_recv(cx)
        {
            moved = true;
            let now = self.driver.now();
            self.requests.take(REQUESTS, now, 1);
            if self.requests.paused_until(REQUESTS, now).is_some() {
                self.refuse("policy-violation", reply, out);
                continue;
            }
            match request {
                Ok(request) => self.offer(request, reply, out),
                Err(StreamError { condition, text, .. }) => {
                    self.unread = Some(reply);
                    self.driver.handle(Input::Violation(condition, text.unwrap_or("not a <body/>")), out);
                }
            }
        }
        moved
    }

    fn offer(&mut self, request: Request, reply: Reply, out: &mut Output) {
        let terms = self.terms.get_or_insert_with(|| Terms::new(request.clone()));
        if !terms.keys.again(&request) {
            return self.refuse("item-not-found", reply, out); // §15.4
        }
        match terms.window.offer(request, reply) {
            Offered::Taken { replaced: None } => {}
            Offered::Taken { replaced: Some(before) } => {
                let _ = before.send(body::write(&[("type", "error")], &[]).into()); // §14.3
            }
            Offered::Again(reply, body) => drop(reply.send(body.into())),
            Offered::Outside(reply) => self.refuse("item-not-found", reply, out),
        }
    }

    /// Ends the session with a terminal condition (§17.2).
    fn refuse(&mut self, condition: &'static str, reply: Reply, out: &mut Output) {
        self.condition = Some(condition);
        self.unread = Some(reply);
        self.driver.handle(Input::Eof, out);
    }

    /// Hands on payloads in the order of their requests while they are wanted.
    fn feed(&mut self, out: &mut Output) -> bool {
        let mut moved = false;
        while self.driver.ending().is_none() && self.driver.wants_input() && self.paused_until().is_none() {
            if let Some(payload) = self.payloads.pop_front() {
                self.bytes.take(self.shared.byte_rate(), self.driver.now(), payload.len());
                self.driver.handle(Input::Document(&payload), out);
            } else {
                let now = self.driver.now();
                let Some(request) = self.terms.as_mut().and_then(|terms| terms.window.turn(now)) else {
                    break;
                };
                self.begin(request, out);
            }
            moved = true;
        }
        moved
    }

    /// A request has its turn.
    fn begin(&mut self, request: Request, out: &mut Output) {
        let Some(terms) = &mut self.terms else { return };
        let now = self.driver.now();
        if !terms.keys.turn(&request) {
            self.condition = Some("item-not-found"); // §15.4
            return self.driver.handle(Input::Eof, out);
        }
        terms.inactivity = terms.usual_inactivity();
        // §9.2: who uses acknowledgements and sends none has everything.
        let implied = terms.window.implied(&request);
        let has = if terms.has_acks { request.ack.unwrap_or(request.rid - 1).max(implied) } else { implied };
        if let Some(upto) = terms.window.acknowledge(has) {
            self.driver.handle(Input::Acknowledged(upto), out);
        }
        let is_first = terms.first.as_ref().is_some_and(|first| first.rid == request.rid);
        let is_empty = request.payloads.is_empty() && request.pause.is_none() && !request.is_terminate;
        let empty_at = Some(now).filter(|_| is_empty && !is_first && !request.is_restart);
        let is_hasty = terms.empty_at.is_some_and(|before| now < before + POLLING) && empty_at.is_some();
        terms.empty_at = empty_at;
        if terms.is_polling() && is_hasty {
            self.condition = Some("policy-violation"); // §12
            return self.driver.handle(Input::Eof, out);
        }
        if let Some(pause) = request.pause {
            terms.inactivity = Duration::from_secs(pause.min(MAX_PAUSE));
            while self.answer(true) {}
        }
        if is_first || request.is_restart {
            self.payloads.push_back(open(request.to.as_deref())); // what else is in a restart is ignored (XEP-0206 §5)
        } else {
            self.payloads.extend(request.payloads);
        }
        if request.is_terminate {
            self.payloads.push_back(CLOSE.to_vec());
        }
    }

    /// Takes what the machine has written; its stream has no header and no end here.
    fn collect(&mut self, out: &mut Output) {
        let mut start = 0;
        for end in out.ends.drain(..) {
            let element = out.bytes.get(start..end).unwrap_or_default();
            start = end;
            if element.starts_with(b"<stream:error") {
                self.condition = Some("remote-stream-error"); // XEP-0206 §7
                self.error = element.to_vec();
                continue;
            }
            let is_frame =
                |name: &str| element.starts_with(format!("<{name} xmlns='{}'", ns::FRAMING).as_bytes());
            if !is_frame("open") && !is_frame("close") {
                self.outgoing.extend_from_slice(element);
            }
        }
        out.bytes.clear();
    }

    /// Answers what can be answered, the oldest first.
    fn respond(&mut self) -> bool {
        let mut moved = false;
        while self.driver.ending().is_none()
            && let Some(terms) = &self.terms
            && let Some(since) = terms.window.oldest()
        {
            let is_due = self.driver.now() >= since + terms.wait;
            let is_crowded = terms.window.held() as u64 > terms.hold && terms.first.is_none();
            if self.outgoing.is_empty() && !is_due && !is_crowded {
                break;
            }
            moved |= self.answer(false);
        }
        moved
    }

    /// Answers the oldest request, without payloads if it has to be.
    fn answer(&mut self, is_empty: bool) -> bool {
        let Some(terms) = &mut self.terms else { return false };
        let left = self.outgoing.len();
        let payloads = if is_empty { Vec::new() } else { std::mem::take(&mut self.outgoing) };
        let upto = self.driver.sent().filter(|_| !is_empty || left == 0);
        let first = terms.first.take();
        let agreed = first.as_ref().map(|first| agreement(self.sid, first, terms));
        let answered = terms.window.answer(upto, |rid, last| {
            let last = last.to_string();
            let mut attributes: Vec<(&str, &str)> = Vec::new();
            for (name, value) in agreed.iter().flatten() {
                attributes.push((name, value));
            }
            if first.is_some() || last != rid.to_string() {
                attributes.push(("ack", &last));
            }
            body::write(&attributes, &payloads)
        });
        let Some((reply, body)) = answered else {
            terms.first = first;
            return false;
        };
        self.answered_at = self.driver.now();
        let _ = reply.send(body.into()); // who has gone asks again
        true
    }

    fn paused_until(&self) -> Option<Duration> {
        let now = self.driver.now();
        self.bytes.paused_until(self.shared.byte_rate(), now).max(self.driver.paused_until(now))
    }

    /// When the client counts as gone.
    fn idle_until(&self) -> Option<Duration> {
        let terms = self.terms.as_ref().filter(|terms| terms.window.is_empty())?;
        Some(self.answered_at + terms.inactivity)
    }

    /// When the machine is to be told the time.
    fn due(&self) -> Option<Duration> {
        self.driver.deadline()
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let answer = self.terms.as_ref().and_then(|terms| Some(terms.window.oldest()? + terms.wait));
        let dues = [self.due(), self.paused_until(), answer, self.idle_until()];
        let Some(due) = dues.into_iter().flatten().min() else { return };
        self.sleep.as_mut().reset(self.driver.started() + due);
        if self.sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// The client hears that the session is over, and the session that its client is gone.
    async fn end(&mut self, ending: Ending) {
        let is_legacy = self.terms.as_ref().is_some_and(|terms| terms.is_legacy);
        let goodbye = match self.condition.and_then(code).filter(|_| is_legacy) {
            Some(code) => Answer::Code(code),
            None => {
                let condition = self.condition.map(|condition| ("condition", condition));
                let attributes: Vec<(&str, &str)> =
                    [Some(("type", "terminate")), condition].into_iter().flatten().collect();
                body::write(&attributes, &self.error).into()
            }
        };
        let payloads = std::mem::take(&mut self.outgoing);
        let waiting = self.terms.as_mut().map(|terms| terms.window.drain()).unwrap_or_default();
        let replies: VecDeque<Reply> = self.unread.take().into_iter().chain(waiting).collect();
        let last = Last { replies, incoming: &mut self.incoming, lingers: ending.linger };
        let ((), unsaid) = tokio::join!(last.words(&payloads, goodbye), self.driver.finish(ending.detach));
        if let Some(why) = unsaid {
            self.driver.insist(why).await;
        }
    }
}

/// Who still hears something of a session that is over.
struct Last<'a> {
    replies: VecDeque<Reply>, // the oldest first
    incoming: &'a mut mpsc::Receiver<Incoming>,
    lingers: bool,
}

impl Last<'_> {
    /// Payloads go before the end, on their own: there are clients that look for none in an end.
    async fn words(mut self, payloads: &[u8], goodbye: Answer) {
        if !payloads.is_empty()
            && let Some(reply) = self.next().await
        {
            let _ = reply.send(body::write(&[], payloads).into());
        }
        if let Some(reply) = self.next().await {
            let _ = reply.send(goodbye);
        }
        for reply in self.replies {
            let _ = reply.send(body::write(&[], &[]).into()); // §13
        }
        // Who comes now finds no session, whatever this one still waits for.
        self.incoming.close();
        while self.incoming.try_recv().is_ok() {}
    }

    /// The oldest request or, if none is here, the next one that comes soon.
    async fn next(&mut self) -> Option<Reply> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        if !self.lingers {
            return None;
        }
        let next = timeout(LINGER, self.incoming.recv()).await;
        next.ok().flatten().map(|incoming| incoming.reply)
    }
}

/// What stood for a terminal condition before there were any (§17.1).
fn code(condition: &str) -> Option<u16> {
    match condition {
        "bad-request" => Some(400),
        "policy-violation" => Some(403),
        "item-not-found" => Some(404),
        _ => None,
    }
}

/// What a client is told with the first answer (§7.2, XEP-0206 §3).
fn agreement(sid: u128, first: &Request, terms: &Terms) -> Vec<(&'static str, String)> {
    let (major, minor) = first.version.map_or(VERSION, |version| version.min(VERSION));
    let mut agreed = vec![
        ("xmlns:xmpp", ns::XBOSH.to_owned()),
        ("xmlns:stream", ns::STREAM.to_owned()),
        ("sid", format!("{sid:032x}")),
        ("wait", terms.wait.as_secs().to_string()),
        ("hold", terms.hold.to_string()),
        ("requests", terms.window.size().to_string()),
        ("inactivity", terms.inactivity.as_secs().to_string()),
        ("polling", POLLING.as_secs().to_string()),
        ("maxpause", MAX_PAUSE.to_string()),
        ("ver", format!("{major}.{minor}")),
        ("xmpp:version", "1.0".to_owned()),
        ("xmpp:restartlogic", "true".to_owned()),
    ];
    agreed.extend(first.to.clone().map(|to| ("from", to)));
    agreed
}

/// A stream header as the machine reads it.
fn open(to: Option<&str>) -> Vec<u8> {
    let mut text = format!("<open xmlns='{}' version='1.0'", ns::FRAMING).into_bytes();
    if let Some(to) = to {
        text.extend_from_slice(b" to='");
        escape_attr(&mut text, to);
        text.push(b'\'');
    }
    text.extend_from_slice(b"/>");
    text
}
