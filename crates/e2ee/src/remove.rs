//! Forgetting a device.

use blaupause_data::Write;
use ruma::{DeviceId, UserId};

use crate::{
    E2ee, E2eeError,
    dehydrated::forget,
    rows::{
        CrossSigningRow, DeviceKeysRow, FallbackKeyRow, MySignaturesRow, OneTimeKeyRow,
        ToDeviceRow, ToDeviceTxnRow,
    },
};

impl E2ee {
    /// Remove keys and waiting messages of devices that were deleted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_devices<'a>(
        &self,
        user: &UserId,
        devices: impl IntoIterator<Item = &'a DeviceId>,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        for device in devices {
            forget(&mut write, part, device);
        }
        if !write.is_empty() {
            self.note_devices_changed(&mut write, user).await?;
            self.data().commit(write).await?;
        }
        Ok(())
    }

    /// Remove everything about a deactivated user: keys, signatures, backups.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_user(&self, user: &UserId) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        write.del_prefix::<DeviceKeysRow>(part, &());
        write.del_prefix::<OneTimeKeyRow>(part, &());
        write.del_prefix::<FallbackKeyRow>(part, &());
        write.del_prefix::<ToDeviceRow>(part, &());
        write.del_prefix::<ToDeviceTxnRow>(part, &());
        write.del_prefix::<CrossSigningRow>(part, &());
        write.del_prefix::<MySignaturesRow>(part, &());
        self.note_devices_changed(&mut write, user).await?;
        self.data().commit(write).await?;
        self.delete_all_backups(user).await
    }
}
