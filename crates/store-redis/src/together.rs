//! Futures that are waited for together, without tasks of their own.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One of them, until it is done.
enum Part<F: Future> {
    Waits(Pin<Box<F>>),
    Done(F::Output),
}

impl<F: Future> Part<F> {
    /// Whether it is done.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let Part::Waits(future) = self
            && let Poll::Ready(done) = future.as_mut().poll(cx)
        {
            *self = Part::Done(done);
        }
        matches!(self, Part::Done(_))
    }
}

/// What all of them come to, in their order. Each is polled whenever one of them is woken: it is meant for a few.
pub(crate) async fn together<F>(futures: Vec<F>) -> Vec<F::Output>
where
    F: Future,
    F::Output: Unpin,
{
    let mut parts: Vec<Part<F>> = futures.into_iter().map(|future| Part::Waits(Box::pin(future))).collect();
    let poll_all = |cx: &mut Context<'_>| {
        let waiting = parts.iter_mut().filter_map(|part| (!part.poll(cx)).then_some(())).count();
        if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
    };
    poll_fn(poll_all).await;
    let done = |part| match part {
        Part::Done(done) => Some(done),
        Part::Waits(_) => None, // all of them are done
    };
    parts.into_iter().filter_map(done).collect()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn all_are_waited_for_at_once_and_answered_in_order() {
        let (to_first, first) = oneshot::channel();
        let (to_second, second) = oneshot::channel();
        let sent = async {
            to_second.send(2).unwrap(); // the first is waited for, and holds it back in no way
            tokio::task::yield_now().await;
            to_first.send(1).unwrap();
        };
        assert_eq!(tokio::join!(together(vec![first, second]), sent).0, [Ok(1), Ok(2)]);
        assert!(together(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }
}
