//! XEP-0313 Message Archive Management and XEP-0441, on the archives of users.

use starling_testkit::{Device, Tree, World};

/// A form field with its values.
fn field(var: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
    format!("<field var='{var}'>{values}</field>")
}

/// A form of a query.
fn form(fields: &str) -> String {
    format!("<x xmlns='jabber:x:data' type='submit'>{}{fields}</x>", field("FORM_TYPE", &["urn:xmpp:mam:2"]))
}

pub(crate) fn set(content: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>")
}

/// What a query brought.
pub(crate) struct Found {
    /// The `<result/>`s, in the order in which they came.
    pub(crate) results: Vec<Tree>,
    /// The bytes of the stanzas that they came in.
    pub(crate) bytes: Vec<String>,
    /// What closed them, or an error.
    pub(crate) iq: Tree,
}

impl Found {
    /// The bodies.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let body =
            |result: &Tree| result.find(&["forwarded", "message", "body"]).map(|body| body.text.clone());
        self.results.iter().filter_map(body).collect()
    }
    /// The ids.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.results.iter().map(|result| result.attr("id").unwrap().to_owned()).collect()
    }
    pub(crate) fn is_complete(&self) -> bool {
        self.iq.child("fin").unwrap_or_else(|| panic!("{}", self.iq)).attr("complete") == Some("true")
    }
    pub(crate) fn end(&self, name: &str) -> Option<String> {
        self.iq.find(&["fin", "set", name]).map(|end| end.text.clone())
    }
    pub(crate) fn error(&self) -> &str {
        let error = self.iq.child("error").unwrap_or_else(|| panic!("no error: {}", self.iq));
        assert!(self.results.is_empty());
        error.children.first().map_or("", |condition| condition.name.as_str())
    }
}

/// Asks the own archive; `content` stands inside the query.
pub(crate) async fn query(device: &Device<'_>, content: &str) -> Found {
    device
        .send(&format!(
            "<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2' queryid='q'>{content}</query></iq>"
        ))
        .await;
    let (mut results, mut bytes) = (Vec::new(), Vec::new());
    let own = device.jid().split('/').next().unwrap();
    loop {
        let (tree, raw) = device.next().await;
        if tree.name == "iq" {
            assert_eq!(tree.attr("id"), Some("mam"), "{tree}");
            return Found { results, bytes, iq: tree };
        }
        assert_eq!((tree.attr("from"), tree.attr("to")), (Some(own), Some(device.jid())), "{tree}");
        let result = tree.child("result").unwrap_or_else(|| panic!("no result: {tree}")).clone();
        assert_eq!((result.ns.as_str(), result.attr("queryid")), ("urn:xmpp:mam:2", Some("q")));
        results.push(result);
        bytes.push(raw);
    }
}

/// Alice and Bob, who has written `count` numbered messages to her.
async fn said<'a>(world: &'a World, count: usize) -> (Device<'a>, Device<'a>) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..count {
        bob.send(&format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>")).await;
        bob.ask("<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>").await; // one by one: each has its time
    }
    (alice.quiet_device("phone").await, bob)
}

/// §5.1.1: what was said lies in both archives, in order, as it was received and with the time.
pub(crate) async fn both_sides_find_what_was_said(world: &World) {
    let (alice, bob) = said(world, 2).await;
    alice.send("<message to='${bob/desk}' type='chat' id='a1'><body>answer</body></message>").await;
    bob.expect("<message id='a1'><body>answer</body></message>").await;
    alice.expect_silence().await;

    for device in [&alice, &bob] {
        let found = query(device, "").await;
        assert_eq!(found.bodies(), ["0", "1", "answer"]);
        assert!(found.is_complete());
        let last = found.results.last().unwrap();
        let message = last.find(&["forwarded", "message"]).unwrap();
        assert_eq!(message.ns, "jabber:client");
        assert_eq!(message.attr("from"), Some(world.fill("${alice/phone}").as_str()), "{message}");
        assert_eq!(message.attr("to"), Some(world.fill("${bob/desk}").as_str()), "{message}");
        assert_eq!((message.attr("type"), message.attr("id")), (Some("chat"), Some("a1")));
        assert!(last.find(&["forwarded", "delay"]).unwrap().attr("stamp").unwrap().ends_with('Z'));
        let ids = found.ids();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 32), "{ids:?}");
        assert_eq!((found.end("first").as_ref(), found.end("last").as_ref()), (ids.first(), ids.last()));
    }
}

