//! The wall clock of a session router is wrong: what it writes gives way to what others write later (session-log rule 14).

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::numbered::PATIENCE;
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Tree, WallClock};

use crate::clocks::with_clock;
use crate::kit::{binary, calm, settles};

/// So many that each router writes for some of them.
const ACCOUNTS: usize = 12;
const HOUR: i64 = 3600;

/// One request of a client that comes for it.
async fn ask(cluster: &Cluster, name: &str, kind: &str, payload: &str) -> anyhow::Result<Tree> {
    let mut connection = Connection::open(cluster.hosts().nth(0)).await?;
    connection.login("localhost", name, "secret").await?;
    connection.bind("phone").await?;
    connection.write(&format!("<iq type='{kind}' id='1'>{payload}</iq>")).await?;
    let answer = connection.element("iq").await?;
    anyhow::ensure!(answer.attr("type") == Some("result"), "{answer}");
    connection.write("</stream:stream>").await?;
    Ok(answer)
}

/// The same until it is answered: the router of the account may just have died.
async fn insist(cluster: &Cluster, name: &str, kind: &str, payload: &str) -> Tree {
    let begun = Instant::now();
    loop {
        match ask(cluster, name, kind, payload).await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{name}: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn card(name: &str) -> String {
    format!("<vCard xmlns='vcard-temp'><FN>{name}</FN></vCard>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_router_with_a_wrong_clock_wrote_gives_way_to_what_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let clock = WallClock::make(directory.path()).unwrap();
    let program = with_clock(Part::Router(0), clock.environment(), directory.path());
    let options = ClusterOptions::default();
    let mut cluster = Cluster::start_each(&binary(), &options, program).await.unwrap();
    let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("user{number}")).collect();
    for name in &names {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        cluster.control(add).await.unwrap();
    }
    let usage = calm(&cluster).await;
    clock.set(HOUR).unwrap();
    for name in &names {
        insist(&cluster, name, "set", &card("former")).await;
    }
    cluster.kill(Part::Router(0)).await.unwrap();
    for name in &names {
        insist(&cluster, name, "set", &card("present")).await;
        let answer = insist(&cluster, name, "get", "<vCard xmlns='vcard-temp'/>").await;
        let shown = answer.find(&["vCard", "FN"]).map(|name| name.text.as_str());
        assert_eq!(shown, Some("present"), "{name}: {answer}");
    }
    clock.set(0).unwrap();
    cluster.start_again(Part::Router(0)).await.unwrap();
    settles(&cluster, &usage).await;
}
