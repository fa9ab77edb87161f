//! `GET /_matrix/client/v3/voip/turnServer`

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use blaupause_accounts::Secret;
use hmac::{Hmac, Mac};
use ruma::{
    UserId,
    api::client::voip::get_turn_server_info::v3::{Request, Response},
};
use serde_json::json;
use sha1::Sha1;

use crate::{ApiError, App, Call, TurnLogin, routes::Answer};

/// `{}` without a relay: clients look for the field `uris`, and make calls without one.
pub(crate) async fn get_turn_server_info(
    app: App,
    call: Call<Request>,
) -> Result<Answer<Response>, ApiError> {
    let Some(turn) = &app.settings.turn else { return Ok(Answer::Other(json!({}))) };
    let ttl = Duration::from_secs(turn.ttl_seconds);
    let (name, password) = match &turn.login {
        TurnLogin::Fixed { username, password } => (username.clone(), password.reveal().to_owned()),
        TurnLogin::Shared(secret) => {
            let ends = app.data.env().now_millis() / 1000 + turn.ttl_seconds;
            made(secret, ends, &call.who.user_id)
        }
    };
    Ok(Answer::Usual(Response::new(name, password, turn.uris.clone(), ttl)))
}

/// Pure. Name and password that the relay, which knows the secret, takes until `ends` (seconds
/// since the Unix epoch; draft-uberti-behave-turn-rest).
fn made(secret: &Secret, ends: u64, user: &UserId) -> (String, String) {
    let name = format!("{ends}:{user}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(name.as_bytes());
    (name, STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn the_password_is_the_hmac_of_the_name() {
        let secret = Secret::new("north".to_owned());
        let (name, password) = made(&secret, 1_700_003_600, user_id!("@alice:example.org"));
        assert_eq!(name, "1700003600:@alice:example.org");
        // printf '1700003600:@alice:example.org' | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(password, "6cEh1+OSEPFM5XsksE7KvMgzX1c=");
    }
}
