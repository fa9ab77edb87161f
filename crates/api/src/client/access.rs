//! What endpoints that read rooms have in common.

use blaupause_rooms::{Reader, RoomAccess};
use ruma::{RoomId, serde::Raw};
use serde_json::value::RawValue;

use crate::{ApiError, App, User};

/// The caller as a reader.
pub(super) fn reader(user: &User) -> Reader {
    Reader::new(user.user_id.clone(), user.device_id.clone())
}

/// The caller's access to a room, or the refusal.
pub(super) async fn access(app: &App, user: &User, room: &RoomId) -> Result<RoomAccess, ApiError> {
    Ok(app.rooms.access(&reader(user), room).await?)
}

/// JSON of our own making as ruma's type for it.
pub(super) fn raw<T>(json: Vec<Box<RawValue>>) -> Vec<Raw<T>> {
    json.into_iter().map(Raw::from_json).collect()
}
