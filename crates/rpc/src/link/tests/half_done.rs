//! Session-log rule 1: a router dies in the middle of what changes two accounts, and another one does it again: both rosters agree, and
//! both users hear of it, at each step at which it can die.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use starling_im::Stores;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::ids::{Handled, LogNumber, NodeId};
use starling_ports::ingress::{Handling, Ingress, SessionRef, Submitted};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::roster::{Edit, Roster, Rosters, Subscription, Written};
use starling_stanza::Kind;
use tokio::task::yield_now;

use super::setup::{Core, draft, presence, request, subscription};

const NONE: Subscription =
    Subscription { to: false, from: false, pending_out: false, pending_in: false, approved: false };
const BOTH: Subscription = Subscription { to: true, from: true, ..NONE };

/// More than any of them is told.
const TOLD: usize = 100;

tokio::task_local! {
    /// How many steps a router has left that is to die.
    static LEFT: Arc<AtomicIsize>;
}

/// Where a router can die.
async fn step() {
    let _ = LEFT.try_with(|left| left.fetch_sub(1, Ordering::Relaxed)); // others live on
    yield_now().await;
}

/// A store that always lets its caller wait, before it does something and behind it: there a router can die.
struct Waiting<T>(T);

#[async_trait]
impl Rosters for Waiting<Arc<dyn Rosters>> {
    async fn get(&self, owner: &BareJid) -> Result<Arc<Roster>> {
        step().await;
        self.0.get(owner).await
    }
    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written> {
        step().await;
        let written = self.0.write(owner, version, edits).await;
        step().await;
        written
    }
}

#[async_trait]
impl BlockLists for Waiting<Arc<dyn BlockLists>> {
    async fn get(&self, owner: &BareJid) -> Result<BlockList> {
        step().await;
        self.0.get(owner).await
    }
    async fn put(&self, owner: &BareJid, list: BlockList) -> Result<()> {
        step().await;
        self.0.put(owner, list).await?;
        step().await;
        Ok(())
    }
}

#[async_trait]
impl LastActivities for Waiting<Arc<dyn LastActivities>> {
    async fn get(&self, owner: &BareJid) -> Result<Option<LastActivity>> {
        step().await;
        self.0.get(owner).await
    }
    async fn put(&self, owner: &BareJid, last: LastActivity) -> Result<()> {
        step().await;
        self.0.put(owner, last).await?;
        step().await;
        Ok(())
    }
}

pub(super) fn waiting(stores: Stores) -> Stores {
    let (rosters, blocklists) = (Waiting(stores.rosters), Waiting(stores.blocklists));
    let last_activities = Arc::new(Waiting(stores.last_activities));
    Stores { rosters: Arc::new(rosters), blocklists: Arc::new(blocklists), last_activities, ..stores }
}

/// A user who is there, wants to know of changes of the roster, and sees nothing yet of what this is about.
pub(super) struct User {
    pub(super) account: BareJid,
    pub(super) session: SessionRef,
    next: u64,
    seen: LogNumber,
}

impl User {
    pub(super) async fn enter(core: &Core, name: &str) -> User {
        let account = core.account(name).await;
        let session = core.pipeline.bind(&account, Some("desk"), NodeId::default()).await.unwrap();
        let mut user = User { account, session, next: 1, seen: LogNumber(0) };
        user.say(core, |number| request(number, "get", "<query xmlns='jabber:iq:roster'/>".to_owned())).await;
        user.say(core, presence).await;
        user
    }

    /// The same device, signed in again.
    pub(super) async fn back(&self, core: &Core) -> User {
        let session = core.pipeline.bind(&self.account, Some("desk"), NodeId::default()).await.unwrap();
        User { account: self.account.clone(), session, next: 1, seen: LogNumber(0) }
    }

    pub(super) async fn say(&mut self, core: &Core, stanza: impl Fn(u64) -> Submitted) {
        let done = core.pipeline.submit(&self.session, vec![stanza(self.next)]).await.unwrap();
        assert_eq!(done.handling, Handling::Done(Handled(self.next)));
        self.next += 1;
    }

