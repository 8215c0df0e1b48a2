//! What is exported is, once imported, what it was: value by value, and for those who sign in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use starling_jid::{BareJid, Jid};
use starling_ports::accounts::{Account, Accounts, Credentials, ScramKeys};
use starling_ports::archive::{Archive, Born, Direction, Query, Row, Table};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::documents::{Document, Documents};
use starling_ports::ids::{ArchiveId, NodeId, Timestamp};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::position::{Position, Positions};
use starling_ports::preferences::{DefaultPreference, PreferenceStore, Preferences};
use starling_ports::roster::{Contact, Edit, Rosters, Subscription};
use starling_stanza::{Message, MessageType, Presence, PresenceType};
use starling_store_embedded::{Config, Store};
use starling_xml::{Element, ns};

use crate::import::{KEPT, check_people, exports, import};
use crate::starling::{Outcome, server_in, starling};

fn export(data: &Path, to: &Path) -> Outcome {
    starling(&["export", "--data-dir", data.to_str().unwrap(), to.to_str().unwrap()])
}

/// Nothing in it is too old.
fn store(data: &Path) -> Arc<Store> {
    let forever = Duration::ZERO;
    let config = Config {
        data_dir: data.join("store"),
        archive_ttl: forever,
        spool_ttl: forever,
        ..Config::default()
    };
    Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap()
}

fn bare(jid: &str) -> BareJid {
    BareJid::new(jid).unwrap()
}

fn keys(length: usize, first: u8) -> Option<ScramKeys> {
    let [salt, stored, server] = [16, length, length].map(|length| (first..).take(length).collect());
    Some(ScramKeys { iterations: 4096, salt, stored, server })
}

/// The message of that number; those of every seventh are twins.
fn row(owner: &BareJid, number: u64, is_waiting: bool) -> Row {
    const SECOND: u64 = 1_000_000;
    let at = Timestamp(SystemClock.now().0 / SECOND * SECOND - 1_000 * SECOND + number * SECOND + 7);
    let is_sent = number.is_multiple_of(5) && !is_waiting;
    let other = Jid::new("bob@elsewhere.example/desk").unwrap();
    let (from, to) = if is_sent { (owner.clone().into(), other) } else { (other, owner.clone().into()) };
    let text = if number.is_multiple_of(7) {
        "the same <again>".to_owned()
    } else {
        format!("number {number} & more")
    };
    let body = Element::new(ns::CLIENT, "body").with_text(&text);
    let message = Message::own(MessageType::Chat, from, Some(to), &[body]);
    Row {
        id: ArchiveId { number: at.0 + 3, random: number },
        at,
        with: bare("bob@elsewhere.example"),
        direction: if is_sent { Direction::Sent } else { Direction::Received },
        resource: None,
        deliverable: is_waiting,
        copied: true,
        origin: None,
        born: Born::default(),
        wire: message.wire(),
    }
}

fn contact(jid: &str, state: Subscription, listed: bool) -> Contact {
    Contact { jid: bare(jid), name: None, groups: Vec::new(), state, version: 0, request: None, listed }
}

