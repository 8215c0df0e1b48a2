//! `starling doctor`: what is broken is found, with what mends it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use simple_dns::rdata::{A, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
use starling_testkit::SmallDisk;

use crate::starling::{Outcome, PORTS, server_in, starling_in, until};

/// Examines what `starling.toml` in `directory` says.
fn examine(directory: &Path, config: &str, more: &[&str]) -> Outcome {
    std::fs::write(directory.join("doctor.toml"), config).unwrap();
    starling_in(directory, &[&["doctor", "--json", "--config", "doctor.toml"], more].concat(), PORTS)
}

/// The trouble of a check whose `what` contains that; its mend is there too.
fn trouble(outcome: &Outcome, check: &str, about: &str) -> Option<String> {
    let report = outcome.json();
    let findings = report["findings"].as_array().unwrap();
    let of =
        |finding: &&Value| finding["check"] == check && finding["what"].as_str().unwrap().contains(about);
    let finding = findings.iter().find(of).unwrap_or_else(|| panic!("no {check} about {about}: {report:#}"));
    let trouble = finding["trouble"].as_str().map(str::to_owned);
    assert_eq!(trouble.is_some(), finding["mend"].is_string(), "{finding:#}");
    assert_eq!(outcome.code, Some(i32::from(report["sound"] == false)), "{report:#}");
    trouble
}

#[test]
fn a_sound_machine_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = examine(directory.path(), "", &[]);
    for (check, about) in [
        ("configuration", ""),
        ("port", "127.0.0.1:0"),
        ("disk", "MiB"),
        ("store", "will be made"),
        ("certificate", "localhost"),
        ("dns", "localhost is not looked up"),
        ("clock", ""),
        ("file descriptors", ""),
    ] {
        assert_eq!(trouble(&outcome, check, about), None, "{check}");
    }
    assert_eq!(outcome.code, Some(0));
    assert!(!directory.path().join("data").exists(), "looking makes nothing");
}

#[test]
fn a_wrong_configuration_is_a_finding_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = examine(directory.path(), "[limit]\n", &[]);
    assert_eq!(outcome.code, Some(64));
    let report = outcome.json();
    assert_eq!(report["findings"][0]["what"], "doctor.toml:1");
    assert_eq!(report["findings"][0]["mend"], "did you mean `limits`?");
}

#[test]
fn a_port_in_use_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = examine(directory.path(), &format!("[listen]\nplain = ['{address}']\n"), &[]);
    assert!(trouble(&outcome, "port", &address).unwrap().contains("in use"));
}

#[tokio::test]
async fn a_running_server_is_asked_instead() {
    let directory = tempfile::tempdir().unwrap();
    let _server = server_in(&directory.path().join("data"), "").await;
    let outcome = examine(directory.path(), "", &[]);
    assert_eq!(trouble(&outcome, "store", "in use by the running server"), None);
    assert_eq!(trouble(&outcome, "port", "of the running server"), None);
}

#[test]
fn a_store_that_does_not_open_is_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/store"), "not a directory").unwrap();
    assert!(trouble(&examine(directory.path(), "", &[]), "store", "data/store").is_some());
}

#[test]
fn a_clock_that_was_set_back_is_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("data")).unwrap();
    let file = std::fs::File::create(directory.path().join("data/secret")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    assert!(trouble(&examine(directory.path(), "", &[]), "clock", "").unwrap().contains("set back"));
}

#[tokio::test]
async fn a_start_says_that_the_clock_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server_in(directory.path(), "").await;
    assert!(!server.log().contains("clock_wrong"), "{}", server.log());
    server.stop().await.unwrap();
    let file = std::fs::File::create(directory.path().join("note")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let server = server_in(directory.path(), "").await;
    until("a warning", async || server.log().contains("ahead of it: it was set back")).await;
}

