use crate::resolve::NotAllowed;

/// Why an exchange gave no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboundError {
    /// The request itself: no host, another scheme than http and https.
    #[error("not a request that can be sent: {0}")]
    BadRequest(String),
    /// A user named an address in a network that is not public.
    #[error("the address is not allowed: {0}")]
    Refused(String),
    /// No connection, broken TLS, a broken answer.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer is too large")]
    TooLarge,
    /// The client cannot be built: certificates that cannot be read.
    #[error("outgoing HTTP: {0}")]
    Setup(String),
}

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> Self {
        let mut innermost: &(dyn std::error::Error + 'static) = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
            if let Some(refused) = innermost.downcast_ref::<NotAllowed>() {
                return Self::Refused(refused.0.clone());
            }
        }
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_builder() {
            Self::BadRequest(innermost.to_string())
        } else {
            // The innermost says what happened; the outer ones repeat the URL, which may hold
            // secrets in its query.
            Self::Unreachable(innermost.to_string())
        }
    }
}
