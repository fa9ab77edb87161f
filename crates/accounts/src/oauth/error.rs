use ruma::{OwnedDeviceId, OwnedUserId};

use crate::AccountsError;

/// Why something was not done for an OAuth client. An enum of its own, because clients are told by
/// other codes than those of Matrix (RFC 6749, 7591 and 8628). The texts may be shown.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// Something is missing or cannot be.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// No such client.
    #[error("the client is not registered")]
    InvalidClient,
    /// Code or token are unknown, used, too old, or another client's.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The client did not register this way of getting a token.
    #[error("the client did not register this grant type")]
    UnauthorizedClient,
    /// What is asked for cannot be given.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// The person said no.
    #[error("access was denied")]
    AccessDenied,
    /// The person has not decided yet.
    #[error("the user has not decided yet")]
    AuthorizationPending,
    /// The client asks too often.
    #[error("polled too often")]
    SlowDown,
    /// The person did not decide in time.
    #[error("the device code has expired")]
    ExpiredToken,
    /// A redirect URI that a client of its kind may not have.
    #[error("{0}")]
    InvalidRedirectUri(&'static str),
    /// Other client metadata that cannot be.
    #[error("{0}")]
    InvalidClientMetadata(&'static str),
    /// A code or refresh token was shown that had been used before: somebody has a copy. Whoever
    /// gets this removes the device, and answers as for [`Self::InvalidGrant`].
    #[error("the session is compromised and has been ended")]
    Compromised { user_id: OwnedUserId, device_id: OwnedDeviceId },
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

impl From<blaupause_data::DataError> for OAuthError {
    fn from(error: blaupause_data::DataError) -> Self {
        Self::Accounts(error.into())
    }
}
