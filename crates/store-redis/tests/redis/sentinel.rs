//! Sentinels: whom they name is asked, and one that they have put in its master's place is followed.

use starling_ports::suite::fresh_user;
use starling_store_redis::{Config, ConnectError, check};
use starling_testkit::Sentinels;

use crate::talk::resumable;
use crate::world::{Routers, patient};
use crate::writers::Writers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut site = Sentinels::start(directory.path()).await.unwrap();
    let config = Config {
        // One that is away does not matter.
        sentinels: [vec!["127.0.0.1:1".to_owned()], site.addresses()].concat(),
        call_timeout: std::time::Duration::from_secs(2),
        ..patient()
    };
    let unknown =
        check(&Config { sentinel_master: "nobody".to_owned(), ..config.clone() }).await.unwrap_err();
    assert!(matches!(unknown, ConnectError::Unreachable { .. }), "{unknown}");
    let world = Routers::new();
    let routers = [world.router_with(config.clone()).await, world.router_with(config).await];
    let account = fresh_user();
    let desk = resumable(&*routers[0], &account, "desk").await;
    let writers = Writers::begin(&routers, &world.store, &account, &desk);
    writers.more(30).await;
    site.data[0].kill().await.unwrap();
    site.promoted(1).await.unwrap();
    site.data[0].start_again().await.unwrap();
    writers.more(30).await; // not before it follows the new master
    writers.end(&*routers[0], &world.store, &account, &desk).await;
}
