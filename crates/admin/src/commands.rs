//! All commands: the name, the role that is needed, the way to it by REST, the request, the answer. Every door is made from this list.

use async_trait::async_trait;
use serde_json::Value;
use tonic::{Response, Status};

use crate::doors::{Caller, Doors, Grpc};
use crate::pb;
use crate::refused::Refused;
use crate::route::Method::{self, Delete, Get, Post, Put};
use crate::token::Role::{self, Admin, Operate, Read};

/// How many accounts or sessions one answer lists at most.
pub const MOST_LISTED: u32 = 10_000;

/// What is known of a command before it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// As `starling ctl` and the audit log call it: `user-add`.
    pub name: &'static str,
    /// As the service of the proto file calls it: `UserAdd`.
    pub method: &'static str,
    /// What a token must at least be for.
    pub role: Role,
    /// By REST.
    pub verb: Method,
    /// The path; what stands in braces is a field of the request.
    pub path: &'static str,
}

impl Command {
    /// The name of its request in the proto file.
    pub(crate) fn request(&self) -> String {
        format!("{}Request", self.method)
    }
}

/// A request, and what is asked with it.
pub(crate) trait Asks: serde::Serialize + Send + Sync + 'static {
    type Answer: serde::Serialize + Send;
    const COMMAND: Command;
    /// Does it, whoever asks.
    fn done_by(
        self,
        administration: &dyn Administration,
    ) -> impl Future<Output = Result<Self::Answer, Refused>> + Send;
}

macro_rules! commands {
    ($($name:literal $call:ident $method:ident($request:ident) -> $answer:ident, $role:ident, $verb:ident $path:literal;)+) => {
        /// Whoever does it.
        #[async_trait]
        pub trait Administration: Send + Sync + 'static {
            $(
                #[doc = concat!("`", $name, "`")]
                async fn $call(&self, request: pb::$request) -> Result<pb::$answer, Refused>;
            )+
        }

        /// Any of the requests.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("`", $name, "`")] $method(pb::$request),)+
        }

        /// All commands.
        pub const COMMANDS: &[Command] = &[$(<pb::$request as Asks>::COMMAND,)+];

        $(impl Asks for pb::$request {
            type Answer = pb::$answer;
            const COMMAND: Command =
                Command { name: $name, method: stringify!($method), role: $role, verb: $verb, path: $path };
            async fn done_by(self, administration: &dyn Administration) -> Result<pb::$answer, Refused> {
                administration.$call(self).await
            }
        })+

        impl Request {
            /// The request of a command from its fields.
            pub fn parse(name: &str, fields: Value) -> Result<Request, Refused> {
                let wrong = |error: serde_json::Error| Refused::Invalid(format!("not a request: {error}"));
                match name {
                    $($name => serde_json::from_value(fields).map(Request::$method).map_err(wrong),)+
                    _ => Err(Refused::NotFound(format!("there is no command {name:?}"))),
                }
            }

            /// Its answer, for whoever may ask.
            pub(crate) async fn answer(self, doors: &Doors, caller: &Caller) -> Result<Value, Refused> {
                match self {
                    $(Request::$method(request) => to_json(doors.perform(caller, request).await?),)+
                }
            }
        }

        #[tonic::async_trait]
        impl pb::admin_server::Admin for Grpc {
            $(async fn $call(
                &self,
                request: tonic::Request<pb::$request>,
            ) -> Result<Response<pb::$answer>, Status> {
                self.perform(request).await
            })+
        }
    };
}

fn to_json(answer: impl serde::Serialize) -> Result<Value, Refused> {
    serde_json::to_value(answer).map_err(|error| Refused::Failed(error.to_string()))
}

commands! {
    "status" status Status(StatusRequest) -> StatusAnswer, Read, Get "/v1/status";
    "counts" counts Counts(CountsRequest) -> CountsAnswer, Read, Get "/v1/counts";
    "node-list" node_list NodeList(NodeListRequest) -> NodeListAnswer, Read, Get "/v1/nodes";
    "node-counts" node_counts NodeCounts(NodeCountsRequest) -> NodeCountsAnswer, Read, Get "/v1/nodes/counts";
    "session-list" session_list SessionList(SessionListRequest) -> SessionListAnswer, Read, Get "/v1/sessions";
    "session-kick" session_kick SessionKick(SessionKickRequest) -> SessionKickAnswer, Operate, Delete "/v1/sessions";
    "user-list" user_list UserList(UserListRequest) -> UserListAnswer, Read, Get "/v1/users";
    "user-add" user_add UserAdd(UserAddRequest) -> UserAddAnswer, Admin, Post "/v1/users";
    "user-passwd" user_passwd UserPasswd(UserPasswdRequest) -> UserPasswdAnswer, Admin, Put "/v1/users/{jid}/password";
    "user-suspend" user_suspend UserSuspend(UserSuspendRequest) -> UserSuspendAnswer, Admin, Put "/v1/users/{jid}/suspended";
    "user-remove" user_remove UserRemove(UserRemoveRequest) -> UserRemoveAnswer, Admin, Delete "/v1/users/{jid}";
    "message" message Message(MessageRequest) -> MessageAnswer, Operate, Get "/v1/users/{jid}/messages/{id}";
    "drain-status" drain_status DrainStatus(DrainStatusRequest) -> DrainAnswer, Read, Get "/v1/drain";
    "drain-start" drain_start DrainStart(DrainStartRequest) -> DrainAnswer, Operate, Post "/v1/drain";
    "drain-abort" drain_abort DrainAbort(DrainAbortRequest) -> DrainAnswer, Operate, Delete "/v1/drain";
    "trace-status" trace_status TraceStatus(TraceStatusRequest) -> TraceAnswer, Operate, Get "/v1/trace";
    "trace-change" trace_change TraceChange(TraceChangeRequest) -> TraceAnswer, Operate, Post "/v1/trace";
    "config-reload" config_reload ConfigReload(ConfigReloadRequest) -> ConfigReloadAnswer, Admin, Post "/v1/config/reload";
}
