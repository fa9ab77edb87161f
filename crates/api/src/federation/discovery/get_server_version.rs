//! `GET /_matrix/federation/v1/version`

use ruma::api::federation::discovery::get_server_version::v1::{Request, Response, Server};

use crate::{ApiError, App, Call};

pub(crate) async fn get_server_version(_: App, _: Call<Request>) -> Result<Response, ApiError> {
    let mut server = Server::new();
    server.name = Some("Blaupause".to_owned());
    server.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let mut response = Response::new();
    response.server = Some(server);
    Ok(response)
}
