use blaupause_graph::Refusal;
use blaupause_rooms::{
    RoomsError,
    rows::{DelayFailure, Outcome},
};
use http::StatusCode;
use serde_json::Value;

use crate::ApiError;

impl From<RoomsError> for ApiError {
    fn from(error: RoomsError) -> Self {
        let text = error.to_string();
        let bad = |code| Self::new(StatusCode::BAD_REQUEST, code, text.clone());
        match error {
            // Who is not in a room is not told whether it exists.
            RoomsError::RoomUnknown | RoomsError::EventUnknown | RoomsError::NotFound(_) => {
                Self::not_found(text)
            }
            RoomsError::NotJoined | RoomsError::Forbidden(_) | RoomsError::MixedRoom(_) => {
                Self::forbidden(text)
            }
            RoomsError::OnlyOwn => Self::suspended(),
            RoomsError::Refused(refusal) => refusal.into(),
            RoomsError::Invalid(_) => Self::invalid_param(text),
            RoomsError::Missing(_) => Self::missing_param(text),
            RoomsError::BadContent(_) => Self::bad_json(text),
            RoomsError::InvalidRoomState(_) => bad("M_INVALID_ROOM_STATE"),
            RoomsError::UnsupportedVersion(_) => bad("M_UNSUPPORTED_ROOM_VERSION"),
            RoomsError::IncompatibleVersion(version) => {
                bad("M_INCOMPATIBLE_ROOM_VERSION").with("room_version", version.to_string())
            }
            RoomsError::CannotAuthoriseJoin => bad("M_UNABLE_TO_AUTHORISE_JOIN"),
            RoomsError::CannotGrantJoin => bad("M_UNABLE_TO_GRANT_JOIN"),
            RoomsError::AliasTaken => bad("M_ROOM_IN_USE"),
            RoomsError::BadAlias(_) => bad("M_BAD_ALIAS"),
            RoomsError::StillInRoom => Self::unknown(text),
            RoomsError::ThirdPartyInvite => {
                Self::new(StatusCode::FORBIDDEN, "M_THREEPID_DENIED", text)
            }
            RoomsError::InviteBlocked(_) => {
                Self::new(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED", text)
            }
            RoomsError::TooMany { .. } => Self::invalid_param(text),
            RoomsError::NoticeRoom => {
                Self::new(StatusCode::FORBIDDEN, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", text)
            }
            RoomsError::NoticesOff => Self::unknown(text),
            RoomsError::DelaysOff | RoomsError::DelayTooLong { .. } => Self::forbidden(text),
            RoomsError::TooManyDelayed { retry_ms } => Self::limit_exceeded(retry_ms),
            // The status is that of the proposal (MSC4140). The code is not: the calls of today's
            // clients go on after M_NOT_FOUND, with a new delayed event, and end after any other.
            RoomsError::DelayEnded => Self::new(StatusCode::CONFLICT, "M_NOT_FOUND", text),
            RoomsError::NotRecommended { errcode, message, .. } => {
                Self::refused_by_policy_server(&errcode, message)
            }
            RoomsError::Unasked(_) => Self::internal(&text),
            RoomsError::StatePartial => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", text)
            }
            RoomsError::Data(error) => error.into(),
            RoomsError::Federation(error) => error.into(),
            RoomsError::Accounts(error) => error.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::TooLarge { .. } => Self::too_large(text),
            Refusal::Malformed(_) => Self::bad_json(text),
            // Another server's event that nobody, or not the right one, has signed.
            Refusal::NotAllowed(_) | Refusal::KeysMissing(_) | Refusal::BadSignature(_) => {
                Self::forbidden(text)
            }
            Refusal::Misplaced(_) => Self::invalid_param(text),
            Refusal::Unresolvable(_) | Refusal::Corrupt(_) => Self::internal(&text),
        }
    }
}

/// Why a delayed event was not sent, as its sender is told later; `None` if it was.
pub(crate) fn delayed_failure(outcome: &Outcome) -> Option<Value> {
    let (reason, text) = match outcome {
        Outcome::Sent(_) | Outcome::Cancelled => return None,
        Outcome::Failed { reason, text } => (reason, text),
    };
    let error = match reason {
        DelayFailure::NotAllowed => ApiError::forbidden(text),
        DelayFailure::NotFound => ApiError::not_found(text),
        DelayFailure::BadContent => ApiError::bad_json(text),
        DelayFailure::TooLarge => ApiError::too_large(text),
        DelayFailure::Other => ApiError::unknown(text),
    };
    Some(error.body())
}
