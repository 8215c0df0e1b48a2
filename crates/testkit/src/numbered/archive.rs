//! Reads an archive to its end, going on behind the last id seen (XEP-0313 with XEP-0059).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::{Connection, Received, Tree};

use super::device::read_id;
use super::{AGAIN, Notes, PATIENCE};

/// How many messages it asks for at once; a server gives no more than it is told to.
const PAGE: usize = 250;

/// How far each account's archive was read.
#[derive(Debug, Default)]
pub struct Readers(BTreeMap<String, String>);

impl Readers {
    /// Signs in to read pages.
    pub async fn open(address: SocketAddr, account: &str) -> Connection {
        let mut connection = Connection::open(address).await.unwrap();
        connection.login("localhost", account, "secret").await.unwrap();
        connection.bind("reader").await.unwrap();
        connection
    }

    /// Notes what has come into the archives since the last time. All are read at once.
    pub async fn read(&mut self, address: SocketAddr, accounts: &[&str], notes: &Notes) {
        let mut reading = JoinSet::new();
        for &account in accounts {
            let (account, notes) = (account.to_owned(), notes.clone());
            let last = self.0.remove_entry(&account);
            reading.spawn(Readers(last.into_iter().collect()).read_one(address, account, notes));
        }
        for Readers(last) in reading.join_all().await {
            self.0.extend(last);
        }
    }

    async fn read_one(mut self, address: SocketAddr, account: String, notes: Notes) -> Readers {
        let mut connection = Readers::open(address, &account).await;
        while !self.page(&mut connection, &account, &notes).await {}
        connection.write("</stream:stream>").await.unwrap();
        while !matches!(connection.next(PATIENCE).await, Ok(Received::StreamEnd | Received::Eof) | Err(_)) {}
        self
    }

    /// Notes the next page; whether it was the last one. A store that does not answer in time is asked again.
    pub async fn page(&mut self, connection: &mut Connection, account: &str, notes: &Notes) -> bool {
        let begun = Instant::now();
        loop {
            match self.ask(connection, account, notes).await {
                Some(is_last) => return is_last,
                None => assert!(begun.elapsed() < PATIENCE, "{account}: no page in {PATIENCE:?}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// `None`: it was refused with `wait`.
    async fn ask(&mut self, connection: &mut Connection, account: &str, notes: &Notes) -> Option<bool> {
        let after = self.0.get(account).map(|id| format!("<after>{id}</after>")).unwrap_or_default();
        let query = format!(
            "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'>\
             <set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max>{after}</set></query></iq>"
        );
        connection.write(&query).await.unwrap();
        loop {
            let Received::Element(tree, _) = connection.next(PATIENCE).await.unwrap() else {
                panic!("{account}: the stream ended while its archive was read")
            };
            if let Some(result) = tree.child("result") {
                self.row(account, result, notes);
            } else if tree.attr("type") == Some("get") {
                let id = tree.attr("id").unwrap_or_default();
                connection.write(&format!("<iq type='result' to='localhost' id='{id}'/>")).await.unwrap();
            } else if tree.attr("id") == Some("page") {
                if tree.child("error").is_some_and(|error| error.attr("type") == Some("wait")) {
                    return None;
                }
                let fin = tree.child("fin").unwrap_or_else(|| panic!("{account}: {tree}"));
                return Some(fin.attr("complete") == Some("true"));
            }
        }
    }

    fn row(&mut self, account: &str, result: &Tree, notes: &Notes) {
        let id = result.attr("id").expect("a result has an id (XEP-0313 §4.2)");
        self.0.insert(account.to_owned(), id.to_owned());
        let body = result.find(&["forwarded", "message", "body"]).map(|body| body.text.as_str());
        let message = body.and_then(read_id).unwrap_or_else(|| panic!("{account}: {result}"));
        notes.open().archived(account, message, id);
    }
}
