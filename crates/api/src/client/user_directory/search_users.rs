//! `POST /_matrix/client/v3/user_directory/search`

use blaupause_accounts::SearchUsers;
use blaupause_data::DIRECTORY;
use blaupause_rooms::rows::PublishedRow;
use ruma::api::client::user_directory::search_users::v3::{Request, Response, User};

use crate::{ApiError, App, Call};

/// Public rooms whose members can be found by everybody.
const PUBLIC_ROOMS_MAX: u32 = 500;

pub(crate) async fn search_users(app: App, call: Call<Request>) -> Result<Response, ApiError> {
    let public_rooms = if app.accounts.settings().search_all_users {
        Vec::new()
    } else {
        let page = app.data.list::<PublishedRow>(DIRECTORY, &(), PUBLIC_ROOMS_MAX).await?;
        page.rows.into_iter().map(|(room, _)| room).collect()
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
