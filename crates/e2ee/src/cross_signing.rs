//! Cross-signing keys (spec: client-server API, "Cross-signing").

use blaupause_data::{Change, NOW, ReadSet, Write};
use ruma::{UserId, encryption::CrossSigningKey, serde::Raw};

use crate::{
    E2ee, E2eeError,
    rows::{CrossSigningRow, DeviceChangeRow, DeviceKeysRow, DevicesChangedRow, Usage},
    signatures::KeyObject,
};

/// Bytes of one cross-signing key, signatures included.
const CROSS_SIGNING_BYTES_MAX: usize = 16 * 1024;

/// The keys of `POST /keys/device_signing/upload`.
#[derive(Clone, Debug, Default)]
pub struct CrossSigningUpload {
    pub master: Option<Raw<CrossSigningKey>>,
    pub self_signing: Option<Raw<CrossSigningKey>>,
    pub user_signing: Option<Raw<CrossSigningKey>>,
}

impl CrossSigningUpload {
    fn get(&self, usage: Usage) -> Option<&Raw<CrossSigningKey>> {
        match usage {
            Usage::Master => self.master.as_ref(),
            Usage::SelfSigning => self.self_signing.as_ref(),
            Usage::UserSigning => self.user_signing.as_ref(),
        }
    }
}