/// §5.1.1: state changes, notices, errors and requests are no conversation; what several devices got is there once.
pub(crate) async fn what_is_no_conversation_is_not_archived(world: &World) {
    let alice = world.user("alice").await;
    let (phone, tablet) = (alice.device("phone").await, alice.device("tablet").await);
    phone.expect("<presence from='${alice/tablet}'/>").await;
    tablet.expect("<presence from='${alice/phone}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for content in [
        "<message to='${alice}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message to='${alice}' type='headline'><body>news</body></message>",
        "<message to='${alice/phone}' type='groupchat'><body>all</body></message>",
        "<message to='${alice/phone}' type='error'><body>bad</body></message>",
        "<message to='${alice}/gone'><body>nobody there</body></message>",
        "<message to='${alice}' type='chat'><body>hello</body></message>",
    ] {
        bob.send(content).await;
    }
    bob.expect("<message type='error'/>").await;
    bob.expect_silence().await;

    assert_eq!(query(&bob, "").await.bodies(), ["hello"]);
    let asking = alice.quiet_device("asking").await;
    assert_eq!(query(&asking, "").await.bodies(), ["hello"]);
}

/// §4.3: pages from the first to the last message and back, each message once, and the last page says that it is.
pub(crate) async fn pages_go_both_ways(world: &World) {
    let (alice, _bob) = said(world, 7).await;
    let all = query(&alice, "").await;
    assert_eq!(all.bodies().len(), 7);

    let (mut forwards, mut sizes, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = query(&alice, &set(&format!("<max>3</max>{after}"))).await;
        sizes.push(page.results.len());
        forwards.extend(page.ids());
        assert_eq!(page.end("last").as_ref(), forwards.last());
        if page.is_complete() {
            break;
        }
        after = format!("<after>{}</after>", forwards.last().unwrap());
    }
    assert_eq!((forwards, sizes), (all.ids(), vec![3, 3, 1]));

    let (mut backwards, mut sizes, mut before) = (Vec::new(), Vec::new(), "<before/>".to_owned());
    loop {
        let page = query(&alice, &set(&format!("<max>3</max>{before}"))).await;
        sizes.push(page.results.len());
        let mut ids = page.ids();
        ids.append(&mut backwards);
        backwards = ids;
        assert_eq!(page.end("first").as_ref(), backwards.first());
        if page.is_complete() {
            break;
        }
        before = format!("<before>{}</before>", backwards.first().unwrap());
    }
    assert_eq!((backwards, sizes), (all.ids(), vec![3, 3, 1]));
}

/// §4.3.5: the same page, from its end to its beginning.
pub(crate) async fn a_page_is_flipped(world: &World) {
    let (alice, _bob) = said(world, 4).await;
    let page = query(&alice, &format!("{}<flip-page/>", set("<max>2</max><before/>"))).await;
    assert_eq!(page.bodies(), ["3", "2"]);
    assert_eq!(
        (page.end("first").as_ref(), page.end("last").as_ref()),
        (page.ids().last(), page.ids().first())
    );
    let page = query(&alice, &format!("{}<flip-page/>", set("<max>2</max>"))).await;
    assert_eq!(page.bodies(), ["1", "0"]);
}

/// §4.1.4, §4.3.2: an id that is in no archive, or in another's, is not found.
pub(crate) async fn an_unknown_id_is_not_found(world: &World) {
    let (alice, bob) = said(world, 1).await;
    let known = query(&alice, "").await.ids().remove(0);
    let anothers = query(&bob, "").await.ids().remove(0);
    assert_ne!(known, anothers, "each archive has ids of its own");
    for unknown in ["09af3-cc343-b409f", "00000000000000010000000000000001", anothers.as_str()] {
        for content in [
            set(&format!("<after>{unknown}</after>")),
            set(&format!("<before>{unknown}</before>")),
            form(&field("after-id", &[unknown])),
            form(&field("before-id", &[unknown])),
            form(&field("ids", &[&known, unknown])),
        ] {
            assert_eq!(query(&alice, &content).await.error(), "item-not-found", "{content}");
        }
    }
    assert_eq!(query(&alice, &set(&format!("<after>{known}</after>"))).await.bodies(), Vec::<String>::new());
}

