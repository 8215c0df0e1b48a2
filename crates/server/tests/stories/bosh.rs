//! XEP-0124 and XEP-0206: XMPP over BOSH.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};
use starling_testkit::{Bosh, Tree, User, World, http, post};

async fn address(world: &World) -> SocketAddr {
    world.server().await.address("plain-http").unwrap()
}

async fn sign_in(world: &World, user: &User<'_>, more: &str) -> (Bosh, String) {
    let (mut bosh, _) = Bosh::open(address(world).await, "localhost", more).await.unwrap();
    let name = user.jid().split('@').next().unwrap();
    bosh.login("localhost", name, "secret").await.unwrap();
    let jid = bosh.bind("page").await.unwrap();
    let answer = bosh.ask("", "<presence xmlns='jabber:client'/>").await.unwrap();
    assert!(answer.child("presence").is_some(), "{answer}");
    (bosh, jid)
}

const USUAL: &str = "wait='20' hold='1'";
const SHORT: &str = "wait='5' hold='1' ack='1'";

/// XEP-0206 §4, §5: login, restart, bind, and a chat both ways, which a request waits for.
pub(crate) async fn a_chat_goes_both_ways(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let (mut page, jid) = sign_in(world, &alice, USUAL).await;
    let waiting = page.start("", "");
    let message =
        format!("<message xmlns='jabber:client' to='{}' type='chat'><body>hello</body></message>", bob.jid());
    let sending = page.start("", &message);
    assert!(waiting.await.unwrap().unwrap().children.is_empty(), "the first is answered, for one is held");
    phone.expect(&format!("<message from='{jid}' type='chat'><body>hello</body></message>")).await;
    phone.send(&format!("<message to='{jid}' type='chat'><body>and you</body></message>")).await;
    let answer = sending.await.unwrap().unwrap();
    let heard = answer.child("message").unwrap();
    assert_eq!((heard.ns.as_str(), heard.attr("from")), ("jabber:client", Some(phone.jid())));
    let ended =
        page.ask("type='terminate'", "<presence xmlns='jabber:client' type='unavailable'/>").await.unwrap();
    assert_eq!((ended.attr("type"), ended.attr("condition")), (Some("terminate"), None));
    let after = page.ask("", "").await.unwrap();
    assert_eq!(after.attr("condition"), Some("item-not-found"));
}

