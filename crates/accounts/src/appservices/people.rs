//! What application services do as, and with, their users.

use std::sync::Arc;

use blaupause_data::{Change, DataError, ReadSet, Write};
use ruma::{DeviceId, OwnedUserId, UserId};

use super::{AppService, AppServices};
use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError, Issued, Session, SignIn,
    devices::{check_device_id, device_name},
    names::{Chosen, new_user_id},
    registration::Plan,
    rows::{AccountRow, DeviceRow, StoredDevice},
};

impl Accounts {
    /// The application services.
    pub fn services(&self) -> &AppServices {
        &self.settings().services
    }

    /// Somebody wants to use this room alias of ours: `by` a service, or a person.
    ///
    /// # Errors
    /// [`AccountsError::Exclusive`] if it is kept from them.
    pub fn check_alias(
        &self,
        by: Option<&AppService>,
        alias: &ruma::RoomAliasId,
    ) -> Result<(), AccountsError> {
        if self.services().keep_alias_from(by, alias) {
            return Err(AccountsError::Exclusive);
        }
        Ok(())
    }

    /// A service acts as one of its users, perhaps from one of their devices; as its own user if
    /// it names none. That one is made when it is first needed. One read.
    ///
    /// Whoever the user is, the service gets no rights of an administrator: its namespace may hold
    /// everybody.
    ///
    /// # Errors
    /// The user is not the service's, unknown, deactivated or locked; the device is unknown; or
    /// the store failed.
    pub async fn masquerade(
        &self,
        service: &AppService,
        user: Option<&UserId>,
        device: Option<&DeviceId>,
    ) -> Result<Arc<Session>, AccountsError> {
        let user = user.unwrap_or(service.sender());
        if !service.has_user(user) {
            return Err(AccountsError::OutsideNamespace);
        }
        let device = match device {
            Some(device) => {
                let checked = check_device_id(device);
                Some(checked.map_err(|_| AccountsError::MasqueradeDevice)?.to_owned())
            }
            None => None,
        };
        for _ in 0..ATTEMPTS_MAX {
            let part = self.part(user);
            let mut want = ReadSet::new();
            let account = want.get::<AccountRow>(part, &());
            let row = device.as_ref().map(|device| want.get::<DeviceRow>(part, device));
            let got = want.run(self.data()).await?;
            let Some(account) = got.one(account)?.filter(|account| account.user_id == user) else {
                if user != service.sender() {
                    return Err(AccountsError::NotRegistered);
                }
                self.make_sender(user.to_owned()).await?;
                continue;
            };
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            if account.locked {
                return Err(AccountsError::Locked);
            }
            if let Some(row) = row
                && got.one(row)?.is_none()
            {
                return Err(AccountsError::MasqueradeDevice);
            }
            return Ok(Arc::new(Session::of_service(&account, device)));
        }
        Err(AccountsError::Busy)
    }

    async fn make_sender(&self, user_id: OwnedUserId) -> Result<(), AccountsError> {
        let plan = Plan { user_id, admin: false, guest: false, token: None };
        match self.add_account(plan, None, None).await {
            // Another request was faster.
            Ok(_) | Err(AccountsError::UserInUse) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A service makes one of its users, who has no password.
    ///
    /// # Errors
    /// The name is impossible, not the service's or taken, or the store failed.
    pub async fn register_for_service(
        &self,
        service: &AppService,
        username: &str,
        sign_in: Option<SignIn>,
    ) -> Result<crate::Registered, AccountsError> {
        let user_id = new_user_id(username, self.data().server_name(), Chosen::ByOperator)?;
        if self.services().keep_user_from(Some(service), &user_id) {
            return Err(AccountsError::Exclusive);
        }
        let plan = Plan { user_id, admin: false, guest: false, token: None };
        self.add_account(plan, None, sign_in).await
    }

    /// A service signs in as one of its users. `name` is a local part or a full user id.
    ///
    /// # Errors
    /// The user is not the service's, unknown, deactivated or locked, or the store failed.
    pub async fn sign_in_for_service(
        &self,
        service: &AppService,
        name: &str,
        how: &SignIn,
    ) -> Result<Issued, AccountsError> {
        let user = self.named_user(name);
        if self.services().keep_user_from(Some(service), &user) {
            return Err(AccountsError::Exclusive);
        }
        match self.sign_in_as(&user, how).await {
            Err(AccountsError::UserUnknown) => Err(AccountsError::NotRegistered),
            done => done,
        }
    }

    /// A device that nobody signs in with: a service acts from it (spec: application service API,
    /// "Device management"). If it is there already, it gets the name. Answers whether it is new.
    ///
    /// # Errors
    /// The id is not possible, there are too many devices, or the store failed.
    pub async fn put_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        name: Option<&str>,
    ) -> Result<bool, AccountsError> {
        let part = self.part(user);
        let key = check_device_id(device)?.to_owned();
        for _ in 0..ATTEMPTS_MAX {
            if self.data().get::<DeviceRow>(part, &key).await?.is_some() {
                return self.rename_device(user, device, name).await.map(|()| false);
            }
            self.check_room_for_device(user).await?;
            let display_name = name.map(device_name);
            let value =
                StoredDevice { display_name, created_ms: self.now_ms(), tokens: Vec::new() };
            let mut write = Write::new(part);
            write.require_version::<DeviceRow>(part, &key, 0);
            write.put_version::<DeviceRow>(part, &key, 1, &value);
            write.change(&Change::Devices { user: user.to_owned() });
            match self.data().commit(write).await {
                Ok(_) => return Ok(true),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }
}