/// §4.1.1: a bare address stands for all its resources, a full one for itself, the own one for notes to oneself.
pub(crate) async fn with_filters_by_the_other(world: &World) {
    let (alice, bob) = said(world, 1).await;
    let laptop = world.user("carol").await.quiet_device("laptop").await;
    laptop.send("<message to='${alice}' type='chat'><body>from carol</body></message>").await;
    laptop.expect_silence().await;
    alice.send("<message to='${bob/desk}' type='chat'><body>to the desk</body></message>").await;
    bob.expect("<message><body>to the desk</body></message>").await;
    alice.send("<message to='${alice}' type='chat'><body>note</body></message>").await;
    alice.expect_silence().await;

    for (with, bodies) in [
        ("${bob}", vec!["0", "to the desk"]),
        ("${bob/desk}", vec!["0", "to the desk"]),
        ("${bob}/phone", vec![]),
        ("${carol}", vec!["from carol"]),
        ("${alice}", vec!["note"]),
        ("nobody@localhost", vec![]),
    ] {
        let found = query(&alice, &form(&field("with", &[&world.fill(with)]))).await;
        assert_eq!(found.bodies(), bodies, "{with}");
        assert!(found.is_complete());
        assert_eq!(found.end("first").is_some(), !bodies.is_empty());
    }
}

/// §4.1.2: times include both ends; §4.1.3: ids exclude theirs, and all filters hold at once.
pub(crate) async fn filters_hold_together(world: &World) {
    let (alice, _bob) = said(world, 4).await;
    let all = query(&alice, "").await;
    let ids = all.ids();
    let time =
        |n: usize| all.results[n].find(&["forwarded", "delay"]).unwrap().attr("stamp").unwrap().to_owned();
    let bodies = async |fields: String| query(&alice, &form(&fields)).await.bodies();

    assert_eq!(bodies(field("start", &[&time(2)])).await, ["2", "3"]);
    assert_eq!(bodies(field("end", &[&time(1)])).await, ["0", "1"]);
    assert_eq!(bodies(field("start", &[&time(1)]) + &field("end", &[&time(2)])).await, ["1", "2"]);
    assert_eq!(bodies(field("after-id", &[&ids[0]]) + &field("before-id", &[&ids[3]])).await, ["1", "2"]);
    assert_eq!(bodies(field("after-id", &[&ids[1]]) + &field("end", &[&time(2)])).await, ["2"]);
    assert_eq!(bodies(field("ids", &[&ids[3], &ids[1]])).await, ["1", "3"]);
    let with = field("with", &[&world.fill("${bob}")]);
    assert_eq!(bodies(with + &field("start", &[&time(3)])).await, ["3"]);
    let last = query(&alice, &(form(&field("before-id", &[&ids[3]])) + &set("<max>1</max><before/>"))).await;
    assert_eq!((last.bodies(), last.is_complete()), (vec!["2".to_owned()], false));
}

/// §4.1.7: what can be asked is told; what is not known is refused, and so is what cannot be read.
pub(crate) async fn the_form_is_told_and_held_to(world: &World) {
    let (alice, _bob) = said(world, 1).await;
    let answer = alice.ask("<iq type='get' id='f'><query xmlns='urn:xmpp:mam:2'/></iq>").await;
    let form_told = answer.find(&["query", "x"]).unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((form_told.ns.as_str(), form_told.attr("type")), ("jabber:x:data", Some("form")));
    let fields: Vec<_> = form_told
        .children
        .iter()
        .map(|field| (field.attr("var").unwrap(), field.attr("type").unwrap()))
        .collect();
    for known in [
        ("FORM_TYPE", "hidden"),
        ("with", "jid-single"),
        ("start", "text-single"),
        ("end", "text-single"),
        ("before-id", "text-single"),
        ("after-id", "text-single"),
        ("ids", "list-multi"),
    ] {
        assert!(fields.contains(&known), "{known:?} in {fields:?}");
    }
    assert!(form_told.all("open").len() == 1 && form_told.all("required").is_empty(), "{form_told}");

    let error = async |content: String| query(&alice, &content).await.error().to_owned();
    assert_eq!(error(form(&field("{urn:x}search", &["love"]))).await, "feature-not-implemented");
    assert_eq!(error(form(&field("start", &["yesterday"]))).await, "bad-request");
    assert_eq!(error(form(&field("with", &["@"]))).await, "bad-request");
    assert_eq!(error("<x xmlns='jabber:x:data' type='submit'/>".to_owned()).await, "bad-request");
}

