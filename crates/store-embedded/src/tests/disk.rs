//! What lies on the disk: reopened, damaged, locked, copied.

use std::fs;
use std::time::Duration;

use starling_ports::archive::{Archive, Query, Table};
use starling_ports::documents::Document;
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::suite::accounts::credentials;
use starling_ports::suite::row;
use starling_ports::{StoreError, accounts, documents, roster};

use super::*;
use crate::format::FORMAT;

#[tokio::test]
async fn what_was_put_is_there_after_the_store_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1, "a"), row(2, "b")]).await.unwrap();
    accounts::Accounts::create(&*store, &bob(), credentials(1), Timestamp(5)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert!(page.rows.is_empty(), "making an account erases what a former one of that name has left");
    assert!(accounts::Accounts::get(&*store, &bob()).await.unwrap().is_some());
    store.put(Table::Archive, &bob(), vec![row(1, "a"), row(2, "b")]).await.unwrap();
    store.close();
    assert!(store.put(Table::Archive, &bob(), vec![row(3, "c")]).await.is_err());
    let store = open(dir.path());
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows, [row(1, "a"), row(2, "b")]);
}

#[tokio::test]
async fn removal_erases_every_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    accounts::Accounts::create(&*store, &bob(), credentials(1), Timestamp(5)).await.unwrap();
    let other = BareJid::new("bob@example.org.net").unwrap();
    for owner in [&bob(), &other] {
        for table in [Table::Archive, Table::Spool] {
            store.put(table, owner, (1..=1500).map(|number| row(number, "a")).collect()).await.unwrap();
        }
        documents::Documents::put(&*store, owner, &Document::Vcard, "<vCard/>".into()).await.unwrap();
        roster::Rosters::write(&*store, owner, 0, Vec::new()).await.unwrap();
    }
    assert!(accounts::Accounts::remove(&*store, &bob()).await.unwrap());
    assert_eq!(store.last(&bob()).await.unwrap(), None);
    assert_eq!(documents::Documents::size(&*store, &bob()).await.unwrap(), 0);
    assert_eq!(roster::Rosters::get(&*store, &bob()).await.unwrap().version, 0);
    assert!(
        store.last(&other).await.unwrap().is_some()
            && documents::Documents::size(&*store, &other).await.unwrap() > 0
    );
}

#[tokio::test]
async fn two_opens_of_one_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = try_open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("another process has it open"), "{error}");
    drop(store);
    open(dir.path());
}

#[test]
fn a_store_whose_making_was_interrupted_is_made_anew() {
    // What is there when the process is killed after the journal was made, or after all but `format`.
    for killed_late in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (root, db) = (dir.path().join("store"), dir.path().join("store/db"));
        if killed_late {
            open(dir.path()).close();
            fs::remove_file(root.join("format")).unwrap();
            fs::remove_file(root.join("sequence")).unwrap();
            fs::remove_file(db.join("version")).unwrap();
        } else {
            fs::create_dir_all(db.join("keyspaces")).unwrap();
            fs::write(db.join("lock"), "").unwrap();
            fs::write(db.join("0.jnl"), "").unwrap();
        }
        open(dir.path()).close();
        assert!(root.join("format").is_file());
    }
}

/// As a kill leaves it between the account and its data.
#[tokio::test]
async fn who_removes_an_account_that_is_gone_finishes_its_removal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1, "a"), row(2, "b")]).await.unwrap();
    assert!(!accounts::Accounts::remove(&*store, &bob()).await.unwrap(), "there is no account");
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert!(page.rows.is_empty(), "its rows are gone");
}

#[tokio::test]
async fn what_has_groups_is_never_taken_for_an_interrupted_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    accounts::Accounts::create(&*store, &bob(), credentials(1), Timestamp(5)).await.unwrap();
    store.close();
    drop(store);
    fs::remove_file(dir.path().join("store/format")).unwrap();
    let store = open(dir.path());
    assert!(accounts::Accounts::get(&*store, &bob()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::write(dir.path().join("store/format"), format!("{}\n", FORMAT + 1)).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(error.reason.contains(&format!("format is {}", FORMAT + 1)), "{error}");
    assert_eq!(error.path, dir.path().join("store"));
    fs::write(dir.path().join("store/format"), format!("{FORMAT}\n")).unwrap();
    open(dir.path());
}

#[tokio::test]
async fn a_value_with_a_wrong_checksum_is_named_and_never_served() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1, "a"), row(2, "b"), row(3, "c")]).await.unwrap();
    assert!(store.check().unwrap().is_clean());
    let key = crate::row::key(&bob(), row(2, "").id);
    let mut value = crate::row::encode(&key, &row(2, "b"));
    *value.last_mut().unwrap() ^= 1;
    store.disk.write(vec![crate::disk::Op::Put(crate::disk::Space::Archive, key, value)], true).unwrap();

    let got = store.get(Table::Archive, &bob(), row(2, "").id).await;
    assert!(matches!(got, Err(StoreError::Corrupt { .. })), "{got:?}");
    assert!(store.page(Table::Archive, &bob(), &Query::default(), 10).await.is_err());
    assert_eq!(store.get(Table::Archive, &bob(), row(3, "").id).await.unwrap(), Some(row(3, "c")));
    let report = store.check().unwrap();
    assert_eq!(report.damaged, 1);
    assert!(
        report.places[0].contains("archive") && report.places[0].contains("bob@example.org"),
        "{report:?}"
    );
    let refused = store.backup(&elsewhere.path().join("backup"));
    assert!(
        matches!(refused, Err(crate::BackupError::Store(_))),
        "a damaged store gives no backup: {refused:?}"
    );
}