    /// A router dies at its so manieth step, and another one does it again. `false`: the first one had done all of it.
    async fn say_to_two(&mut self, core: &Core, stanza: impl Fn(u64) -> Submitted, steps: usize) -> bool {
        let first = core.pipeline.submit(&self.session, vec![stanza(self.next)]);
        if until(first, steps).await.is_some() {
            return false;
        }
        let again = core.pipeline.submit_again(&self.session, vec![stanza(self.next)]).await.unwrap();
        assert_eq!(again.handling, Handling::Done(Handled(self.next)));
        true
    }

    /// What came since it was asked the last time.
    pub(super) async fn told(&mut self, core: &Core) -> Vec<String> {
        let came = core.pipeline.pull(&self.session, self.seen, TOLD).await.unwrap().entries;
        self.seen = came.last().map_or(self.seen, |entry| entry.number);
        came.iter().map(|entry| String::from_utf8(entry.wire.as_bytes().to_vec()).unwrap()).collect()
    }

    async fn state_of(&self, core: &Core, other: &User) -> Subscription {
        let roster = Rosters::get(&*core.store, &self.account).await.unwrap();
        roster.contact(&other.account).map_or(NONE, |contact| contact.state)
    }
}

/// Lets it run to the step behind so many, or until it is done.
pub(super) async fn until<T>(future: impl Future<Output = T>, steps: usize) -> Option<T> {
    let left = Arc::new(AtomicIsize::new(steps as isize));
    let mut future = pin!(LEFT.scope(left.clone(), future));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left.load(Ordering::Relaxed) < 0 => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What Alice does to Bob, from where on, and what comes of it.
struct Story {
    /// What both have said before, in turns, Alice first.
    before: &'static [(&'static str, &'static str)],
    /// What Alice has said last.
    first: Option<fn(u64, &BareJid) -> Submitted>,
    says: fn(u64, &BareJid) -> Submitted,
    /// How each stands to the other.
    left: [Subscription; 2],
    /// What Alice is told, and what Bob; `@` is the other one's address.
    told: [&'static [&'static str]; 2],
}

pub(super) const FRIENDS: &[(&str, &str)] =
    &[("alice", "subscribe"), ("bob", "subscribed"), ("bob", "subscribe"), ("alice", "subscribed")];

/// What both have said, in turns.
pub(super) async fn befriend(core: &Core, alice: &mut User, bob: &mut User, said: &[(&str, &str)]) {
    for (who, kind) in said {
        let (user, other) = if *who == "alice" { (&mut *alice, &*bob) } else { (&mut *bob, &*alice) };
        user.say(core, |number| subscription(number, &other.account, kind)).await;
    }
}

