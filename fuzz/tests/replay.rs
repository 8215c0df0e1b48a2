//! The corpus, each entry whole and cut short: what the engine found once is never found again.

use std::path::Path;

#[track_caller]
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        let data = std::fs::read(entry.expect("an entry").path()).expect("a file");
        target(&data);
        let step = data.len() / 100 + 1;
        (0..data.len()).step_by(step).for_each(|end| target(&data[..end]));
        count += 1;
    }
    assert!(count >= 5, "{name}: {count} entries");
}

#[test]
fn xml() {
    replay("xml", starling_fuzz::xml);
}

#[test]
fn jid() {
    replay("jid", starling_fuzz::jid);
}

#[test]
fn stream() {
    replay("stream", starling_fuzz::stream);
}

#[test]
fn sasl() {
    replay("sasl", starling_fuzz::sasl);
}
