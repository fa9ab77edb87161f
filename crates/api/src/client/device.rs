//! Devices of a user.

mod delete_device;
mod delete_devices;
mod get_device;
mod get_devices;
mod update_device;

use axum::Router;
use blaupause_accounts::DeviceInfo;
use ruma::{OwnedDeviceId, UserId, api::client::device::Device};

use crate::{ApiError, App, Serve};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    router
        .serve(delete_device::delete_device)
        .serve(delete_devices::delete_devices)
        .serve(get_device::get_device)
        .serve(get_devices::get_devices)
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
    Ok(())
}

fn device(info: DeviceInfo) -> Device {
    let mut device = Device::new(info.device_id);
    device.display_name = info.display_name;
    if let Some(seen) = info.last_seen {
        device.last_seen_ip = seen.address;
        device.last_seen_ts = Some(seen.at);
    }
    device
}