/// With two users of their own for each step.
async fn at_each_step(story: Story) {
    let core = Core::of_stores(waiting);
    for steps in 0.. {
        let mut alice = User::enter(&core, &format!("alice{steps}")).await;
        let mut bob = User::enter(&core, &format!("bob{steps}")).await;
        befriend(&core, &mut alice, &mut bob, story.before).await;
        if let Some(first) = story.first {
            alice.say(&core, |number| first(number, &bob.account)).await;
        }
        let _ = (alice.told(&core).await, bob.told(&core).await);
        if !alice.say_to_two(&core, |number| (story.says)(number, &bob.account), steps).await {
            assert!(steps > 1, "it can die somewhere");
            return;
        }
        let [of_alice, of_bob] = story.left;
        assert_eq!(alice.state_of(&core, &bob).await, of_alice, "after {steps} steps, at Alice's");
        assert_eq!(bob.state_of(&core, &alice).await, of_bob, "after {steps} steps, at Bob's");
        let said = [alice.told(&core).await, bob.told(&core).await];
        let others = [&bob.account, &alice.account];
        for ((parts, said), other) in story.told.iter().zip(said).zip(others) {
            for part in parts.iter().map(|part| part.replace('@', other.as_str())) {
                let is_told = said.iter().any(|one| one.contains(&part));
                assert!(is_told, "after {steps} steps, of {other}: {part} is not in {said:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_reaches_the_contact() {
    at_each_step(Story {
        before: &[],
        first: None,
        says: |number, bob| subscription(number, bob, "subscribe"),
        left: [Subscription { pending_out: true, ..NONE }, Subscription { pending_in: true, ..NONE }],
        told: [&["ask='subscribe'"], &["type='subscribe'"]],
    })
    .await;
}

#[tokio::test]
async fn an_approval_reaches_who_asked() {
    at_each_step(Story {
        before: &[("bob", "subscribe")],
        first: None,
        says: |number, bob| subscription(number, bob, "subscribed"),
        left: [Subscription { from: true, ..NONE }, Subscription { to: true, ..NONE }],
        told: [&["subscription='from'"], &["type='subscribed'", "subscription='to'", "from='@/desk'>"]],
    })
    .await;
}

#[tokio::test]
async fn an_approval_in_advance_is_answered() {
    at_each_step(Story {
        before: &[("bob", "subscribed")],
        first: None,
        says: |number, bob| subscription(number, bob, "subscribe"),
        left: [Subscription { to: true, ..NONE }, Subscription { from: true, approved: true, ..NONE }],
        told: [
            &["ask='subscribe'", "type='subscribed'", "subscription='to'", "from='@/desk'>"],
            &["subscription='from'"],
        ],
    })
    .await;
}

#[tokio::test]
async fn who_unsubscribes_does_so_at_both() {
    at_each_step(Story {
        before: FRIENDS,
        first: None,
        says: |number, bob| subscription(number, bob, "unsubscribe"),
        left: [Subscription { from: true, ..NONE }, Subscription { to: true, ..NONE }],
        told: [
            &["subscription='from'", "from='@/desk' type='unavailable'"],
            &["type='unsubscribe'", "subscription='to'"],
        ],
    })
    .await;
}

#[tokio::test]
async fn whose_approval_is_withdrawn_sees_the_user_leave() {
    at_each_step(Story {
        before: FRIENDS,
        first: None,
        says: |number, bob| subscription(number, bob, "unsubscribed"),
        left: [Subscription { to: true, ..NONE }, Subscription { from: true, ..NONE }],
        told: [&["subscription='to'"], &["type='unsubscribed'", "subscription='from'", "type='unavailable'"]],
    })
    .await;
}

#[tokio::test]
async fn who_is_removed_keeps_no_subscription() {
    at_each_step(Story {
        before: FRIENDS,
        first: None,
        says: |number, bob| {
            let item = format!("<item jid='{bob}' subscription='remove'/>");
            request(number, "set", format!("<query xmlns='jabber:iq:roster'>{item}</query>"))
        },
        left: [NONE, NONE],
        told: [
            &["subscription='remove'", "type='result'", "from='@/desk' type='unavailable'"],
            &["type='unsubscribe'", "type='unsubscribed'", "subscription='none'", "type='unavailable'"],
        ],
    })
    .await;
}

#[tokio::test]
async fn who_leaves_is_seen_to_leave() {
    at_each_step(Story {
        before: FRIENDS,
        first: None,
        says: |number, _| draft(number, Kind::Presence, "unavailable", None, &Bytes::new()),
        left: [BOTH, BOTH],
        told: [&[], &["from='@/desk' type='unavailable'"]],
    })
    .await;
}

#[tokio::test]
async fn who_comes_sees_and_is_seen() {
    at_each_step(Story {
        before: FRIENDS,
        first: Some(|number, _| draft(number, Kind::Presence, "unavailable", None, &Bytes::new())),
        says: |number, _| presence(number),
        left: [BOTH, BOTH],
        told: [&["from='@/desk'>"], &["from='@/desk'>"]],
    })
    .await;
}

#[tokio::test]
async fn who_is_erased_leaves_all_rosters() {
    at_each_step(Story {
        before: FRIENDS,
        first: None,
        says: |number, _| {
            request(number, "set", "<query xmlns='jabber:iq:register'><remove/></query>".to_owned())
        },
        left: [NONE, NONE],
        told: [
            &[], // her log goes with the session
            &["type='unsubscribe'", "type='unsubscribed'", "subscription='none'", "type='unavailable'"],
        ],
    })
    .await;
}

#[tokio::test]
async fn who_is_unblocked_sees_the_user_again() {
    at_each_step(Story {
        before: &[("bob", "subscribe"), ("alice", "subscribed")],
        first: Some(|number, bob| blocking(number, "block", bob)),
        says: |number, bob| blocking(number, "unblock", bob),
        left: [Subscription { from: true, ..NONE }, Subscription { to: true, ..NONE }],
        told: [&["type='result'"], &["from='@/desk'>"]],
    })
    .await;
}

fn blocking(number: u64, name: &str, bob: &BareJid) -> Submitted {
    request(number, "set", format!("<{name} xmlns='urn:xmpp:blocking'><item jid='{bob}'/></{name}>"))
}
