use blaupause_accounts::{AccountsError, PasswordFlaw};
use http::StatusCode;

use crate::ApiError;

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        let text = error.to_string();
        let bad = |code| Self::new(StatusCode::BAD_REQUEST, code, text.clone());
        match error {
            AccountsError::UnknownToken { soft_logout } => Self::unknown_token(soft_logout),
            AccountsError::WrongPassword
            | AccountsError::WrongLoginToken
            | AccountsError::RegistrationClosed
            | AccountsError::WrongSharedSecret => Self::forbidden(text),
            AccountsError::WrongRegistrationToken => {
                Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", text)
            }
            AccountsError::TooManyTries { retry_after_ms } => Self::limit_exceeded(retry_after_ms),
            AccountsError::SignInNotOffered => Self::unknown(text),
            AccountsError::Deactivated => {
                Self::new(StatusCode::FORBIDDEN, "M_USER_DEACTIVATED", text)
            }
            AccountsError::Locked => {
                Self::new(StatusCode::UNAUTHORIZED, "M_USER_LOCKED", text).with("soft_logout", true)
            }
            AccountsError::InvalidUsername(_) => bad("M_INVALID_USERNAME"),
            AccountsError::UserInUse => bad("M_USER_IN_USE"),
            AccountsError::Exclusive => bad("M_EXCLUSIVE"),
            AccountsError::OutsideNamespace | AccountsError::NotRegistered => Self::forbidden(text),
            AccountsError::MasqueradeDevice => bad("M_UNKNOWN_DEVICE"),
            AccountsError::GuestsClosed => {
                Self::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", text)
            }
            AccountsError::WeakPassword(_) => bad("M_WEAK_PASSWORD"),
            AccountsError::PasswordFlaw(flaw) => bad(match flaw {
                PasswordFlaw::TooShort => "M_PASSWORD_TOO_SHORT",
                PasswordFlaw::NoDigit => "M_PASSWORD_NO_DIGIT",
                PasswordFlaw::NoLowercase => "M_PASSWORD_NO_LOWERCASE",
                PasswordFlaw::NoUppercase => "M_PASSWORD_NO_UPPERCASE",
                PasswordFlaw::NoSymbol => "M_PASSWORD_NO_SYMBOL",
            }),
            AccountsError::AddressInUse => bad("M_THREEPID_IN_USE"),
            AccountsError::AddressDenied => {
                Self::new(StatusCode::FORBIDDEN, "M_THREEPID_DENIED", text)
            }
            AccountsError::AddressUnproved => bad("M_THREEPID_AUTH_FAILED"),
            AccountsError::AddressNeeded => Self::forbidden(text),
            AccountsError::Invalid(_) => Self::invalid_param(text),
            AccountsError::NotAnObject => Self::bad_json(text),
            AccountsError::ServerManaged(_) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", text)
            }
            AccountsError::TooLarge(_) => Self::too_large(text),
            AccountsError::TooMany(_) => bad("M_LIMIT_EXCEEDED"),
            AccountsError::ProfileTooLarge => bad("M_PROFILE_TOO_LARGE"),
            AccountsError::ProfileKeyTooLarge => bad("M_KEY_TOO_LARGE"),
            AccountsError::UserUnknown | AccountsError::DeviceUnknown => Self::not_found(text),
            AccountsError::Busy => Self::new(StatusCode::CONFLICT, "M_UNKNOWN", text),
            AccountsError::Data(error) => error.into(),
        }
    }
}
