//! Who may have a descriptor: so many clients in all, fewer that have not signed in, and a few who wait at the door.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::descriptors::Descriptors;

/// How long one waits at the door until it is sent away. Who was there before is let in before.
const AT_DOOR: Duration = Duration::from_secs(2);

/// The descriptors that clients may have.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>, // have not signed in
    door: Arc<Semaphore>,      // accepted, or about to be
    most: usize,
}

/// Somebody who is accepted, or about to be.
#[derive(Debug)]
pub(crate) struct AtDoor(OwnedSemaphorePermit);

/// The descriptor of one client.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// The same, and whether its client has signed in.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Seat,
    stranger: Mutex<Option<OwnedSemaphorePermit>>,
    is_refused: bool,
}

impl Room {
    /// For that many `listeners`, each of which has somebody at the door.
    pub(crate) fn new(descriptors: Descriptors, unauthenticated: u32, listeners: usize) -> Room {
        let clients = descriptors.clients().unwrap_or(u64::MAX);
        let most = usize::try_from(clients).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let door = usize::try_from(descriptors.door()).unwrap_or(usize::MAX).saturating_add(listeners);
        let [places, door] = [most, door].map(|permits| Arc::new(Semaphore::new(permits)));
        Room { places, door, most, strangers: strangers(most, unauthenticated) }
    }

    /// The same with another number of strangers from now on; those who are here are not counted again.
    pub(crate) fn with_strangers(&self, unauthenticated: u32) -> Room {
        Room { strangers: strangers(self.most, unauthenticated), ..self.clone() }
    }

    /// Before anybody is accepted: waits while too many stand at the door. Who waits meanwhile is with the system, and loses
    /// nothing.
    pub(crate) async fn open_door(&self) -> Option<AtDoor> {
        self.door.clone().acquire_owned().await.ok().map(AtDoor)
    }

    /// A place, if there is one at once.
    pub(crate) fn try_admit(&self, at_door: AtDoor) -> Result<Place, AtDoor> {
        let places = (self.strangers.clone().try_acquire_owned(), self.places.clone().try_acquire_owned());
        match places {
            (Ok(stranger), Ok(held)) => Ok(Place::new(stranger, held)),
            _ => Err(at_door),
        }
    }

    /// A place, if there is one soon; else one that is good for a refusal only.
    pub(crate) async fn admit(&self, at_door: AtDoor) -> Place {
        let both = async {
            let stranger = self.strangers.clone().acquire_owned().await.ok()?;
            Some(Place::new(stranger, self.places.clone().acquire_owned().await.ok()?))
        };
        let admitted = timeout(AT_DOOR, both).await.ok().flatten();
        admitted.unwrap_or(Place {
            seat: Seat { _permit: at_door.0 },
            stranger: Mutex::default(),
            is_refused: true,
        })
    }
}

/// At most half of all, so that others still have room when they have signed in. A limit of 0 is none.
fn strangers(most: usize, limit: u32) -> Arc<Semaphore> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(if limit == 0 { most } else { limit.min(most.div_ceil(2)) }))
}

impl Place {
    fn new(stranger: OwnedSemaphorePermit, held: OwnedSemaphorePermit) -> Place {
        Place { seat: Seat { _permit: held }, stranger: Mutex::new(Some(stranger)), is_refused: false }
    }

    /// What its client has as long as it is here, and what until it has signed in.
    pub(crate) fn into_parts(self) -> (Seat, Option<OwnedSemaphorePermit>) {
        (self.seat, self.stranger.into_inner())
    }

    /// Its client has signed in.
    pub(crate) fn is_known(&self) {
        self.stranger.lock().take();
    }

    /// Whether its client is to be sent away.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(places: usize, unauthenticated: u32) -> Room {
        let [places_left, door] = [places, 3].map(|permits| Arc::new(Semaphore::new(permits)));
        Room { places: places_left, door, most: places, strangers: strangers(places, unauthenticated) }
    }

    async fn enter(room: &Room) -> Result<Place, AtDoor> {
        room.try_admit(room.open_door().await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_have_half_and_who_signs_in_is_none() {
        let room = room(4, 100);
        let [one, two] = [enter(&room).await.unwrap(), enter(&room).await.unwrap()];
        assert!(enter(&room).await.is_err());
        one.is_known();
        let third = enter(&room).await.unwrap();
        assert!(enter(&room).await.is_err());
        two.is_known();
        third.is_known();
        let fourth = enter(&room).await.unwrap();
        fourth.is_known();
        assert!(enter(&room).await.is_err(), "there is no place at all");
        drop(one);
        assert!(enter(&room).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_the_door_gets_in_when_somebody_goes_and_else_is_sent_away() {
        let room = room(10, 1);
        let first = enter(&room).await.unwrap();
        let Err(at_door) = enter(&room).await else { panic!("one stranger only") };
        assert!(room.admit(at_door).await.is_refused());
        let Err(at_door) = enter(&room).await else { panic!("one stranger only") };
        let going = async {
            tokio::time::sleep(AT_DOOR / 2).await;
            drop(first);
        };
        let (place, ()) = tokio::join!(room.admit(at_door), going);
        assert!(!place.is_refused());
    }

    #[tokio::test(start_paused = true)]
    async fn few_stand_at_the_door_and_a_refusal_keeps_its_place_there() {
        let room = room(10, 1);
        let _first = enter(&room).await.unwrap();
        let mut refused = Vec::new();
        for _ in 0..3 {
            let Err(at_door) = enter(&room).await else { panic!("one stranger only") };
            refused.push(room.admit(at_door).await);
        }
        assert!(timeout(AT_DOOR * 10, room.open_door()).await.is_err());
        refused.pop();
        assert!(room.open_door().await.is_some());
    }

    #[tokio::test]
    async fn a_reload_changes_how_many_strangers_there_may_be() {
        let room = room(10, 1);
        let _first = enter(&room).await.unwrap();
        assert!(enter(&room).await.is_err());
        let other = room.with_strangers(0);
        let _all: Vec<Place> = [enter(&other).await, enter(&other).await].map(Result::unwrap).into();
        assert_eq!(other.places.available_permits(), 7, "no place is given twice");
    }
}
