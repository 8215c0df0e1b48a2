//! Formats: each older one is made by code, and becomes what this program would have written.

use std::collections::BTreeMap;
use std::fs;

use starling_ports::archive::{Archive, Direction, Row, Table};
use starling_ports::suite::{row, wire};
use starling_stanza::Wire;

use super::*;
use crate::disk::{Op, Space, pair};
use crate::format::FORMAT;

type Contents = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// `OLDER[n]` makes format n + 1 of format n + 2.
const OLDER: &[fn(&Contents) -> Vec<Op>] = &[without_correspondents, without_devices];

/// Format 1 had neither the archive by correspondent nor the sizes of archives.
fn without_correspondents(contents: &Contents) -> Vec<Op> {
    remove(contents, |space, key| match space {
        Space::With => true,
        Space::Data => key.ends_with(b"\0u"),
        _ => false,
    })
}

/// Format 2 had the archive by account, and not by device.
fn without_devices(contents: &Contents) -> Vec<Op> {
    remove(contents, |space, key| space == Space::With && key.contains(&b'/'))
}

fn remove(contents: &Contents, is_gone: impl Fn(Space, &[u8]) -> bool) -> Vec<Op> {
    let space = |name| Space::ALL.into_iter().find(|space| space.name() == name).unwrap();
    let keys = contents.keys().map(|(name, key)| (space(*name), key));
    keys.filter(|(space, key)| is_gone(*space, key))
        .map(|(space, key)| Op::Remove(space, key.clone()))
        .collect()
}

/// All that is kept, but for the number of the last write.
fn contents(store: &Store) -> Contents {
    let tables = store.disk.read().unwrap();
    let of = |space: Space| tables.space(space).iter().map(move |guard| (space, pair(guard).unwrap()));
    let all = Space::ALL.into_iter().filter(|space| *space != Space::Meta).flat_map(of);
    all.map(|(space, (key, value))| ((space.name(), key.to_vec()), value.to_vec())).collect()
}

/// Two accounts that wrote and were written to, by several devices.
async fn fill(store: &Store) {
    for owner in [bob(), BareJid::new("carol@example.org").unwrap()] {
        for number in 1..=30 {
            let with = BareJid::new(&format!("friend{}@example.org", number % 3)).unwrap();
            let sent =
                format!("<message to='{with}/desk' from='{owner}/phone' type='chat'><body>{number}</body>");
            let row = match number % 2 {
                0 => Row { with, wire: wire(&format!("to be kept {number}")), ..row(number, "") },
                _ => Row {
                    with,
                    direction: Direction::Sent,
                    wire: Wire::from_bytes(sent.into_bytes().into()).unwrap(),
                    ..row(number, "")
                },
            };
            store.put(Table::Archive, &owner, vec![row]).await.unwrap();
        }
        let bytes: u64 = (1..=30).map(|number| size(store, &owner, number)).sum();
        store.writer.write(vec![crate::data::encode_usage(&owner, bytes)]).await.unwrap();
    }
}

fn size(store: &Store, owner: &BareJid, number: u64) -> u64 {
    let key = crate::row::key(owner, row(number, "").id);
    let value = store.disk.read().unwrap().get(Space::Archive, &key).unwrap().unwrap();
    crate::row::decode(&key, &value).unwrap().wire.len() as u64
}

fn set_format(dir: &Path, format: u32) {
    fs::write(dir.join("store/format"), format!("{format}\n")).unwrap();
}

fn format(dir: &Path) -> String {
    fs::read_to_string(dir.join("store/format")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn every_older_format_becomes_what_this_program_writes() {
    assert_eq!(OLDER.len() as u32, FORMAT - 1, "a new format comes with the way back to the one before");
    for older in 1..FORMAT {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        fill(&store).await;
        let now = contents(&store);
        for step in OLDER.iter().skip(older as usize - 1).rev() {
            store.disk.write(step(&contents(&store)), true).unwrap();
        }
        let then = contents(&store);
        assert!(then.len() < now.len(), "format {older} is another one");
        drop(store);
        set_format(dir.path(), older);
        let store = open(dir.path());
        assert_eq!(contents(&store), now, "from format {older}");
        assert_eq!(format(dir.path()), FORMAT.to_string());

        // Killed in the middle of it: some of what it writes is there, `format` is still the older one.
        let written: Vec<_> = now.keys().filter(|key| !then.contains_key(key)).collect();
        let half = written.iter().step_by(2).map(|key| (*key).clone()).collect::<Vec<_>>();
        store
            .disk
            .write(remove(&now, |space, key| half.contains(&(space.name(), key.to_vec()))), true)
            .unwrap();
        drop(store);
        set_format(dir.path(), older);
        let store = open(dir.path());
        assert_eq!(contents(&store), now, "from half of format {older}");
        assert!(store.check().unwrap().is_clean());
    }
}
