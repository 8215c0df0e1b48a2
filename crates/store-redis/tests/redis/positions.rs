//! Who saves how far an account has acknowledged: one router at a time, because an older position must not take the place of a newer one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::ids::LogNumber;
use starling_ports::position::{Position, Positions};
use starling_ports::sessions::Sessions;
use starling_ports::suite::fresh_user;
use starling_store_embedded::Store;

use crate::talk::{commit, message, resumable, soon};
use crate::world::World;

/// Longer than a position is left to the router that changed it.
const LONG: Duration = Duration::from_secs(6);

/// Counts what one router saves.
struct Saved {
    store: Arc<Store>,
    times: AtomicUsize,
}

impl Saved {
    fn new(world: &World) -> Arc<Saved> {
        Arc::new(Saved { store: world.store.clone(), times: AtomicUsize::new(0) })
    }
    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Positions for Saved {
    async fn get(&self, owner: &BareJid) -> Result<Position> {
        Positions::get(&*self.store, owner).await
    }
    async fn save(&self, owner: &BareJid, position: Position) -> Result<()> {
        self.times.fetch_add(1, Ordering::SeqCst);
        Positions::save(&*self.store, owner, position).await
    }
}

/// What nodes need not say again is what the store has for certain. A second router that saves what it knew a moment ago takes it back.
#[tokio::test]
async fn the_router_that_hears_acknowledgements_saves_alone_while_it_lives() {
    let world = World::new();
    let account = fresh_user();
    let (by_other, by_one) = (Saved::new(&world), Saved::new(&world));
    let (other, _) = world.router_with_positions(world.config(), world.store.clone(), by_other.clone()).await;
    let (one, dies) = world.router_with_positions(world.config(), world.store.clone(), by_one.clone()).await;
    let desk = resumable(&*one, &account, "desk").await;
    let (begun, mut number) = (Instant::now(), 0);
    let mut talk = async || {
        number += 1;
        commit(&*other, &account, message(1, number, &[desk.id])).await.unwrap();
        other.store_owed(&account).await.unwrap();
        one.acknowledge(&account, desk.id, desk.epoch, LogNumber(number)).await.unwrap();
    };
    while begun.elapsed() < LONG {
        talk().await;
    }
    let times = by_one.times();
    assert!((3..=8).contains(&times), "each second: {times}");
    assert_eq!(by_other.times(), 0);

    dies.cancel();
    talk().await;
    commit(&*one, &account, message(2, 1, &[])).await.unwrap(); // its last word has what was acknowledged
    soon("another one does it when nobody has for a while", async || by_other.times() > 0).await;
}
