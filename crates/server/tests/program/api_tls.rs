//! `ctl --server`: administration over TLS, with certificates that change.

use crate::api::{TOKENS, config, token};
use crate::reload::certificate;
use crate::starling::{ctl, server, starling};

#[tokio::test]
async fn ctl_asks_over_tls_and_certificates_change_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let (section, _) = certificate(directory.path(), "localhost");
    let server = server(&format!("{}\ntls = true\n{section}", config())).await;
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (name, _) in TOKENS {
        std::fs::write(file(name), format!("{}\n", token(name))).unwrap();
    }
    std::fs::copy(file("own.crt"), file("former.crt")).unwrap();
    let url = format!("https://localhost:{}", server.address("api").unwrap().port());
    let ask = |by: &str, authority: &str, arguments: &[&str]| {
        let (by, authority) = (file(by), file(authority));
        let remote = ["ctl", "--json", "--server", &url, "--token-file", &by, "--ca-file", &authority];
        starling(&[&remote[..], arguments].concat())
    };
    let added = ask("rules", "own.crt", &["user", "add", "é+b@localhost", "secret"]).succeeded().json();
    assert_eq!(added["created"], "é+b@localhost");
    for arguments in [
        &["user", "list"][..],
        &["user", "list", "--after", "a@localhost", "--limit", "1"],
        &["user", "suspend", "é+b@localhost"],
        &["user", "passwd", "é+b@localhost", "other"],
        &["session", "list", "é+b@localhost"],
        &["drain", "status"],
        &["config", "reload"],
    ] {
        let by_network = ask("rules", "own.crt", arguments).succeeded().json();
        assert_eq!(by_network, ctl(&server, arguments), "{arguments:?}");
    }
    for (by, authority, arguments, why) in [
        ("looks", "own.crt", &["user", "remove", "é+b@localhost"][..], "this token may not do that"),
        ("rules", "own.crt", &["user", "remove", "nobody@localhost"], "there is no account nobody@localhost"),
        ("own.crt", "own.crt", &["status"], "a token and nothing else"),
    ] {
        let refused = ask(by, authority, arguments);
        assert!(refused.code == Some(1) && refused.stdout.contains(why), "{refused:?}");
    }
    certificate(directory.path(), "localhost");
    ctl(&server, &["config", "reload"]);
    let former = ask("rules", "former.crt", &["status"]);
    assert!(former.code == Some(1) && former.stdout.contains("does not answer"), "{former:?}");
    ask("rules", "own.crt", &["status"]).succeeded();
    let unbelieved = starling(&["ctl", "--server", &url, "--token-file", &file("rules"), "status"]);
    assert_eq!(unbelieved.code, Some(1), "{unbelieved:?}");
    let open =
        starling(&["ctl", "--server", "http://chat.example", "--token-file", &file("rules"), "status"]);
    assert!(open.code == Some(1) && open.stderr.contains("in the open"), "{open:?}");
    let without = starling(&["ctl", "--server", &url, "status"]);
    assert!(without.code == Some(1) && without.stderr.contains("--token-file"), "{without:?}");
}