impl E2ee {
    /// Whether the upload needs the user to prove who they are. Setting keys for the first time
    /// does not, nor does uploading again what is there already (spec since v1.11, MSC3967).
    ///
    /// # Errors
    /// A key has a wrong shape, or the store failed.
    pub async fn cross_signing_needs_proof(
        &self,
        user: &UserId,
        upload: &CrossSigningUpload,
    ) -> Result<bool, E2eeError> {
        let stored = self.cross_signing_rows(user).await?;
        if stored[0].is_none() {
            return Ok(false);
        }
        for usage in Usage::ALL {
            let Some(new) = upload.get(usage) else { continue };
            let new = KeyObject::parse(new.json().get())?;
            let same = match &stored[usage as usize - 1] {
                Some((_, old)) => new.keys().eq(KeyObject::parse(old)?.keys()),
                None => false,
            };
            if !same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Store cross-signing keys. Each but the master key must be signed by the master key that is
    /// uploaded with it or is stored already.
    ///
    /// # Errors
    /// A key has a wrong shape or signature, or the store failed.
    pub async fn upload_cross_signing(
        &self,
        user: &UserId,
        upload: &CrossSigningUpload,
    ) -> Result<(), E2eeError> {
        let stored = self.cross_signing_rows(user).await?;
        let part = self.data().parts().user(user);
        let mut write = Write::new(part);
        let mut master = match (&upload.master, &stored[0]) {
            (Some(new), _) => Some(KeyObject::parse(new.json().get())?),
            (None, Some((_, old))) => Some(KeyObject::parse(old)?),
            (None, None) => None,
        };
        let mut changed = false;
        for usage in Usage::ALL {
            let Some(raw) = upload.get(usage) else { continue };
            let object = checked(user, usage, raw)?;
            let (key_id, public_text) = single_key(&object)?;
            match usage {
                Usage::Master => self.check_master_signatures(user, &object).await?,
                _ => {
                    let master = master.as_mut().ok_or(E2eeError::NoMasterKey)?;
                    let (master_id, _) = single_key(master)?;
                    let public = master.key(&master_id).ok_or(E2eeError::NoMasterKey)?;
                    object.verify(user, &master_id, &public)?;
                }
            }
            debug_assert!(key_id.ends_with(&public_text));
            let old = &stored[usage as usize - 1];
            let version = old.as_ref().map_or(0, |(version, _)| *version);
            let json = object.into_value().to_string();
            if old.as_ref().is_some_and(|(_, old)| *old == json) {
                continue;
            }
            write.require_version::<CrossSigningRow>(part, &(usage as u8), version);
            write.put_version::<CrossSigningRow>(part, &(usage as u8), version + 1, &json);
            changed = true;
        }
        if changed {
            self.note_devices_changed(&mut write, user).await?;
            self.data().commit(write).await?;
        }
        Ok(())
    }

    /// Versions and JSON of the three keys, in the order of [`Usage::ALL`].
    async fn cross_signing_rows(
        &self,
        user: &UserId,
    ) -> Result<[Option<(u64, String)>; 3], E2eeError> {
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let slots = Usage::ALL.map(|usage| want.get::<CrossSigningRow>(part, &(usage as u8)));
        let got = want.run(self.data()).await?;
        let mut rows = [None, None, None];
        for (row, slot) in rows.iter_mut().zip(slots) {
            *row = got.one(slot)?.map(|found| (found.version, found.value));
        }
        Ok(rows)
    }

    /// A master key may be signed by the user's own devices; such signatures must be right.
    async fn check_master_signatures(
        &self,
        user: &UserId,
        master: &KeyObject,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let own: Vec<String> = master.signature_ids(user).map(str::to_owned).collect();
        let devices: Vec<String> = own
            .iter()
            .map(|id| id.strip_prefix("ed25519:").unwrap_or_default().to_owned())
            .collect();
        let rows = devices.iter().map(|device| (part, device));
        let rows = self.data().get_many::<DeviceKeysRow>(rows).await?;
        for (id, row) in own.into_iter().zip(rows) {
            // A signature by the master key on itself, or by a device we do not know, tells
            // nobody anything.
            let Some(row) = row else { continue };
            if let Some(public) = KeyObject::parse(&row.value)?.key(&id) {
                master.verify(user, &id, &public)?;
            }
        }
        Ok(())
    }

    /// Add to a batch of `user` that their devices or keys changed: for the log and for those who
    /// ask later what changed since a position.
    pub(crate) async fn note_devices_changed(
        &self,
        write: &mut Write,
        user: &UserId,
    ) -> Result<(), E2eeError> {
        let part = self.data().parts().user(user);
        let old = self.data().get::<DevicesChangedRow>(part, &()).await?;
        if let Some(old) = old {
            write.del::<DeviceChangeRow>(blaupause_data::DIRECTORY, &(old.pos, 0));
        }
        write.put::<DevicesChangedRow>(part, &(), &());
        let user = user.to_owned();
        write.put::<DeviceChangeRow>(blaupause_data::DIRECTORY, &(NOW, 0), &user);
        write.change(&Change::Devices { user });
        Ok(())
    }
}

/// The shape that the specification asks for.
pub(crate) fn checked(
    user: &UserId,
    usage: Usage,
    raw: &Raw<CrossSigningKey>,
) -> Result<KeyObject, E2eeError> {
    let wrong = |what: &str| E2eeError::InvalidKeys(format!("{} key: {what}", usage.name()));
    if raw.json().get().len() > CROSS_SIGNING_BYTES_MAX {
        return Err(E2eeError::TooLarge("cross-signing key"));
    }
    let key: CrossSigningKey =
        raw.deserialize().map_err(|_| wrong("does not have the specified shape"))?;
    if key.user_id != user {
        return Err(wrong("belongs to somebody else"));
    }
    if !key.usage.iter().any(|given| given.as_str() == usage.name()) {
        return Err(wrong("its usage says something else"));
    }
    let object = KeyObject::parse(raw.json().get())?;
    let (id, _) = single_key(&object)?;
    object.key(&id).ok_or_else(|| wrong("not an Ed25519 public key"))?;
    Ok(object)
}

/// A cross-signing key has exactly one key, whose id is its own text.
pub(crate) fn single_key(object: &KeyObject) -> Result<(String, String), E2eeError> {
    let mut keys = object.keys();
    match (keys.next(), keys.next()) {
        (Some((id, text)), None) if *id == format!("ed25519:{text}") => {
            Ok((id.clone(), text.to_owned()))
        }
        _ => Err(E2eeError::InvalidKeys("a cross-signing key has exactly one key".into())),
    }
}
