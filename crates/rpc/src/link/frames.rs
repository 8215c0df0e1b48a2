//! Frames that wait for a link: bounded in number and bytes, and sent in batches of whatever waits.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use prost::Message;
use tokio::sync::{Semaphore, TryAcquireError, mpsc};

use super::limits::{BATCH_BYTES, BATCH_FRAMES, FRAME_BYTES, QUEUE_FRAMES, QUEUE_KIB};

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The link has ended.
    Closed,
    /// No room now.
    Full,
    /// It would never be read.
    TooBig,
}

/// A frame and how many KiB it takes.
struct Weighed<F> {
    frame: F,
    weight: u32,
}

/// Where frames are put.
#[derive(Debug)]
pub(crate) struct Queue<F> {
    frames: mpsc::Sender<Weighed<F>>,
    room: Arc<Semaphore>,
}

/// Where they are taken out.
#[derive(Debug)]
pub(crate) struct Batches<F> {
    frames: mpsc::Receiver<Weighed<F>>,
    room: Arc<Semaphore>,
}

/// Both ends of a queue.
pub(crate) fn queue<F: Message>() -> (Queue<F>, Batches<F>) {
    let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
    let room = Arc::new(Semaphore::new(QUEUE_KIB));
    (Queue { frames: sender, room: room.clone() }, Batches { frames: receiver, room })
}

impl<F: Message> Queue<F> {
    /// Waits for room. Whoever gives up meanwhile has taken none.
    pub(crate) async fn send(&self, frame: F) -> Result<(), NotTaken> {
        let weight = weight(&frame)?;
        let room = self.room.acquire_many(weight).await.map_err(|_| NotTaken::Closed)?;
        let place = self.frames.reserve().await.map_err(|_| NotTaken::Closed)?;
        room.forget();
        place.send(Weighed { frame, weight });
        Ok(())
    }

    /// Does not wait.
    pub(crate) fn try_send(&self, frame: F) -> Result<(), NotTaken> {
        let weight = weight(&frame)?;
        match self.room.try_acquire_many(weight) {
            Ok(taken) => taken.forget(),
            Err(TryAcquireError::NoPermits) => return Err(NotTaken::Full),
            Err(TryAcquireError::Closed) => return Err(NotTaken::Closed),
        }
        self.frames.try_send(Weighed { frame, weight }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                self.room.add_permits(weight as usize);
                NotTaken::Full
            }
            mpsc::error::TrySendError::Closed(_) => NotTaken::Closed,
        })
    }
}

fn weight<F: Message>(frame: &F) -> Result<u32, NotTaken> {
    let bytes = frame.encoded_len();
    if bytes > FRAME_BYTES {
        return Err(NotTaken::TooBig);
    }
    // One that is bigger than the queue goes when nothing else waits.
    Ok(u32::try_from((1 + bytes / 1024).min(QUEUE_KIB)).unwrap_or(u32::MAX))
}

impl<F> Batches<F> {
    /// What waits, at least one frame; `None` when nobody can put any more.
    pub(crate) fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<F>>> {
        let Some(first) = ready!(self.frames.poll_recv(cx)) else { return Poll::Ready(None) };
        let mut weight = first.weight as usize;
        let mut batch = Vec::with_capacity((1 + self.frames.len()).min(BATCH_FRAMES));
        batch.push(first.frame);
        while batch.len() < BATCH_FRAMES
            && weight < BATCH_BYTES / 1024
            && let Poll::Ready(Some(next)) = self.frames.poll_recv(cx)
        {
            weight += next.weight as usize;
            batch.push(next.frame);
        }
        self.room.add_permits(weight);
        Poll::Ready(Some(batch))
    }
}

impl<F> Drop for Batches<F> {
    fn drop(&mut self) {
        self.room.close(); // whoever waits for room waits for nothing
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use bytes::Bytes;
    use tokio::task::yield_now;

    use super::*;
    use crate::pb;

    fn frame(bytes: usize) -> pb::Delivery {
        pb::Delivery { stanza: Bytes::from(vec![b'x'; bytes]), ..pb::Delivery::default() }
    }

    #[tokio::test]
    async fn what_waits_goes_out_together() {
        let (queue, mut batches) = queue();
        for _ in 0..3 {
            queue.send(frame(10)).await.unwrap();
        }
        assert_eq!(poll_fn(|cx| batches.poll_batch(cx)).await.unwrap().len(), 3);
        drop(queue);
        assert!(poll_fn(|cx| batches.poll_batch(cx)).await.is_none());
    }

    #[tokio::test]
    async fn a_full_queue_takes_nothing_until_something_went_out() {
        let (queue, mut batches) = queue();
        let mut taken = 0;
        while queue.try_send(frame(100 * 1024)).is_ok() {
            taken += 1;
        }
        assert!(taken <= QUEUE_KIB / 100, "{taken}");
        assert_eq!(queue.try_send(frame(100 * 1024)), Err(NotTaken::Full));
        let batch = poll_fn(|cx| batches.poll_batch(cx)).await.unwrap();
        assert!(batch.len() <= 1 + BATCH_BYTES / (100 * 1024), "a batch has a size");
        assert_eq!(queue.try_send(frame(100 * 1024)), Ok(()));
    }

    #[tokio::test]
    async fn many_small_frames_are_bounded_too() {
        let (queue, _batches) = queue();
        let taken = std::iter::from_fn(|| queue.try_send(frame(1)).ok()).count();
        assert_eq!(taken, QUEUE_FRAMES);
    }

    #[tokio::test]
    async fn who_waits_for_a_place_and_gives_up_gives_its_room_back() {
        let (queue, mut batches) = queue();
        while queue.try_send(frame(1)).is_ok() {}
        for _ in 0..QUEUE_KIB {
            let mut sending = pin!(queue.send(frame(1)));
            assert!(poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await);
            yield_now().await; // or tokio lets it wait for its turn
        }
        while !batches.frames.is_empty() {
            poll_fn(|cx| batches.poll_batch(cx)).await.unwrap();
        }
        assert_eq!(queue.room.available_permits(), QUEUE_KIB);
    }

    #[tokio::test]
    async fn what_nobody_would_read_is_not_taken() {
        let (queue, batches) = queue();
        assert_eq!(queue.send(frame(FRAME_BYTES + 1)).await, Err(NotTaken::TooBig));
        drop(batches);
        assert_eq!(queue.send(frame(1)).await, Err(NotTaken::Closed));
    }
}
