//! Each EDU to the domain that it concerns. A bad one is passed over: the others still count. Only
//! if the store fails is the transaction not done, and comes again.

use std::time::Duration;

use blaupause_accounts::PresenceStatus;
use blaupause_e2ee::E2eeError;
use blaupause_rooms::RoomsError;
use ruma::{
    ServerName,
    api::federation::transactions::edu::{Edu, PresenceUpdate},
    serde::Raw,
};

use crate::{ApiError, App};

/// Users of one presence EDU.
const PUSHES_MAX: usize = 500;
/// Bytes of one EDU.
const EDU_BYTES_MAX: usize = 1024 * 1024;

pub(super) async fn hear(app: &App, origin: &ServerName, edu: &Raw<Edu>) -> Result<(), ApiError> {
    if edu.json().get().len() > EDU_BYTES_MAX {
        return Ok(());
    }
    let edu = match edu.deserialize() {
        Ok(edu) => edu,
        Err(error) => {
            tracing::debug!(%origin, %error, "an EDU cannot be understood");
            return Ok(());
        }
    };
    match edu {
        Edu::Typing(typing) => of_rooms(origin, app.rooms.hear_typing(origin, &typing).await),
        Edu::Receipt(receipts) => {
            of_rooms(origin, app.rooms.hear_receipts(origin, &receipts).await)
        }
        Edu::Presence(_) if !app.rooms.settings().presence_over_federation => Ok(()),
        Edu::Presence(presence) => {
            let own = presence.push.into_iter().take(PUSHES_MAX);
            for update in own.filter(|update| update.user_id.server_name() == origin) {
                hear_presence(app, update);
            }
            Ok(())
        }
        Edu::DirectToDevice(brought) => {
            of_keys(origin, app.e2ee.hear_to_device(origin, &brought).await)
        }
        Edu::DeviceListUpdate(update) => {
            let is_unsure = app.rooms.is_partial_with(origin).await?;
            of_keys(origin, app.e2ee.hear_device_list_update(origin, &update, is_unsure).await)
        }
        Edu::SigningKeyUpdate(update) => {
            of_keys(origin, app.e2ee.hear_signing_key_update(origin, &update).await)
        }
        // Of a kind that this server does not know.
        _ => Ok(()),
    }
}

fn hear_presence(app: &App, update: PresenceUpdate) {
    let status = PresenceStatus {
        state: update.presence,
        status_msg: update.status_msg,
        last_active_ago: Some(Duration::from_millis(update.last_active_ago.into())),
        currently_active: update.currently_active,
    };
    app.accounts.presence().hear(&update.user_id, status);
}

fn of_rooms(origin: &ServerName, done: Result<(), RoomsError>) -> Result<(), ApiError> {
    match done {
        Err(RoomsError::Data(error)) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%origin, %error, "an EDU was passed over");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn of_keys(origin: &ServerName, done: Result<(), E2eeError>) -> Result<(), ApiError> {
    match done {
        Err(E2eeError::Data(error)) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%origin, %error, "an EDU was passed over");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
