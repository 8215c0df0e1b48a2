//! Runs a machine: carries its wishes to the ports and their answers back. Knows no socket.

mod again;
mod claim;
mod finish;
mod followed;
mod held;
mod newcomer;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use starling_ports::delivery::Command;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::{Answered, PulledBatch};
use starling_stanza::Draft;
use starling_stream::{Attached, Effect, Ending, Input, Machine, Output, Settings};
use tokio::time::Instant;
use tracing::debug;

use self::again::Again;
use self::followed::Followed;
pub(crate) use self::held::{Held, last};
use self::newcomer::Newcomer;
use crate::admission::{Permit, Wish};
use crate::metrics::{Evicted, Metrics, State, evicted, stream_errors};
use crate::rate::{Bucket, Rate};
use crate::room::{Place, Seat};
use crate::shared::Shared;

/// Entries of one pull.
const PULL_LIMIT: usize = 64;
/// How long a store that did not answer is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

type Job<'a, T> = Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

/// What happened to the session's log.
enum LogAnswer {
    Pulled(starling_ports::Result<PulledBatch>),
    Acknowledged(LogNumber, starling_ports::Result<bool>),
}

/// One client, without its socket. At most one call of each kind is under way.
pub(crate) struct Driver<'a> {
    shared: &'a Shared,
    held: &'a OnceLock<Held>,
    machine: Machine,
    started: Instant,
    now: Duration,                   // since then, as of this turn
    newcomer: Option<Box<Newcomer>>, // until it has a session
    call: Job<'a, Input<'static>>,
    again: Option<Box<Again<'a>>>, // where a store may forget a session
    submit: Job<'a, starling_ports::Result<Answered>>,
    followed: Option<Box<Followed>>, // if anything of it is
    is_unknown: bool,                // what became of the last batch
    pull: Job<'a, LogAnswer>,
    acknowledge: Option<LogNumber>,
    is_blocked: bool, // the log gives nothing more until something is acknowledged
    retry_at: Option<Duration>,
    stanzas: Bucket,
    starttls: bool,
    _seat: Option<Seat>, // of its connection, if it has one of its own
    state: State,        // as it is counted
    submitted: Duration, // when the batch under way was taken
    ending: Option<Ending>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        held: &'a OnceLock<Held>,
        settings: Arc<Settings>,
        peer: IpAddr,
        place: Option<Place>,
    ) -> Driver<'a> {
        let (seat, newcomer) = Newcomer::enter(shared, peer, place);
        shared.metrics.streams(State::Handshake).increment(1.0);
        Driver {
            shared,
            held,
            state: State::Handshake,
            submitted: Duration::ZERO,
            machine: Machine::new(settings, peer),
            started: Instant::now(),
            now: Duration::ZERO,
            newcomer: Some(Box::new(newcomer)),
            call: None,
            again: shared.hub.keeps().then(Box::default),
            submit: None,
            followed: None,
            is_unknown: false,
            pull: None,
            acknowledge: None,
            is_blocked: false,
            retry_at: None,
            stanzas: Bucket::new(shared.stanza_rate()),
            starttls: false,
            _seat: seat,
            ending: None,
        }
    }

    /// Time since the connection began, as of the last input or turn: the clock is not free, and a turn is short.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// When the connection began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Something happened at the socket.
    pub(crate) fn handle(&mut self, input: Input<'_>, out: &mut Output) {
        self.now = self.started.elapsed();
        self.machine.handle(self.now, input, out);
        self.obey(out);
    }

    /// The session under its present claim.
    fn held(&self) -> Option<&'a Held> {
        last(self.held)
    }

    /// Whether bytes of the client are wanted.
    pub(crate) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    /// The last entry of the session's log that was written.
    pub(crate) fn sent(&self) -> Option<LogNumber> {
        self.machine.sent()
    }

    /// Whether the client has proved who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.machine.account().is_some()
    }

    /// How many bytes the next element may have.
    pub(crate) fn max_bytes(&self) -> usize {
        self.machine.max_bytes()
    }

    /// Until when nothing is to be read because stanzas came too fast.
    pub(crate) fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.stanzas.paused_until(self.shared.stanza_rate(), now)
    }

    /// When `prove` is due.
    pub(crate) fn prove_at(&self) -> Option<Duration> {
        self.machine.prove_at()
    }

    /// A client that leaves pings unanswered: whether its TCP has everything, asked only when it is time.
    pub(crate) fn prove(&mut self, has_reached: impl FnOnce() -> bool, out: &mut Output) {
        if self.prove_at().is_some_and(|at| at <= self.now()) {
            self.handle(Input::Reached(has_reached()), out);
        }
    }

    /// When `handle(Input::Tick)` is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match (self.machine.deadline(), self.retry_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether TLS is to begin now, once.
    pub(crate) fn take_starttls(&mut self) -> bool {
        std::mem::take(&mut self.starttls)
    }

    /// How the connection ends, when it does.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Sends a client away that is one too many. To be called when it can hear why.
    pub(crate) fn turn_away(&mut self, out: &mut Output) {
        if let Some(condition) = self.newcomer.as_mut().and_then(|newcomer| newcomer.refusal.take()) {
            debug!(condition, "a client is one too many");
            self.handle(Input::Command(Command::Close(condition)), out);
        }
    }

    /// Runs whatever can run without the socket; writes as long as less than `room` bytes are in `out`.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>, room: usize, out: &mut Output) {
        self.now = self.started.elapsed();
        loop {
            self.begin_jobs();
            let mut moved = self.poll_jobs(cx, out);
            moved |= self.deliver(cx, room, out);
            if !moved || self.ending.is_some() {
                break;
            }
        }
        let now = self.now();
        self.machine.flush(now, out);
        self.count();
    }

    /// Counts it where it has come to.
    fn count(&mut self) {
        let state = match (self.held(), self.is_authenticated()) {
            (Some(_), _) => State::Bound,
            (None, true) => State::Auth,
            (None, false) => State::Handshake,
        };
        if state != self.state {
            self.shared.metrics.streams(self.state).decrement(1.0);
            self.shared.metrics.streams(state).increment(1.0);
            self.state = state;
        }
    }

    fn begin_jobs(&mut self) {
        let Some(held) = self.held() else { return };
        let (shared, now) = (self.shared, self.now());
        if self.begin_again(held) {
            return; // nothing goes on before the session is what it was
        }
        if self.submit.is_none() && self.machine.has_drafts() {
            let mut drafts = self.machine.take_drafts();
            if shared.tracer.is_on() {
                self.follow(held, &mut drafts);
            }
            self.stanzas.take(shared.stanza_rate(), now, drafts.len());
            let received = |draft: &Draft| shared.metrics.received(draft.kind(), draft.children().len());
            drafts.iter().for_each(|submitted| received(&submitted.draft));
            self.submitted = now;
            self.again.iter_mut().for_each(|again| again.note(&drafts));
            self.submit = Some(shared.ingress.submit(held.session(), drafts));
        }
        if self.pull.is_some() || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if let Some(upto) = self.acknowledge.take() {
            let done = shared.ingress.acknowledge(held.session(), upto);
            self.pull = Some(Box::pin(async move { LogAnswer::Acknowledged(upto, done.await) }));
        } else if self.machine.can_deliver()
            && let Some(after) = held.outbox.begin_pull()
        {
            let pulled = shared.ingress.pull(held.session(), after, PULL_LIMIT);
            self.pull = Some(Box::pin(async move { LogAnswer::Pulled(pulled.await) }));
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>, out: &mut Output) -> bool {
        let mut moved = false;
        if let Some(result) = poll_job(&mut self.submit, cx) {
            moved = true;
            if self.again.as_mut().is_some_and(|again| again.answered(&result)) {
                return true; // whether the session has ended is to be found out
            }
            self.is_unknown |= result.is_err();
            if result.is_ok() {
                self.shared.metrics.ack.record(self.started.elapsed().saturating_sub(self.submitted));
            }
            self.followed.iter_mut().for_each(|followed| followed.handled(result.is_ok()));
            let answered = result.inspect_err(|error| debug!(%error, "a store did not answer")).ok();
            self.handle(Input::Handled(answered.map(|answered| answered.handling)), out);
        }
        if let Some((wants, permit)) = self.newcomer.as_mut().and_then(|newcomer| newcomer.poll_turn(cx)) {
            moved = true;
            self.attach(wants, permit);
        }
        if let Some(input) = poll_job(&mut self.call, cx) {
            moved = true;
            self.again.iter_mut().for_each(|again| again.resumes(&input));
            self.handle(input, out);
        }
        moved |= self.poll_again(cx, out);
        if let Some(answer) = poll_job(&mut self.pull, cx) {
            moved = true;
            self.log_answered(answer);
        }
        moved
    }

    fn log_answered(&mut self, answer: LogAnswer) {
        let Some(held) = self.held() else { return };
        match answer {
            LogAnswer::Pulled(Ok(PulledBatch { entries, more })) => {
                self.is_blocked = more && entries.is_empty();
                let more = more && !entries.is_empty();
                held.outbox.fill(entries, more);
            }
            LogAnswer::Pulled(Err(_)) => {
                held.outbox.fill(Vec::new(), true);
                self.retry_at = Some(self.now() + RETRY_AFTER);
            }
            LogAnswer::Acknowledged(_, Ok(_)) => {
                if std::mem::take(&mut self.is_blocked) {
                    held.outbox.fill(Vec::new(), true);
                }
            }
            LogAnswer::Acknowledged(upto, Err(_)) => {
                self.acknowledge = self.acknowledge.max(Some(upto));
                self.retry_at = Some(self.now() + RETRY_AFTER);
            }
        }
    }

    /// Moves entries from the outbox to the machine while there is room.
    fn deliver(&mut self, cx: &Context<'_>, room: usize, out: &mut Output) -> bool {
        let Some(held) = self.held() else { return false };
        held.outbox.register(cx);
        if held.outbox.take_leave() {
            let is_resumable = self.machine.counts().is_some_and(|counts| counts.resumable);
            evicted(if is_resumable { Evicted::Resumable } else { Evicted::Ended }, 1);
            self.handle(Input::Drain, out);
            return true;
        }
        let command = held.outbox.take_command();
        let mut moved = command.is_some();
        let command = match command {
            Some(command) if !matches!(command, Command::Close(_)) => {
                self.handle(Input::Command(command), out);
                return true;
            }
            close => close,
        };
        // What was handed out before goes first, room or not: the result of the request that ends an account (XEP-0077 §3.2).
        let room = if command.is_some() { usize::MAX } else { room };
        let now = self.now();
        while out.bytes.len() < room
            && self.machine.can_deliver()
            && let Some(outgoing) = held.outbox.take()
        {
            self.machine.deliver(now, &outgoing, out);
            if outgoing.trace.is_some() {
                self.written(&outgoing);
            }
            self.shared.metrics.sent(outgoing.wire.kind(), outgoing.wire.len());
            moved = true;
        }
        if let Some(command) = command {
            self.handle(Input::Command(command), out);
        }
        moved
    }

    /// Does what the machine wants.
    fn obey(&mut self, out: &mut Output) {
        let shared = self.shared;
        for effect in out.effects.drain(..) {
            match effect {
                Effect::Authenticate(step) => {
                    self.newcomer.iter_mut().for_each(|newcomer| newcomer.exchange = Some(step.exchange));
                    let replied = shared.authentication.step(*step);
                    self.call = Some(Box::pin(async move { Input::Authenticated(replied.await) }));
                }
                Effect::AbortExchange(exchange) => shared.authentication.abort(exchange),
                Effect::Register(register) => {
                    let peer = self.machine.peer();
                    self.call = Some(Box::pin(async move {
                        let done = shared.ingress.register(
                            &register.domain,
                            &register.username,
                            &register.password,
                            peer,
                        );
                        Input::Registered(done.await)
                    }));
                }
                effect @ Effect::Bind { .. } => self.admit(Wish::Bind, effect),
                effect @ Effect::Resume(_) => self.admit(Wish::Resume, effect),
                Effect::EnableSm { resume, base } => {
                    let Some(held) = self.held() else { continue };
                    self.portrait_may_change();
                    let enabled = shared.ingress.enable_sm(held.session(), resume, base);
                    self.call = Some(Box::pin(async move { Input::SmEnabled(enabled.await.ok()) }));
                }
                Effect::SetInactive(inactive) => {
                    let Some(held) = self.held() else { continue };
                    self.portrait_may_change();
                    let set = shared.ingress.set_inactive(held.session(), inactive);
                    self.call = Some(Box::pin(async move {
                        let _ = set.await; // an optimisation that the client asked for: nobody waits for it
                        Input::InactiveSet
                    }));
                }
                Effect::StartTls => self.starttls = true,
                Effect::Attached(attached) => {
                    let Attached { session, acknowledged } = *attached;
                    self.newcomer = None;
                    let outbox = Arc::new(shared.hub.outbox(session, acknowledged));
                    self.again.iter_mut().for_each(|again| outbox.learn(again.take_done()));
                    shared.hub.register(outbox.clone());
                    self.portrait_may_change();
                    let _ = self.held.set(Held::new(outbox));
                }
                Effect::Acknowledge(upto) => {
                    self.acknowledge = self.acknowledge.max(Some(upto));
                    self.followed.iter_mut().for_each(|followed| followed.acknowledged(upto));
                    if let Some(held) = self.held() {
                        held.outbox.acknowledged(upto);
                    }
                }
                Effect::Failed(condition) => stream_errors(condition, 1),
                Effect::Close(ending) => {
                    self.newcomer.iter_mut().for_each(|newcomer| newcomer.stranger = None);
                    self.ending = Some(ending);
                }
            }
        }
    }

    /// Lets it in, or has it wait for its turn.
    fn admit(&mut self, wish: Wish, wants: Effect) {
        match self.shared.admission.enter(wish, self.shared.limits.logins_at_once) {
            Ok(permit) => self.attach(wants, permit),
            Err(turn) => {
                if let Some(newcomer) = &mut self.newcomer {
                    newcomer.waiting = Some((turn, wants));
                }
            }
        }
    }

    /// Binds or resumes, and lets the next one in when that is done.
    fn attach(&mut self, wants: Effect, permit: Permit) {
        let shared = self.shared;
        match wants {
            Effect::Bind { account, resource } => {
                self.call = Some(Box::pin(async move {
                    let bound = shared.ingress.bind(&account, resource.as_deref(), shared.hub.node()).await;
                    drop(permit);
                    Input::Bound(bound)
                }));
            }
            Effect::Resume(resume) => {
                self.newcomer.iter_mut().for_each(|newcomer| newcomer.resuming = Some(resume.session));
                let claimed = shared.claim(*resume, permit);
                self.call = Some(Box::pin(async move { Input::Resumed(claimed.await) }));
            }
            _ => {} // nothing else waits for a turn
        }
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.shared.metrics.streams(self.state).decrement(1.0);
    }
}

/// The result of a job, once.
fn poll_job<T>(job: &mut Job<'_, T>, cx: &mut Context<'_>) -> Option<T> {
    let Poll::Ready(result) = job.as_mut()?.as_mut().poll(cx) else { return None };
    *job = None;
    Some(result)
}

impl Shared {
    fn stanza_rate(&self) -> Rate {
        Rate { per_second: self.limits.stanzas_per_second, at_once: self.limits.stanzas_at_once }
    }
}
