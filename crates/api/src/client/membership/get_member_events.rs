//! `GET /_matrix/client/v3/rooms/{roomId}/members`

use blaupause_data::Member;
use blaupause_rooms::MembersQuery;
use ruma::{
    api::client::membership::get_member_events::v3::{Request, Response},
    events::room::member::MembershipState,
};

use crate::{
    ApiError, App, Call,
    client::access::{access, raw},
};

pub(crate) async fn get_member_events(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let query = MembersQuery {
        at: call.body.at,
        membership: call.body.membership.map(|state| known(&state)).transpose()?,
        not_membership: call.body.not_membership.map(|state| known(&state)).transpose()?,
    };
    let access = access(&app, &call.who, &call.body.room_id).await?;
    Ok(Response::new(raw(access.members(&query).await?)))
}

fn known(state: &MembershipState) -> Result<Member, ApiError> {
    let member = Member::from_state(state);
    if member.to_state() == *state {
        Ok(member)
    } else {
        Err(ApiError::invalid_param("unknown membership"))
    }
}
