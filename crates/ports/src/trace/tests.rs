//! Sampling, and the chain of spans.

use std::sync::Arc;

use parking_lot::Mutex;
use starling_jid::{BareJid, FullJid, Jid};

use super::*;

#[derive(Default)]
struct Kept(Mutex<Vec<Ended>>);

impl Spans for Kept {
    fn ended(&self, span: Ended) {
        self.0.lock().push(span);
    }
}

fn alice() -> FullJid {
    FullJid::new("alice@a.example/phone").unwrap()
}

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

#[test]
fn a_traceparent_comes_back_and_nothing_else_is_one() {
    let context = Context { trace: 0xabc, span: 7, arrived: None };
    let text = "00-00000000000000000000000000000abc-0000000000000007-01";
    assert_eq!(context.to_traceparent(), text);
    assert_eq!(Context::from_traceparent(text), Some(context));
    for other in [
        "",
        "00-00000000000000000000000000000abc-0000000000000007-00", // not sampled
        "01-00000000000000000000000000000abc-0000000000000007-01",
        "00-00000000000000000000000000000ABC-0000000000000007-01",
        "00-00000000000000000000000000000000-0000000000000007-01",
        "00-00000000000000000000000000000abc-0000000000000007-01-x",
        "00-+0000000000000000000000000000abc-0000000000000007-01",
        "00-é000000000000000000000000000abc-0000000000000007-01",
    ] {
        assert_eq!(Context::from_traceparent(other), None, "{other}");
    }
}

#[test]
fn nothing_is_followed_unless_it_is_said_and_spans_go_somewhere() {
    let nobody = Tracer::default();
    nobody.follow(Sampling { rate: 1.0, ..Sampling::default() });
    assert!(!nobody.is_on() && nobody.sample(&alice(), None).is_none());
    let tracer = Tracer::new(Arc::new(Kept::default()), 1);
    assert!(tracer.sample(&alice(), None).is_none());
    tracer.follow(Sampling { rate: 1.0, ..Sampling::default() });
    assert_eq!(tracer.sample(&alice(), None), Some(Sampled::Rate));
    tracer.follow(Sampling::default());
    assert!(tracer.sample(&alice(), None).is_none());
}

#[test]
fn about_as_many_are_followed_as_the_rate_says() {
    let tracer = Tracer::new(Arc::new(Kept::default()), 42);
    tracer.follow(Sampling { rate: 0.01, ..Sampling::default() });
    let sampled = (0..100_000).filter(|_| tracer.sample(&alice(), None).is_some()).count();
    assert!((800..1200).contains(&sampled), "{sampled}");
}

#[test]
fn a_named_account_is_followed_in_both_directions() {
    let bob = BareJid::new("bob@a.example").unwrap();
    let tracer = Tracer::new(Arc::new(Kept::default()), 1);
    tracer.follow(Sampling { accounts: vec![bob.clone()], ..Sampling::default() });
    let by_name = Some(Sampled::Account(bob));
    assert_eq!(tracer.sample(&alice(), Some(&jid("BOB@a.example/desk"))), by_name);
    assert_eq!(
        tracer.sample(&FullJid::new("bob@a.example/x").unwrap(), Some(&jid("carol@a.example"))),
        by_name
    );
    assert_eq!(tracer.sample(&alice(), Some(&jid("carol@a.example"))), None);
    assert_eq!(tracer.sample(&alice(), None), None);
}

#[test]
fn no_more_traces_begin_in_a_second_than_is_said() {
    let tracer = Tracer::new(Arc::new(Kept::default()), 1);
    tracer.follow(Sampling { rate: 1.0, most_per_second: 3, ..Sampling::default() });
    let begun = std::time::Instant::now();
    let sampled = (0..1000).filter(|_| tracer.sample(&alice(), None).is_some()).count();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2; // it may begin at the end of one
    assert!((3..=3 * seconds).contains(&sampled), "{sampled} in {seconds} s");
}

#[test]
fn spans_of_a_trace_name_the_one_before() {
    let kept = Arc::new(Kept::default());
    let tracer = Tracer::new(kept.clone(), 1);
    let mut first = tracer.begin("receive", Kind::Producer);
    first.set("kind", "message");
    let second = tracer.follow_on("route", Kind::Internal, &first.context());
    let third = tracer.follow_on("deliver", Kind::Consumer, &second.context()).since(Some(Timestamp(5)));
    drop((third, second, first));
    let spans = kept.0.lock();
    let [third, second, first] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((third.begun, third.parent), (Timestamp(5), Some(second.span)));
    assert_eq!((second.parent, first.parent), (Some(first.span), None));
    assert!(spans.iter().all(|span| span.trace == first.trace && span.ended >= span.begun));
    assert_eq!(first.attributes, [("kind", Value::Text("message".to_owned()))]);
}

#[test]
fn a_process_without_a_receiver_hands_the_context_on_as_it_came() {
    let (from, tracer) = (Context { trace: 9, span: 8, arrived: None }, Tracer::default());
    assert_eq!(tracer.follow_on("route", Kind::Internal, &from).context(), from);
}

/// As `printf %s alice@example.org | sha256sum | cut -c 1-16` has it.
#[test]
fn an_account_is_named_by_its_hash() {
    assert_eq!(account_hash(&BareJid::new("alice@example.org").unwrap()), "7a64adf28737ea90");
}