/// Writes a certificate for `name` that ends so many days from now, and the configuration that uses it.
fn certified(directory: &Path, name: &str, days: i64) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 3600);
    params.not_before = (now - day * 400).into();
    params.not_after = match u32::try_from(days) {
        Ok(days) => (now + day * days).into(),
        Err(_) => (now - day * u32::try_from(-days).unwrap()).into(),
    };
    let key = KeyPair::generate().unwrap();
    std::fs::write(directory.join("a.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(directory.join("a.key"), key.serialize_pem()).unwrap();
    "domains = ['chat.localhost']\n[tls.certificates.'chat.localhost']\ncertificate = 'a.crt'\nkey = 'a.key'\n".to_owned()
}

#[test]
fn certificates_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for (name, days, expected) in [
        ("chat.localhost", 100, None),
        ("*.localhost", 100, None),
        ("chat.localhost", -3, Some("it has expired")),
        ("chat.localhost", 5, Some("it expires soon")),
        ("other.localhost", 100, Some("it is for other.localhost")),
    ] {
        let config = certified(directory.path(), name, days);
        let found = trouble(&examine(directory.path(), &config, &[]), "certificate", "chat.localhost");
        assert_eq!(found.as_deref(), expected, "{name} {days}");
    }
    let config = certified(directory.path(), "chat.localhost", 100);
    std::fs::write(directory.path().join("a.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let outcome = examine(directory.path(), &config, &[]);
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    assert!(outcome.stdout.contains("a.key: is not the key of a.crt"), "{outcome:?}");
}

/// The same is wrong for `config check`, which says where.
#[test]
fn config_check_refuses_a_certificate_that_clients_would_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let check = |config: &str| {
        std::fs::write(directory.path().join("check.toml"), config).unwrap();
        starling_in(directory.path(), &["config", "check", "--config", "check.toml"], PORTS)
    };
    check(&certified(directory.path(), "chat.localhost", 100)).succeeded();
    for (name, days, why) in [
        ("chat.localhost", -3, "it has expired; get a new one"),
        ("other.localhost", 100, "it is for other.localhost; get one for this domain"),
    ] {
        let config = certified(directory.path(), name, days);
        let refused = check(&config);
        assert_eq!(refused.code, Some(64), "{refused:?}");
        let place = "check.toml:3: tls.certificates.chat.localhost.certificate: a.crt: ";
        assert!(refused.stderr.contains(&format!("{place}{why}")), "{}", refused.stderr);
        let dumped = starling_in(directory.path(), &["config", "dump", "--config", "check.toml"], PORTS);
        assert_eq!(dumped.code, Some(0), "a start is not refused for it: {dumped:?}");
    }
    let config = certified(directory.path(), "chat.localhost", 100);
    std::fs::write(directory.path().join("a.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let refused = check(&config);
    assert!(
        refused.code == Some(64) && refused.stderr.contains("a.key: is not the key of a.crt; name files"),
        "{refused:?}"
    );
    std::fs::remove_file(directory.path().join("a.key")).unwrap();
    let refused = check(&config);
    assert!(refused.code == Some(64) && refused.stderr.contains("a.key: "), "{refused:?}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_found() {
    let disk = SmallDisk::mount();
    std::fs::create_dir(disk.path().join("data")).unwrap();
    let config = format!("data-dir = '{}'\n", disk.path().join("data").display());
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(trouble(&examine(directory.path(), &config, &[]), "rights", "data"), None);
    disk.make_read_only();
    let found = trouble(&examine(directory.path(), &config, &[]), "rights", "data").unwrap();
    assert!(found.starts_with("it cannot be written: "), "{found}");
}

/// A name server that knows a few names, until the test ends.
fn name_server(port: u16) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let query = Packet::parse(&buffer[..length]).unwrap();
            let question = query.questions[0].clone();
            let mut reply = Packet::new_reply(query.id());
            reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
            let name = question.qname.to_string();
            if let Some(data) = known(&name, question.qtype, port) {
                reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, data));
            }
            reply.questions.push(question);
            socket.send_to(&reply.build_bytes_vec().unwrap(), peer).unwrap();
        }
    });
    address
}

fn known(name: &str, kind: QTYPE, port: u16) -> Option<RData<'static>> {
    let srv =
        |port, target| RData::SRV(SRV { priority: 0, weight: 5, port, target: Name::new_unchecked(target) });
    match (name, kind) {
        ("_xmpp-client._tcp.good.example", QTYPE::TYPE(TYPE::SRV)) => Some(srv(port, "host.good.example")),
        ("_xmpp-client._tcp.port.example", QTYPE::TYPE(TYPE::SRV)) => Some(srv(1, "host.good.example")),
        ("_xmpp-client._tcp.lost.example", QTYPE::TYPE(TYPE::SRV)) => Some(srv(port, "nowhere.example")),
        ("host.good.example" | "bare.example", QTYPE::TYPE(TYPE::A)) => {
            Some(RData::A(A { address: Ipv4Addr::LOCALHOST.into() }))
        }
        _ => None,
    }
}

#[test]
fn dns_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = name_server(free.port()).to_string();
    let config =
        "domains = ['good.example', 'port.example', 'lost.example', 'bare.example', 'none.example']\n";
    std::fs::write(directory.path().join("doctor.toml"), config).unwrap();
    let list = format!("['{free}']");
    let variables = [PORTS, &[("STARLING_LISTEN_C2S", list.as_str())]].concat();
    let arguments = ["doctor", "--json", "--config", "doctor.toml", "--nameserver", &server];
    let outcome = starling_in(directory.path(), &arguments, &variables);
    let of = |domain: &str| trouble(&outcome, "dns", &format!("_xmpp-client._tcp.{domain}"));
    assert_eq!(of("good.example"), None);
    assert_eq!(of("port.example").unwrap(), "that port is not listened on");
    assert_eq!(of("lost.example").unwrap(), "that name has no address");
    assert!(of("bare.example").unwrap().contains("without a record clients try port 5222"));
    assert!(of("none.example").unwrap().contains("neither such a record nor an address"));
    assert_eq!(trouble(&outcome, "dns", "_xmpps-client._tcp.good.example"), None);
}

#[test]
fn a_name_server_that_does_not_answer_is_said_to_be_silent() {
    let directory = tempfile::tempdir().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let outcome = examine(directory.path(), "domains = ['a.example']\n", &["--nameserver", &server]);
    assert_eq!(trouble(&outcome, "dns", "a.example").unwrap(), "no name server answers");
}