/// §8: nobody reads another's archive, nor its ends, nor what it wants archived.
pub(crate) async fn anothers_archive_is_closed(world: &World) {
    let (alice, bob) = said(world, 1).await;
    for (kind, payload) in [
        ("set", "<query xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<query xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<prefs xmlns='urn:xmpp:mam:2'/>"),
        ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"),
    ] {
        let answer = bob.ask(&format!("<iq type='{kind}' id='x' to='${{alice}}'>{payload}</iq>")).await;
        let error = answer.child("error").unwrap_or_else(|| panic!("{answer}"));
        assert!(error.attr("type") == Some("auth") && error.child("forbidden").is_some(), "{answer}");
    }
    assert_eq!(query(&alice, "").await.bodies(), ["0"]);
}

/// §4.4: the ends of the archive; nothing for an empty one.
pub(crate) async fn metadata_tells_the_ends(world: &World) {
    let (alice, _bob) = said(world, 3).await;
    let found = query(&alice, "").await;
    let metadata = alice.ask("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>").await;
    for (name, result) in [("start", found.results.first().unwrap()), ("end", found.results.last().unwrap())]
    {
        let end = metadata.find(&["metadata", name]).unwrap_or_else(|| panic!("{metadata}"));
        assert_eq!(end.attr("id"), result.attr("id"));
        assert_eq!(end.attr("timestamp"), result.find(&["forwarded", "delay"]).unwrap().attr("stamp"));
    }
    let carol = world.user("carol").await.quiet_device("laptop").await;
    let metadata = carol.ask("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>").await;
    assert!(metadata.child("metadata").is_some_and(|metadata| metadata.children.is_empty()), "{metadata}");
}

