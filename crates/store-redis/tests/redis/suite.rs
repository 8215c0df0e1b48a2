//! The suites of the ports `Sessions` and `Attempts`.

use starling_ports::clock::{Clock, SystemClock};
use starling_ports::suite::{attempts, sessions as suite};

use crate::world::World;

/// Runs suites on a router and, where they take it, its archive.
macro_rules! suite {
    ($($name:ident ( $($archive:ident)? );)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let world = World::new();
                let router = world.router().await;
                suite::$name(&*router $(, &*world.$archive)?).await;
            }
        )*
    };
}

suite! {
    a_stale_view_commits_nothing(store);
    a_message_goes_its_way(store);
    a_renewal_tells_who_is_behind(store);
    a_renewal_repeats_acknowledgements(store);
    a_retry_is_answered(store);
    a_reader_stores_what_is_committed(store);
    what_others_owe_refuses_nobody(store);
    offline_messages_wait_for_an_acknowledgement(store);
    a_session_is_resumed(store);
    an_ended_session_leaves_its_h();
    who_holds_a_message_is_known(store);
    a_forgotten_session_is_registered_again(store);
    an_ended_session_is_not_registered_again();
    what_a_node_knows_to_be_done_waits_no_more(store);
    all_sessions_of_an_account_end();
}

/// Runs suites on two routers.
macro_rules! of_two {
    ($($name:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let world = World::new();
                let (one, other) = (world.router().await, world.router().await);
                suite::$name(&*one, &*other).await;
            }
        )*
    };
}

of_two! {
    a_view_from_memory_is_checked;
    a_commit_carries_what_is_handled;
    sessions_are_counted;
}

#[tokio::test]
async fn the_last_word_of_each_node_is_listed() {
    let world = World::new();
    starling_ports::suite::nodes::the_last_word_of_each_node_is_listed(&*world.router().await).await;
}

#[tokio::test]
async fn attempts_are_counted_wherever_they_come() {
    let world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    attempts::attempts_are_counted_wherever_they_come(&*one, &*other).await;
}

#[tokio::test]
async fn a_success_forgives_the_account() {
    attempts::a_success_forgives_the_account(&*World::new().router().await).await;
}

#[tokio::test]
async fn attempts_under_way_count() {
    attempts::attempts_under_way_count(&*World::new().router().await).await;
}

#[tokio::test]
async fn a_waiting_session_expires() {
    let world = World::new();
    let router = world.router().await;
    suite::a_waiting_session_expires(&*router, SystemClock.now()).await;
}

#[tokio::test]
async fn farewells() {
    let world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    suite::a_farewell_is_owed_until_it_is_settled(&*one, &*other, SystemClock.now()).await;
    suite::who_leaves_and_stays_owes_it_too(&*one, SystemClock.now()).await;
    suite::who_replaces_one_that_waits_owes_what_it_owed(&*other).await;
}
