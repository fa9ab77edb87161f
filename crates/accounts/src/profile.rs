//! Profiles (spec: "Profiles").

use blaupause_data::{Change, DIRECTORY, DataError, Found, Write};
use ruma::{
    OwnedMxcUri, OwnedUserId, UserId,
    profile::{ProfileFieldName, UserProfile},
};
use serde_json::Value;

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError,
    rows::{AccountRow, LocalUserRow, ProfileRow, StoredLocalUser, StoredProfile},
};

/// Bytes of a whole profile (spec: "the total profile MUST be under 64 KiB").
const PROFILE_BYTES_MAX: usize = 65_535;
/// Bytes of a field's name (spec).
const KEY_BYTES_MAX: usize = 255;
/// Characters of a display name: it is repeated in every member event.
const DISPLAY_NAME_LENGTH_MAX: usize = 256;
/// Bytes of an avatar's address.
const AVATAR_URL_BYTES_MAX: usize = 1_000;

/// A user's profile. Empty if nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile(StoredProfile);

impl Profile {
    pub fn display_name(&self) -> Option<&str> {
        self.0.display_name.as_deref()
    }

    pub fn avatar_url(&self) -> Option<OwnedMxcUri> {
        self.0.avatar_url.clone().map(OwnedMxcUri::from)
    }

    /// One field as JSON; `None` if it is not set.
    pub fn field(&self, name: &ProfileFieldName) -> Option<Value> {
        match name {
            ProfileFieldName::DisplayName => self.0.display_name.clone().map(Value::String),
            ProfileFieldName::AvatarUrl => self.0.avatar_url.clone().map(Value::String),
            other => {
                let json = self.0.fields.get(other.as_str())?;
                serde_json::from_str(json).ok()
            }
        }
    }

    /// All fields.
    pub fn to_ruma(&self) -> UserProfile {
        let names = self.0.fields.keys().map(|name| ProfileFieldName::from(name.as_str()));
        let names =
            [ProfileFieldName::DisplayName, ProfileFieldName::AvatarUrl].into_iter().chain(names);
        let fields = names.filter_map(|name| Some((name.as_str().to_owned(), self.field(&name)?)));
        fields.collect()
    }
}

impl Accounts {
    /// The profile of a local user; `None` if there is no such user (any more), or it is somebody
    /// of another server. One read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn profile(&self, user: &UserId) -> Result<Option<Profile>, AccountsError> {
        if !self.data().is_local(user) {
            return Ok(None);
        }
        let row = self.data().get::<ProfileRow>(self.part(user), &()).await?;
        Ok(row.map(|row| Profile(row.value)))
    }

    /// Profiles of many users in one read, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn profiles(
        &self,
        users: &[OwnedUserId],
    ) -> Result<Vec<Option<Profile>>, AccountsError> {
        let keys = users.iter().map(|user| (self.part(user), &()));
        let rows = self.data().get_many::<ProfileRow>(keys).await?;
        let rows = rows.into_iter().zip(users);
        let local = rows.map(|(row, user)| row.filter(|_| self.data().is_local(user)));
        Ok(local.map(|row| row.map(|row| Profile(row.value))).collect())
    }

    /// Set a field. An empty display name or avatar is removed. Member events in the user's rooms
    /// are renewed by whoever follows [`Change::Profile`].
    ///
    /// # Errors
    /// Name or value are not possible, the profile would be too large, the user is unknown, or
    /// the store failed.
    pub async fn set_profile_field(
        &self,
        user: &UserId,
        name: &ProfileFieldName,
        value: &Value,
    ) -> Result<(), AccountsError> {
        let field = NewField::checked(name, value)?;
        self.change_profile(user, |profile| field.put(profile)).await
    }

    /// Set many fields at once (MSC4133). `replace`: all others are removed.
    ///
    /// # Errors
    /// As for [`Self::set_profile_field`]; then no field is changed.
    pub async fn set_profile_fields(
        &self,
        user: &UserId,
        fields: &serde_json::Map<String, Value>,
        replace: bool,
    ) -> Result<(), AccountsError> {
        let fields = fields
            .iter()
            .map(|(name, value)| NewField::checked(&ProfileFieldName::from(name.as_str()), value));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        self.change_profile(user, |profile| {
            if replace {
                *profile = StoredProfile::default();
            }
            fields.iter().for_each(|field| field.put(profile));
        })
        .await
    }

    /// Remove a field; if it is not set, nothing happens.
    ///
    /// # Errors
    /// As for [`Self::set_profile_field`].
    pub async fn delete_profile_field(
        &self,
        user: &UserId,
        name: &ProfileFieldName,
    ) -> Result<(), AccountsError> {
        check_key(name)?;
        self.change_profile(user, |profile| match name {
            ProfileFieldName::DisplayName => profile.display_name = None,
            ProfileFieldName::AvatarUrl => profile.avatar_url = None,
            other => {
                profile.fields.remove(other.as_str());
            }
        })
        .await
    }

    async fn change_profile(
        &self,
        user: &UserId,
        change: impl Fn(&mut StoredProfile),
    ) -> Result<(), AccountsError> {
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let mut want = blaupause_data::ReadSet::new();
            let row = want.get::<ProfileRow>(part, &());
            let account = want.get::<AccountRow>(part, &());
            let got = want.run(self.data()).await?;
            let account = got.one(account)?.ok_or(AccountsError::UserUnknown)?;
            if account.deactivated_ms.is_some() {
                return Err(AccountsError::Deactivated);
            }
            let Found { version, value: old, .. } = got.one(row)?.unwrap_or(Found {
                version: 0,
                pos: Default::default(),
                value: StoredProfile::default(),
            });
            let mut profile = old.clone();
            change(&mut profile);
            if profile == old {
                return Ok(());
            }
            // A profile that is too large already (a limit was lowered) may still shrink.
            if size_bytes(&profile) > PROFILE_BYTES_MAX.max(size_bytes(&old)) {
                return Err(AccountsError::ProfileTooLarge);
            }
            let mut write = Write::new(part);
            write.require_version::<ProfileRow>(part, &(), version);
            write.put_version::<ProfileRow>(part, &(), version + 1, &profile);
            if !account.guest {
                let entry = StoredLocalUser {
                    display_name: profile.display_name.clone(),
                    avatar_url: profile.avatar_url.clone(),
                };
                write.put::<LocalUserRow>(DIRECTORY, &user.localpart().to_owned(), &entry);
            }
            write.change(&Change::Profile { user: user.to_owned() });
            match self.data().commit(write).await {
                Ok(_) => return Ok(()),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }
}

