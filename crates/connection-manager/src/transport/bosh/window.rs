//! The window of request ids (XEP-0124 §14): what comes too early waits, what comes again gets the same answer again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use starling_ports::ids::LogNumber;

use super::body::Request;

/// Answers that are kept beyond the window for a client that acknowledges slowly.
const MAX_EXTRA: u64 = 8;

/// What becomes of a request that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered<R> {
    /// It has its turn, now or later. What held its place before is to be told that it came again.
    Taken { replaced: Option<R> },
    /// It was answered before: the same again.
    Again(R, Bytes),
    /// Outside the window, or its answer is gone: the session ends (§14.2, §14.3).
    Outside(R),
}

/// The requests of one session; `R` is where an answer goes.
#[derive(Debug)]
pub(super) struct Window<R> {
    size: u64,
    next: u64, // the id whose turn it is
    early: BTreeMap<u64, (Request, R)>,
    held: VecDeque<(u64, Duration, R)>, // had its turn then, has no answer
    answered: VecDeque<Answered>,
}

#[derive(Debug)]
struct Answered {
    rid: u64,
    body: Bytes,
    upto: Option<LogNumber>, // of the session's log, with this answer
}

impl<R> Window<R> {
    /// Begins with the first request's id.
    pub(super) fn new(size: u64, first: u64) -> Window<R> {
        Window { size, next: first, early: BTreeMap::new(), held: VecDeque::new(), answered: VecDeque::new() }
    }

    /// Takes a request in.
    pub(super) fn offer(&mut self, request: Request, reply: R) -> Offered<R> {
        let rid = request.rid;
        if rid >= self.next {
            // One more than the window is allowed to pause or terminate (§11).
            let extra = u64::from(request.is_terminate || request.pause.is_some());
            if rid >= self.next + self.size + extra {
                return Offered::Outside(reply);
            }
            let replaced = self.early.insert(rid, (request, reply)).map(|(_, before)| before);
            return Offered::Taken { replaced };
        }
        if let Some((.., place)) = self.held.iter_mut().find(|(held, ..)| *held == rid) {
            return Offered::Taken { replaced: Some(std::mem::replace(place, reply)) };
        }
        match self.answered.iter().find(|answered| answered.rid == rid) {
            Some(answered) => Offered::Again(reply, answered.body.clone()),
            None => Offered::Outside(reply),
        }
    }

    /// The request whose turn it is, if it is there; from now on it is held.
    pub(super) fn turn(&mut self, now: Duration) -> Option<Request> {
        let (request, reply) = self.early.remove(&self.next)?;
        self.next += 1;
        self.held.push_back((request.rid, now, reply));
        Some(request)
    }

    /// How many requests the client may have open at once.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Since when the oldest request waits for an answer.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.held.front().map(|(_, since, _)| *since)
    }

    /// Everybody who waits for anything, the oldest first.
    pub(super) fn drain(&mut self) -> Vec<R> {
        let held = self.held.drain(..).map(|(.., reply)| reply);
        held.chain(std::mem::take(&mut self.early).into_values().map(|(_, reply)| reply)).collect()
    }

    /// How many requests wait for an answer.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether no request is here at all.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.early.is_empty()
    }

    /// Answers the oldest request: `write` is given its id and the highest id that has come, with all before it.
    pub(super) fn answer(
        &mut self,
        upto: Option<LogNumber>,
        write: impl FnOnce(u64, u64) -> Bytes,
    ) -> Option<(R, Bytes)> {
        let (rid, _, reply) = self.held.pop_front()?;
        let body = write(rid, self.next - 1);
        self.answered.push_back(Answered { rid, body: body.clone(), upto });
        while self.answered.len() as u64 > self.size + MAX_EXTRA {
            self.answered.pop_front();
        }
        Some((reply, body))
    }

    /// The client has all answers up to `rid`: how far that is in the session's log. Answers that it may still ask for
    /// are kept.
    pub(super) fn acknowledge(&mut self, rid: u64) -> Option<LogNumber> {
        let upto = self.answered.iter().filter(|one| one.rid <= rid).filter_map(|one| one.upto).max();
        let size = self.size;
        while self.answered.len() as u64 > size && self.answered.front().is_some_and(|one| one.rid <= rid) {
            self.answered.pop_front();
        }
        upto
    }

    /// What a client that says nothing must have: it may have only so many requests open at once.
    pub(super) fn implied(&self, request: &Request) -> u64 {
        request.rid.saturating_sub(self.size + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(rid: u64) -> Request {
        Request {
            rid,
            sid: None,
            has_sid: true,
            ack: None,
            version: None,
            to: None,
            wait: None,
            hold: None,
            pause: None,
            is_terminate: false,
            is_restart: false,
            key: None,
            new_key: None,
            payloads: Vec::new(),
        }
    }

    fn taken<R>(offered: Offered<R>) -> bool {
        matches!(offered, Offered::Taken { replaced: None })
    }

    #[test]
    fn requests_have_their_turn_in_the_order_of_their_ids() {
        let mut window = Window::new(2, 10);
        assert!(taken(window.offer(request(11), 'b')));
        assert_eq!(window.turn(Duration::ZERO), None);
        assert!(taken(window.offer(request(10), 'a')));
        assert_eq!(
            [window.turn(Duration::ZERO).unwrap().rid, window.turn(Duration::ZERO).unwrap().rid],
            [10, 11]
        );
        assert_eq!(
            window.answer(None, |rid, all| format!("{rid} {all}").into()),
            Some(('a', "10 11".into()))
        );
    }

    #[test]
    fn a_repeat_gets_the_same_answer_again() {
        let mut window = Window::new(2, 1);
        window.offer(request(1), 'a');
        window.turn(Duration::ZERO);
        assert_eq!(window.offer(request(1), 'b'), Offered::Taken { replaced: Some('a') });
        assert_eq!(window.answer(None, |_, _| "x".into()), Some(('b', "x".into())));
        assert_eq!(window.offer(request(1), 'c'), Offered::Again('c', "x".into()));
    }

    #[test]
    fn outside_the_window_there_is_nothing() {
        let mut window = Window::new(2, 5);
        assert_eq!(window.offer(request(7), 'a'), Offered::Outside('a'));
        assert_eq!(window.offer(request(4), 'b'), Offered::Outside('b'));
        let pause = Request { pause: Some(1), ..request(7) };
        assert!(taken(window.offer(pause, 'c')));
    }

    #[test]
    fn an_acknowledgement_is_worth_what_was_answered() {
        let mut window = Window::new(2, 1);
        for rid in 1..=6 {
            window.offer(request(rid), rid);
            window.turn(Duration::ZERO);
            window.answer(Some(LogNumber(rid * 10)), |rid, _| format!("{rid}").into());
        }
        assert_eq!(window.acknowledge(3), Some(LogNumber(30)));
        assert_eq!(window.offer(request(3), 0), Offered::Outside(0));
        assert_eq!(window.offer(request(4), 0), Offered::Again(0, "4".into()));
        assert_eq!(window.acknowledge(3), None);
        assert_eq!(window.implied(&request(7)), 4);
    }

    #[test]
    fn answers_are_kept_for_so_long_only() {
        let mut window = Window::new(2, 1);
        for rid in 1..=100 {
            window.offer(request(rid), rid);
            window.turn(Duration::ZERO);
            window.answer(None, |_, _| Bytes::new());
        }
        assert_eq!(window.answered.len() as u64, 2 + MAX_EXTRA);
    }
}
