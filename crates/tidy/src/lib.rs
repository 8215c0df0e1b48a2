//! Checks the rules of this repository: each rule is a pure function from files to what is wrong with them.
#![forbid(unsafe_code)]

mod floors;
mod links;
mod logs;
mod metrics;
mod pages;
mod proto;
mod source;
mod text;
mod threats;
mod tree;
mod xep;

pub use floors::{floors, no_tokio_below_floor_three};
pub use links::dead_links;
pub use logs::log_style;
pub use metrics::metric_names;
pub use pages::{Page, pages, stale};
pub use proto::protos;
pub use text::{first_line_is_purpose, no_bare_allow, no_ignored_tests, no_todo, short_files};
pub use threats::{faults, faults_page, threats, threats_page};
pub use tree::{File, read, root};
pub use xep::{xep_lists, xep_versions};

/// What is wrong, one line each: `path:line: what`. Empty if the rule holds.
pub type Findings = Vec<String>;
