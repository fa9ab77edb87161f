//! Devices of a user.

mod delete_device;
mod delete_devices;
mod get_device;
mod get_devices;
mod update_device;

use axum::Router;
use blaupause_accounts::{DeviceInfo, Scope};
use ruma::{OwnedDeviceId, UserId};
use serde_json::{Value, json};

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_device::delete_device)
        .serve(delete_devices::delete_devices)
        .serve_or(get_device::get_device)
        .serve_or(get_devices::get_devices)
        .serve(update_device::update_device)
}

/// Remove devices with everything that belongs to them. Pushers, keys and messages go first: if the
/// server is killed in between, the devices are still there to be removed again.
pub(crate) async fn remove_devices(
    app: &App,
    user: &UserId,
    devices: &[OwnedDeviceId],
) -> Result<(), ApiError> {
    let known = app.accounts.device_names(user).await?;
    let devices: Vec<_> =
        devices.iter().filter(|device| known.contains_key(*device)).cloned().collect();
    // In portions: a batch has a size limit.
    for portion in devices.chunks(100) {
        app.notify.delete_pushers_of(user, portion).await?;
        app.e2ee.remove_devices(user, portion.iter().map(|device| &**device)).await?;
        app.accounts.delete_devices(user, portion).await?;
    }
    forget_notification_settings(app, user, &devices).await?;
    Ok(())
}

/// Account data in which a client keeps whether its device notifies, by device id.
const NOTIFICATION_SETTINGS: [&str; 2] =
    ["m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."];

/// What was set for a device goes with it (MSC3890).
async fn forget_notification_settings(
    app: &App,
    user: &UserId,
    devices: &[OwnedDeviceId],
) -> Result<(), ApiError> {
    if devices.is_empty() {
        return Ok(());
    }
    let all = app.accounts.account_data_since(user, Scope::Global, None).await?;
    for data in all {
        let device = NOTIFICATION_SETTINGS.iter().find_map(|kind| data.kind.strip_prefix(kind));
        if device.is_some_and(|device| devices.iter().any(|gone| gone == device)) {
            app.accounts.delete_account_data(user, None, &data.kind).await?;
        }
    }
    Ok(())
}

/// A device as its owner sees it. What is not known is left out: ruma's type would say `null`, which
/// the specification does not know.
fn shown(info: DeviceInfo) -> Value {
    let mut device = json!({ "device_id": info.device_id });
    if let Some(name) = info.display_name {
        device["display_name"] = name.into();
    }
    if let Some(seen) = info.last_seen {
        device["last_seen_ts"] = json!(seen.at);
        if let Some(address) = seen.address {
            device["last_seen_ip"] = address.into();
        }
    }
    device
}
