//! What people are told when something was not done.

use axum::response::Response;
use blaupause_accounts::{AccountsError, OAuthError, PasswordFlaw};
use http::StatusCode;

use super::{Visit, language::Language, message};
use crate::ApiError;

/// Why a page was not what was asked for.
#[derive(Debug)]
pub(crate) enum Problem {
    Accounts(AccountsError),
    Api(ApiError),
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        Self::Accounts(error)
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<OAuthError> for Problem {
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::Accounts(error) => Self::Accounts(error),
            other => Self::Api(ApiError::invalid_param(other.to_string())),
        }
    }
}

impl Problem {
    /// What to tell the person beside the form, if they can do something about it there.
    pub(super) fn at_form(self, lang: Language) -> Result<(StatusCode, String), Self> {
        let text = match &self {
            Self::Accounts(error) => at_form(error, lang),
            Self::Api(error) if error.status() == StatusCode::TOO_MANY_REQUESTS => {
                Some(too_many(lang).to_owned())
            }
            Self::Api(_) => None,
        };
        match text {
            Some(text) => Ok((self.into_api().status(), text)),
            None => Err(self),
        }
    }

    fn into_api(self) -> ApiError {
        match self {
            Self::Accounts(error) => error.into(),
            Self::Api(error) => error,
        }
    }

    /// A page of its own.
    pub(super) fn page(self, visit: &Visit) -> Response {
        let error = self.into_api();
        let status = error.status();
        let title = visit.t("Das hat nicht geklappt", "That did not work");
        let text = match status {
            StatusCode::TOO_MANY_REQUESTS => too_many(visit.lang),
            _ => visit.t(
                "Ihre Anfrage konnte nicht bearbeitet werden. Bitte versuchen Sie es später noch \
                 einmal.",
                "Your request could not be handled. Please try again later.",
            ),
        };
        let detail = error.body()["error"].as_str().map(ToOwned::to_owned);
        message(visit, status, title, text, detail.as_deref())
    }
}

fn too_many(lang: Language) -> &'static str {
    lang.t(
        "Zu viele Versuche. Bitte warten Sie eine Minute.",
        "Too many attempts. Please wait a minute.",
    )
}

/// What somebody who fills in a form can change; `None` for everything else.
fn at_form(error: &AccountsError, lang: Language) -> Option<String> {
    let text = match error {
        AccountsError::WrongPassword => {
            lang.t("Name oder Passwort ist falsch.", "User name or password is wrong.")
        }
        AccountsError::TooManyTries { .. } => too_many(lang),
        AccountsError::Locked => lang.t(
            "Dieses Konto ist gesperrt. Bitte wenden Sie sich an Ihre Administration.",
            "This account is locked. Please contact your administrators.",
        ),
        AccountsError::SignInNotOffered => lang.t(
            "Die Anmeldung mit Passwort ist auf diesem Server abgeschaltet.",
            "Signing in with a password is switched off on this server.",
        ),
        AccountsError::InvalidUsername(_) => lang.t(
            "Dieser Name ist nicht möglich. Erlaubt sind kleine Buchstaben, Ziffern und . _ = - / +",
            "This name is not possible. Lower-case letters, digits and . _ = - / + are allowed.",
        ),
        AccountsError::UserInUse | AccountsError::Exclusive => {
            lang.t("Dieser Name ist vergeben.", "This name is taken.")
        }
        AccountsError::RegistrationClosed => {
            lang.t("Die Registrierung ist geschlossen.", "Registration is closed.")
        }
        AccountsError::WrongRegistrationToken => {
            lang.t("Der Einladungscode ist ungültig.", "The registration token is invalid.")
        }
        AccountsError::WeakPassword(_) => lang.t(
            "Das neue Passwort ist zu kurz oder zu lang.",
            "The new password is too short or too long.",
        ),
        AccountsError::PasswordFlaw(flaw) => match flaw {
            PasswordFlaw::TooShort => lang.t(
                "Das neue Passwort ist zu kurz.",
                "The new password is too short.",
            ),
            PasswordFlaw::NoDigit => lang.t(
                "Das neue Passwort braucht eine Ziffer.",
                "The new password needs a digit.",
            ),
            PasswordFlaw::NoLowercase => lang.t(
                "Das neue Passwort braucht einen kleinen Buchstaben.",
                "The new password needs a lower-case letter.",
            ),
            PasswordFlaw::NoUppercase => lang.t(
                "Das neue Passwort braucht einen großen Buchstaben.",
                "The new password needs an upper-case letter.",
            ),
            PasswordFlaw::NoSymbol => lang.t(
                "Das neue Passwort braucht ein Zeichen, das weder Buchstabe noch Ziffer ist.",
                "The new password needs a character that is neither letter nor digit.",
            ),
        },
        AccountsError::AddressNeeded => lang.t(
            "Hier braucht ein Konto eine bestätigte E-Mail-Adresse. Bitte legen Sie es in einer \
             Matrix-Anwendung an.",
            "An account needs a confirmed mail address here. Please create it in a Matrix \
             application.",
        ),
        AccountsError::AddressInUse => lang.t(
            "Diese E-Mail-Adresse gehört schon zu einem Konto.",
            "This mail address belongs to an account already.",
        ),
        AccountsError::AddressDenied => lang.t(
            "E-Mail-Adressen dieser Art werden hier nicht angenommen.",
            "Mail addresses like this are not taken here.",
        ),
        AccountsError::TooMany("addresses") => lang.t(
            "Ihr Konto hat schon so viele E-Mail-Adressen, wie es haben kann.",
            "Your account has as many mail addresses as it can have.",
        ),
        AccountsError::TooLarge(_) | AccountsError::ProfileTooLarge => {
            lang.t("Der Text ist zu lang.", "The text is too long.")
        }
        _ => return None,
    };
    Some(text.to_owned())
}
