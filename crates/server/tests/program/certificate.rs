//! `starling certificate`: nodes of one authority let each other in, and nobody else.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use starling_testkit::{Server, ServerOptions};

use crate::starling::{PATIENCE, PROGRAM, starling};

fn make(directory: &Path, name: &str, role: &str) {
    let made = starling(&["certificate", "--directory", directory.to_str().unwrap(), "--roles", role, name]);
    assert_eq!(made.code, Some(0), "{made:?}");
}

/// The files of a node, for its configuration.
fn files(directory: &Path, name: &str) -> String {
    let at = directory.display();
    format!("certificate = '{at}/{name}.crt'\nkey = '{at}/{name}.key'\nauthority = '{at}/authority.crt'\n")
}

async fn start(more: &str) -> Result<Server, String> {
    let config = format!("mode = 'cluster'\n[cluster]\n{more}");
    Server::start(Path::new(PROGRAM), &ServerOptions { config, data_dir: None })
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn nodes_of_one_authority_find_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    make(at, "router", "session-router");
    let authority = std::fs::read(at.join("authority.crt")).unwrap();
    make(at, "manager", "connection-manager");
    make(at, "manager", "connection-manager"); // renewed
    assert_eq!(std::fs::read(at.join("authority.crt")).unwrap(), authority, "the same for all of them");
    for secret in ["authority.key", "router.key", "manager.key"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(at.join(secret)).unwrap().permissions().mode() & 0o077, 0, "{secret}");
    }
    let router = format!(
        "name = 'r'\nroles = ['session-router']\nstores = 'embedded'\nlisten = '127.0.0.1:0'\n{}",
        files(at, "router")
    );
    let router = start(&router).await.unwrap();
    let link = router.address("link").unwrap();
    let manager =
        |files: String| format!("name = 'm'\nroles = ['connection-manager']\nrouters = ['{link}']\n{files}");
    let _manager = start(&manager(files(at, "manager"))).await.unwrap();
    let begun = Instant::now();
    loop {
        let nodes = router.control(json!({"op": "node-list"})).await.unwrap();
        let names: Vec<_> =
            nodes["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
        if names == ["m", "r"] {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{nodes}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn what_would_overwrite_the_authority_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_str().unwrap();
    for name in ["authority", "../node", ".hidden", "a/b"] {
        let refused = starling(&["certificate", "--directory", at, "--roles", "session-router", name]);
        assert!(refused.code == Some(1) && refused.stderr.contains("cannot be the name"), "{refused:?}");
    }
    std::fs::write(directory.path().join("authority.crt"), "somebody's").unwrap();
    let refused = starling(&["certificate", "--directory", at, "--roles", "session-router", "node"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("without its key"), "{refused:?}");
    let unknown = starling(&["certificate", "--directory", at, "--roles", "king", "node"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("no such role"), "{unknown:?}");
}
