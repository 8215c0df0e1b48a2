//! Rule 18: what is owed to others when a session has gone.

use starling_ports::sessions::Farewell;

use super::*;

fn carol() -> Jid {
    Jid::new("carol@example.net/a").unwrap()
}

impl World {
    fn owed_now(&mut self, after: u64) -> Vec<Farewell> {
        self.now = self.now.after(Duration::from_secs(after));
        self.step(|slot, context| slot.late_farewells(context.now))
    }
}

#[test]
fn rule_18_what_came_to_a_farewell_while_it_was_said_is_owed_still() {
    let mut world = world();
    let desk = world.online("desk");
    let Changed::Left(first) = world.change(desk, Change::Presence(None)) else { panic!() };
    world.change(desk, Change::Directed { to: carol(), available: true });
    let Changed::Left(second) = world.change(desk, Change::Presence(None)) else { panic!() };
    assert!(second.to_all && second.directed == [carol()], "{second:?}");
    world.step(|slot, _| slot.settle_farewell(&first));
    assert_eq!(world.owed_now(11), [Farewell { turn: 2, ..second }]);
}

#[test]
fn rule_18_who_waits_for_an_answer_is_owed_an_error_though_a_newcomer_has_the_address() {
    let mut world = world();
    let desk = world.resumable("desk");
    world.commit(passing(1, "iq", &[desk]));
    let epoch = world.epoch(desk);
    world.step(|slot, context| slot.detach(context, desk, epoch, starling_ports::sessions::Detach::Lost));
    world.online("desk");
    let owed = world.owed_now(11);
    assert_eq!(owed.len(), 1);
    assert!(owed[0].requests.len() == 1 && !owed[0].to_all, "{owed:?}");
}

#[test]
fn rule_18_more_than_a_bound_is_not_kept() {
    let mut world = world();
    let desk = world.online("desk");
    for number in 1..=10 {
        let big = Planned { wire: wire("iq", &"x".repeat(10_000)), ..passing(number, "iq", &[desk]) };
        world.commit(big);
    }
    assert_eq!(world.end(desk).ended.farewell.unwrap().requests.len(), 6, "64 KiB of them");
    for number in 0..100 {
        let session = world.online(&number.to_string());
        world.end(session);
    }
    let owed = world.owed_now(11);
    assert_eq!((owed.len(), owed[63].jid.resource()), (64, "99"));
}

#[test]
fn nothing_is_forgotten_while_a_farewell_is_owed() {
    let mut world = world();
    let desk = world.online("desk");
    let owed = world.end(desk).ended.farewell.unwrap();
    assert!(!world.slot.is_at_rest());
    assert_eq!(world.slot.next_deadline(), Some(world.now.after(Duration::from_secs(10))));
    world.step(|slot, _| slot.settle_farewell(&owed));
    assert!(world.slot.is_at_rest());
    assert_eq!(world.slot.next_deadline(), None);
}
