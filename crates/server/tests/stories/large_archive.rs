//! XEP-0313 over the socket: an archive that is much larger than what the server holds is read from both ends.

use std::path::Path;

use starling_testkit::{Device, ServerOptions, World};

use super::limits::resident;
use super::mam::{query, set};
use super::slow_readers::{member, send_all};

const SENDERS: usize = 4;
const EACH: usize = 5_000;
/// All of them together are twice what the server may grow by, and one page is a fortieth of that: the store may compact its
/// tables meanwhile.
const BODY: usize = 4_000;
const MAY_GROW_KIB: u64 = 40 * 1024;
const CONFIG: &str = "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im]\narchive-max-page = 250\n\
                      [im.quotas]\noffline-messages = 0\noffline-bytes = 0\n";

/// 20,000 messages come page by page, each once and in order, whichever end is first; the server holds a page, not more.
pub(crate) async fn a_large_archive_is_read_from_both_ends(_: &World) {
    let options = ServerOptions { config: CONFIG.to_owned(), data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let account = world.user("alice").await;
    let mut sending = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (connection, _) = member(&world, "sender", "x").await;
        let sent = send_all(connection, account.jid().to_owned(), sender, EACH, BODY);
        sending.spawn(async move { (sender, sent.await) });
    }
    let refused = sending.join_all().await;
    let alice = account.quiet_device("phone").await;

    let (forwards, _) = read_all(&world, &alice, false).await; // what is cached at all is cached from here on
    let before = resident(&world).await;
    for backwards in [false, true] {
        let (again, most) = read_all(&world, &alice, backwards).await;
        assert!(again == forwards, "backwards: {backwards}");
        assert!(most.saturating_sub(before) < MAY_GROW_KIB, "{before} KiB became {most} KiB");
    }

    assert_eq!(forwards.len() + refused.iter().map(|(_, of)| of.len()).sum::<usize>(), SENDERS * EACH);
    assert!(forwards.is_sorted_by_key(|(id, _)| id));
    for (sender, refused) in refused {
        let prefix = format!("{sender}-");
        let of = forwards.iter().filter_map(|(_, name)| name.strip_prefix(&prefix)?.parse::<usize>().ok());
        assert!(of.eq((0..EACH).filter(|number| !refused.contains(number))), "of sender {sender}");
    }
}

/// Archive id and the sender's own id of each message, in the order of the archive; and the most memory that the server
/// had meanwhile, in KiB.
async fn read_all(world: &World, device: &Device<'_>, backwards: bool) -> (Vec<(String, String)>, u64) {
    let (mut pages, mut most, mut end) = (Vec::new(), 0, String::new());
    loop {
        let from = match (backwards, end.is_empty()) {
            (true, _) => format!("<before>{end}</before>"),
            (false, true) => String::new(),
            (false, false) => format!("<after>{end}</after>"),
        };
        let found = query(device, &set(&from)).await;
        most = most.max(resident(world).await);
        let name = |result: &starling_testkit::Tree| {
            let message = result.find(&["forwarded", "message"]).unwrap();
            (result.attr("id").unwrap().to_owned(), message.attr("id").unwrap().to_owned())
        };
        assert!(found.results.len() <= 250);
        pages.push(found.results.iter().map(name).collect::<Vec<_>>());
        if found.is_complete() {
            break;
        }
        end = found.end(if backwards { "first" } else { "last" }).unwrap();
    }
    if backwards {
        pages.reverse();
    }
    (pages.concat(), most)
}
