//! Who is in a room.

mod ban_user;
mod forget_room;
mod get_member_events;
mod get_mutual_rooms;
mod invite_user;
mod join_room_by_id;
mod join_room_by_id_or_alias;
mod joined_members;
mod joined_rooms;
mod kick_user;
mod leave_room;
mod unban_user;

use axum::Router;
use blaupause_rooms::{ChangeMembership, MembershipAction};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName};

use crate::{ApiError, App, Serve, User, client::alias::resolve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve_or(joined_members::joined_members)
        .serve(get_member_events::get_member_events)
        .serve(get_mutual_rooms::get_mutual_rooms)
        .serve(get_mutual_rooms::get_mutual_rooms_unstable)
        .serve(ban_user::ban_user)
        .serve(forget_room::forget_room)
        .serve(invite_user::invite_user)
        .serve(join_room_by_id::join_room_by_id)
        .serve(join_room_by_id_or_alias::join_room_by_id_or_alias)
        .serve(joined_rooms::joined_rooms)
        .serve(kick_user::kick_user)
        .serve(leave_room::leave_room)
        .serve(unban_user::unban_user)
}

async fn join(
    app: &App,
    user: &User,
    room: ReachedRoom,
    reason: Option<String>,
    body: &[u8],
) -> Result<(), ApiError> {
    let action = MembershipAction::Join;
    let mut change =
        ChangeMembership::own(room.room_id, user.user_id.clone(), action).because(reason);
    change.as_guest = user.is_guest;
    change.via = room.servers;
    // As other servers do, what else the body says becomes content of the member event.
    change.more_content = serde_json::from_slice(body).unwrap_or_default();
    change.more_content.remove("third_party_signed");
    app.rooms.change_membership(&change).await?;
    Ok(())
}

/// A room, and servers through which it can be reached.
pub(in crate::client) struct ReachedRoom {
    pub room_id: OwnedRoomId,
    pub servers: Vec<OwnedServerName>,
}

/// The room that a name or an id stands for. `via`: servers that the caller names.
pub(in crate::client) async fn room_of(
    app: &App,
    name: OwnedRoomOrAliasId,
    via: Vec<OwnedServerName>,
) -> Result<ReachedRoom, ApiError> {
    match OwnedRoomId::try_from(name) {
        Ok(room_id) => Ok(ReachedRoom { room_id, servers: via }),
        Err(alias) => {
            let alias: OwnedRoomAliasId = alias;
            let found = resolve(app, &alias).await?;
            let servers = via.into_iter().chain(found.servers).collect();
            Ok(ReachedRoom { room_id: found.room_id, servers })
        }
    }
}
