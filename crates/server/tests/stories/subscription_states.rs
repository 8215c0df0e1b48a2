//! RFC 6121 appendix A on the wire: nine states, four stanzas, both rosters.

use starling_testkit::{Device, Tree, World};

/// What brings two strangers into a state: who sends what, to the other. A is the user whose state it is.
const WAYS: [(&str, &[(char, &str)]); 9] = [
    ("None", &[]),
    ("None + Pending Out", &[('A', "subscribe")]),
    ("None + Pending In", &[('B', "subscribe")]),
    ("None + Pending Out+In", &[('A', "subscribe"), ('B', "subscribe")]),
    ("To", &[('A', "subscribe"), ('B', "subscribed")]),
    ("To + Pending In", &[('A', "subscribe"), ('B', "subscribed"), ('B', "subscribe")]),
    ("From", &[('B', "subscribe"), ('A', "subscribed")]),
    ("From + Pending Out", &[('B', "subscribe"), ('A', "subscribed"), ('A', "subscribe")]),
    ("Both", &[('A', "subscribe"), ('B', "subscribed"), ('B', "subscribe"), ('A', "subscribed")]),
];

/// For each state: whether the contact sees the stanza, and the user's new state; `""` is no change.
type Table = [(bool, &'static str); 9];

/// A state of appendix A.1 in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    to: bool,
    from: bool,
    out: bool,
    inward: bool,
}

impl State {
    fn of(name: &str) -> State {
        let (base, pending) = name.split_once(" + Pending ").unwrap_or((name, ""));
        State {
            to: ["To", "Both"].contains(&base),
            from: ["From", "Both"].contains(&base),
            out: pending.starts_with("Out"),
            inward: pending.ends_with("In"),
        }
    }
    /// As the contact has it.
    fn mirrored(self) -> State {
        State { to: self.from, from: self.to, out: self.inward, inward: self.out }
    }
    /// What the roster shows of it; that somebody waits for an answer it does not show (§2.1.2.3).
    fn shown(self) -> (&'static str, bool) {
        let subscription = match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        };
        (subscription, self.out)
    }
}

/// §A.2.1, §A.3.1.
pub(crate) async fn subscribe_in_every_state(world: &World) {
    let table: Table = [
        (true, "None + Pending Out"),
        (false, ""),
        (true, "None + Pending Out+In"),
        (false, ""),
        (false, ""),
        (false, ""),
        (true, "From + Pending Out"),
        (false, ""),
        (false, ""),
    ];
    check(world, "subscribe", &table).await;
}

/// §A.2.2, §A.3.2.
pub(crate) async fn unsubscribe_in_every_state(world: &World) {
    let table: Table = [
        (false, ""),
        (true, "None"),
        (false, ""),
        (true, "None + Pending In"),
        (true, "None"),
        (true, "None + Pending In"),
        (false, ""),
        (true, "From"),
        (true, "From"),
    ];
    check(world, "unsubscribe", &table).await;
}

/// §A.2.3, §A.3.3.
pub(crate) async fn subscribed_in_every_state(world: &World) {
    let table: Table = [
        (false, ""),
        (false, ""),
        (true, "From"),
        (true, "From + Pending Out"),
        (false, ""),
        (true, "Both"),
        (false, ""),
        (false, ""),
        (false, ""),
    ];
    check(world, "subscribed", &table).await;
}

/// §A.2.4, §A.3.4.
pub(crate) async fn unsubscribed_in_every_state(world: &World) {
    let table: Table = [
        (false, ""),
        (false, ""),
        (true, "None"),
        (true, "None + Pending Out"),
        (false, ""),
        (true, "To"),
        (true, "None"),
        (true, "None + Pending Out"),
        (true, "To"),
    ];
    check(world, "unsubscribed", &table).await;
}

