use blaupause_accounts::AccountsError;
use blaupause_data::DataError;
use blaupause_rooms::RoomsError;
use ruma::push::{InsertPushRuleError, RemovePushRuleError};

/// Why a request about push rules or pushers was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// No such rule.
    #[error("no such push rule")]
    RuleUnknown,
    /// The rule cannot be put there.
    #[error(transparent)]
    RuleRefused(#[from] InsertPushRuleError),
    /// A rule that the server made cannot be removed.
    #[error(transparent)]
    RuleKept(#[from] RemovePushRuleError),
    /// More than a limit allows.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// A pusher that cannot work.
    #[error("invalid pusher: {0}")]
    InvalidPusher(&'static str),
    /// The event that is to subscribe somebody to a thread is not in the thread.
    #[error("the event is not in this thread")]
    NotInThread,
    /// The user unsubscribed after the event that is to subscribe them.
    #[error("the user unsubscribed from the thread after this event")]
    UnsubscribedSince,
    /// Others changed the same thing again and again.
    #[error("too much happens at once, try again")]
    Busy,
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    #[error(transparent)]
    Data(#[from] DataError),
}
