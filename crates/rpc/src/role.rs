//! What a process does in a cluster, and how its certificate says so.

use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// A part that a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds client sockets.
    ConnectionManager,
    /// Decides what stanzas mean.
    SessionRouter,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 2] = [Self::ConnectionManager, Self::SessionRouter];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionManager => "connection-manager",
            Self::SessionRouter => "session-router",
        }
    }

    /// What stands among the subject alternative names of a certificate that may play it.
    pub fn uri(self) -> String {
        format!("spiffe://starling/{}", self.as_str())
    }

    /// The roles that a certificate in DER form names.
    pub(crate) fn of_certificate(der: &[u8]) -> Vec<Role> {
        let Ok((_, certificate)) = parse_x509_certificate(der) else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let is_named = |role: &Role| {
            let uri = role.uri();
            names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(one) if *one == uri))
        };
        Role::ALL.into_iter().filter(is_named).collect()
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let known = Role::ALL.map(Role::as_str);
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("no such role; there are {}", known.join(" and ")))
    }
}
