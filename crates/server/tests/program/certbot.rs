//! `deploy/certbot/starling`: a renewed certificate goes from where certbot keeps it to the server, which need not stop.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use starling_testkit::{Connection, Server, TlsOptions};

use crate::starling::{PROGRAM, server_in, starling};

/// What certbot keeps: files by number in `archive`, and links to the newest in `live`.
struct Lineage(PathBuf);

impl Lineage {
    fn live(&self) -> PathBuf {
        self.0.join("live/localhost")
    }

    /// Writes number `n` and points to it; its DER is the answer.
    fn renew(&self, n: u32) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        for (name, text) in [("fullchain", made.cert.pem()), ("privkey", made.signing_key.serialize_pem())] {
            fs::create_dir_all(self.live()).unwrap();
            fs::create_dir_all(self.0.join("archive/localhost")).unwrap();
            let file = self.0.join(format!("archive/localhost/{name}{n}.pem"));
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let link = self.live().join(format!("{name}.pem"));
            let _ = fs::remove_file(&link); // there is none at first
            symlink(format!("../../archive/localhost/{name}{n}.pem"), link).unwrap();
        }
        made.cert.der().to_vec()
    }

    /// As certbot runs it.
    fn deploy(&self, lineage: &Path, tls: &Path, data: &Path, owner: &str) -> bool {
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/certbot/starling");
        let run = Command::new("sh")
            .arg(hook)
            .env("RENEWED_LINEAGE", lineage)
            .env("STARLING_CERTIFICATE", "localhost")
            .env("STARLING_USER", owner)
            .env("STARLING_TLS", tls)
            .env("STARLING_DATA", data)
            .env("STARLING_PROGRAM", format!("{}/hooked", self.0.display()))
            .status();
        run.unwrap().success()
    }

    /// The program, without what only the hook is told.
    fn program(&self) {
        let script = self.0.join("hooked");
        let unset =
            "-u STARLING_CERTIFICATE -u STARLING_USER -u STARLING_TLS -u STARLING_DATA -u STARLING_PROGRAM";
        fs::write(&script, format!("#!/bin/sh\nexec env {unset} {PROGRAM} \"$@\"\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

async fn presented(server: &Server) -> Vec<u8> {
    let mut client = Connection::open(server.address("direct-tls").unwrap()).await.unwrap();
    client.handshake(&TlsOptions::new("localhost")).await.unwrap().certificate
}

#[tokio::test]
async fn a_renewed_certificate_is_handed_over_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let lineage = Lineage(directory.path().to_owned());
    lineage.program();
    let (tls, data) = (directory.path().join("tls"), directory.path().join("data"));
    let owner = "nobody"; // root reads what is nobody's
    let first = lineage.renew(1);
    assert!(lineage.deploy(&lineage.live(), &tls, &data, owner), "the server need not run yet");
    let (certificate, key) = (tls.join("localhost.crt"), tls.join("localhost.key"));
    for file in [&certificate, &key] {
        let found = fs::metadata(file).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_ne!(found.uid(), fs::metadata(lineage.live()).unwrap().uid(), "it is the server's");
    }
    let config = format!("[tls.certificates.'localhost']\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let server = server_in(&data, &config).await;
    assert_eq!(presented(&server).await, first);

    let second = lineage.renew(2);
    assert!(lineage.deploy(&lineage.live(), &tls, &data, owner));
    assert_eq!(presented(&server).await, second);

    lineage.renew(3);
    let other = directory.path().join("live/other.example");
    assert!(lineage.deploy(&other, &tls, &data, owner), "another certificate is no concern of ours");
    assert_eq!(presented(&server).await, second);
    let check = data.join("starling.toml");
    starling(&["config", "check", "--config", check.to_str().unwrap()]).succeeded();
}