/// Flips a bit in the bytes `needle` of some file under `dir`.
fn flip(dir: &Path, needle: &[u8]) -> bool {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if flip(&path, needle) {
                return true;
            }
            continue;
        }
        let mut bytes = read(&path);
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at] ^= 4;
            fs::write(&path, bytes).unwrap();
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_flipped_bit_on_the_disk_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 1..=50 {
        let body = format!("the body of number {number} ends here");
        store.put(Table::Archive, &bob(), vec![row(number, &body)]).await.unwrap();
    }
    drop(store);
    assert!(flip(dir.path(), b"the body of number 20 ends"));
    match try_open(dir.path()) {
        Err(error) => assert!(!error.reason.is_empty() && !error.mend.is_empty()),
        Ok(store) => {
            let got = store.get(Table::Archive, &bob(), row(20, "").id).await;
            assert!(matches!(got, Err(StoreError::Corrupt { .. })), "{got:?}");
            assert!(!store.check().unwrap().is_clean());
        }
    }
}

#[tokio::test]
async fn a_journal_that_lost_acknowledged_writes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1, "a")]).await.unwrap();
    drop(store);
    let path = dir.path().join("store/sequence");
    let known = u64::from_le_bytes(fs::read(&path).unwrap().try_into().unwrap());
    fs::write(&path, (known + 1).to_le_bytes()).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(error.reason.contains("the journal is damaged"), "{error}");
    fs::remove_file(&path).unwrap();
    open(dir.path());
}

#[tokio::test]
async fn a_backup_of_the_running_store_is_restored() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    accounts::Accounts::create(&*store, &bob(), credentials(1), Timestamp(5)).await.unwrap();
    let rows: Vec<_> = (1..=500).map(|number| row(number, "a body")).collect();
    store.put(Table::Archive, &bob(), rows.clone()).await.unwrap();
    let backup = other.path().join("backup");
    store.backup(&backup).unwrap();
    assert!(store.backup(&backup).is_err(), "it is not empty any more");
    store.put(Table::Archive, &bob(), vec![row(501, "later")]).await.unwrap();

    crate::restore(&backup, other.path()).unwrap();
    assert!(crate::restore(&backup, other.path()).is_err(), "there is a store already");
    assert!(crate::restore(other.path().join("nothing").as_path(), dir.path()).is_err());
    let restored = open(other.path());
    let page = restored.page(Table::Archive, &bob(), &Query::default(), 1000).await.unwrap();
    assert_eq!(page.rows, rows);
    assert!(accounts::Accounts::get(&*restored, &bob()).await.unwrap().is_some());
    assert!(restored.check().unwrap().is_clean());
}

#[tokio::test]
async fn a_long_archive_is_paged_from_both_ends() {
    const ROWS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { sync: false, ..config(dir.path()) };
    let store = open_with(&config).unwrap();
    for start in (0..ROWS).step_by(5000) {
        let rows = (start + 1..=start + 5000).map(|number| row(number, "hello")).collect();
        store.put(Table::Archive, &bob(), rows).await.unwrap();
    }
    let (mut next, mut query) = (1, Query::default());
    while next <= ROWS / 2 {
        let page = store.page(Table::Archive, &bob(), &query, 500).await.unwrap();
        assert!(page.rows.iter().zip(next..).all(|(row, number)| row.id.number == number));
        next += page.rows.len() as u64;
        query.after = page.rows.last().map(|row| row.id);
    }
    let (mut last, mut query) = (ROWS, Query { backwards: true, ..Query::default() });
    while last > ROWS / 2 {
        let page = store.page(Table::Archive, &bob(), &query, 500).await.unwrap();
        assert!(page.rows.iter().rev().zip((0..=last).rev()).all(|(row, number)| row.id.number == number));
        last -= page.rows.len() as u64;
        query.before = page.rows.first().map(|row| row.id);
    }
    let (start, end) = (Some(Timestamp(15_000)), Some(Timestamp(15_009)));
    for backwards in [false, true] {
        let query = Query { start, end, backwards, ..Query::default() };
        let page = store.page(Table::Archive, &bob(), &query, 500).await.unwrap();
        assert!(page.complete && page.rows.iter().map(|row| row.id.number).eq(15_000..=15_009));
        let page = store.page(Table::Archive, &bob(), &query, 3).await.unwrap();
        assert!(!page.complete && page.rows.len() == 3);
    }
    assert_eq!(store.last(&bob()).await.unwrap().map(|ArchiveId { number, .. }| number), Some(ROWS));
}

