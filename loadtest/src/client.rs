//! One client's connection: TLS, SASL, binding or resuming, and then stanzas as bytes.

use crate::link::{self, Link};
use crate::passing::Closed;
use crate::sasl::{self, told};
use crate::scan::{self, Event, Scanner};
use crate::sm::Sm;
use crate::target::{Account, Target, Transport};
use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;
use tokio::time::timeout;

/// No step of a login may take longer.
const STEP: Duration = Duration::from_secs(30);

/// Of the elements that stand for the stream's ends in a WebSocket (RFC 7395 §3.3).
const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";

/// How long a server may take to end a stream.
const DEPARTURE: Duration = Duration::from_secs(5);

/// A connection with its scanner.
pub(crate) struct Client {
    link: Link,
    scanner: Scanner,
    /// The full JID, once bound.
    pub(crate) jid: String,
    /// Its counts of XEP-0198, and what it answers by itself.
    pub(crate) sm: Sm,
}

impl Client {
    /// Connects as client `index`; ends with the features of a stream that can log in.
    pub(crate) async fn connect(target: &Target, index: usize) -> Result<(Self, Vec<u8>)> {
        let address = target.address(index)?;
        let connecting = link::connect(address, target.source(index, &address));
        let socket = timeout(STEP, connecting).await?.context("the server cannot be reached")?;
        socket.set_nodelay(true)?;
        let mut client = Self {
            link: Link::Plain(socket),
            scanner: Scanner::default(),
            jid: String::new(),
            sm: Sm::default(),
        };
        if target.transport == Transport::Starttls {
            client.open(&target.domain).await?;
            client.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
            let answer = client.stanza().await?;
            ensure!(scan::name(&answer) == b"proceed", "STARTTLS was refused");
            client.scanner.reset();
        }
        if let Some(connector) = &target.tls {
            timeout(STEP, client.link.encrypt(connector, &target.domain))
                .await
                .context("TLS took too long")??;
        }
        if target.transport.is_framed() {
            let host = format!("{}:{}", target.domain, address.port());
            let upgrading = client.link.upgrade(&host, &target.path);
            timeout(STEP, upgrading).await.context("the WebSocket took too long")??;
            client.scanner = Scanner::framed();
        }
        let features = client.open(&target.domain).await?;
        Ok((client, features))
    }

    /// Connects and logs in, but binds nothing yet.
    pub(crate) async fn enter(target: &Target, index: usize, account: &Account) -> Result<Self> {
        let (mut client, features) = Self::connect(target, index).await?;
        sasl::authenticate(&mut client, &features, account, target.mechanism).await?;
        client.scanner.reset();
        client.open(&target.domain).await?;
        Ok(client)
    }

    /// Connects, logs in and binds a resource.
    pub(crate) async fn login(target: &Target, index: usize, account: &Account) -> Result<Self> {
        let mut client = Self::enter(target, index, account).await?;
        client.bind().await?;
        client.scanner.shrink();
        Ok(client)
    }