/// A value that a field may have.
enum NewField {
    DisplayName(Option<String>),
    AvatarUrl(Option<String>),
    /// Name and JSON.
    Other(String, String),
}

impl NewField {
    fn checked(name: &ProfileFieldName, value: &Value) -> Result<Self, AccountsError> {
        check_key(name)?;
        Ok(match name {
            ProfileFieldName::DisplayName => Self::DisplayName(display_name(value)?),
            ProfileFieldName::AvatarUrl => Self::AvatarUrl(avatar_url(value)?),
            ProfileFieldName::TimeZone if !value.is_string() => {
                return Err(AccountsError::Invalid("m.tz must be a string"));
            }
            other => Self::Other(other.as_str().to_owned(), value.to_string()),
        })
    }

    fn put(&self, profile: &mut StoredProfile) {
        match self {
            Self::DisplayName(name) => profile.display_name.clone_from(name),
            Self::AvatarUrl(url) => profile.avatar_url.clone_from(url),
            Self::Other(name, json) => {
                profile.fields.insert(name.clone(), json.clone());
            }
        }
    }
}

/// Defined fields, or the "Common Namespaced Identifier Grammar".
fn check_key(name: &ProfileFieldName) -> Result<(), AccountsError> {
    let name = name.as_str();
    if name.len() > KEY_BYTES_MAX {
        return Err(AccountsError::ProfileKeyTooLarge);
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let fits = name.bytes().all(allowed) && name.starts_with(|c: char| c.is_ascii_lowercase());
    if fits { Ok(()) } else { Err(AccountsError::Invalid("profile field name")) }
}

fn display_name(value: &Value) -> Result<Option<String>, AccountsError> {
    let text = value.as_str().ok_or(AccountsError::Invalid("displayname must be a string"))?;
    if text.chars().count() > DISPLAY_NAME_LENGTH_MAX {
        return Err(AccountsError::Invalid("displayname is too long"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn avatar_url(value: &Value) -> Result<Option<String>, AccountsError> {
    let text = value.as_str().ok_or(AccountsError::Invalid("avatar_url must be a string"))?;
    if text.is_empty() {
        return Ok(None);
    }
    // "The new avatar URL", says the specification, which does not ask for `mxc://`: clients show
    // nothing else, and other servers take anything.
    if text.len() > AVATAR_URL_BYTES_MAX {
        return Err(AccountsError::Invalid("avatar_url is too long"));
    }
    Ok(Some(text.to_owned()))
}

/// About what the profile takes as canonical JSON.
fn size_bytes(profile: &StoredProfile) -> usize {
    const PUNCTUATION: usize = 6;
    let text = |name: &str, text: &Option<String>| {
        text.as_ref().map_or(0, |text| {
            name.len() + Value::from(text.as_str()).to_string().len() + PUNCTUATION
        })
    };
    let fields = profile.fields.iter().map(|(k, v)| k.len() + v.len() + PUNCTUATION);
    fields.sum::<usize>()
        + text("displayname", &profile.display_name)
        + text("avatar_url", &profile.avatar_url)
}