/// XEP-0124 §7.2, XEP-0206 §3: what a client is told at the beginning; XEP-0198 is not offered inside.
pub(crate) async fn a_session_says_what_was_agreed(world: &World) {
    let alice = world.user("alice").await;
    let (mut page, begun) =
        Bosh::open(address(world).await, "localhost", "wait='1000' hold='7' ack='1'").await.unwrap();
    let number =
        |name: &str| begun.attr(name).unwrap_or_else(|| panic!("{name}: {begun}")).parse::<u64>().unwrap();
    assert!(number("wait") <= 60, "{begun}");
    assert!(number("hold") >= 1 && number("requests") > number("hold"), "{begun}");
    assert!(number("inactivity") > 0 && number("polling") > 0 && number("maxpause") > 0, "{begun}");
    assert_eq!(number("ack"), page.rid);
    assert_eq!((begun.attr("ver"), begun.attr("from")), (Some("1.6"), Some("localhost")));
    assert_eq!((begun.attr("xmpp:version"), begun.attr("xmpp:restartlogic")), (Some("1.0"), Some("true")));
    assert!(begun.attr("sid").is_some_and(|sid| sid.len() >= 32), "128 bits");
    assert!(begun.find(&["features", "mechanisms"]).is_some(), "{begun}");
    let name = alice.jid().split('@').next().unwrap();
    let features = page.login("localhost", name, "secret").await.unwrap();
    let features = features.child("features").unwrap();
    assert!(features.child("bind").is_some() && features.child("sm").is_none(), "{features}");
    page.bind("page").await.unwrap();
    let refused = page.ask("", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    assert!(refused.find(&["failed", "feature-not-implemented"]).is_some(), "{refused}");
}

/// XEP-0124 §14.2: payloads are forwarded in the order of the ids, however they arrive.
pub(crate) async fn requests_are_answered_in_order(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let (mut page, _) = sign_in(world, &alice, USUAL).await;
    let message = |body: &str| {
        format!("<message xmlns='jabber:client' to='{}' type='chat'><body>{body}</body></message>", bob.jid())
    };
    let second = page.start_as(page.rid + 2, "", &message("second"));
    phone.expect_silence().await;
    let first = page.start("", &message("first"));
    page.rid += 1;
    phone.expect("<message><body>first</body></message>").await;
    phone.expect("<message><body>second</body></message>").await;
    first.await.unwrap().unwrap();
    let last = page.start("", "");
    second.await.unwrap().unwrap();
    last.abort();
}

/// XEP-0124 §14.3: the same id, the same answer; and nothing is done twice.
pub(crate) async fn a_repeated_request_gets_the_same_answer_again(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let (mut page, _) = sign_in(world, &alice, USUAL).await;
    let both = format!(
        "<message xmlns='jabber:client' to='{}' type='chat'><body>once</body></message>\
         <iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        bob.jid()
    );
    let first = page.ask("", &both).await.unwrap();
    let again = page.start_as(page.rid, "", &both).await.unwrap().unwrap();
    assert_eq!((first.child("iq").and_then(|iq| iq.attr("id")), &again), (Some("p"), &first));
    phone.expect("<message><body>once</body></message>").await;
    phone.expect_silence().await;
    // Of two with one id the later gets the answer, and the earlier is told so; whichever of ours was later.
    page.rid += 1;
    let (one, other) = (page.start_as(page.rid, "", ""), page.start_as(page.rid, "", ""));
    phone.send(&format!("<message to='{}' type='chat'><body>hi</body></message>", alice.jid())).await;
    let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
    let has_message = |answer: &Tree| answer.child("message").is_some();
    let is_told = |answer: &Tree| answer.attr("type") == Some("error") && answer.children.is_empty();
    let fits = |told: &Tree, got: &Tree| has_message(got) && (is_told(told) || told == got);
    assert!(fits(&one, &other) || fits(&other, &one), "{one} {other}");
}

/// XEP-0124 §14.2: an id out of the window ends the session, and so does one that is long over.
pub(crate) async fn outside_the_window_the_session_ends(world: &World) {
    let alice = world.user("alice").await;
    for ahead in [1000, -1000] {
        let (mut page, _) = sign_in(world, &alice, USUAL).await;
        let rid = page.rid.checked_add_signed(ahead).unwrap();
        let answer = page.start_as(rid, "", "").await.unwrap().unwrap();
        assert_eq!(
            (answer.attr("type"), answer.attr("condition")),
            (Some("terminate"), Some("item-not-found"))
        );
        assert_eq!(page.ask("", "").await.unwrap().attr("condition"), Some("item-not-found"));
    }
}

/// XEP-0124 §17.2
pub(crate) async fn an_unknown_session_is_not_found(world: &World) {
    for sid in ["00000000000000000000000000000000", "no name of ours", ""] {
        let body = format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='7' sid='{sid}'/>");
        let answer = post(address(world).await, &body).await.unwrap();
        assert_eq!(
            (answer.attr("type"), answer.attr("condition")),
            (Some("terminate"), Some("item-not-found"))
        );
    }
}

/// XEP-0124 §17.1: a client that says no version reads no terminal conditions, but the codes that stood for them.
pub(crate) async fn a_client_without_a_version_gets_codes(world: &World) {
    let address = address(world).await;
    let body = |more: &str| {
        format!("<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' {more}/>")
    };
    for (first, next) in
        [("", "rid='1007'"), ("newkey='0000000000000000000000000000000000000000'", "rid='8' key='1'")]
    {
        let begun = post(address, &body(&format!("rid='7' to='localhost' xmpp:version='1.0' {first}")))
            .await
            .unwrap();
        let next = body(&format!("sid='{}' {next}", begun.attr("sid").unwrap()));
        let length = next.len();
        let request = format!(
            "POST /bosh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{next}"
        );
        let answer = http(address, &request).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(!answer.contains("<body"), "{answer}");
    }
}

/// XEP-0124 §10: a pause answers everything that waits.
pub(crate) async fn a_pause_answers_at_once(world: &World) {
    let alice = world.user("alice").await;
    let (mut page, _) = sign_in(world, &alice, "wait='60' hold='1'").await;
    let begun = Instant::now();
    let held = page.start("", "");
    let pause = page.ask("pause='60'", "").await.unwrap();
    assert!(pause.children.is_empty() && held.await.unwrap().unwrap().children.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(15));
    let ping = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    assert!(page.ask("", ping).await.unwrap().child("iq").is_some());
}

/// XEP-0124 §12: a client that polls is answered at once, and may not do it all the time.
pub(crate) async fn a_client_that_polls_is_not_held(world: &World) {
    let (mut page, begun) = Bosh::open(address(world).await, "localhost", "wait='0' hold='0'").await.unwrap();
    assert_eq!((begun.attr("wait"), begun.attr("hold")), (Some("0"), Some("0")));
    assert_eq!(page.ask("", "").await.unwrap().attr("type"), None);
    let hasty = page.ask("", "").await.unwrap();
    assert_eq!((hasty.attr("type"), hasty.attr("condition")), (Some("terminate"), Some("policy-violation")));
}

/// Session-log rule 19, XEP-0124 §9.2: a message is gone when the client says that it has the answer that brought it.
pub(crate) async fn a_message_is_not_gone_until_its_answer_is_acknowledged(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let send = async |body: &str| {
        phone.send(&format!("<message to='{}' type='chat'><body>{body}</body></message>", alice.jid())).await;
    };
    let bodies = |answer: &Tree| -> Vec<String> {
        answer.children.iter().filter_map(|one| Some(one.child("body")?.text.clone())).collect()
    };
    let (mut page, _) = sign_in(world, &alice, SHORT).await;
    send("acknowledged").await;
    assert_eq!(bodies(&page.poll().await.unwrap()), ["acknowledged"]);
    let has = page.rid;
    send("not acknowledged").await;
    assert_eq!(bodies(&page.poll().await.unwrap()), ["not acknowledged"]);
    // Out of the window: the server takes the client for lost.
    page.start_as(page.rid + 1000, &format!("ack='{has}'"), "").await.unwrap().unwrap();
    let (mut again, _) = Bosh::open(address(world).await, "localhost", SHORT).await.unwrap();
    again.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
    again.bind("page").await.unwrap();
    let mut answer = again.ask("", "<presence xmlns='jabber:client'/>").await.unwrap();
    if answer.child("message").is_none() {
        answer = again.poll().await.unwrap();
    }
    assert_eq!(bodies(&answer), ["not acknowledged"]);
    assert!(answer.find(&["message", "delay"]).is_some(), "{answer}");
}

/// RFC 6120 §11.1, XEP-0124 §5: what XMPP forbids ends the session here too.
pub(crate) async fn what_is_no_body_ends_the_session(world: &World) {
    let address = address(world).await;
    let presence = "<presence xmlns='jabber:client'/>";
    for (text, condition) in [
        ("<!-- c -->", "restricted-xml"),
        ("<?pi x?>", "restricted-xml"),
        ("<presence xmlns='jabber:client'>&x;</presence>", "restricted-xml"),
        ("text", "not-well-formed"),
        ("<presence xmlns='jabber:client'>", "not-well-formed"),
    ] {
        let (mut page, _) = Bosh::open(address, "localhost", USUAL).await.unwrap();
        let answer = page.ask("", &format!("{presence}{text}")).await.unwrap();
        let error = answer.find(&["error", condition]);
        assert!(answer.attr("type") == Some("terminate") && error.is_some(), "{text}: {answer}");
        assert_eq!(page.ask("", "").await.unwrap().attr("condition"), Some("item-not-found"), "{text}");
    }
    let (page, _) = Bosh::open(address, "localhost", USUAL).await.unwrap();
    let doctype = format!("<!DOCTYPE body [<!ENTITY a 'b'>]>{}", page.body(page.rid + 1, "", ""));
    let answer = post(address, &doctype).await.unwrap();
    assert!(answer.find(&["error", "restricted-xml"]).is_some(), "{answer}");
    let (mut page, _) = Bosh::open(address, "localhost", USUAL).await.unwrap();
    let answer = page.ask("", "<message xmlns='jabber:client' to='a@localhost'/>").await.unwrap();
    assert!(answer.find(&["error", "not-authorized"]).is_some(), "before login: {answer}");
}

/// Browsers ask before a page of another host may post.
pub(crate) async fn pages_of_other_hosts_may_ask(world: &World) {
    let request = "OPTIONS /bosh HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\nConnection: close\r\n\
                   Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n";
    let answer = http(address(world).await, request).await.unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://chat.example\r\n"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: content-type\r\n"), "{answer}");
    assert!(answer.contains("access-control-allow-methods: post"), "{answer}");
    assert!(!answer.contains("allow-credentials"), "{answer}");
}

/// RFC 9112 §6.1: no second request hides in the first one.
pub(crate) async fn a_request_with_two_lengths_is_refused(world: &World) {
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let request = format!(
            "POST /bosh HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n0\r\n\r\nGET /.well-known/host-meta HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = http(address(world).await, &request).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 411 "), "{headers}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers}: {answer}");
    }
    let two =
        "POST /bosh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello\n";
    let answer = http(address(world).await, two).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// RFC 6120 §13.12, XEP-0124 §17.2: what is too big is refused before it is kept, and ends the session that it names.