    /// Binds a resource that the server chooses (RFC 6120 §7.6).
    pub(crate) async fn bind(&mut self) -> Result<()> {
        self.send(b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await?;
        let bound = self.answer("bind").await?;
        let jid = scan::text(&bound, "jid").with_context(|| format!("no JID was bound: {}", told(&bound)))?;
        self.jid = String::from_utf8(jid.to_vec())?;
        Ok(())
    }

    /// Opens the stream; its features.
    async fn open(&mut self, domain: &str) -> Result<Vec<u8>> {
        let header = if self.link.is_framed() {
            format!("<open to='{domain}' version='1.0' xmlns='{FRAMING}'/>")
        } else {
            format!(
                "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        };
        self.send(header.as_bytes()).await?;
        let mut features = self.stanza().await?;
        if self.link.is_framed() && scan::name(&features) == b"open" {
            features = self.stanza().await?;
        }
        ensure!(scan::name(&features).ends_with(b"features"), "no stream features: {}", told(&features));
        Ok(features)
    }

    /// Tells that it is there, and waits until the server has taken that in: it answers in order (RFC 6120 §10.1).
    pub(crate) async fn appear(&mut self, domain: &str) -> Result<()> {
        self.sm.wrote_others(2);
        let ping =
            format!("<presence/><iq type='get' id='ready' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.send(ping.as_bytes()).await?;
        self.answer("ready").await?;
        self.reply().await
    }

    /// The answer to the request `id`; what else arrives before it is dropped.
    pub(crate) async fn answer(&mut self, id: &str) -> Result<Vec<u8>> {
        loop {
            let stanza = self.stanza().await?;
            let is_answer = matches!(scan::attribute(&stanza, "type"), Some(b"result" | b"error"));
            if scan::name(&stanza) == b"iq"
                && is_answer
                && scan::attribute(&stanza, "id") == Some(id.as_bytes())
            {
                return Ok(stanza);
            }
        }
    }

    /// Turns XEP-0198 stream management on.
    pub(crate) async fn enable_sm(&mut self) -> Result<()> {
        self.send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
        loop {
            let stanza = self.stanza().await?;
            match scan::name(&stanza) {
                b"enabled" => {
                    let id = scan::attribute(&stanza, "id").unwrap_or_default();
                    self.sm = Sm::enabled(String::from_utf8_lossy(id).into_owned());
                    return Ok(());
                }
                b"failed" => bail!("stream management was refused: {}", told(&stanza)),
                _ => {}
            }
        }
    }

    /// Goes on with the stream whose counts `former` are (XEP-0198 §5); false if the server has it no more.
    pub(crate) async fn resume(&mut self, former: Sm, jid: &str) -> Result<bool> {
        self.send(former.resume().as_bytes()).await?;
        let answer = self.stanza().await?;
        if scan::name(&answer) != b"resumed" {
            ensure!(scan::name(&answer) == b"failed", "to <resume/>: {}", told(&answer));
            return Ok(false);
        }
        (self.sm, self.jid) = (former, jid.to_owned());
        self.sm.hear(&answer);
        Ok(true)
    }

    /// Waits for one whole stanza.
    pub(crate) async fn stanza(&mut self) -> Result<Vec<u8>> {
        loop {
            while let Some(event) = self.next() {
                if let Some(stanza) = of_stream(event)? {
                    return Ok(stanza.to_vec());
                }
            }
            timeout(STEP, self.fill()).await.context("the server did not answer")??;
        }
    }

    /// Reads once, whatever is there. Cancel-safe: bytes read are in the scanner.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        let read = self.link.fill(self.scanner.space()).await?;
        ensure!(read > 0, Closed("the connection".to_owned()));
        Ok(())
    }

    /// The next event among the bytes already read; stanzas are counted, and questions of the server noted for `reply`.
    pub(crate) fn next(&mut self) -> Option<Event<'_>> {
        let event = self.scanner.next()?;
        if matches!(&event, Event::Stanza(element) if self.link.is_framed() && scan::name(element) == b"close")
        {
            return Some(Event::Close);
        }
        if let Event::Stanza(stanza) = &event {
            self.sm.hear(stanza);
        }
        Some(event)
    }

    /// Takes in all that has been read and answers what was asked: who has nothing to say does no more. Then its memory is given back.
    pub(crate) async fn attend(&mut self) -> Result<()> {
        while let Some(event) = self.next() {
            of_stream(event)?;
        }
        self.scanner.shrink();
        self.reply().await
    }

    /// Answers what the server asked meanwhile: `<r/>`, pings.
    pub(crate) async fn reply(&mut self) -> Result<()> {
        let answers = self.sm.answers();
        if answers.is_empty() { Ok(()) } else { self.send(answers.as_bytes()).await }
    }

    /// Writes and flushes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.send(bytes).await
    }

    async fn end(&mut self) -> Result<()> {
        if self.link.is_framed() {
            return self.send(format!("<close xmlns='{FRAMING}'/>").as_bytes()).await;
        }
        self.send(b"</stream:stream>").await
    }

    /// Ends the stream in order.
    pub(crate) async fn close(mut self) {
        let _ = self.end().await; // leaving either way
    }

    /// Ends the stream in order and waits until the server has ended its side: then it knows that nobody is there.
    pub(crate) async fn depart(mut self) {
        let _ = self.end().await;
        let ended = async {
            while self.fill().await.is_ok() {
                while self.scanner.next().is_some() {}
            }
        };
        let _ = timeout(DEPARTURE, ended).await; // a server that does not answer is left all the same
    }

    /// Leaves as a client that lost its network does: without a word. Its counts of XEP-0198 outlive it.
    pub(crate) fn cut(mut self) -> Sm {
        drop(self.sm.answers()); // to questions of a connection that is gone
        self.sm
    }
}

/// A stanza, if it is one; an error of the stream, or its end, ends the client too (RFC 6120 §4.9.1.1).
fn of_stream(event: Event<'_>) -> Result<Option<&[u8]>> {
    match event {
        Event::Stanza(stanza) if scan::name(stanza).ends_with(b"error") => {
            bail!(Closed(format!("the stream: {}", told(stanza))))
        }
        Event::Stanza(stanza) => Ok(Some(stanza)),
        Event::Open => Ok(None),
        Event::Close => bail!(Closed("the stream".to_owned())),
    }
}
