//! An XMPP server that does on purpose what no server may: as little of RFC 6120 and XEP-0198 as a load needs.

use base64::Engine as _;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to the message with this number, or to the login: the tool's first one asks for the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes nowhere, and is acknowledged like the others.
    Lose(u64),
    Double(u64),
    /// The next one overtakes it.
    Delay(u64),
    /// It goes to everybody but its receiver.
    Misplace(u64),
    AckNothing,
    /// The login is answered `temporary-auth-failure`.
    Refuse(u64),
    /// The login is answered by the end of the connection.
    HangUp(u64),
    /// The stream ends with an error soon after this login.
    End(u64),
    /// Who has enabled XEP-0198 is asked `<r/>` and a ping. Nobody else gets in before both are answered; who is silent is closed.
    Ask,
}

type Readers = Arc<Mutex<BTreeMap<String, TcpStream>>>;

/// How long somebody who was asked may be silent.
const SILENCE: Duration = Duration::from_secs(2);

/// What the connections know of each other's logins.
#[derive(Default)]
struct Logins {
    count: AtomicU64,
    /// Who has been asked and has not answered, by the number of the login.
    silent: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Logins {
    /// Waits for answers, and closes who gives none.
    fn hear(&self) {
        let began = Instant::now();
        while began.elapsed() < SILENCE && !self.silent.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        for socket in std::mem::take(&mut *self.silent.lock().unwrap()).into_values() {
            let _ = socket.shutdown(Shutdown::Both); // it may have left
        }
    }
}

/// Listens until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: String,
    messages: Arc<AtomicU64>,
}

impl Server {
    pub(crate) fn start(faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (faults, readers, messages) = (faults.to_vec(), Readers::default(), Arc::<AtomicU64>::default());
        let (seen, logins) = (messages.clone(), Arc::<Logins>::default());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                socket.set_nodelay(true).unwrap();
                let client = Client {
                    socket,
                    user: String::new(),
                    login: 0,
                    handled: 0,
                    held: None,
                    faults: faults.clone(),
                    readers: readers.clone(),
                    messages: seen.clone(),
                    logins: logins.clone(),
                };
                std::thread::spawn(move || client.serve());
            }
        });
        Self { address, messages }
    }

    /// Waits until so many messages have come.
    pub(crate) fn wait_for(&self, messages: u64) {
        let began = Instant::now();
        while self.messages.load(Ordering::Relaxed) < messages {
            assert!(began.elapsed() < Duration::from_secs(60), "no {messages} messages within a minute");
            std::thread::yield_now();
        }
    }
}

/// One connection.
struct Client {
    socket: TcpStream,
    user: String,
    /// Its number among all logins.
    login: u64,
    /// Stanzas that came since `<enable/>`.
    handled: u64,
    held: Option<String>,
    faults: Vec<Fault>,
    readers: Readers,
    messages: Arc<AtomicU64>,
    logins: Arc<Logins>,
}

impl Client {
    /// Until the client is gone.
    fn serve(mut self) {
        let (mut buffer, mut text) = ([0; 4096], String::new());
        while let Ok(length @ 1..) = self.socket.read(&mut buffer) {
            text.push_str(std::str::from_utf8(&buffer[..length]).unwrap()); // the load is ASCII
            while let Some(end) = end(&text) {
                let element = text[..end].to_owned();
                text.drain(..end);
                self.take(&element);
            }
        }
        self.logins.silent.lock().unwrap().remove(&self.login);
    }

