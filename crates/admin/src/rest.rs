//! The door for REST: fields come in the path, the query or the body, and the answer is JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::audit::{self, Subject};
use crate::commands::{Command, Request};
use crate::describe::{Described, Kind};
use crate::doors::{Caller, Doors};
use crate::listener::BODY_WITHIN;
use crate::refused::Refused;
use crate::route::{self, Found};

/// A body is no longer.
pub(crate) const LONGEST: usize = 64 * 1024;

/// What an answer is made of.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The interface.
pub(crate) struct Rest {
    pub(crate) doors: Doors,
    pub(crate) described: Described,
}

impl Rest {
    /// To whoever has a token: others learn nothing, not even whether there is such a path.
    pub(crate) async fn answer<B>(&self, request: HttpRequest<B>, caller: &Caller) -> Answer
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let (command, in_path) = match route::find(&parts.method, parts.uri.path()) {
            Found::Command(command, fields) => (command, fields),
            Found::Nothing => return said(StatusCode::NOT_FOUND, "not found"),
            Found::OtherMethods(methods) => return not_by_that(&methods),
        };
        let asked = Subject::of(&in_path.iter().cloned().collect::<BTreeMap<_, _>>());
        let body = match self.body(command, &parts.headers, body).await {
            Ok(body) => body,
            Err(answer) => {
                audit::unread(caller, command, &asked, &Refused::Invalid(String::new()));
                return answer;
            }
        };
        let fields = self.fields(command, in_path, parts.uri.query().unwrap_or_default(), body);
        let request = fields.and_then(|fields| Request::parse(command.name, Value::Object(fields)));
        match request {
            Ok(request) => match self.doors.answer(caller, request).await {
                Ok(answer) => json_of(StatusCode::OK, &answer),
                Err(refused) => refusal(&refused),
            },
            Err(refused) => {
                let refused = if caller.role < command.role { Refused::Forbidden } else { refused };
                audit::unread(caller, command, &asked, &refused);
                refusal(&refused)
            }
        }
    }

    /// The fields in the body: an object or nothing.
    async fn body<B>(
        &self,
        command: &Command,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Map<String, Value>, Answer>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let whole = timeout(BODY_WITHIN, Limited::new(body, LONGEST).collect()).await;
        let bytes = match whole {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(_)) => {
                return Err(said(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off"));
            }
            Err(_) => return Err(said(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        };
        if bytes.is_empty() {
            return Ok(Map::new());
        }
        // What a form of another site could send without a browser asking is never this.
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(said(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is to be application/json"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) if command.verb.has_body() => Ok(fields),
            _ => Err(said(StatusCode::BAD_REQUEST, "the body is not what this command takes")),
        }
    }

    fn fields(
        &self,
        command: &Command,
        in_path: Vec<(&'static str, String)>,
        query: &str,
        mut fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, Refused> {
        let twice = |name: &str| Refused::Invalid(format!("{name:?} is given twice"));
        let query =
            route::query(query).ok_or_else(|| Refused::Invalid("the query is not UTF-8".to_owned()))?;
        if command.verb.has_body() && !query.is_empty() {
            return Err(Refused::Invalid("this command takes its fields in the body".to_owned()));
        }
        let in_query = query.into_iter().map(|(name, value)| {
            let value = self.value(command, &name, value);
            (name, value)
        });
        let in_path = in_path.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
        for (name, value) in in_path.chain(in_query) {
            if fields.contains_key(&name) {
                return Err(twice(&name));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }

    /// A number or a flag, where the field is one.
    fn value(&self, command: &Command, name: &str, text: String) -> Value {
        let parsed = match self.described.kind(&command.request(), name) {
            Some(Kind::Integer) => text.parse::<i64>().ok().map(Value::from),
            Some(Kind::Boolean) => text.parse::<bool>().ok().map(Value::from),
            _ => None,
        };
        parsed.unwrap_or(Value::String(text))
    }
}

/// In a few words, or none.
pub(crate) fn refusal(refused: &Refused) -> Answer {
    let mut answer = said(refused.status(), &refused.to_string());
    if *refused == Refused::Unauthenticated {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn not_by_that(methods: &[&'static str]) -> Answer {
    let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

pub(crate) fn said(status: StatusCode, words: &str) -> Answer {
    json_of(status, &json!({"error": words}))
}

pub(crate) fn json_of(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
