//! Sentinels: whom they name is asked, and one that they have put in its master's place is followed.

use starling_ports::suite::fresh_user;
use starling_store_redis::{Config, ConnectError, check};
use starling_testkit::Sentinels;

use crate::talk::resumable;
use crate::world::{Routers, patient};
use crate::writers::Writers;

/// Who is asked; one that is away does not matter.
fn config(site: &Sentinels) -> Config {
    Config {
        sentinels: [vec!["127.0.0.1:1".to_owned()], site.addresses()].concat(),
        call_timeout: std::time::Duration::from_secs(2),
        ..patient()
    }
}

async fn is_not_reached(config: Config) {
    let refused = check(&config).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused}");
}

/// Two routers write; the master dies, and its replica takes its place, before which `meanwhile` happens.
async fn follow(site: &mut Sentinels, config: Config, meanwhile: impl AsyncFnOnce(&mut Sentinels)) {
    let world = Routers::new();
    let routers = [world.router_with(config.clone()).await, world.router_with(config).await];
    let account = fresh_user();
    let desk = resumable(&*routers[0], &account, "desk").await;
    let writers = Writers::begin(&routers, &world.store, &account, &desk);
    writers.more(30).await;
    meanwhile(site).await;
    site.data[0].kill().await.unwrap();
    site.promoted(1).await.unwrap();
    site.data[0].start_again().await.unwrap();
    writers.more(30).await; // not before it follows the new master
    writers.end(&*routers[0], &world.store, &account, &desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut site = Sentinels::start(directory.path()).await.unwrap();
    let config = config(&site);
    is_not_reached(Config { sentinel_master: "nobody".to_owned(), ..config.clone() }).await;
    follow(&mut site, config, async |_| ()).await;
}

/// Sentinels have another password than what they name, and change it meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_servers_may_want_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let (of_data, of_sentinels) = (directory.path().join("data"), directory.path().join("sentinels"));
    std::fs::write(&of_data, "of-the-data").unwrap();
    std::fs::write(&of_sentinels, "of-the-sentinels").unwrap();
    let mut site =
        Sentinels::start_guarded(directory.path(), "of-the-data", "of-the-sentinels").await.unwrap();
    let config = Config {
        password_file: of_data.clone(),
        sentinel_password_file: of_sentinels.clone(),
        ..config(&site)
    };
    is_not_reached(Config { password_file: of_sentinels.clone(), ..config.clone() }).await;
    is_not_reached(Config { sentinel_password_file: of_data, ..config.clone() }).await;
    is_not_reached(Config { sentinel_password_file: Default::default(), ..config.clone() }).await;
    let change = async |site: &mut Sentinels| {
        std::fs::write(&of_sentinels, "newer").unwrap();
        site.change_password("newer").await.unwrap();
    };
    follow(&mut site, config, change).await;
}