    fn take(&mut self, element: &str) {
        match name(element) {
            "stream:stream" => self.features(),
            "auth" if self.is_kept_out() => {}
            "auth" => {
                let data = element.split(['<', '>']).nth(2).unwrap();
                let data = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
                self.user = String::from_utf8_lossy(&data).split('\0').nth(1).unwrap().to_owned();
                self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            }
            "enable" => {
                self.handled = 0;
                self.say("<enabled xmlns='urn:xmpp:sm:3'/>");
                if self.faults.contains(&Fault::Ask) {
                    let own = self.socket.try_clone().unwrap();
                    self.logins.silent.lock().unwrap().insert(self.login, own);
                    self.say("<iq type='get' id='there' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='urn:xmpp:sm:3'/>");
                }
            }
            // It counts the answer to the ping too, which goes before.
            "a" if attribute(element, "h") == "1" && self.handled == 1 => {
                self.logins.silent.lock().unwrap().remove(&self.login);
            }
            "iq" if attribute(element, "type") == "result" => self.handled += 1,
            "r" if !self.faults.contains(&Fault::AckNothing) => {
                self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.handled));
            }
            "iq" => {
                self.handled += 1;
                self.answer(element);
            }
            "message" => {
                self.handled += 1;
                self.messages.fetch_add(1, Ordering::Relaxed);
                self.pass_on(element);
            }
            "presence" => self.handled += 1,
            "/stream:stream" => self.say("</stream:stream>"),
            _ => {}
        }
    }

    /// What becomes of a login that does not go well.
    fn is_kept_out(&mut self) -> bool {
        self.login = self.logins.count.fetch_add(1, Ordering::Relaxed);
        self.logins.hear();
        if self.faults.contains(&Fault::Refuse(self.login)) {
            self.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>");
            return true;
        }
        if self.faults.contains(&Fault::HangUp(self.login)) {
            let _ = self.socket.shutdown(Shutdown::Both); // it may have left
            return true;
        }
        if self.faults.contains(&Fault::End(self.login)) {
            let mut socket = self.socket.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(500));
                let end = "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
                socket.write_all(end.as_bytes()).unwrap();
                socket.shutdown(Shutdown::Both).unwrap();
            });
        }
        false
    }

    fn features(&mut self) {
        let features = if self.user.is_empty() {
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
        } else {
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>"
        };
        self.say(&format!(
            "<stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'><stream:features>{features}</stream:features>"
        ));
    }

    fn answer(&mut self, iq: &str) {
        let id = attribute(iq, "id");
        let content = if iq.contains("<bind") {
            let own = self.socket.try_clone().unwrap();
            self.readers.lock().unwrap().insert(self.user.clone(), own);
            format!(
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{}@localhost/r</jid></bind>",
                self.user
            )
        } else if iq.contains("jabber:iq:version") {
            "<query xmlns='jabber:iq:version'><name>Bad</name><version>1</version></query>".to_owned()
        } else {
            String::new()
        };
        self.say(&format!("<iq type='result' id='{id}' from='localhost'>{content}</iq>"));
    }

    /// Hands a message on, or does with it what was asked for.
    fn pass_on(&mut self, message: &str) {
        let number: u64 = attribute(message, "id").parse().unwrap();
        let to = attribute(message, "to").split('@').next().unwrap().to_owned();
        let fault = self.faults.iter().copied().find(|fault| {
            matches!(fault, Fault::Lose(at) | Fault::Double(at) | Fault::Delay(at) | Fault::Misplace(at) if *at == number)
        });
        let held = self.held.take();
        match fault {
            Some(Fault::Lose(_)) => {}
            Some(Fault::Delay(_)) => self.held = Some(message.to_owned()),
            Some(Fault::Double(_)) => self.deliver(message, |user| user == to, 2),
            Some(Fault::Misplace(_)) => self.deliver(message, |user| user != to, 1),
            _ => self.deliver(message, |user| user == to, 1),
        }
        if let Some(held) = held {
            self.deliver(&held, |user| user == to, 1);
        }
    }

    fn deliver(&self, message: &str, is_receiver: impl Fn(&str) -> bool, times: usize) {
        for (_, mut socket) in self.readers.lock().unwrap().iter().filter(|(user, _)| is_receiver(user)) {
            let _ = socket.write_all(message.repeat(times).as_bytes()); // it may have left
        }
    }

    fn say(&self, text: &str) {
        let _readers = self.readers.lock().unwrap(); // nobody writes between: a message may come at the same time
        let _ = (&self.socket).write_all(text.as_bytes()); // it may have left
    }
}

/// One past the first whole element, stream header or end of stream; nothing while more has to come.
fn end(text: &str) -> Option<usize> {
    let start = text.find('<')?;
    let tag = start + text[start..].find('>')? + 1;
    let element = &text[start..tag];
    let is_whole =
        element.ends_with("/>") || ["<?", "</", "<stream:stream"].iter().any(|it| element.starts_with(it));
    if is_whole {
        return Some(tag);
    }
    let close = format!("</{}>", name(element));
    Some(tag + text[tag..].find(&close)? + close.len())
}

/// The name of an element, with the slash if it is an end.
fn name(element: &str) -> &str {
    let inner = element.trim_start().get(1..).unwrap_or_default();
    let end = inner
        .char_indices()
        .skip(1)
        .find(|(_, c)| matches!(c, ' ' | '>' | '/'))
        .map_or(inner.len(), |(at, _)| at);
    &inner[..end]
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let value = element.split_once(&format!(" {name}='")).map_or("", |(_, rest)| rest);
    value.split('\'').next().unwrap_or_default()
}
