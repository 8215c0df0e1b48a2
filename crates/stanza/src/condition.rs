//! The defined conditions of stanza errors (RFC 6120 §8.3.3).

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What went wrong, in the words of RFC 6120 §8.3.3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Condition { $($(#[$doc])* $variant,)* }

        impl Condition {
            /// The element's local name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for Condition {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

conditions! {
    /// §8.3.3.1
    BadRequest = "bad-request",
    /// §8.3.3.2
    Conflict = "conflict",
    /// §8.3.3.3
    FeatureNotImplemented = "feature-not-implemented",
    /// §8.3.3.4
    Forbidden = "forbidden",
    /// §8.3.3.5
    Gone = "gone",
    /// §8.3.3.6
    InternalServerError = "internal-server-error",
    /// §8.3.3.7
    ItemNotFound = "item-not-found",
    /// §8.3.3.8
    JidMalformed = "jid-malformed",
    /// §8.3.3.9
    NotAcceptable = "not-acceptable",
    /// §8.3.3.10
    NotAllowed = "not-allowed",
    /// §8.3.3.11
    NotAuthorized = "not-authorized",
    /// §8.3.3.12
    PolicyViolation = "policy-violation",
    /// §8.3.3.13
    RecipientUnavailable = "recipient-unavailable",
    /// §8.3.3.14
    Redirect = "redirect",
    /// §8.3.3.15
    RegistrationRequired = "registration-required",
    /// §8.3.3.16
    RemoteServerNotFound = "remote-server-not-found",
    /// §8.3.3.17
    RemoteServerTimeout = "remote-server-timeout",
    /// §8.3.3.18
    ResourceConstraint = "resource-constraint",
    /// §8.3.3.19
    ServiceUnavailable = "service-unavailable",
    /// §8.3.3.20
    SubscriptionRequired = "subscription-required",
    /// §8.3.3.21
    UndefinedCondition = "undefined-condition",
    /// §8.3.3.22
    UnexpectedRequest = "unexpected-request",
}
