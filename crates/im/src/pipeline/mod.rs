//! The one way in: what clients say is decided, committed, stored and delivered from here.

mod answer;
mod followed;
mod lane;
mod refused;
mod registrar;
mod roster;
mod under_way;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::clock::Clock;
use starling_ports::delivery::Delivery;
use starling_ports::ids::{LogNumber, NodeId};
use starling_ports::ingress::{
    Answered, BindError, Ingress, PulledBatch, RegisterError, Resume, SessionRef, Submitted,
};
use starling_ports::sessions::{
    Claimed, Departed, Detach, Detached, Portrait, Registered, Registration, Renewal, Renewed, SmBase, View,
};
use starling_ports::trace::Tracer;
use starling_ports::{Result, StoreError};
use starling_session_router::{Login, Router, sweep};
use starling_stanza::Kind;
use starling_xml::Element;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use self::lane::OWN_VIEW;
use self::refused::Refused;
use self::registrar::Registrar;
use self::under_way::UnderWay;
use crate::effect::Left;
use crate::hooks::{Hooks, XepInfo};
use crate::metrics::Metrics;
use crate::rules::message::Routing;
use crate::{Config, Context, Domains, Stores, xep};

/// How long the answer to a failed resumption waits for what is under way: the store is given up before (`Router`).
const SETTLED_WITHIN: Duration = Duration::from_secs(70);

/// What the pipeline works with beside its stores.
pub struct Around {
    /// To the sockets.
    pub delivery: Arc<dyn Delivery>,
    /// Where passwords become keys.
    pub login: Arc<Login>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the spans of followed stanzas are made.
    pub tracer: Tracer,
}

/// So many sessions lose their connections at once; others wait for their turn. What a session leaves behind is in memory until it is
/// dealt with, up to the whole of its log: all clients of a node may leave together.
const LEAVING: usize = 32;
/// Nobody waits longer for that turn.
const LEAVING_WITHIN: Duration = Duration::from_secs(5);

/// Everything that the server does with stanzas.
#[derive(Debug)]
pub struct Pipeline {
    cx: Context,
    hooks: Hooks,
    registrar: Registrar,
    leaving: Semaphore,
    under_way: UnderWay,
    refused: Refused,
    stop: CancellationToken,
}

impl Pipeline {
    /// On these stores; its tasks are born in `tasks` and end with `stop`.
    pub fn new(
        config: Config,
        domains: Domains,
        stores: Stores,
        around: Around,
        tasks: &TaskTracker,
    ) -> Arc<Pipeline> {
        let Around { delivery, login, clock, tracer } = around;
        let router =
            Router::new(stores.sessions.clone(), stores.archive.clone(), delivery, clock.clone(), tracer);
        let mut hooks = Hooks::default();
        Routing::attach(&mut hooks);
        roster::attach(&mut hooks);
        let (mut server_features, mut account_features) = (Vec::new(), Vec::new());
        for module in xep::all(&config) {
            let XepInfo { server, account, .. } = module.info();
            server_features.extend_from_slice(server);
            account_features.extend_from_slice(account);
            module.attach(&mut hooks);
        }
        for features in [&mut server_features, &mut account_features] {
            features.sort_unstable();
            features.dedup();
        }
        let metrics = Metrics::new();
        let cx = Context {
            config,
            domains,
            stores,
            router,
            login,
            clock,
            server_features,
            account_features,
            metrics,
        };
        let pipeline = Arc::new(Pipeline {
            cx,
            hooks,
            registrar: Registrar::default(),
            leaving: Semaphore::new(LEAVING),
            under_way: UnderWay::default(),
            refused: Refused::default(),
            stop: CancellationToken::new(),
        });
        tasks.spawn(pipeline.clone().sweep());
        pipeline
    }

    /// The process is to stop: nobody waits for a store that takes nothing.
    pub fn hurry(&self) {
        self.cx.router.hurry();
    }

    /// No more sessions expire; to be called when the sockets are closed.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// What stands among the features of a stream that is signed in: capabilities (XEP-0115), for the connection manager.
    pub fn features(&self) -> Vec<Element> {
        vec![xep::caps_feature(&self.cx)]
    }

    /// What handlers may use.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// What the session has said of itself, where it was handled just now: what it has changed is in the view from memory.
    async fn drawn(&self, session: &SessionRef) -> Option<Portrait> {
        let view = self.cx.stores.sessions.known_view(&session.jid.bare(), OWN_VIEW).await;
        view.ok().and_then(|view| portrait_in(&view, session))
    }

    async fn take(&self, session: &SessionRef, batch: Vec<Submitted>, again: bool) -> Result<Answered> {
        let says = batch.iter().any(|one| one.draft.kind() != Kind::Message);
        let handling = match followed::logged(&batch) {
            None => self.handle(session, batch, again).await?,
            Some(span) => Box::pin(self.handle(session, batch, again)).instrument(span).await?,
        };
        let portrait = if says { self.drawn(session).await } else { None };
        Ok(Answered { handling, portrait })
    }

