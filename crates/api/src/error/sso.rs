use blaupause_sso::SsoError;
use http::StatusCode;

use crate::ApiError;

impl From<SsoError> for ApiError {
    fn from(error: SsoError) -> Self {
        let text = error.to_string();
        match error {
            SsoError::UnknownProvider => Self::not_found(text),
            SsoError::Stale => Self::invalid_param(text),
            // The log has said why.
            SsoError::Provider(_) => Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", text),
            SsoError::Denied(_)
            | SsoError::NotAllowed
            | SsoError::NotRegistered
            | SsoError::MissingClaim(_)
            | SsoError::BadLocalpart(_)
            | SsoError::Taken(_)
            | SsoError::OtherPerson
            | SsoError::NotFresh
            | SsoError::WrongJwt(_) => Self::forbidden(text),
            SsoError::BadLogoutToken(_) => Self::invalid_param(text),
            SsoError::JwtNotOffered => Self::unknown(text),
            SsoError::Accounts(error) => error.into(),
        }
    }
}
