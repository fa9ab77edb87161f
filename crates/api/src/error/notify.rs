use blaupause_notify::NotifyError;

use crate::ApiError;

impl From<NotifyError> for ApiError {
    fn from(error: NotifyError) -> Self {
        let text = error.to_string();
        match error {
            NotifyError::RuleUnknown => Self::not_found(text),
            NotifyError::RuleRefused(_) | NotifyError::InvalidPusher(_) => {
                Self::invalid_param(text)
            }
            NotifyError::RuleKept(ruma::push::RemovePushRuleError::NotFound) => {
                Self::not_found(text)
            }
            NotifyError::RuleKept(_) => Self::invalid_param(text),
            NotifyError::TooLarge(_) => Self::too_large(text),
            NotifyError::Accounts(error) => error.into(),
            NotifyError::Rooms(error) => error.into(),
            NotifyError::Data(error) => error.into(),
        }
    }
}
