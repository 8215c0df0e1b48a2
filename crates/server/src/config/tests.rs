//! What the configuration accepts, and what it says about what it does not.

use super::*;

fn read(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("starling.toml");
    std::fs::write(&path, text).unwrap();
    let name = path.display().to_string();
    Config::load(Some(&path), std::iter::empty())
        .map_err(|error| ConfigError { place: error.place.replace(&name, "starling.toml"), ..error })
}

fn complaint(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn nothing_need_be_set() {
    assert_eq!(with(&[]).unwrap().domains, ["localhost"]);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    assert_eq!(
        complaint("domains = ['a.example']\n[limits]\nstanza-byte = 1\n"),
        "starling.toml:3: unknown key `stanza-byte`; did you mean `stanza-bytes`?"
    );
    assert_eq!(complaint("[limit]\n"), "starling.toml:1: unknown key `limit`; did you mean `limits`?");
    assert!(complaint("[im.quotas]\nxyz = 1").contains("known here: offline-messages"));
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_line_its_reason_and_its_default() {
    assert_eq!(
        complaint("\n[limits]\nstanza-bytes = 100"),
        "starling.toml:3: limits.stanza-bytes: RFC 6120 §13.12 wants at least 10000; the default is 262144"
    );
    let plain = complaint("[listen]\nplain = ['0.0.0.0:5222']");
    assert!(plain.starts_with("starling.toml:2: listen.plain: ") && plain.contains("loopback"), "{plain}");
    for (domains, why) in [
        ("['UPPER.example']", "\"UPPER.example\" is written \"upper.example\" in its canonical form"),
        ("['a.example', 'a.example.']", "\"a.example.\" is written \"a.example\""),
        ("['a.example', 'b.example', 'a.example']", "\"a.example\" stands there twice"),
        ("['alice@a.example']", "is an address"),
        ("['']", "is not a domain"),
    ] {
        let complaint = complaint(&format!("domains = {domains}"));
        assert!(
            complaint.starts_with("starling.toml:1: domains: ") && complaint.contains(why),
            "{complaint}"
        );
    }
    assert!(complaint("domains = []").starts_with("starling.toml:1: domains: at least one"));
    assert!(complaint("[log]\nlevel = 'loud'").contains("loud"));
    assert!(complaint("domains = [").starts_with("starling.toml:1: "));
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_line_and_its_default() {
    let wrong = complaint("[im]\narchive = 'perhaps'\n");
    let said =
        "starling.toml:2: im.archive: must be true or false, not the text \"perhaps\"; the default is true";
    assert_eq!(wrong, said);
    let wrong = complaint("[im]\nresume-within = 30\n");
    let said = "must be a time in quotes, such as \"30s\", \"5m\", \"1h 30m\" or \"365d\", not the number 30";
    assert!(wrong.contains(said), "{wrong}");
    let wrong = with(&[("STARLING_LIMITS_STANZA_BYTES", "256k")]).unwrap_err().to_string();
    let said = "STARLING_LIMITS_STANZA_BYTES: must be a whole number of bytes, 0 or more, not the text \"256k\"; the default is 262144";
    assert_eq!(wrong, said);
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_with_its_line() {
    let text = "domains = ['a.example']\n[tls.certificates.'a.example']\ncertificate = '/no/such.pem'\nkey = '/no/such.key'\n";
    let wrong = complaint(text);
    assert!(
        wrong.starts_with("starling.toml:3: tls.certificates.a.example.certificate: /no/such.pem: "),
        "{wrong}"
    );
    let directory = tempfile::tempdir().unwrap();
    let (pem, key) = (directory.path().join("a.pem"), directory.path().join("a.key"));
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let text = text.replace("/no/such.pem", pem.to_str().unwrap());
    let said = "starling.toml:4: tls.certificates.a.example.key: /no/such.key: ";
    assert!(complaint(&text).starts_with(said), "{}", complaint(&text));
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let wrong = complaint(&text.replace("/no/such.key", key.to_str().unwrap()));
    assert!(wrong.starts_with("starling.toml:4: ") && wrong.contains("is not the key of"), "{wrong}");
    assert!(
        complaint(&text.replace("['a.example']\n", "['b.example']\n")).contains("not among the `domains`")
    );
}

#[test]
fn a_domain_without_quotes_is_told_apart_from_an_unknown_key() {
    for (section, domain) in [
        ("[tls.certificates.example.org]", "example.org"),
        ("[tls.certificates.chat.example.org]", "chat.example.org"),
        ("[tls.certificates]\n[tls.certificates.chat.example.org]", "chat.example.org"),
    ] {
        let wrong = complaint(&format!("{section}\ncertificate = 'a.pem'\nkey = 'a.key'\n"));
        let mend = format!("; put the domain in quotes: [tls.certificates.\"{domain}\"]");
        assert!(wrong.starts_with("starling.toml:") && wrong.ends_with(&mend), "{wrong}");
    }
    let wrong = complaint("[tls.certificates.'example.org']\ncertificat = 'a.pem'\nkey = 'a.key'\n");
    assert!(wrong.ends_with("did you mean `certificate`?"), "{wrong}");
}

#[test]
fn whom_to_write_to_is_named_by_a_uri() {
    for (contact, good) in [
        ("mailto:abuse@example.org", true),
        ("xmpp:admin@example.org", true),
        ("https://example.org/help?a=b", true),
        ("abuse@example.org", false),
        ("example.org", false),
        ("mailto:", false),
        ("mailto:a b@example.org", false),
        ("1mail:x", false),
        ("", false),
    ] {
        let read = read(&format!("[im.contact]\nadmin = ['xmpp:a@b.example', '{contact}']\n"));
        let said = read.err().map(|error| error.to_string());
        assert_eq!(said.is_none(), good, "{contact} {said:?}");
        let place = format!("starling.toml:2: im.contact.admin: {contact:?} is not a URI");
        assert!(said.is_none_or(|said| said.starts_with(&place)), "{contact}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = with(&[
        ("STARLING_LIMITS_STANZA_BYTES", "20000"),
        ("STARLING_LOG_LEVEL", "debug"),
        ("STARLING_IM_RESUME_WITHIN", "10m"),
        ("PATH", "x"),
    ])
    .unwrap();
    assert_eq!((config.limits.stanza_bytes, config.log.level.as_str()), (20_000, "debug"));
    assert_eq!(config.im.resume_within.as_secs(), 600);
    let config =
        with(&[("STARLING_DOMAINS", "['a.example', 'b.example']"), ("STARLING_DATA_DIR", "7")]).unwrap();
    assert_eq!((config.domains.len(), config.data_dir.as_path()), (2, Path::new("7")));
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest() {
    let error = with(&[("STARLING_LOG_LEVL", "debug")]).unwrap_err();
    assert_eq!(error.to_string(), "STARLING_LOG_LEVL: no such key; did you mean STARLING_LOG_LEVEL?");
}

#[test]
fn a_wrong_variable_is_named_instead_of_the_file() {
    let error = with(&[("STARLING_LIMITS_STANZA_BYTES", "100")]).unwrap_err();
    assert_eq!(error.place, "STARLING_LIMITS_STANZA_BYTES");
    let error = with(&[("STARLING_IM_ARCHIVE", "perhaps")]).unwrap_err();
    assert_eq!(
        (error.place.as_str(), error.mend.as_deref()),
        ("STARLING_IM_ARCHIVE", Some("the default is true"))
    );
}

#[test]
fn what_a_node_of_a_cluster_lacks_is_named() {
    let manager = "mode = 'cluster'\n[cluster]\nroles = ['connection-manager']\nplaintext = true\n";
    let wrong = complaint(manager);
    assert!(wrong.starts_with("starling.toml: cluster.routers: a connection manager"), "{wrong}");
    let wrong = complaint("mode = 'cluster'\n[cluster]\nlisten = '127.0.0.1:0'\nstores = 'embedded'\n");
    assert!(wrong.starts_with("starling.toml: cluster.certificate: "), "{wrong}");
    let files = "certificate = '/no/such.pem'\nkey = '/no/such.key'\nauthority = '/no/such.ca'\n";
    let wrong = complaint(&format!("mode = 'cluster'\n[cluster]\nstores = 'embedded'\n{files}"));
    assert!(wrong.starts_with("starling.toml:4: cluster.certificate: /no/such.pem: "), "{wrong}");
    assert!(read(&format!("{manager}routers = ['router:5290']\n")).is_ok());
    assert!(read("[cluster]\nroles = []\n").is_ok(), "looked at in a cluster only");
}

#[test]
fn the_command_line_says_which_roles() {
    let config = with(&[("STARLING_CLUSTER_PLAINTEXT", "true")]).unwrap();
    let wrong = config.clone().with_roles(&[Role::ConnectionManager]).unwrap_err();
    assert!(wrong.to_string().starts_with("--roles: cluster.routers: "), "{wrong}");
    let router = Config {
        cluster: rpc::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            stores: rpc::Stores::Embedded,
            ..config.cluster.clone()
        },
        ..config
    };
    let router = router.with_roles(&[Role::SessionRouter]).unwrap();
    assert_eq!((router.mode, router.plays(Role::ConnectionManager)), (Mode::Cluster, false));
}

#[test]
fn what_is_dumped_can_be_read_again() {
    let dumped = Config::default().dump().unwrap();
    let again = read(&dumped).unwrap();
    assert_eq!(again.dump().unwrap(), dumped);
}