    /// Does what is done when a session goes, of a few at once. Where stores are slow, memory is not what is short.
    async fn in_turn<T>(&self, leaving: impl Future<Output = T>) -> T {
        let _turn = timeout(LEAVING_WITHIN, self.leaving.acquire()).await;
        leaving.await
    }

    async fn tell(self: Arc<Pipeline>, Departed { ended, owed }: Departed) {
        let (mut telling, mut lefts) = (JoinSet::new(), HashMap::<BareJid, Arc<Left>>::new());
        for ended in ended {
            let (pipeline, left) = (self.clone(), lefts.entry(ended.jid.bare()).or_default().clone());
            telling.spawn(async move { pipeline.in_turn(pipeline.cx.finish(ended, &left)).await });
        }
        for farewell in owed {
            let (pipeline, left) = (self.clone(), lefts.entry(farewell.jid.bare()).or_default().clone());
            telling.spawn(async move { pipeline.in_turn(pipeline.cx.take_leave(&farewell, &left)).await });
        }
        telling.join_all().await;
    }

    async fn sweep(self: Arc<Pipeline>) {
        let (router, stop) = (self.cx.router.clone(), self.stop.clone());
        sweep(router, stop, |departed| self.clone().tell(departed)).await;
    }
}

#[async_trait]
impl Ingress for Pipeline {
    async fn bind(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        node: NodeId,
    ) -> Result<SessionRef, BindError> {
        self.cx.bind_session(account, resource, node).await
    }
    async fn resume(&self, resume: Resume, node: NodeId) -> Result<Claimed> {
        let session = resume.session;
        let mut claimed = self.cx.claim(resume.clone(), node).await?;
        if matches!(claimed, Claimed::Failed { .. }) && self.under_way.has(session) {
            // Rule 4: what its client sent last may still be on its way to the store.
            claimed = match timeout(SETTLED_WITHIN, self.under_way.settled(session)).await {
                Ok(()) => self.cx.claim(resume, node).await?,
                Err(_) => Claimed::Failed { handled: None }, // better none than a false one
            };
        }
        self.cx.metrics.resume(&claimed);
        Ok(claimed)
    }
    async fn submit(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.take(session, batch, false).await
    }
    async fn submit_again(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.take(session, batch, true).await
    }
    async fn enable_sm(&self, session: &SessionRef, resume: bool, base: SmBase) -> Result<u32> {
        self.cx.begin_sm(session, resume, base).await
    }
    async fn set_inactive(&self, session: &SessionRef, inactive: bool) -> Result<()> {
        self.cx.flag(session, &|flags| flags.inactive = inactive).await
    }
    async fn acknowledge(&self, session: &SessionRef, upto: LogNumber) -> Result<bool> {
        self.cx.stores.sessions.acknowledge(&session.jid.bare(), session.id, session.epoch, upto).await
    }
    async fn pull(&self, session: &SessionRef, after: LogNumber, limit: usize) -> Result<PulledBatch> {
        self.cx.router.pull(session, after, limit).await
    }
    async fn detach(&self, session: &SessionRef, why: Detach) -> Result<bool> {
        let account = session.jid.bare();
        self.in_turn(async {
            let detached = self.cx.stores.sessions.detach(&account, session.id, session.epoch, why).await?;
            let is_known = !matches!(detached, Detached::Nobody);
            if let Some(ended) = detached.ended() {
                self.cx.finish(ended, &Left::default()).await;
            }
            Ok(is_known)
        })
        .await
    }
    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        self.cx.stores.sessions.renew(node, sessions).await
    }
    async fn register(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
        peer: std::net::IpAddr,
    ) -> Result<(), RegisterError> {
        if !self.offers_registration() {
            return Err(RegisterError::NotAllowed);
        }
        let limit = self.cx.config.registration.per_address_and_hour;
        if !self.registrar.take(peer, limit, self.cx.clock.now()) {
            return Err(RegisterError::ResourceConstraint);
        }
        let registered = self.cx.register_account(domain, username, password).await;
        if registered.is_err() && limit > 0 {
            self.registrar.give_back(peer);
        }
        registered
    }
    fn offers_registration(&self) -> bool {
        self.cx.config.registration.enabled
    }
    async fn portrait(&self, session: &SessionRef) -> Result<Portrait> {
        let view = self.cx.stores.sessions.view(&session.jid.bare()).await?;
        portrait_in(&view, session)
            .ok_or_else(|| StoreError::Unavailable { store: "sessions", source: "no such session".into() })
    }
    async fn register_again(&self, registration: Registration) -> Result<Registered> {
        self.cx.register_again(registration).await
    }
}

fn portrait_in(view: &View, session: &SessionRef) -> Option<Portrait> {
    view.sessions.iter().find(|one| one.id == session.id).map(|one| Portrait {
        flags: one.flags,
        available: one.available.clone(),
        directed: one.directed.clone(),
    })
}