/// §7: an account says that it has an archive.
pub(crate) async fn an_account_says_that_it_has_an_archive(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let info = alice
        .ask(
            "<iq type='get' id='d' to='${alice}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        )
        .await;
    let features: Vec<_> = info.all("feature").iter().filter_map(|feature| feature.attr("var")).collect();
    for feature in
        ["urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0", "http://jabber.org/protocol/rsm"]
    {
        assert!(features.contains(&feature), "{feature} in {features:?}");
    }
}

/// XEP-0441 §2: asked, set, kept; a list that was not sent is empty.
pub(crate) async fn preferences_are_kept(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let ask = "<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>";
    let prefs = alice.ask(ask).await.child("prefs").unwrap().clone();
    assert_eq!(prefs.attr("default"), Some("always"), "{prefs}");
    assert!(prefs.child("always").is_some() && prefs.child("never").is_some(), "{prefs}");

    let set = alice
        .ask("<iq type='set' id='s'><prefs xmlns='urn:xmpp:mam:2' default='roster'><never><jid>Bob@Localhost</jid></never></prefs></iq>")
        .await;

    for answer in [set, alice.ask(ask).await] {
        let prefs = answer.child("prefs").unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(prefs.attr("default"), Some("roster"), "{prefs}");
        assert_eq!(prefs.find(&["never", "jid"]).map(|jid| jid.text.as_str()), Some("bob@localhost"));
        assert!(prefs.child("always").is_some_and(|always| always.children.is_empty()), "{prefs}");
    }
    let bad = alice.ask("<iq type='set' id='b'><prefs xmlns='urn:xmpp:mam:2' default='maybe'/></iq>").await;
    assert!(bad.find(&["error", "bad-request"]).is_some(), "{bad}");
}

/// XEP-0441 §2: whoever is on no list is archived by the default; and what is not archived is delivered all the same,
/// without an id that no archive knows.
pub(crate) async fn preferences_hold_for_both_directions(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let carol = world.user("carol").await.quiet_device("laptop").await;
    phone
        .ask("<iq type='set' id='s'><prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>${carol}</jid></always></prefs></iq>")
        .await;
    for device in [&bob, &carol] {
        device.send("<message to='${alice}' type='chat'><body>in</body></message>").await;
        device.expect_silence().await;
    }
    for to in ["${bob}", "${carol}"] {
        phone.send(&format!("<message to='{to}' type='chat'><body>out</body></message>")).await;
    }
    phone.expect_silence().await;

    let found = query(&phone, "").await;
    assert_eq!(found.bodies(), ["in", "out"]);
    for result in &found.results {
        let message = result.find(&["forwarded", "message"]).unwrap();
        assert!(
            [message.attr("from"), message.attr("to")].iter().flatten().any(|jid| jid.starts_with("carol"))
        );
    }
    assert_eq!(query(&bob, "").await.bodies(), ["in", "out"], "an archive is its owner's affair");

    phone.send("<presence/>").await;
    phone
        .expect_all(&[
            "<presence from='${alice/phone}'/>",
            "<message from='${bob/desk}'><body>in</body><delay xmlns='urn:xmpp:delay'/></message>",
            "<message from='${carol/laptop}'><body>in</body><stanza-id xmlns='urn:xmpp:sid:0'/></message>",
        ])
        .await;
}

/// XEP-0441 §2.1: by the roster of the archive's owner, in both directions.
pub(crate) async fn the_roster_decides_where_the_user_wants_it(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let carol = world.user("carol").await.quiet_device("laptop").await;
    alice.ask("<iq type='set' id='s'><prefs xmlns='urn:xmpp:mam:2' default='roster'/></iq>").await;
    alice
        .ask("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='${bob}'/></query></iq>")
        .await;
    for (device, body) in [(&bob, "bob"), (&carol, "carol")] {
        device
            .send(&format!("<message to='${{alice}}' type='chat'><body>from {body}</body></message>"))
            .await;
        device.expect_silence().await;
        alice.send(&format!("<message to='${{{body}}}' type='chat'><body>to {body}</body></message>")).await;
    }
    alice.expect_silence().await;

    assert_eq!(query(&alice, "").await.bodies(), ["from bob", "to bob"]);
}

/// P4: whoever pages by the last id it has seen gets every message once, in the order of each sender, while three write.
pub(crate) async fn paging_misses_none_while_others_write(world: &World) {
    const EACH: usize = 60;
    let alice = world.user("alice").await;
    let reader = alice.quiet_device("reader").await;
    let names = ["bob", "carol", "dan"];
    let mut writers = Vec::new();
    for name in names {
        writers.push(world.user(name).await.quiet_device("desk").await);
    }
    let write = async |name: &str, device: &Device<'_>| {
        for n in 0..EACH {
            device
                .send(&format!("<message to='${{alice}}' type='chat'><body>{name} {n}</body></message>"))
                .await;
            if n % 7 == 0 {
                device.ask("<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>").await;
            }
        }
        device.ask("<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    };
    let read = async || {
        let (mut seen, mut after) = (Vec::new(), String::new());
        while seen.len() < EACH * names.len() {
            let page = query(&reader, &set(&format!("<max>5</max>{after}"))).await;
            seen.extend(page.bodies());
            if let Some(last) = page.ids().last() {
                after = format!("<after>{last}</after>");
            }
        }
        seen
    };
    let (seen, ..) = tokio::join!(
        read(),
        write(names[0], &writers[0]),
        write(names[1], &writers[1]),
        write(names[2], &writers[2])
    );
    for name in names {
        let of: Vec<_> = seen.iter().filter(|body| body.starts_with(name)).cloned().collect();
        assert_eq!(of, (0..EACH).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
    }
    assert!(query(&reader, &set("<before/><max>1</max>")).await.bodies() == seen[seen.len() - 1..]);
}
