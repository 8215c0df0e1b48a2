//! The archive's answers: pages of messages, then the result that closes them (XEP-0313 §4.2, §4.4).

use async_trait::async_trait;
use starling_jid::{BareJid, FullJid};
use starling_ports::StoreError;
use starling_ports::archive::{Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;
use starling_stanza::{Condition, StanzaError, Wire, added};
use starling_xml::{Element, ns, write_attr};

use super::query::{Wanted, form};
use super::{Mam, preferences};
use crate::Context;
use crate::config::most;
use crate::hooks::{Answer, OnIq, Request};
use crate::xep::rsm;

/// How many rows are counted one by one, and how many in one step.
const COUNTED: u64 = 1000;
const STEP: usize = 100;

#[async_trait]
impl OnIq for Mam {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        match (request.payload.local(), request.is_set()) {
            ("query", true) => query(cx, request).await,
            ("query", false) => Ok(Some(Element::new(ns::MAM, "query").with_child(form()))),
            ("metadata", false) => metadata(cx, &request.to).await.map(Some).map_err(refused),
            ("prefs", false) => preferences::get(cx, &request.to).await,
            ("prefs", true) => preferences::set(cx, request).await,
            _ => Err(StanzaError::modify(Condition::BadRequest)),
        }
    }
}

async fn query(cx: &Context, request: &Request<'_>) -> Answer {
    let wanted = Wanted::read(&request.payload)?;
    let (owner, most) = (&request.to, most(cx.config.archive_max_page));
    if wanted.ids.as_ref().is_some_and(|ids| ids.len() > most) {
        let text = format!("at most {most} ids at once");
        return Err(StanzaError::modify(Condition::PolicyViolation).with_text(&text));
    }
    let upto = cx.stores.sessions.stored_up_to(owner).await.map_err(refused)?;
    let mut named = Vec::new();
    for id in wanted.named() {
        let row = cx.stores.archive.get(Table::Archive, owner, id).await.map_err(refused)?;
        named.push(row.ok_or_else(|| StanzaError::cancel(Condition::ItemNotFound))?);
    }
    let limit = wanted.limit(most);
    let mut page = match &wanted.ids {
        Some(ids) => of_ids(&wanted, named.split_off(named.len().saturating_sub(ids.len())), limit),
        None => {
            let found = cx.stores.archive.page(Table::Archive, owner, &wanted.query(upto), limit).await;
            found.map_err(refused)?
        }
    };
    let count = if limit == 0 { count(cx, owner, &wanted, upto).await.map_err(refused)? } else { None };
    let fin = fin(&page, count);
    if wanted.flipped {
        page.rows.reverse();
    }
    for row in &page.rows {
        request.precede(result(owner, request.from(), wanted.queryid.as_deref(), row));
    }
    Ok(Some(fin))
}

/// XEP-0059 §2.6: how many there are, for who wants nothing else. Counted to a bound; beyond it, where nothing filters, it is
/// the size of the archive by that of its rows, and otherwise it is left out.
async fn count(
    cx: &Context,
    owner: &BareJid,
    wanted: &Wanted,
    upto: ArchiveId,
) -> Result<Option<u64>, StoreError> {
    if wanted.ids.is_some() {
        return Ok(None);
    }
    let whole = Wanted { page_before: None, page_after: None, backwards: true, ..wanted.clone() };
    let mut query = whole.query(upto);
    let (mut counted, mut bytes) = (0, 0);
    while counted < COUNTED {
        let page = cx.stores.archive.page(Table::Archive, owner, &query, STEP).await?;
        counted += page.rows.len() as u64;
        bytes += page.rows.iter().map(|row| row.wire.len() as u64).sum::<u64>();
        query.before = page.rows.first().map(|row| row.id);
        if page.complete || query.before.is_none() {
            return Ok(Some(counted));
        }
    }
    let all = cx.stores.sessions.view(owner).await?.archived_bytes;
    Ok((!whole.is_filtered()).then(|| counted.max(all / (bytes / counted).max(1))))
}

/// A page of rows that were asked for one by one.
fn of_ids(wanted: &Wanted, rows: Vec<Row>, limit: usize) -> Page {
    let mut rows: Vec<Row> = rows.into_iter().filter(|row| wanted.admits(row)).collect();
    let complete = rows.len() <= limit;
    if wanted.backwards {
        rows.drain(..rows.len().saturating_sub(limit));
    } else {
        rows.truncate(limit);
    }
    Page { rows, complete }
}

/// §4.3.3: the ends of the page in the order of the archive, flipped or not.
fn fin(page: &Page, count: Option<u64>) -> Element {
    let ends = page.rows.first().zip(page.rows.last()).map(|(a, b)| (a.id.to_string(), b.id.to_string()));
    let fin = Element::new(ns::MAM, "fin");
    let fin = if page.complete { fin.with_attr("complete", "true") } else { fin };
    fin.with_child(rsm::page(ends.as_ref().map(|(first, last)| (first.as_str(), last.as_str())), count))
}

