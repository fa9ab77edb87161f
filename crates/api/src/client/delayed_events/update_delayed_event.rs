//! `POST /_matrix/client/v1/delayed_events/{delayId}/{action}`, and the same with the action in the
//! body, as matrix-rust-sdk asks.

use blaupause_rooms::DelayAction;
use ruma::api::auth_scheme::{AccessToken, AccessTokenOptional};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ACTIONS;
use crate::{
    ApiError, App, User,
    asked::Asked,
    limits::{Counted, Kind},
};

#[derive(Deserialize)]
struct Body {
    action: String,
}

pub(crate) async fn update_by_body(
    app: App,
    asked: Asked<AccessTokenOptional>,
) -> Result<Value, ApiError> {
    let body: Body = asked.body()?;
    let action = ACTIONS.iter().find(|(name, _)| *name == body.action);
    let (_, action) =
        action.ok_or_else(|| ApiError::invalid_param("action is send, cancel or restart"))?;
    manage(&app, asked.who.as_ref(), asked.text("delay_id"), *action).await
}

pub(crate) async fn update(
    app: App,
    asked: Asked<AccessTokenOptional>,
    action: DelayAction,
) -> Result<Value, ApiError> {
    manage(&app, asked.who.as_ref(), asked.text("delay_id"), action).await
}

pub(crate) async fn update_with_token(
    app: App,
    asked: Asked<AccessToken>,
    action: DelayAction,
) -> Result<Value, ApiError> {
    manage(&app, Some(&asked.who), asked.text("delay_id"), action).await
}

async fn manage(
    app: &App,
    who: Option<&User>,
    id: &str,
    action: DelayAction,
) -> Result<Value, ApiError> {
    let owner = match who {
        Some(who) => who.user_id.clone(),
        None => {
            let owner = app.rooms.delay_owner(id).await?;
            // With a token it was counted when the token was recognised.
            app.limiter.take(Kind::DelayedEvents, Counted::User(&owner), 1.0)?;
            owner
        }
    };
    app.rooms.manage_delayed(id, &owner, action).await?;
    Ok(json!({}))
}
