//! Controller and workers over TLS: each must show a certificate of the authority, and what it cannot believe is named.

use super::server::Server;
use super::workers::{Worker, pairs};
use super::{Seen, play_on};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
use tempfile::TempDir;

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The files of one end.
struct End(TempDir);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An end that shows a certificate for this name, and believes `other`.
    fn end(&self, name: &str, other: &Self) -> End {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), &other.pem).unwrap();
        End(folder)
    }
}

impl End {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn options(&self) -> Vec<String> {
        let files = [("--tls-cert", "cert.pem"), ("--tls-key", "key.pem"), ("--tls-ca", "ca.pem")];
        let files =
            files.map(|(option, file)| [option.to_owned(), self.path().join(file).display().to_string()]);
        files.concat()
    }

    fn worker(&self) -> Worker {
        Worker::start_with("127.0.0.1:0", &words(&self.options()))
    }
}

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn play(server: &Server, workers: &str, options: &[String]) -> Seen {
    play_on(server, &pairs(), &[&["--workers", workers][..], &words(options)].concat())
}

#[test]
fn a_run_is_played_by_workers_over_tls() {
    let (server, authority) = (Server::start(&[]), Authority::new());
    let worker = authority.end("127.0.0.1", &authority);
    let (one, two) = (worker.worker(), Worker::start_with("0.0.0.0:0", &words(&worker.options())));
    let port = two.address.rsplit_once(':').unwrap().1;
    let controller = authority.end("controller", &authority);
    let seen = play(&server, &format!("{},127.0.0.1:{port}", one.address), &controller.options());
    assert_eq!(seen.code, Some(0), "{}", seen.words);
    assert_eq!(seen.result["figures"]["received"], 40.0, "{}", seen.words);
}

#[test]
fn an_end_that_is_not_believed_is_refused_and_the_worker_goes_on() {
    let (server, authority, foreign) = (Server::start(&[]), Authority::new(), Authority::new());
    let one = authority.end("127.0.0.1", &authority).worker();
    let refused = |worker: &Worker, options: &[String]| {
        let seen = play(&server, &worker.address, options);
        assert_eq!(seen.code, Some(1), "{}", seen.words);
        assert!(seen.words.contains(&format!("worker {}", worker.address)), "{}", seen.words);
        seen.words
    };
    let stranger = foreign.end("controller", &authority);
    for options in [Vec::new(), stranger.options()] {
        let said = refused(&one, &options);
        assert!(said.contains("has it TLS, and does it believe this certificate?"), "{said}");
    }
    let controller = authority.end("controller", &authority);
    let other = foreign.end("127.0.0.1", &authority).worker();
    let said = refused(&other, &controller.options());
    assert!(said.contains("it cannot be reached") && said.contains("invalid peer certificate"), "{said}");
    let misnamed = authority.end("worker.example", &authority).worker();
    let said = refused(&misnamed, &controller.options());
    assert!(said.contains("not valid for name") && said.contains("worker.example"), "{said}");
    refused(&Worker::start_with("127.0.0.1:0", &[]), &controller.options());
    let seen = play(&server, &one.address, &controller.options());
    assert_eq!(seen.code, Some(0), "{}", seen.words);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (server, authority) = (Server::start(&[]), Authority::new());
    let (controller, other) = (authority.end("a", &authority), authority.end("b", &authority));
    let said = |options: &[String]| {
        let seen = play(&server, "127.0.0.1:1", options);
        assert_ne!(seen.code, Some(0), "{}", seen.words);
        seen.words
    };
    let options = controller.options();
    assert!(said(&options[..2]).contains("--tls-key"), "one without the others");
    for (file, text, why) in [
        ("key.pem", std::fs::read_to_string(other.path().join("key.pem")).unwrap(), "is not the key of"),
        ("key.pem", String::new(), "reading"),
        ("cert.pem", "no certificate".to_owned(), "holds no certificate in PEM form"),
    ] {
        let file = controller.path().join(file);
        std::fs::write(&file, text).unwrap();
        let said = said(&options);
        assert!(said.contains(why) && said.contains(&file.display().to_string()), "{why}: {said}");
    }
}
