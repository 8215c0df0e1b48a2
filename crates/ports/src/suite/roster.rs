//! For `Rosters`.

use starling_jid::BareJid;

use super::fresh_user;
use crate::roster::{Contact, Edit, Roster, Rosters, Subscription, Written};

fn contact(name: &str) -> Contact {
    Contact {
        jid: BareJid::new(&format!("{name}@example.org")).unwrap(),
        name: Some(name.to_uppercase().into()),
        groups: vec!["Friends".into(), "A & B".into()],
        state: Subscription { to: true, pending_in: true, ..Subscription::default() },
        version: 0,
        request: Some("<presence type='subscribe'>".into()),
        listed: true,
    }
}

async fn done(
    store: &dyn Rosters,
    owner: &BareJid,
    version: u64,
    edits: Vec<Edit>,
) -> std::sync::Arc<Roster> {
    match store.write(owner, version, edits).await.unwrap() {
        Written::Done(roster) => roster,
        Written::Stale(roster) => panic!("stale at {}", roster.version),
    }
}

/// Who never had a roster has an empty one.
pub async fn nobody_has_an_empty_roster(store: &dyn Rosters) {
    let roster = store.get(&fresh_user()).await.unwrap();
    assert_eq!((roster.version, roster.contacts.len()), (0, 0));
}

/// Every field comes back, in the order of the JIDs, with the version of its change.
pub async fn contacts_come_back_in_order(store: &dyn Rosters) {
    let owner = fresh_user();
    done(store, &owner, 0, vec![Edit::Put(contact("carol")), Edit::Put(contact("alice"))]).await;
    let mut bare = contact("bob");
    (bare.name, bare.groups, bare.request, bare.listed) = (None, Vec::new(), None, false);
    bare.state = Subscription { from: true, pending_out: true, approved: true, ..Subscription::default() };
    done(store, &owner, 1, vec![Edit::Put(bare.clone())]).await;
    let roster = store.get(&owner).await.unwrap();
    let expected = [
        Contact { version: 1, ..contact("alice") },
        Contact { version: 2, ..bare },
        Contact { version: 1, ..contact("carol") },
    ];
    assert_eq!((roster.version, &roster.contacts[..]), (2, &expected[..]));
}

/// A write on an old version changes nothing and says what is there now.
pub async fn an_old_version_changes_nothing(store: &dyn Rosters) {
    let owner = fresh_user();
    done(store, &owner, 0, vec![Edit::Put(contact("alice"))]).await;
    let written = store.write(&owner, 0, vec![Edit::Remove(contact("alice").jid)]).await.unwrap();
    let Written::Stale(roster) = written else { panic!("it was written") };
    assert_eq!((roster.version, roster.contacts.len()), (1, 1));
}

/// What is removed is remembered with its version, until it comes back.
pub async fn a_removal_is_remembered(store: &dyn Rosters) {
    let owner = fresh_user();
    let alice = contact("alice").jid;
    done(store, &owner, 0, vec![Edit::Put(contact("alice"))]).await;
    let roster = done(store, &owner, 1, vec![Edit::Remove(alice.clone())]).await;
    assert_eq!((roster.contacts.len(), &roster.removed[..]), (0, &[(alice.clone(), 2)][..]));
    let roster = done(store, &owner, 2, vec![Edit::Remove(alice)]).await;
    assert_eq!(roster.removed.len(), 1, "removing it again forgets nothing");
    let roster = done(store, &owner, 3, vec![Edit::Put(contact("alice"))]).await;
    assert_eq!((roster.contacts.len(), roster.removed.len()), (1, 0));
}

/// Forgotten removals raise `since`.
pub async fn removals_are_bounded(store: &dyn Rosters) {
    let owner = fresh_user();
    let mut version = 0;
    for number in 0..400 {
        let contact = contact(&format!("contact{number}"));
        version = done(store, &owner, version, vec![Edit::Put(contact.clone())]).await.version;
        version = done(store, &owner, version, vec![Edit::Remove(contact.jid)]).await.version;
    }
    let roster = store.get(&owner).await.unwrap();
    assert!(roster.removed.len() < 400 && roster.since > 0);
    assert!(roster.removed.iter().all(|(_, version)| *version > roster.since));
}