/// §4.2, around XEP-0297: the message as it was received, in the bytes in which it was.
fn result(owner: &BareJid, to: &FullJid, queryid: Option<&str>, row: &Row) -> Wire {
    let mut out = Vec::with_capacity(row.wire.len() + 400);
    write_attr(&mut out, "<message to='", to.as_str());
    write_attr(&mut out, " from='", owner.as_str());
    out.push(b'>');
    added::result(&mut out, queryid, &row.id.text(), &row.at.to_xep_0082(), &row.wire);
    Wire::from_bytes(out.into()).unwrap_or_else(|| row.wire.clone())
}

/// §4.4: both ends of the archive; two reads of one row each.
async fn metadata(cx: &Context, owner: &BareJid) -> Result<Element, StoreError> {
    let upto = cx.stores.sessions.stored_up_to(owner).await?;
    let mut metadata = Element::new(ns::MAM, "metadata");
    for (name, backwards) in [("start", false), ("end", true)] {
        if let Some(row) = end_of(cx, owner, upto, backwards).await? {
            let end = Element::new(ns::MAM, name)
                .with_attr("id", row.id.to_string())
                .with_attr("timestamp", row.at.to_xep_0082());
            metadata = metadata.with_child(end);
        }
    }
    Ok(metadata)
}

async fn end_of(
    cx: &Context,
    owner: &BareJid,
    upto: ArchiveId,
    backwards: bool,
) -> Result<Option<Row>, StoreError> {
    let query = Query { upto: Some(upto), backwards, ..Query::default() };
    let page = cx.stores.archive.page(Table::Archive, owner, &query, 1).await?;
    Ok(page.rows.into_iter().next())
}

pub(super) fn refused(error: StoreError) -> StanzaError {
    error.to_stanza_error()
}

#[cfg(test)]
mod tests {
    use starling_ports::archive::Direction;
    use starling_ports::ids::Timestamp;

    use super::*;

    fn row(number: u64) -> Row {
        let wire = "<message to='bob@b.example' from='alice@a.example/x' type='chat'><body>a &lt; b</body>";
        Row {
            id: ArchiveId { number, random: 7 },
            at: Timestamp(0),
            with: BareJid::new("alice@a.example").unwrap(),
            direction: Direction::Received,
            resource: None,
            deliverable: true,
            copied: true,
            origin: None,
            born: starling_ports::archive::Born::default(),
            wire: Wire::from_bytes(bytes::Bytes::from_static(wire.as_bytes())).unwrap(),
        }
    }

    #[test]
    fn a_result_wraps_the_bytes_that_came() {
        let owner = BareJid::new("bob@b.example").unwrap();
        let wire = result(&owner, &owner.with_resource("o'clock").unwrap(), Some("<q>"), &row(1));
        let mut out = Vec::new();
        wire.write(&mut out, true, None, &[]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<message to='bob@b.example/o&apos;clock' from='bob@b.example'>\
             <result xmlns='urn:xmpp:mam:2' queryid='&lt;q&gt;' id='00000000000000010000000000000007'>\
             <forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00.000000Z'/>\
             <message xmlns='jabber:client' to='bob@b.example' from='alice@a.example/x' type='chat'>\
             <body>a &lt; b</body></message></forwarded></result></message>"
        );
    }

    #[test]
    fn the_last_page_says_that_it_is() {
        let page = Page { rows: vec![row(1), row(2)], complete: true };
        assert_eq!(fin(&page, None).attr("complete"), Some("true"));
        let more = fin(&Page { complete: false, ..page }, None);
        assert_eq!(more.attr("complete"), None);
        let set = more.child(ns::RSM, "set").unwrap();
        assert_eq!(set.child(ns::RSM, "last").unwrap().text(), "00000000000000020000000000000007");
        assert_eq!(fin(&Page::default(), None).child(ns::RSM, "set").unwrap().children().count(), 0);
    }

    #[test]
    fn named_rows_are_paged_too() {
        let rows = || vec![row(1), row(2), row(3)];
        let numbers = |page: &Page| page.rows.iter().map(|row| row.id.number).collect::<Vec<_>>();
        let first = of_ids(&Wanted::default(), rows(), 2);
        assert_eq!((numbers(&first), first.complete), (vec![1, 2], false));
        let last = of_ids(&Wanted { backwards: true, ..Wanted::default() }, rows(), 2);
        assert_eq!((numbers(&last), last.complete), (vec![2, 3], false));
        assert!(of_ids(&Wanted::default(), rows(), 3).complete);
    }
}
