//! Rule 10: a Redis that would lose what it is told is refused, with the setting that mends it and the one that accepts it.

use starling_store_redis::{Config, ConnectError, check};

use crate::world::World;

#[tokio::test]
async fn a_redis_that_would_lose_sessions_is_refused() {
    let world = World::new();
    check(&world.config()).await.unwrap();
    let set = |name: &str, value: &str| world.server.ask::<String>(&["CONFIG", "SET", name, value]);
    let refused = async || match check(&world.config()).await.unwrap_err() {
        ConnectError::Unsafe { setting, accept, .. } => (setting, accept),
        other => panic!("{other}"),
    };
    set("appendfsync", "no");
    assert_eq!(refused().await, ("appendfsync everysec", "accept-no-append-only-file"));
    set("appendonly", "no");
    assert_eq!(refused().await, ("appendonly yes", "accept-no-append-only-file"));
    set("maxmemory-policy", "allkeys-lru");
    let accepting = Config { accept_no_append_only_file: true, ..world.config() };
    let evicts = check(&accepting).await.unwrap_err();
    let said = evicts.to_string();
    assert!(
        said.contains("maxmemory-policy noeviction") && said.contains("accept-eviction = true"),
        "{said}"
    );
    assert!(said.contains(&format!("redis://starling@127.0.0.1:{}", world.server.port)), "{said}");
    check(&Config { accept_eviction: true, ..accepting }).await.unwrap();
}

#[tokio::test]
async fn a_replica_and_a_wrong_password_are_named() {
    let (world, master) = (World::new(), World::new());
    let port = master.server.port.to_string();
    world.server.ask::<String>(&["REPLICAOF", "127.0.0.1", &port]);
    let said = check(&world.config()).await.unwrap_err().to_string();
    assert!(said.contains("redis is a replica") || said.contains("loading"), "{said}");
    std::fs::write(master.server.password_file(), "wrong").unwrap();
    let said = check(&master.config()).await.unwrap_err().to_string();
    assert!(said.contains("starling@127.0.0.1") && !said.contains("wrong\""), "{said}");
}
