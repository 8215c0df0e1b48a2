//! Attempts to sign in, as Redis counts them: forgotten in time, bounded, and refused when it does not answer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::attempts::{Attempts, FORGOTTEN_AFTER};
use starling_ports::suite::fresh_user;
use starling_store_redis::Config;

use crate::world::World;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn keys(world: &World) -> Vec<String> {
    world.server.ask(&["KEYS", "t:*"])
}

#[tokio::test]
async fn what_nobody_tried_for_a_while_is_forgotten() {
    let world = World::new();
    let (router, alice) = (world.router().await, fresh_user());
    for _ in 0..4 {
        router.begin(&alice, PEER).await.unwrap();
    }
    router.failed(PEER).await.unwrap();
    let keys = keys(&world);
    assert!(!keys.is_empty());
    let within = 1..=FORGOTTEN_AFTER.as_secs() as i64;
    assert!(keys.iter().all(|key| within.contains(&world.server.ask::<i64>(&["TTL", key]))), "{keys:?}");
    // As it looks when somebody else kept the key alive meanwhile.
    let age = "for _, key in ipairs(redis.call('KEYS', 't:*')) do \
               local all = redis.call('HGETALL', key) \
               for n = 1, #all, 2 do \
               local count, last = string.match(all[n + 1], '^(%d+) (%d+)$') \
               redis.call('HSET', key, all[n], count .. ' ' .. string.format('%.0f', last - 600)) \
               end end";
    world.server.ask::<()>(&["EVAL", age, "0"]);
    let tried = router.begin(&alice, PEER).await.unwrap();
    assert_eq!((tried.pair, tried.account, tried.address), (1, 1, 0));
}

/// Whoever has many addresses, or tries many names, does not fill the memory of Redis.
#[tokio::test]
async fn what_is_known_of_attempts_is_bounded() {
    let world = World::new();
    let router = world.router().await;
    // All of them are spread over 256 keys: this is one that is full.
    let alice = fresh_user();
    router.begin(&alice, PEER).await.unwrap();
    let key = keys(&world).remove(0);
    let fill = "local now = redis.call('TIME')[1] \
                for n = 1, 5000 do redis.call('HSET', KEYS[1], 'x' .. n, '9 ' .. now) end";
    world.server.ask::<()>(&["EVAL", fill, "1", &key]);
    router.succeeded(&alice, PEER).await.unwrap();
    router.begin(&alice, PEER).await.unwrap();
    let left: usize = world.server.ask(&["HLEN", &key]);
    assert!(left <= 1000, "{left} are known");
}

/// Architecture §6: without Redis nobody signs in, and nobody hangs.
#[tokio::test]
async fn whoever_cannot_be_counted_hears_so_in_time() {
    let mut world = World::new();
    let brief = Config {
        call_timeout: Duration::from_millis(500),
        deadline: Duration::from_secs(1),
        ..world.config()
    };
    let router = world.router_with(brief).await;
    let alice = BareJid::new("alice@example.org").unwrap();
    router.begin(&alice, PEER).await.unwrap();
    world.server.kill();
    let begun = Instant::now();
    assert!(router.begin(&alice, PEER).await.is_err());
    assert!(router.failed(PEER).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(world.server.run(), "it starts on its port again");
    crate::talk::soon("it counts again", async || router.begin(&alice, PEER).await.is_ok()).await;
}
