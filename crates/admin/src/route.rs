//! Which command a method and a path mean.

use http::Method as HttpMethod;
use percent_encoding::percent_decode_str;

use crate::commands::{COMMANDS, Command};

/// The methods that commands have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Looks.
    Get,
    /// Makes or begins something.
    Post,
    /// Sets something.
    Put,
    /// Ends something.
    Delete,
}

impl Method {
    /// As HTTP has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether fields come in the body, not in the query.
    pub(crate) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The command, and the fields that stand in the path.
    Command(&'static Command, Vec<(&'static str, String)>),
    /// Others are there by other methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Each part of a path is compared as it came: what is written `%2e%2e`, `..;` or `//` is nothing that is served.
pub(crate) fn find(method: &HttpMethod, path: &str) -> Found {
    let mut others = Vec::new();
    for command in COMMANDS {
        let Some(fields) = fields(command.path, path) else { continue };
        if command.verb.as_str() == method.as_str() {
            return Found::Command(command, fields);
        }
        others.push(command.verb.as_str());
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

fn fields(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut given = path.split('/');
    for part in template.split('/') {
        let given = given.next()?;
        match field(part) {
            Some(name) => found.push((name, decoded(given)?)),
            None if part == given => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(found)
}

/// The name in braces.
pub(crate) fn field(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// Addresses of accounts and ids have no slashes, no dots alone, and no control characters.
fn decoded(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    let is_trick = text.is_empty()
        || matches!(&*text, "." | "..")
        || text.contains(['/', '\\', ';'])
        || text.chars().any(char::is_control);
    (!is_trick).then(|| text.into_owned())
}

/// The fields of a query (WHATWG URL, application/x-www-form-urlencoded).
pub(crate) fn query(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(method: HttpMethod, path: &str) -> Option<&'static str> {
        match find(&method, path) {
            Found::Command(command, _) => Some(command.name),
            _ => None,
        }
    }

    #[test]
    fn every_command_has_a_way_of_its_own() {
        for command in COMMANDS {
            let path = command.path.replace("{jid}", "a@b").replace("{id}", "0");
            let method: HttpMethod = command.verb.as_str().parse().unwrap();
            assert_eq!(name(method, &path), Some(command.name), "{path}");
        }
    }

    #[test]
    fn fields_of_a_path_are_decoded_once() {
        let Found::Command(_, fields) = find(&HttpMethod::GET, "/v1/users/%C3%A9%2541@b/messages/0f") else {
            panic!("not found");
        };
        assert_eq!(fields, [("jid", "é%41@b".to_owned()), ("id", "0f".to_owned())]);
    }

    #[test]
    fn tricks_with_paths_lead_nowhere() {
        for path in [
            "/v1//users",
            "/v1/users/",
            "/v1/./users",
            "/v1/x/../users",
            "/v1/%75sers",
            "/v1%2fusers",
            "/v1/users;a",
            "/V1/users",
            "v1/users",
            "/v1/users\0",
            "/v1/..;/v1/users",
            "/v1/%u0075sers",
            "/v1/users#",
        ] {
            assert_eq!(find(&HttpMethod::GET, path), Found::Nothing, "{path}");
        }
        for jid in ["", ".", "..", "%2e%2e", "a%2fb", "a%5cb", "a%00b", "a%0ab", "a;b", "..;", "%ff", "a%3bb"]
        {
            let path = format!("/v1/users/{jid}");
            assert_eq!(find(&HttpMethod::DELETE, &path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        assert_eq!(find(&HttpMethod::PATCH, "/v1/users"), Found::OtherMethods(vec!["GET", "POST"]));
    }

    #[test]
    fn queries_are_decoded() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            query("jid=a%40b%2Fc+d&limit=3&x"),
            Some(vec![pair("jid", "a@b/c d"), pair("limit", "3"), pair("x", "")])
        );
        assert_eq!(query("a=%ff"), None);
    }
}