pub(crate) async fn a_body_above_the_limit_is_refused(world: &World) {
    let address = address(world).await;
    let ending =
        |answer: &Tree| (answer.attr("type").map(str::to_owned), answer.attr("condition").map(str::to_owned));
    let ended = |condition: &str| (Some("terminate".to_owned()), Some(condition.to_owned()));
    let unknown =
        format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>{}</body>", " ".repeat(20_000));
    assert_eq!(ending(&post(address, &unknown).await.unwrap()), ended("policy-violation"));
    let announced = "POST /bosh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n<body";
    let answer = http(address, announced).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("condition='policy-violation'"),
        "{answer}"
    );

    let long = |length: usize| {
        format!(
            "<message xmlns='jabber:client' to='bob@localhost'><body>{}</body></message>",
            "x".repeat(length)
        )
    };
    let (mut stranger, _) = Bosh::open(address, "localhost", USUAL).await.unwrap();
    let alice = world.user("alice").await;
    let (mut page, _) = sign_in(world, &alice, USUAL).await;
    for (session, length) in [(&mut stranger, 20_000), (&mut page, 400_000)] {
        let answer = session.ask("", &long(length)).await.unwrap();
        assert_eq!(ending(&answer), ended("remote-stream-error"), "{answer}");
        assert!(answer.find(&["error", "policy-violation"]).is_some(), "{answer}");
        assert_eq!(ending(&session.ask("", "").await.unwrap()), ended("item-not-found"));
    }
    let (mut page, _) = sign_in(world, &alice, USUAL).await;
    let answer = page.ask("", &long(200_000)).await.unwrap();
    assert_eq!(answer.attr("type"), None, "{answer}");
}

