//! Server-side key backup.

mod add_backup_keys;
mod add_backup_keys_for_room;
mod add_backup_keys_for_session;
mod create_backup_version;
mod delete_backup_keys;
mod delete_backup_keys_for_room;
mod delete_backup_keys_for_session;
mod delete_backup_version;
mod get_backup_info;
mod get_backup_keys;
mod get_backup_keys_for_room;
mod get_backup_keys_for_session;
mod get_latest_backup_info;
mod update_backup_version;

use std::collections::BTreeMap;

use axum::Router;
use blaupause_e2ee::{BackupVersion, rows::BackupKeyValue};
use ruma::{
    UInt,
    api::client::backup::{BackupAlgorithm, KeyBackupData},
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(add_backup_keys::add_backup_keys)
        .serve(add_backup_keys_for_room::add_backup_keys_for_room)
        .serve(add_backup_keys_for_session::add_backup_keys_for_session)
        .serve(create_backup_version::create_backup_version)
        .serve(delete_backup_keys::delete_backup_keys)
        .serve(delete_backup_keys_for_room::delete_backup_keys_for_room)
        .serve(delete_backup_keys_for_session::delete_backup_keys_for_session)
        .serve(delete_backup_version::delete_backup_version)
        .serve(get_backup_info::get_backup_info)
        .serve(get_backup_keys::get_backup_keys)
        .serve(get_backup_keys_for_room::get_backup_keys_for_room)
        .serve(get_backup_keys_for_session::get_backup_keys_for_session)
        .serve(get_latest_backup_info::get_latest_backup_info)
        .serve(update_backup_version::update_backup_version)
}

/// Algorithm and authentication data, kept as the client wrote them.
#[derive(Deserialize, Serialize)]
struct Algorithm {
    algorithm: String,
    auth_data: Box<RawValue>,
}

fn algorithm(raw: &Raw<BackupAlgorithm>) -> Result<Algorithm, ApiError> {
    serde_json::from_str(raw.json().get())
        .map_err(|_| ApiError::bad_json("algorithm and auth_data are needed"))
}

fn as_algorithm(backup: &BackupVersion) -> Raw<BackupAlgorithm> {
    let auth_data = RawValue::from_string(backup.auth_data.clone()).expect("was JSON when stored");
    let algorithm = Algorithm { algorithm: backup.algorithm.clone(), auth_data };
    let json = serde_json::value::to_raw_value(&algorithm).expect("is plain data");
    Raw::from_json(json)
}

/// A backed-up key as clients send it; the encrypted part is none of our business.
#[derive(Deserialize, Serialize)]
struct Session {
    first_message_index: UInt,
    forwarded_count: UInt,
    is_verified: bool,
    session_data: Box<RawValue>,
}

fn session(raw: &Raw<KeyBackupData>) -> Result<BackupKeyValue, ApiError> {
    let session: Session = serde_json::from_str(raw.json().get())
        .map_err(|_| ApiError::bad_json("a key has the wrong shape"))?;
    if !session.session_data.get().starts_with('{') {
        return Err(ApiError::bad_json("session_data must be an object"));
    }
    Ok(BackupKeyValue {
        is_verified: session.is_verified,
        first_message_index: session.first_message_index.into(),
        forwarded_count: session.forwarded_count.into(),
        session_data: session.session_data.get().to_owned(),
    })
}

fn sessions(
    raw: &BTreeMap<String, Raw<KeyBackupData>>,
) -> Result<BTreeMap<String, BackupKeyValue>, ApiError> {
    raw.iter().map(|(id, key)| Ok((id.clone(), session(key)?))).collect()
}

fn as_sessions(keys: BTreeMap<String, BackupKeyValue>) -> BTreeMap<String, Raw<KeyBackupData>> {
    keys.into_iter().map(|(id, key)| (id, as_session(key))).collect()
}

fn as_session(key: BackupKeyValue) -> Raw<KeyBackupData> {
    let session = Session {
        first_message_index: UInt::new_saturating(key.first_message_index),
        forwarded_count: UInt::new_saturating(key.forwarded_count),
        is_verified: key.is_verified,
        session_data: RawValue::from_string(key.session_data).expect("was JSON when stored"),
    };
    Raw::from_json(serde_json::value::to_raw_value(&session).expect("is plain data"))
}
