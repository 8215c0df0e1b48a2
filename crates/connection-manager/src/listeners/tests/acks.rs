//! What a client has acknowledged with its last words, where the store does not hear it at first.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use starling_ports::StoreError;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::{
    Answered, BindError, PulledBatch, RegisterError, Resume, SessionRef, Submitted,
};
use starling_ports::sessions::{
    Claimed, Detach, Portrait, Registered, Registration, Renewal, Renewed, Sessions, SmBase,
};

use super::*;

/// A way to a pipeline on which so many acknowledgements are lost.
struct Lossy(Arc<Pipeline>, AtomicUsize);

#[async_trait]
impl Ingress for Lossy {
    async fn bind(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        node: NodeId,
    ) -> Result<SessionRef, BindError> {
        self.0.bind(account, resource, node).await
    }
    async fn resume(&self, resume: Resume, node: NodeId) -> Result<Claimed> {
        self.0.resume(resume, node).await
    }
    async fn submit(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.0.submit(session, batch).await
    }
    async fn submit_again(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.0.submit_again(session, batch).await
    }
    async fn enable_sm(&self, session: &SessionRef, resume: bool, base: SmBase) -> Result<u32> {
        self.0.enable_sm(session, resume, base).await
    }
    async fn set_inactive(&self, session: &SessionRef, inactive: bool) -> Result<()> {
        self.0.set_inactive(session, inactive).await
    }
    async fn acknowledge(&self, session: &SessionRef, upto: LogNumber) -> Result<bool> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(StoreError::Unavailable { store: "session router", source: "it is lost".into() });
        }
        self.0.acknowledge(session, upto).await
    }
    async fn pull(&self, session: &SessionRef, after: LogNumber, limit: usize) -> Result<PulledBatch> {
        Ingress::pull(&*self.0, session, after, limit).await
    }
    async fn detach(&self, session: &SessionRef, why: Detach) -> Result<bool> {
        self.0.detach(session, why).await
    }
    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        self.0.renew(node, sessions).await
    }
    async fn register_again(&self, registration: Registration) -> Result<Registered> {
        self.0.register_again(registration).await
    }
    async fn register(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<(), RegisterError> {
        self.0.register(domain, username, password, peer).await
    }
    fn offers_registration(&self) -> bool {
        self.0.offers_registration()
    }
    async fn portrait(&self, session: &SessionRef) -> Result<Portrait> {
        self.0.portrait(session).await
    }
}

#[tokio::test]
async fn what_a_client_acknowledges_before_it_leaves_does_not_come_again() {
    let lossy = |pipeline| Arc::new(Lossy(pipeline, AtomicUsize::new(2))) as Arc<dyn Ingress>;
    let world = World::of(|rosters| rosters, lossy).await;
    let mut socket = world.connect(Kind::Plain).await;
    says(&mut socket, HEADER, "</stream:features>").await;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>";
    says(&mut socket, auth, "<success").await;
    says(&mut socket, HEADER, "</stream:features>").await;
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>";
    says(&mut socket, bind, "alice@localhost/desk").await;
    says(&mut socket, "<enable xmlns='urn:xmpp:sm:3'/>", "<enabled").await;
    let message = "<message to='alice@localhost/desk' type='chat'><body>hello</body></message>";
    says(&mut socket, message, "</message>").await;
    let alice = BareJid::new("alice@localhost").unwrap();
    socket.write_all(b"<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>").await.unwrap();
    let ended = async {
        while !world.store.view(&alice).await.unwrap().sessions.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("its session ends");
    assert_eq!(world.store.view(&alice).await.unwrap().waiting, 0, "or it came again at the next login");
}
