//! The chat page: files that were built into the program, with the headers that keep a browser careful.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::Answer;
use super::route::{plain, refuse};

/// Nothing from elsewhere, nothing inline, nobody frames it. `'self'` covers the WebSocket of the same host (CSP 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Path, content type, bytes; the path `/` is the page itself.
    pub files: &'static [(&'static str, &'static str, &'static [u8])],
}

/// The file at `path`; `None` if there is none.
pub(super) fn answer(page: Page, method: &Method, path: &str) -> Option<Answer> {
    let (_, content_type, bytes) = page.files.iter().find(|(name, ..)| *name == path)?;
    let mut answer = match *method {
        Method::GET => Response::new(Full::new(Bytes::from_static(bytes))),
        Method::HEAD => Response::new(Full::default()),
        _ => return Some(refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET")),
    };
    for (name, text) in [
        (CONTENT_TYPE, *content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        answer.headers_mut().insert(name, plain(text));
    }
    Some(answer)
}