async fn fill_alice(store: &Store) {
    let alice = bare("alice@localhost");
    let now = SystemClock.now();
    let both = Credentials { sha1: keys(20, 1), sha256: keys(32, 2) };
    store.create(&alice, both, now).await.unwrap();
    let asks = Presence::own(
        PresenceType::Subscribe,
        Jid::new("eve@elsewhere.example").unwrap(),
        Some(alice.clone().into()),
        &[Element::new("http://jabber.org/protocol/nick", "nick").with_text("Eve <3")],
    );
    let none = Subscription::default();
    let contacts = [
        Contact {
            name: Some("Bob 'n' Co".into()),
            groups: vec!["Work & Co".into(), "B".into()],
            ..contact("bob@elsewhere.example", Subscription { to: true, from: true, ..none }, true)
        },
        contact("carol@localhost", Subscription { pending_out: true, approved: true, ..none }, true),
        contact("dave@localhost", Subscription { approved: true, ..none }, false),
        Contact {
            request: Some(asks.with_id(Some("q1")).wire().as_bytes().clone()),
            ..contact("eve@elsewhere.example", Subscription { pending_in: true, ..none }, false)
        },
    ];
    Rosters::write(store, &alice, 0, contacts.map(Edit::Put).into()).await.unwrap();
    let card = "<vCard xmlns='vcard-temp'><FN>Alice &amp; Co</FN></vCard>";
    Documents::put(store, &alice, &Document::Vcard, Bytes::from(card)).await.unwrap();
    for name in ["storage:bookmarks", "jabber:client"] {
        let xml = Element::new(name, "storage").with_child(Element::new(name, "a").with_text("\n x\t"));
        let document = Document::Private(name.into(), "storage".into());
        Documents::put(store, &alice, &document, xml.to_bytes(ns::CLIENT)).await.unwrap();
    }
    let jids = |list: &[&str]| list.iter().map(|jid| Jid::new(jid).unwrap()).collect::<Vec<_>>();
    let items = jids(&["elsewhere.example", "eve@elsewhere.example", "eve@localhost/desk"]);
    BlockLists::put(store, &alice, BlockList { items }).await.unwrap();
    let (always, never) = (jids(&["bob@elsewhere.example"]), jids(&["eve@elsewhere.example/x"]));
    let preferences = Preferences { default: DefaultPreference::Roster, always, never };
    PreferenceStore::put(store, &alice, preferences).await.unwrap();
    let status = Some("gone <fishing>".into());
    LastActivities::put(store, &alice, LastActivity { at: now, status }).await.unwrap();
    // More than a page; of those from number 400 on, every other one is acknowledged.
    let archived: Vec<Row> = (0..450).map(|number| row(&alice, number, number >= 390)).collect();
    let acknowledged = archived.iter().skip(400).step_by(2).map(|row| row.id).collect();
    let low = Some(archived[399].id);
    for some in archived.chunks(100) {
        Archive::put(store, Table::Archive, &alice, some.to_vec()).await.unwrap();
    }
    let spooled = (500..503).map(|number| row(&alice, number, true)).collect();
    Archive::put(store, Table::Spool, &alice, spooled).await.unwrap();
    Positions::save(store, &alice, Position { low, acknowledged }).await.unwrap();
}

async fn fill(store: &Store) {
    fill_alice(store).await;
    let sha1 = Credentials { sha1: keys(20, 3), sha256: None };
    store.create(&bare("bob@localhost"), sha1.clone(), SystemClock.now()).await.unwrap();
    store.set_suspended(&bare("bob@localhost"), true).await.unwrap();
    store.create(&bare("carol@localhost"), Credentials::default(), SystemClock.now()).await.unwrap();
    store.create(&bare("bob@other.localhost"), sha1, SystemClock.now()).await.unwrap();
}

/// What an account is, however often it was carried elsewhere.
#[derive(Debug, PartialEq)]
struct Person {
    account: Account,
    contacts: Vec<Contact>,
    documents: Vec<(Document, Bytes)>,
    blocked: BlockList,
    preferences: Option<Preferences>,
    last: Option<LastActivity>,
    archived: Vec<Row>,
    waiting: Vec<Row>,
}

async fn rows(store: &Store, table: Table, owner: &BareJid) -> Vec<Row> {
    Archive::page(store, table, owner, &Query::default(), 10_000).await.unwrap().rows
}