async fn check(world: &World, kind: &str, table: &Table) {
    for ((old, way), (seen, new)) in WAYS.iter().zip(table) {
        let new = if new.is_empty() { old } else { new };
        let (one, other) = (world.user("one").await, world.user("other").await);
        let (a, b) = (one.device("desk").await, other.device("desk").await);
        for device in [&a, &b] {
            device.ask("<iq type='get' id='r0'><query xmlns='jabber:iq:roster'/></iq>").await;
        }
        for (who, stanza) in *way {
            let (from, to) = if *who == 'A' { (&a, &b) } else { (&b, &a) };
            tell(from, to, stanza).await;
        }
        settle(&a).await;
        settle(&b).await;

        let mut at_a = tell(&a, &b, kind).await;

        at_a.extend(settle(&a).await);
        let at_b = settle(&b).await;
        let (before, after) = (State::of(old), State::of(new));
        let row = format!("{kind} in {old:?}\nat the user: {at_a:?}\nat the contact: {at_b:?}");
        let arrived: Vec<&Tree> = presences(&at_b, kind);
        assert_eq!(arrived.len(), usize::from(*seen), "{row}");
        for stanza in arrived {
            assert_eq!(
                (stanza.attr("from"), stanza.attr("to")),
                (Some(one.jid()), Some(other.jid())),
                "{row}"
            );
        }
        let gone = |could: bool, can: bool| usize::from(could && !can);
        assert_eq!(presences(&at_b, "unavailable").len(), gone(before.from, after.from), "{row}");
        assert_eq!(presences(&at_a, "unavailable").len(), gone(before.to, after.to), "{row}");
        assert_eq!(presences(&at_b, "").len(), gone(after.from, before.from), "{row}");
        check_roster(&a, other.jid(), before, after, &at_a, &row).await;
        check_roster(&b, one.jid(), before.mirrored(), after.mirrored(), &at_b, &row).await;
        for (user, state) in [(&one, after), (&other, after.mirrored())] {
            let late = user.quiet_device("late").await;
            late.send("<presence/>").await;
            let asked = presences(&settle(&late).await, "subscribe").len();
            assert_eq!(asked, usize::from(state.inward), "who waits for an answer of {}: {row}", user.jid());
        }
    }
}

/// One push if what the roster shows has changed, none otherwise; and that is what it shows.
async fn check_roster(
    device: &Device<'_>,
    contact: &str,
    before: State,
    after: State,
    came: &[Tree],
    row: &str,
) {
    let of = |item: &Tree| {
        let subscription = item.attr("subscription").unwrap_or_default().to_owned();
        (subscription, item.attr("ask") == Some("subscribe"))
    };
    let wanted = |(subscription, ask): (&str, bool)| (subscription.to_owned(), ask);
    let pushed: Vec<_> = came.iter().filter_map(|one| one.find(&["query", "item"])).map(of).collect();
    let approved = came
        .iter()
        .any(|one| one.find(&["query", "item"]).is_some_and(|item| item.attr("approved").is_some()));
    if before.shown() != after.shown() {
        assert_eq!(pushed, [wanted(after.shown())], "pushes to {}: {row}", device.jid());
    } else if !approved {
        assert!(pushed.is_empty(), "pushes to {}: {row}", device.jid());
    }
    let roster = device.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    let item = roster.all("item").into_iter().find(|item| item.attr("jid") == Some(contact));
    let shown = item.map_or(("none".to_owned(), false), of);
    assert_eq!(shown, wanted(after.shown()), "the roster of {}: {row}", device.jid());
}

fn presences<'a>(came: &'a [Tree], kind: &str) -> Vec<&'a Tree> {
    let of_kind = |one: &&Tree| one.name == "presence" && one.attr("type").unwrap_or_default() == kind;
    let own = |one: &Tree| one.attr("to") == one.attr("from").and_then(|from| from.split('/').next());
    came.iter().filter(of_kind).filter(|one| !own(one)).collect()
}

/// Once this returns, everything that follows from it lies in both logs; what has come to the sender meanwhile.
async fn tell(from: &Device<'_>, to: &Device<'_>, kind: &str) -> Vec<Tree> {
    let contact = to.jid().split('/').next().unwrap_or_default();
    from.send(&format!("<presence to='{contact}' type='{kind}'/>")).await;
    settle(from).await
}

/// Everything that has come, known by the answer to a ping.
pub(crate) async fn settle(device: &Device<'_>) -> Vec<Tree> {
    device.send("<iq type='get' id='settled'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let mut came = Vec::new();
    loop {
        let (stanza, _) = device.next().await;
        if stanza.attr("id") == Some("settled") {
            return came;
        }
        came.push(stanza);
    }
}
