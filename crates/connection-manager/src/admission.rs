//! Admission: only so many sessions begin at once, and whoever resumes goes first (thousands come together when a node is lost).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What a client that has signed in wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To go on with its session (XEP-0198 §5): cheap, and its contacts have not seen it go yet.
    Resume,
    /// A new session.
    Bind,
}

/// Who is being let in, and who waits for it. Each connection waits once at most, so there are no more than connections.
#[derive(Debug, Default)]
pub(crate) struct Admission(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    busy: u32,
    resumes: VecDeque<oneshot::Sender<Permit>>,
    binds: VecDeque<oneshot::Sender<Permit>>,
}

/// The client's turn, once it comes; whoever drops it waits no more.
pub(crate) type Turn = oneshot::Receiver<Permit>;

/// Somebody is being let in, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Option<Arc<Admission>>);

impl Admission {
    /// At once where fewer than `limit` are being let in and nobody waits before it. A limit of 0 is none.
    pub(crate) fn enter(self: &Arc<Self>, wish: Wish, limit: u32) -> Result<Permit, Turn> {
        let mut state = self.0.lock();
        let is_first = state.resumes.is_empty() && (wish == Wish::Resume || state.binds.is_empty());
        if limit == 0 || (is_first && state.busy < limit) {
            state.busy += 1;
            return Ok(Permit(Some(self.clone())));
        }
        let (waiting, turn) = oneshot::channel();
        match wish {
            Wish::Resume => state.resumes.push_back(waiting),
            Wish::Bind => state.binds.push_back(waiting),
        }
        Err(turn)
    }

    /// Whoever is next, if anybody waits.
    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        let mut state = self.0.lock();
        let next = state.resumes.pop_front();
        let next = next.or_else(|| state.binds.pop_front());
        if next.is_none() {
            state.busy = state.busy.saturating_sub(1);
        }
        next
    }
}

impl Drop for Permit {
    /// It is handed on. Outside the lock: a turn that is dropped with its permit comes here again.
    fn drop(&mut self) {
        let Some(admission) = self.0.take() else { return };
        while let Some(next) = admission.next() {
            match next.send(Permit(Some(admission.clone()))) {
                Ok(()) => return,
                Err(mut refused) => drop(refused.0.take()), // it has given up
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_resumes_goes_before_who_came_earlier_to_sign_in() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(Wish::Bind, 1).unwrap();
        let mut bind = admission.enter(Wish::Bind, 1).unwrap_err();
        let mut resume = admission.enter(Wish::Resume, 1).unwrap_err();
        assert!(bind.try_recv().is_err() && resume.try_recv().is_err(), "one at a time");
        drop(first);
        assert!(bind.try_recv().is_err(), "the other one goes first");
        drop(resume.try_recv().unwrap());
        drop(bind.try_recv().unwrap());
        assert!(admission.enter(Wish::Bind, 1).is_ok(), "nobody is left");
    }

    #[test]
    fn who_gives_up_takes_nobodys_place() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(Wish::Resume, 1).unwrap();
        drop(admission.enter(Wish::Resume, 1).unwrap_err());
        let late = admission.enter(Wish::Bind, 1).unwrap_err();
        let mut next = admission.enter(Wish::Bind, 1).unwrap_err();
        drop(first);
        drop(late); // its turn has come, and it does not take it
        let permit = next.try_recv().unwrap();
        assert!(admission.enter(Wish::Resume, 1).is_err());
        assert!(admission.enter(Wish::Bind, 0).is_ok(), "no limit");
        drop(permit);
        assert!(admission.enter(Wish::Resume, 1).is_ok());
    }
}
