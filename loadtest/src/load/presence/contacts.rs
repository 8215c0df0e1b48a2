//! Rosters: each user and its neighbours in a ring see each other's presence (RFC 6121 §3).

use crate::client::Client;
use crate::load::Stage;
use crate::scan::{self, Event};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long answers are waited for before the roster is looked at again.
const LOOK: Duration = Duration::from_millis(300);
/// How long all subscriptions may take.
const LIMIT: Duration = Duration::from_secs(600);

/// The contacts of user `index` of `count`: `half` on each side.
pub(in crate::load) fn of(index: usize, count: usize, half: usize) -> BTreeSet<usize> {
    let around = (1..=half).flat_map(|step| [(index + step) % count, (index + count - step) % count]);
    around.filter(|other| *other != index).collect()
}

/// Makes what is missing of these rosters; then all leave.
pub(in crate::load) async fn make(stage: &Arc<Stage>, clients: Vec<Client>, half: usize) -> Result<()> {
    let (mut tasks, count) = (JoinSet::new(), clients.len());
    for (index, client) in clients.into_iter().enumerate() {
        let wanted =
            of(index, count, half).into_iter().map(|other| stage.jid(other)).collect::<Result<_>>()?;
        tasks.spawn(befriend(client, wanted));
    }
    let mut clients = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        clients.push(done??);
    }
    for client in clients {
        stage.leave(client).await;
    }
    Ok(())
}

/// Asks all `wanted`, says yes to all who ask, until the roster says that all are mutual.
async fn befriend(mut client: Client, wanted: BTreeSet<String>) -> Result<Client> {
    let (deadline, mut asked) = (Instant::now() + LIMIT, BTreeSet::new());
    loop {
        client.send(b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>").await?;
        let mut roster = None;
        while roster.is_none() {
            roster = answer_all(&mut client, deadline).await?;
        }
        let mutual = roster.unwrap_or_default();
        let missing: Vec<&String> = wanted.difference(&mutual).collect();
        if missing.is_empty() {
            return Ok(client);
        }
        ensure!(Instant::now() < deadline, "no subscription with {missing:?}");
        let mut ask = String::new();
        for contact in missing {
            if asked.insert(contact.clone()) {
                ask.push_str(&format!("<presence to='{contact}' type='subscribe'/>"));
            }
        }
        client.send(ask.as_bytes()).await?;
        let look = Instant::now() + LOOK;
        while let Ok(answered) = timeout_at(look, answer_all(&mut client, deadline)).await {
            answered?;
        }
    }
}

/// Reads once and says yes to whoever asks; the mutual contacts of a roster, if one came. Cancelled only while it reads.
async fn answer_all(client: &mut Client, deadline: Instant) -> Result<Option<BTreeSet<String>>> {
    timeout_at(deadline, client.fill()).await.context("no roster came")??;
    let (mut answers, mut roster) = (String::new(), None);
    while let Some(event) = client.next() {
        let Event::Stanza(stanza) = event else { continue };
        let attribute = |name| scan::attribute(stanza, name).map(String::from_utf8_lossy);
        match (scan::name(stanza), attribute("type").as_deref()) {
            (b"presence", Some("subscribe")) => {
                let from = attribute("from").unwrap_or_default();
                answers.push_str(&format!("<presence to='{from}' type='subscribed'/>"));
            }
            (b"iq", Some("result")) if attribute("id").as_deref() == Some("roster") => {
                roster = Some(mutual(stanza))
            }
            _ => {}
        }
    }
    if !answers.is_empty() {
        client.send(answers.as_bytes()).await?;
    }
    client.reply().await?;
    Ok(roster)
}

/// Who sees whom in both directions.
fn mutual(roster: &[u8]) -> BTreeSet<String> {
    let items = scan::elements(roster, "item");
    let both = items.filter(|item| scan::attribute(item, "subscription") == Some(b"both"));
    both.filter_map(|item| scan::attribute(item, "jid"))
        .map(|jid| String::from_utf8_lossy(jid).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_the_ring_are_contacts_of_each_other() {
        assert_eq!(of(0, 10, 2), BTreeSet::from([1, 2, 8, 9]));
        assert_eq!(of(0, 2, 1), BTreeSet::from([1]));
        assert!((0..10).all(|user| of(user, 10, 3).iter().all(|other| of(*other, 10, 3).contains(&user))));
    }

    #[test]
    fn only_mutual_items_of_a_roster_are_contacts() {
        let roster = b"<iq><query xmlns='jabber:iq:roster'><item jid='a@x' subscription='both'/>\
            <item subscription=\"both\" jid=\"b@x\"><group>g</group></item><item jid='c@x' subscription='to'/></query></iq>";
        assert_eq!(mutual(roster), BTreeSet::from(["a@x".to_owned(), "b@x".to_owned()]));
    }
}
