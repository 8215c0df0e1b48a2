//! A Redis that is killed in the middle of a write to its file, and then again: it comes back with the beginning of that write.

use std::fs;
use std::path::Path;

use starling_ports::ids::LogNumber;
use starling_ports::sessions::Sessions;
use starling_ports::suite::fresh_user;

use crate::talk::{archived, commit, deliver, message, online};
use crate::world::World;

/// Cuts its file where `text` was written last.
fn cut(directory: &Path, text: &str) {
    let files = fs::read_dir(directory.join("appendonlydir")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let path = paths.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    let mut kept = fs::read(&path).unwrap();
    let at = kept.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
    kept.truncate(at);
    fs::write(&path, kept).unwrap();
}

/// Redis leaves the beginning of the write in its file, without an end (valkey-io/valkey#4342). What it writes next is the end of it when
/// the file is read once more.
#[tokio::test]
async fn a_record_with_a_part_of_a_write_is_made_anew() {
    let mut world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    world.server.ask::<String>(&["CONFIG", "SET", "appendfsync", "always"]);
    let first = deliver(&*one, &world.store, &account, message(1, 1, &[])).await;
    commit(&*one, &account, message(2, 1, &[])).await.unwrap();
    let copy = world.server.copy();
    cut(copy.path(), "2:1");
    world.server.come_back_as(copy);
    let second = deliver(&*other, &world.store, &account, message(3, 1, &[])).await;
    one.save().await.unwrap();
    other.save().await.unwrap();
    world.server.kill();
    assert!(world.server.run(), "it starts on its port again");

    commit(&*one, &account, message(4, 1, &[])).await.expect("it is served");
    let third = deliver(&*one, &world.store, &account, message(4, 1, &[])).await;
    let phone = online(&*other, &account, "phone").await;
    let pulled = other.pull(&account, phone.id, phone.epoch, LogNumber(0), 100).await.unwrap();
    let came: Vec<_> = pulled.entries.iter().filter_map(|entry| entry.committed.id).collect();
    assert_eq!(came, [first, second, third]);
    assert_eq!(archived(&*one, &world.store, &account).await.len(), 3);
}
