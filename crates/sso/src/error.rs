use blaupause_accounts::AccountsError;
use blaupause_data::DataError;

use crate::jose::JoseError;

/// Why somebody did not come in through another identity provider. The texts may be shown; what
/// only the operator should know is in the log.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// No provider has this id.
    #[error("unknown identity provider")]
    UnknownProvider,
    /// The browser did not begin this, or too long ago, or has finished it already.
    #[error("this sign-in is not known or too old")]
    Stale,
    /// The provider says no, with its code.
    #[error("the identity provider refused: {0}")]
    Denied(String),
    /// The provider cannot be reached or answers what it must not. The detail is for the log.
    #[error("the identity provider cannot be used at the moment")]
    Provider(String),
    /// The provider's claims do not fulfil the operator's condition.
    #[error("this account may not use this server")]
    NotAllowed,
    /// Nobody here belongs to the provider's account, and none is made.
    #[error("there is no account for you on this server")]
    NotRegistered,
    /// A claim that the mapping needs is not there.
    #[error("the identity provider does not say: {0}")]
    MissingClaim(String),
    /// The mapping leads to a name that cannot be.
    #[error("the name \"{0}\" is not possible here")]
    BadLocalpart(String),
    /// Somebody else has the name.
    #[error("the name \"{0}\" belongs to somebody else")]
    Taken(String),
    /// Somebody else signed in at the provider than who should prove that it is them.
    #[error("this is another person")]
    OtherPerson,
    /// The provider did not ask anew who it is.
    #[error("the identity provider did not ask for a new sign-in")]
    NotFresh,
    /// A logout token that is none (OpenID Connect Back-Channel Logout 1.0, section 2.6).
    #[error("invalid logout token: {0}")]
    BadLogoutToken(String),
    /// A token of `org.matrix.login.jwt` that is not good.
    #[error("invalid token: {0}")]
    WrongJwt(String),
    /// `org.matrix.login.jwt` is switched off.
    #[error("this way of signing in is not offered")]
    JwtNotOffered,
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

impl From<DataError> for SsoError {
    fn from(error: DataError) -> Self {
        Self::Accounts(error.into())
    }
}

/// Why a token's claims are not good. Pure checks answer this; who asked makes an [`SsoError`] of
/// it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it {0}")]
    Jose(#[from] JoseError),
    #[error("{0}")]
    Claim(&'static str),
    #[error("auth_time is not after the request")]
    NotFresh,
}
