//! A BOSH client of its own (XEP-0124, XEP-0206), which can also repeat itself, hurry and lie.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::task::JoinHandle;

use crate::{Tree, http};

const FIRST: u64 = 4_711_000;

/// A session, each request on a connection of its own.
#[derive(Debug)]
pub struct Bosh {
    address: SocketAddr,
    /// The session's name.
    pub sid: String,
    /// The id of the last request.
    pub rid: u64,
}

impl Bosh {
    /// Creates a session; the answer to it is beside it.
    pub async fn open(address: SocketAddr, domain: &str, more: &str) -> Result<(Bosh, Tree)> {
        let body = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='{FIRST}' to='{domain}' \
             ver='1.6' xmpp:version='1.0' {more}/>"
        );
        let answer = post(address, &body).await?;
        let sid = answer.attr("sid").with_context(|| format!("no sid: {answer}"))?.to_owned();
        Ok((Bosh { address, sid, rid: FIRST }, answer))
    }

    /// The body of the request with that id.
    pub fn body(&self, rid: u64, more: &str, payloads: &str) -> String {
        format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='{rid}' sid='{}' {more}>{payloads}</body>",
            self.sid
        )
    }

    /// The next request, and its answer.
    pub async fn ask(&mut self, more: &str, payloads: &str) -> Result<Tree> {
        self.rid += 1;
        post(self.address, &self.body(self.rid, more, payloads)).await
    }

    /// The next request, whose answer is waited for elsewhere.
    pub fn start(&mut self, more: &str, payloads: &str) -> JoinHandle<Result<Tree>> {
        self.rid += 1;
        self.start_as(self.rid, more, payloads)
    }

    /// A request with an id of choice.
    #[expect(clippy::disallowed_methods, reason = "the story that gets the handle owns the task")]
    pub fn start_as(&self, rid: u64, more: &str, payloads: &str) -> JoinHandle<Result<Tree>> {
        let (address, body) = (self.address, self.body(rid, more, payloads));
        tokio::spawn(async move { post(address, &body).await })
    }

    /// Signs in with PLAIN and asks for a new stream; the features are the answer.
    pub async fn login(&mut self, domain: &str, user: &str, password: &str) -> Result<Tree> {
        let secret = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let auth =
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
        let answer = self.ask("", &auth).await?;
        ensure!(answer.child("success").is_some(), "{answer}");
        self.ask(&format!("to='{domain}' xmpp:restart='true'"), "").await
    }

    /// Binds a resource; the full JID is the answer.
    pub async fn bind(&mut self, resource: &str) -> Result<String> {
        let request = format!(
            "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        );
        let answer = self.ask("", &request).await?;
        answer
            .find(&["iq", "bind", "jid"])
            .map(|jid| jid.text.clone())
            .with_context(|| format!("not bound: {answer}"))
    }

    /// Asks for what waits until something comes.
    pub async fn poll(&mut self) -> Result<Tree> {
        for _ in 0..50 {
            let answer = self.ask("", "").await?;
            if !answer.children.is_empty() || answer.attr("type").is_some() {
                return Ok(answer);
            }
        }
        anyhow::bail!("nothing came in 50 answers")
    }
}

/// Sends one body; what comes back must be a `<body/>` as XML of its own.
pub async fn post(address: SocketAddr, body: &str) -> Result<Tree> {
    let request = format!(
        "POST /bosh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/xml; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http(address, &request).await?;
    let (head, text) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    ensure!(head.contains("content-type: text/xml; charset=utf-8"), "{head}");
    let tree = Tree::parse_alone(text).with_context(|| text.to_owned())?;
    ensure!(tree.name == "body" && tree.ns == "http://jabber.org/protocol/httpbind", "{tree}");
    Ok(tree)
}