/// XEP-0124 §15: who has not the next key of the sequence ends the session, and what was asked is not done.
pub(crate) async fn a_key_proves_who_asks(world: &World) {
    let hash =
        |text: &str| -> String { Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
    let key = |n: usize| (0..n).fold("a seed".to_owned(), |key, _| hash(&key));
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let secret = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        format!("\0{}\0secret", alice.jid().split('@').next().unwrap()),
    );
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
    let bind =
        "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let message = format!("<message xmlns='jabber:client' to='{}'><body>mine</body></message>", phone.jid());
    for (wrong, last) in [("key='0000'", true), ("", true), (&*format!("key='{}'", key(6)), false)] {
        let (mut page, _) =
            Bosh::open(address(world).await, "localhost", &format!("{USUAL} newkey='{}'", key(9)))
                .await
                .unwrap();
        let with = |n: usize, more: &str| format!("key='{}' {more}", key(n));
        assert!(page.ask(&with(8, ""), &auth).await.unwrap().child("success").is_some());
        page.ask(&with(7, "to='localhost' xmpp:restart='true'"), "").await.unwrap();
        assert!(page.ask(&with(6, ""), bind).await.unwrap().child("iq").is_some());
        if last {
            let refused = page.ask(wrong, &message).await.unwrap();
            assert_eq!(refused.attr("condition"), Some("item-not-found"), "{wrong}: {refused}");
            assert_eq!(refused.attr("type"), Some("terminate"));
            phone.expect_silence().await;
        } else {
            // The right key, and a request that came before again: with its key, and without.
            let _waits = page.start(&with(5, ""), &message);
            phone.expect("<message><body>mine</body></message>").await;
            let again = page.start_as(page.rid - 1, wrong, bind).await.unwrap().unwrap();
            assert!(again.child("iq").is_some(), "{again}");
            let refused = page.start_as(page.rid - 1, "", bind).await.unwrap().unwrap();
            assert_eq!(refused.attr("condition"), Some("item-not-found"), "{refused}");
        }
    }
}

/// RFC 6120 §5.3.1: the listener that is open to all takes no password in the open.
pub(crate) async fn nobody_signs_in_without_tls(world: &World) {
    let open = world.server().await.address("http").unwrap();
    let body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost'/>";
    let request =
        format!("POST /bosh HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = http(open, &request).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

/// XEP-0077 §3.2: the result of the request that ends an account comes before the end, whether a request waits for it or not.
pub(crate) async fn the_last_answer_comes_before_the_end(world: &World) {
    for polls in [true, false] {
        let alice = world.user("alice").await;
        let (mut page, _) = sign_in(world, &alice, USUAL).await;
        let held = polls.then(|| page.start("", ""));
        let remove = "<iq xmlns='jabber:client' type='set' id='end'><query xmlns='jabber:iq:register'><remove/></query></iq>";
        let mut answers = vec![page.ask("", remove).await.unwrap()];
        while answers.last().is_some_and(|last| last.attr("type").is_none()) {
            answers.push(page.ask("", "").await.unwrap());
        }
        let is_result = |answer: &&Tree| answer.child("iq").and_then(|iq| iq.attr("id")) == Some("end");
        let result = answers.iter().find(is_result).unwrap_or_else(|| panic!("{answers:?}"));
        assert_eq!(result.attr("type"), None);
        assert!(answers.last().unwrap().find(&["error", "not-authorized"]).is_some(), "{answers:?}");
        if let Some(held) = held {
            assert!(held.await.unwrap().unwrap().children.is_empty());
        }
    }
}
