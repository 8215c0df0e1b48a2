//! The console: a page that is built into the program and asks for nothing from elsewhere.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use crate::rest::{Answer, said};

struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    File { path: "/", kind: HTML, bytes: include_bytes!("../assets/index.html") },
    File { path: "/console.css", kind: CSS, bytes: include_bytes!("../assets/console.css") },
    File { path: "/console.js", kind: SCRIPT, bytes: include_bytes!("../assets/console.js") },
    File { path: "/figures.js", kind: SCRIPT, bytes: include_bytes!("../assets/figures.js") },
];

/// Paths are compared as they came; nothing is looked up on a disk.
pub(crate) fn file(method: &Method, path: &str) -> Answer {
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return said(StatusCode::NOT_FOUND, "not found");
    };
    if method != Method::GET && method != Method::HEAD {
        let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let mut answer = Response::new(Full::new(Bytes::from_static(file.bytes)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
    answer
}
