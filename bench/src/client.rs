//! A client that does what a script says: it looks for words in what comes, and reads no XML.

use std::future::poll_fn;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use memchr::memmem;
use sha1::{Digest, Sha1};
use starling_connection_manager::Wire;
use starling_ports::accounts::ScramKeys;
use starling_stream::sasl::scram::{self, Hash};
use tokio::task::JoinHandle;

use crate::home::{DOMAIN, Home};

const OPEN: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const PASSWORD: &str = "secret";
const SALT: &[u8] = b"0123456789abcdef";
/// How often a password is stretched has no effect on the server's part in a login.
const ITERATIONS: u32 = 1;

/// What the server keeps of the password that all have.
pub(crate) fn keys() -> ScramKeys {
    scram::derive(Hash::Sha1, PASSWORD, SALT, ITERATIONS, &())
}

/// One device.
pub(crate) struct Client {
    wire: Arc<Wire>,
    served: JoinHandle<()>,
    read: Vec<u8>,
    heard: Option<u32>, // stanzas, once XEP-0198 is on
}

impl Client {
    /// Up to and with the bound resource.
    pub(crate) async fn login(home: &Home, name: &str) -> Result<Client> {
        let (wire, served) = home.connect();
        let mut client = Client { wire, served, read: Vec::new(), heard: None };
        client.send(OPEN);
        client.until("</stream:features>").await?;
        let first = format!("n={name},r=rOprNGfwEbeRWgbNEkqO");
        let initial = BASE64.encode(format!("n,,{first}"));
        client.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{initial}</auth>"
        ));
        let challenge = client.until("</challenge>").await?;
        let last = prove(&first, &challenge)?;
        client.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</response>"));
        client.until("</success>").await?;
        client.send(OPEN);
        client.until("</stream:features>").await?;
        client.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>",
        );
        client.until("</jid>").await?;
        Ok(client)
    }

    /// XEP-0198 §3.
    pub(crate) async fn enable_sm(&mut self) -> Result<()> {
        self.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        self.until("<enabled ").await?;
        self.heard = Some(0);
        Ok(())
    }

    /// Ready for messages and for the presence of others.
    pub(crate) async fn appear(&mut self) -> Result<()> {
        self.send(&format!(
            "<presence/><iq type='get' id='ready' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        self.until("ready").await.map(drop)
    }

    pub(crate) fn send(&self, text: &str) {
        self.wire.send(text.as_bytes());
    }

    /// Has handled one stanza more, and says so if XEP-0198 is on (§4).
    pub(crate) fn acknowledge(&mut self) {
        let Some(heard) = &mut self.heard else { return };
        *heard += 1;
        let answer = format!("<a xmlns='urn:xmpp:sm:3' h='{heard}'/>");
        self.send(&answer);
    }

    /// Reads until `word` has come, and hands out what came; answers a ping, as clients do (XEP-0199 §4).
    pub(crate) async fn until(&mut self, word: &str) -> Result<String> {
        let mut read = std::mem::take(&mut self.read);
        read.clear();
        while memmem::find(&read, word.as_bytes()).is_none() {
            poll_fn(|cx| self.wire.poll_receive(cx, &mut read)).await;
            if memmem::find(&read, b"<stream:error").is_some() {
                bail!("{}", String::from_utf8_lossy(&read));
            }
        }
        let text = String::from_utf8(read)?;
        if let Some(id) = between(&text, "id='ack-", "'").or_else(|| between(&text, "id=\"ack-", "\"")) {
            self.send(&format!("<iq type='result' id='ack-{id}'/>"));
        }
        Ok(text)
    }

    /// Gives back the room of what was read.
    pub(crate) fn reuse(&mut self, text: String) {
        self.read = text.into_bytes();
    }

    /// Ends its stream, and waits until its session has ended, too.
    pub(crate) async fn leave(mut self) -> Result<()> {
        self.send("</stream:stream>");
        self.until("</stream:stream>").await?;
        self.served.await.context("serving a client")
    }
}

/// The client's last message (RFC 5802 §3). The server has no part in this, so it is not counted: a function of its own.
#[inline(never)]
fn prove(first: &str, challenge: &str) -> Result<String> {
    let challenge = between(challenge, "'>", "</challenge>").context("no challenge")?;
    let challenge = String::from_utf8(BASE64.decode(challenge)?)?;
    let nonce = between(&challenge, "r=", ",").context("no nonce")?;
    let without = format!("c=biws,r={nonce}");
    let message = format!("{first},{challenge},{without}");
    let block = [SALT, &[0, 0, 0, 1]].concat(); // RFC 2898 §5.2: of one iteration, and as long as the hash
    let salted = mac(PASSWORD.as_bytes(), &block)?;
    let mut key = mac(&salted, b"Client Key")?;
    let signature = mac(&Sha1::digest(&key), message.as_bytes())?;
    key.iter_mut().zip(&signature).for_each(|(key, mask)| *key ^= mask);
    Ok(BASE64.encode(format!("{without},p={}", BASE64.encode(key))))
}

fn mac(key: &[u8], data: &[u8]) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key)?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}