async fn person(store: &Store, owner: &BareJid) -> Person {
    let account = Accounts::get(store, owner).await.unwrap().unwrap();
    let roster = Rosters::get(store, owner).await.unwrap();
    let contacts = roster.contacts.iter().map(|contact| Contact { version: 0, ..contact.clone() });
    let position = Positions::get(store, owner).await.unwrap();
    let waits = |row: &Row| {
        row.deliverable && Some(row.id) > position.low && !position.acknowledged.contains(&row.id)
    };
    let (archived, spooled) =
        (rows(store, Table::Archive, owner).await, rows(store, Table::Spool, owner).await);
    let waiting = archived.iter().chain(&spooled).filter(|row| waits(row)).cloned().collect();
    let archived = archived.iter().map(|row| Row { deliverable: waits(row), ..row.clone() }).collect();
    Person {
        account: Account { created: 0, ..account },
        contacts: contacts.collect(),
        documents: store.documents(owner).unwrap(),
        blocked: BlockLists::get(store, owner).await.unwrap(),
        preferences: PreferenceStore::get(store, owner).await.unwrap(),
        last: LastActivities::get(store, owner).await.unwrap(),
        archived,
        waiting,
    }
}

async fn people(data: &Path) -> Vec<(BareJid, Person)> {
    let store = store(data);
    let mut people = Vec::new();
    for owner in store.list(None, 100).await.unwrap() {
        let person = person(&store, &owner).await;
        people.push((owner, person));
    }
    store.close();
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_of_an_export_is_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let [all, again] = ["all.xml", "again.xml"].map(|name| directory.path().join(name));
    let filled = store(&first);
    fill(&filled).await;
    filled.close();
    drop(filled);

    let exported = export(&first, &all).succeeded();
    let counts = "4 accounts, 2 contacts, 3 documents, 3 blocked addresses, 450 archived messages, 28 messages that wait\n";
    assert_eq!(exported.stdout, format!("exported: {counts}"));
    assert!(exported.stderr.contains("1 accounts have no password"), "{exported:?}");
    assert_eq!(all.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let imported = import(&second, &all, &[]).succeeded();
    assert_eq!(imported.stdout.lines().next().unwrap(), format!("imported: {}", counts.trim_end()));
    assert!(!imported.stdout.contains("not kept"), "{imported:?}");

    let (there, here) = (people(&first).await, people(&second).await);
    assert_eq!(there[0].1.waiting.len(), 28);
    for ((owner, there), (_, here)) in there.iter().zip(&here) {
        assert_eq!(there, here, "{owner}");
    }
    assert_eq!(there.len(), here.len());
    export(&second, &again).succeeded();
    assert!(std::fs::read(&all).unwrap() == std::fs::read(&again).unwrap(), "an export of it is another one");
}

#[tokio::test]
async fn users_come_back_with_their_passwords() {
    let directory = tempfile::tempdir().unwrap();
    for from in ["ejabberd", "prosody"] {
        let [first, second] = ["first", "second"].map(|name| directory.path().join(from).join(name));
        import(&first, exports(from), &[]).succeeded();
        let all = directory.path().join(format!("{from}.xml"));
        let exported = export(&first, &all).succeeded().stdout;
        let again = import(&second, &all, &[]).succeeded().stdout;
        let counts = |text: &str| text.lines().next().unwrap().split_once(": ").unwrap().1.to_owned();
        assert_eq!(counts(&exported), counts(&again), "{from}");
        let server = server_in(&second, KEPT).await;
        check_people(&server).await;
        let running = export(&second, &directory.path().join("running.xml"));
        assert!(running.code == Some(1) && running.stderr.contains("another process"), "{running:?}");
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_half_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let [data, to] = ["data", "all.xml"].map(|name| directory.path().join(name));
    let none = export(&data, &to);
    assert!(none.code == Some(1) && none.stderr.contains("there is no store"), "{none:?}");
    import(&data, exports("prosody"), &[]).succeeded();
    std::fs::write(&to, "mine").unwrap();
    let refused = export(&data, &to);
    assert!(refused.code == Some(1) && refused.stderr.contains("is there already"), "{refused:?}");
    assert_eq!(std::fs::read(&to).unwrap(), b"mine");
    let nowhere = export(&data, &directory.path().join("none/all.xml"));
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("all.xml.unfinished"), "{nowhere:?}");
    let left: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
