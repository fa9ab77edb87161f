//! Memberships across servers: joins, knocks, leaves and invitations.

mod create_invite;
mod create_join_event;
mod create_knock_event;
mod create_leave_event;
mod first_version;
mod prepare_join_event;
mod prepare_knock_event;
mod prepare_leave_event;

use axum::Router;
use blaupause_rooms::{HandedOver, TemplateQuery};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, ServerName};
use serde_json::value::RawValue;

use crate::{App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    first_version::routes(router)
        .serve(create_invite::create_invite)
        .serve(create_invite::create_invite_v1)
        .serve(create_join_event::create_join_event)
        .serve(create_knock_event::create_knock_event)
        .serve(create_leave_event::create_leave_event)
        .serve(prepare_join_event::prepare_join_event)
        .serve(prepare_knock_event::prepare_knock_event)
        .serve(prepare_leave_event::prepare_leave_event)
}

fn template_query(
    origin: &ServerName,
    room: OwnedRoomId,
    user: OwnedUserId,
    versions: Option<Vec<RoomVersionId>>,
) -> TemplateQuery {
    TemplateQuery { origin: origin.to_owned(), room, user, versions }
}

fn handed_over(
    origin: &ServerName,
    room: OwnedRoomId,
    event_id: OwnedEventId,
    event: Box<RawValue>,
) -> HandedOver {
    HandedOver { origin: origin.to_owned(), room, event_id, event }
}
