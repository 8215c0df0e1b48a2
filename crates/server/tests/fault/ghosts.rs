//! Session routers are killed while sessions end: nobody goes on seeing who has gone (P2, session-log rule 18).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Received};

use crate::kit::{binary, calm, rounds, settles};
use crate::moment::Chance;

const PATIENCE: Duration = Duration::from_secs(60);
/// Who comes and goes.
const GUESTS: usize = 24;

fn guest(number: usize) -> String {
    format!("guest{number}@localhost")
}

async fn enter(cluster: &Cluster, name: &str, manager: usize) -> Connection {
    let mut connection = Connection::open(cluster.hosts().nth(manager)).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("phone").await.unwrap();
    connection
}

/// Of whom a user sees what: nobody sees anybody twice at once, as each has one session.
struct Eyes {
    connection: Connection,
    sees: BTreeSet<String>,
}

impl Eyes {
    /// Until exactly so many are seen.
    async fn see(&mut self, count: usize, what: &str) {
        let begun = Instant::now();
        while self.sees.len() != count {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let received = self.connection.next(left).await.unwrap_or_else(|error| {
                panic!("{what}: {error}; {} are seen, not {count}: {:?}", self.sees.len(), self.sees)
            });
            let Received::Element(tree, _) = received else { panic!("{what}: {received:?}") };
            let from = tree.attr("from").unwrap_or_default();
            if tree.name != "presence" || !from.starts_with("guest") {
                continue;
            }
            match tree.attr("type") {
                None => drop(self.sees.insert(from.to_owned())),
                Some("unavailable") => drop(self.sees.remove(from)),
                Some(_) => {}
            }
        }
    }
}

/// A contact of all guests, and a stranger to whom they send their presence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_who_has_gone() {
    let config = "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n".to_owned();
    let options = ClusterOptions { config, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    let mut chance = Chance::of_test();
    for jid in (0..GUESTS).map(guest).chain(["host", "stranger"].map(|name| format!("{name}@localhost"))) {
        cluster.control(json!({"op": "user-add", "jid": jid, "password": "secret"})).await.unwrap();
    }
    let usage = calm(&cluster).await;
    let mut host = enter(&cluster, "host", 0).await;
    for number in 0..GUESTS {
        let mut guest = enter(&cluster, &format!("guest{number}"), 0).await;
        guest.write("<presence type='subscribed' to='host@localhost'/></stream:stream>").await.unwrap(); // in advance
        while let Ok(Received::Element(..)) = guest.next(PATIENCE).await {}
        host.write(&format!("<presence type='subscribe' to='guest{number}@localhost'/>")).await.unwrap();
    }
    let mut eyes = Vec::new();
    for mut connection in [host, enter(&cluster, "stranger", 1).await] {
        connection.write("<presence/>").await.unwrap();
        eyes.push(Eyes { connection, sees: BTreeSet::new() });
    }
    for round in 0..rounds(3) {
        let mut guests = Vec::new();
        for number in 0..GUESTS {
            let mut guest = enter(&cluster, &format!("guest{number}"), number % 2).await;
            guest.write("<presence/><presence to='stranger@localhost'/>").await.unwrap();
            guests.push(guest);
        }
        for eyes in &mut eyes {
            eyes.see(GUESTS, &format!("round {round}, all are there")).await;
        }
        for guest in &mut guests {
            guest.write("</stream:stream>").await.unwrap();
        }
        tokio::time::sleep(Duration::from_micros(chance.below(40_000))).await;
        let router = Part::Router(usize::from(chance.below(2) == 1));
        cluster.kill(router).await.unwrap();
        for eyes in &mut eyes {
            eyes.see(0, &format!("round {round}, all have gone")).await;
        }
        cluster.start_again(router).await.unwrap();
    }
    drop(eyes);
    settles(&cluster, &usage).await;
}