#[tokio::test]
async fn many_writers_share_a_commit_and_all_is_held_back_until_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { commit_delay: Duration::from_millis(200), ..config(dir.path()) };
    let store = open_with(&config).unwrap();
    let begin = std::time::Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for number in 1..=50 {
        let store = store.clone();
        writers.spawn(async move { store.put(Table::Archive, &bob(), vec![row(number, "a")]).await });
    }
    while let Some(result) = writers.join_next().await {
        result.unwrap().unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(200), "answered before the commit");
    }
    assert!(begin.elapsed() < Duration::from_millis(200 * 10), "one commit for many");
}

#[tokio::test]
async fn after_a_failed_write_the_store_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1, "a")]).await.unwrap();
    store.disk.reopen().unwrap();
    store.put(Table::Archive, &bob(), vec![row(2, "b")]).await.unwrap();
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows, [row(1, "a"), row(2, "b")]);
}

#[test]
fn defaults_are_valid_and_unknown_keys_are_refused() {
    Config::default().check().unwrap();
    let text = r#"{"log-max-stanzas": 50, "archive-ttl": "400days"}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!((config.log_max_stanzas, config.archive_ttl), (50, Duration::from_secs(400 * 24 * 3600)));
    assert!(serde_json::from_str::<Config>(r#"{"datadir": "x"}"#).is_err());
    let small = Config { log_max_stanzas: 1, ..Config::default() };
    assert_eq!(small.check().unwrap_err().field, "log-max-stanzas");
}

#[test]
fn no_duration_is_longer_than_can_be_counted() {
    for (key, long) in [
        ("commit-delay", "500000000000years"),
        ("spool-ttl", "500000000000years"),
        ("archive-ttl", "1001years"),
    ] {
        let config: Config = serde_json::from_str(&format!(r#"{{"{key}": "{long}"}}"#)).unwrap();
        assert_eq!(config.check().unwrap_err().field, key);
    }
}

/// Every path under `dir` that others may do something with.
fn open_to_others(dir: &Path) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if fs::metadata(&path).unwrap().permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(open_to_others(&path));
        }
    }
    found
}

#[tokio::test]
async fn what_is_copied_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (data, backup, new) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("new"));
    let store = open(&data);
    store.put(Table::Archive, &bob(), vec![row(1, "a")]).await.unwrap();
    assert_eq!(fs::metadata(data.join("store")).unwrap().permissions().mode() & 0o777, 0o700);
    store.backup(&backup).unwrap();
    drop(store);
    let opened = fs::Permissions::from_mode(0o644);
    assert_eq!(open_to_others(&backup), Vec::<std::path::PathBuf>::new());
    fs::set_permissions(backup.join("store/format"), opened).unwrap();
    crate::restore(&backup, &new).unwrap();
    assert_eq!(open_to_others(&new), Vec::<std::path::PathBuf>::new());
    // As older versions left it.
    fs::set_permissions(new.join("store"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(new.join("store/format"), fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&new));
    assert!(!open_to_others(&new).iter().any(|path| path.ends_with("store") || path.ends_with("format")));
}

#[tokio::test]
async fn a_damaged_backup_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup, new) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("new"));
    let store = open(&data);
    store.put(Table::Archive, &bob(), vec![row(1, "the body of number 1 ends here")]).await.unwrap();
    store.backup(&backup).unwrap();
    assert!(flip(&backup, b"the body of number 1 ends"));
    let error = crate::restore(&backup, &new).unwrap_err();
    assert_eq!(error.path, backup.join("store"), "{error}");
    assert!(!new.exists(), "so that a retry is not refused, and nothing is taken for a store");
    fs::remove_dir_all(&backup).unwrap();
    store.backup(&backup).unwrap();
    crate::restore(&backup, &new).unwrap();
    let error = store.backup(&backup).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} is not empty", backup.display())), "{error}");
}

/// The files of the database, and what a file of them is called in words where something else stands in it or it is gone.
#[tokio::test]
async fn a_damaged_file_is_told_in_words_with_what_mends_it() {
    let cases = [
        ("version", Some("not a version"), "they name no format that is known here"),
        ("keyspaces/1/current", Some("not one either"), "one is missing"),
        ("keyspaces/1/v0", None, "one is missing"),
    ];
    for (file, contents, told) in cases {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = open(&data);
        store.put(Table::Archive, &bob(), vec![row(1, "hello")]).await.unwrap();
        store.close();
        drop(store);
        let path = data.join("store/db").join(file);
        match contents {
            Some(contents) => fs::write(path, contents).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let error = try_open(&data).unwrap_err();
        assert!(error.is_damage(), "{file}: {error}");
        assert_eq!(error.reason, format!("its files are damaged: {told}"), "{file}");
    }
}
