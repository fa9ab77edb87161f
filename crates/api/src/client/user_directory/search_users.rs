//! `POST /_matrix/client/v3/user_directory/search`

use blaupause_accounts::SearchUsers;
use blaupause_data::DIRECTORY;
use blaupause_rooms::rows::PublishedRow;
use ruma::{
    OwnedRoomId, UserId,
    api::client::user_directory::search_users::v3::{Request, Response, User},
    room::JoinRuleSummary,
};

use crate::{ApiError, App, Call};

/// Public rooms whose members can be found by everybody.
const PUBLIC_ROOMS_MAX: u32 = 500;
/// Rooms of the asking person that are looked at for whether everybody may come in.
const OWN_ROOMS_MAX: usize = 100;

pub(crate) async fn search_users(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let public_rooms = if app.accounts.settings().search_all_users {
        Vec::new()
    } else {
        let page = app.data.list::<PublishedRow>(DIRECTORY, &(), PUBLIC_ROOMS_MAX).await?;
        let mut rooms: Vec<_> = page.rows.into_iter().map(|(room, _)| room).collect();
        rooms.extend(open_rooms_of(&app, &call.who.user_id).await?);
        rooms
    };
    let search = SearchUsers {
        asking: &call.who.user_id,
        term: &call.body.search_term,
        limit: usize::try_from(u64::from(call.body.limit)).unwrap_or(usize::MAX),
        public_rooms,
    };
    let found = app.accounts.search_users(search).await?;
    let users = found.users.into_iter().map(|found| {
        let mut user = User::new(found.user_id);
        user.display_name = found.display_name;
        user.avatar_url = found.avatar_url;
        user
    });
    Ok(Response::new(users.collect(), found.limited))
}

/// Rooms of somebody that everybody may come into; the first ones.
async fn open_rooms_of(app: &App, user: &UserId) -> Result<Vec<OwnedRoomId>, ApiError> {
    let mut rooms = app.data.joined_rooms(user).await?;
    rooms.truncate(OWN_ROOMS_MAX);
    let summaries = app.rooms.summaries(&rooms).await?.into_iter().flatten();
    let open = summaries.filter(|room| room.join_rule == JoinRuleSummary::Public);
    Ok(open.map(|room| room.room_id).collect())
}
