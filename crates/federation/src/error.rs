use blaupause_data::DataError;
use blaupause_policy::ServerDenied;

use crate::WireError;

/// Why another server gave us nothing that can be used, or is not believed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FederationError {
    /// This server speaks with no other.
    #[error("this server does not federate")]
    Off,
    /// The operator does not want us to have anything to do with that server.
    #[error("{0}")]
    Denied(ServerDenied),
    /// No address, no connection, broken TLS, a broken answer.
    #[error("the other server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the other server did not answer in time")]
    TimedOut,
    #[error("the other server's answer is too large")]
    TooLarge,
    /// An answer that is not what the specification says.
    #[error("the other server's answer cannot be understood: {0}")]
    BadAnswer(String),
    /// The other server refused. Its texts are a stranger's: never shown to our users as they are.
    #[error("the other server refused: {status} {errcode}")]
    Remote { status: u16, errcode: String, message: String },
    /// After failures nobody asks again before this time (milliseconds since the Unix epoch).
    #[error("the other server did not answer lately and is not asked at the moment")]
    BackingOff { until_ms: u64 },
    /// A request that says it comes from another server, and is not believed.
    #[error("not a request of a server: {0}")]
    NotSigned(String),
    #[error(transparent)]
    Data(#[from] DataError),
}

impl FederationError {
    /// Whether the other server would say the same if it were asked once more: it answered, and
    /// neither has it too much to do nor is it broken.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Remote { status, .. } => !matches!(status, 408 | 425 | 429 | 500..),
            Self::BadAnswer(_) | Self::TooLarge => true,
            _ => false,
        }
    }
}

impl From<WireError> for FederationError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Unreachable(why) => Self::Unreachable(why),
            WireError::TimedOut => Self::TimedOut,
            WireError::TooLarge => Self::TooLarge,
        }
    }
}

impl From<ServerDenied> for FederationError {
    fn from(denied: ServerDenied) -> Self {
        match denied {
            ServerDenied::Off => Self::Off,
            other => Self::Denied(other),
        }
    }
}
