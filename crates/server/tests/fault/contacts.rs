//! Session routers are killed while two users change what they are to each other: both rosters agree in the end, both users have heard
//! of it, and each sees of the other what the rosters say (session-log rule 1).

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Received, Tree};
use tokio::task::JoinSet;

use crate::kit::{binary, calm, rounds, settles};
use crate::moment::Chance;

const PATIENCE: Duration = Duration::from_secs(60);
const PAIRS: usize = 24;
const ROSTER: &str = "jabber:iq:roster";

/// One of two users, and what it was told of the other.
struct User {
    connection: Connection,
    other: String,
    /// Of the last roster push.
    subscription: Option<String>,
    sees: bool,
    /// Whether it has asked for the other's presence since they are strangers.
    has_asked: bool,
    /// For whoever must find out why.
    heard: Vec<String>,
}

impl User {
    async fn enter(cluster: &Cluster, name: &str, other: &str, manager: usize) -> User {
        let mut connection = Connection::open(cluster.hosts().nth(manager)).await.unwrap();
        connection.login("localhost", name, "secret").await.unwrap();
        connection.bind("phone").await.unwrap();
        let other = format!("{other}@localhost");
        let mut user =
            User { connection, other, subscription: None, sees: false, has_asked: false, heard: Vec::new() };
        assert_eq!(user.roster().await, None, "they are strangers");
        user.connection.write("<presence/>").await.unwrap();
        user
    }

    async fn ask(&mut self) {
        self.has_asked = true;
        let subscribe = format!("<presence type='subscribe' to='{}'/>", self.other);
        self.connection.write(&subscribe).await.unwrap();
    }

    async fn remove(&mut self) {
        let item =
            format!("<query xmlns='{ROSTER}'><item jid='{}' subscription='remove'/></query>", self.other);
        self.connection.write(&format!("<iq type='set' id='remove'>{item}</iq>")).await.unwrap();
    }

    /// What the roster says of the other. What came before the answer is taken note of.
    async fn roster(&mut self) -> Option<String> {
        let get = format!("<iq type='get' id='roster'><query xmlns='{ROSTER}'/></iq>");
        self.connection.write(&get).await.unwrap();
        loop {
            let stanza = self.next(PATIENCE).await.unwrap();
            if stanza.name == "iq" && stanza.attr("id") == Some("roster") {
                return self.item(&stanza).and_then(|item| item.attr("subscription")).map(str::to_owned);
            }
        }
    }

    fn item<'a>(&self, iq: &'a Tree) -> Option<&'a Tree> {
        let items = iq.child("query")?.all("item");
        items.into_iter().find(|item| item.attr("jid") == Some(&self.other))
    }

    /// Reads until it is so, and agrees to what the other asks.
    async fn until(&mut self, what: &str, is_so: impl Fn(&User) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let next = self.next(PATIENCE.saturating_sub(begun.elapsed())).await;
            next.unwrap_or_else(|why| {
                panic!("{what}, {}: {why}; sees it: {}; heard {:#?}", self.other, self.sees, self.heard)
            });
        }
    }

    async fn next(&mut self, within: Duration) -> Result<Tree, String> {
        let received = self.connection.next(within).await.map_err(|error| error.to_string())?;
        let Received::Element(stanza, _) = received else { return Err(format!("{received:?}")) };
        let item = self.item(&stanza).map(|item| &item.attributes);
        self.heard.push(format!("{} {:?} {item:?}", stanza.name, stanza.attributes));
        let from = stanza.attr("from").unwrap_or_default();
        let is_of_other = from.split('/').next() == Some(&self.other);
        match (stanza.name.as_str(), stanza.attr("type")) {
            ("iq", Some("set")) => {
                if let Some(item) = self.item(&stanza) {
                    self.subscription = item.attr("subscription").map(str::to_owned);
                }
                let id = stanza.attr("id").unwrap_or_default();
                self.connection.write(&format!("<iq type='result' id='{id}'/>")).await.unwrap();
            }
            ("presence", Some("subscribe")) if is_of_other => {
                let agree = format!("<presence type='subscribed' to='{}'/>", self.other);
                self.connection.write(&agree).await.unwrap();
                if !self.has_asked {
                    self.ask().await;
                }
            }
            ("presence", None) if is_of_other => self.sees = true,
            ("presence", Some("unavailable")) if is_of_other => self.sees = false,
            _ => {}
        }
        Ok(stanza)
    }
}

/// They become contacts, each of the other.
async fn befriend(left: &mut User, right: &mut User) {
    let both = |user: &User| user.subscription.as_deref() == Some("both") && user.sees;
    left.ask().await;
    tokio::join!(left.until("contacts", both), right.until("contacts", both));
    for user in [left, right] {
        assert_eq!(user.roster().await.as_deref(), Some("both"), "of {}", user.other);
    }
}

/// One takes the other out of its roster, and then the other does.
async fn part(left: &mut User, right: &mut User) {
    let has =
        |subscription| move |user: &User| user.subscription.as_deref() == Some(subscription) && !user.sees;
    left.remove().await;
    tokio::join!(left.until("removed", has("remove")), right.until("left", has("none")));
    assert_eq!(
        (left.roster().await, right.roster().await.as_deref()),
        (None, Some("none")),
        "of {}",
        left.other
    );
    right.remove().await;
    right.until("removed, too", has("remove")).await;
    for user in [left, right] {
        (user.subscription, user.has_asked) = (None, false);
        user.heard.clear();
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Befriend,
    Part,
}

/// All pairs do it at once, and a router is killed meanwhile.
async fn through_a_kill(
    cluster: &mut Cluster,
    chance: &mut Chance,
    pairs: Vec<(User, User)>,
    step: Step,
) -> Vec<(User, User)> {
    let mut under_way = JoinSet::new();
    for (mut left, mut right) in pairs {
        under_way.spawn(async move {
            match step {
                Step::Befriend => befriend(&mut left, &mut right).await,
                Step::Part => part(&mut left, &mut right).await,
            }
            (left, right)
        });
    }
    tokio::time::sleep(Duration::from_micros(chance.below(150_000))).await;
    let router = Part::Router(usize::from(chance.below(2) == 1));
    cluster.kill(router).await.unwrap();
    let mut pairs: Vec<_> = std::iter::from_fn(|| under_way.try_join_next()).map(Result::unwrap).collect();
    println!("{step:?}: {router:?} is killed when {} of {PAIRS} pairs are done", pairs.len());
    pairs.extend(under_way.join_all().await);
    cluster.start_again(router).await.unwrap();
    pairs
}

/// Two users on two managers, and each in the other's roster or out of it, as both say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_rosters_agree_whoever_dies() {
    let config = "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n".to_owned();
    let options = ClusterOptions { config, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    let mut chance = Chance::of_test();
    for number in 0..PAIRS {
        for side in ["left", "right"] {
            let jid = format!("{side}{number}@localhost");
            cluster.control(json!({"op": "user-add", "jid": jid, "password": "secret"})).await.unwrap();
        }
    }
    let usage = calm(&cluster).await;
    let mut pairs = Vec::new();
    for number in 0..PAIRS {
        let (left, right) = (format!("left{number}"), format!("right{number}"));
        let one = User::enter(&cluster, &left, &right, 0).await;
        pairs.push((one, User::enter(&cluster, &right, &left, 1).await));
    }
    for _ in 0..rounds(3) {
        for step in [Step::Befriend, Step::Part] {
            pairs = through_a_kill(&mut cluster, &mut chance, pairs, step).await;
        }
    }
    drop(pairs);
    settles(&cluster, &usage).await;
}
