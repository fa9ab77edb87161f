//! `POST /_synapse/admin/v1/send_server_notice` and `PUT …/{txnId}`

use blaupause_rooms::{Notice, Transaction};
use ruma::{OwnedUserId, api::auth_scheme::AccessToken};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{ApiError, App, asked::Asked};

/// Bytes of a transaction id.
const TRANSACTION_BYTES_MAX: usize = 255;

#[derive(Deserialize)]
struct Body {
    user_id: OwnedUserId,
    content: Box<RawValue>,
    #[serde(rename = "type")]
    kind: Option<String>,
    state_key: Option<String>,
}

/// `POST`: each request is a message.
pub(super) async fn post(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    send(&app, &asked, None).await
}

/// `PUT`: the same transaction of the same administrator is one message.
pub(super) async fn put(app: App, asked: Asked<AccessToken>) -> Result<Value, ApiError> {
    let id = asked.text("txn_id");
    if id.is_empty() || id.len() > TRANSACTION_BYTES_MAX {
        return Err(ApiError::invalid_param("the transaction id is empty or too long"));
    }
    // No device has such a name.
    let device = format!("/{}", asked.who.user_id);
    send(&app, &asked, Some(Transaction { device, id: id.to_owned() })).await
}

async fn send(
    app: &App,
    asked: &Asked<AccessToken>,
    transaction: Option<Transaction>,
) -> Result<Value, ApiError> {
    asked.who.must_be_admin()?;
    let Body { user_id, content, kind, state_key } = asked.body()?;
    if !app.is_local(&user_id) {
        return Err(ApiError::invalid_param("this user does not belong to this server"));
    }
    let kind = kind.unwrap_or_else(|| "m.room.message".to_owned());
    let notice = Notice { to: user_id, kind, state_key, content, transaction };
    Ok(json!({ "event_id": app.rooms.send_notice(notice).await? }))
}
