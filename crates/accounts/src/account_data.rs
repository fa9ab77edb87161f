//! Account data (spec: "Client Config"): JSON that belongs to a user, globally or in a room.

use blaupause_data::{Change, DataError, Order, ReadSet, StreamPos, Write};
use ruma::{
    OwnedRoomId, RoomId, UserId,
    events::{AnyGlobalAccountDataEvent, AnyRoomAccountDataEvent},
    serde::Raw,
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    ATTEMPTS_MAX, Accounts, AccountsError,
    rows::{AccountDataRow, StoredAccountData},
};

/// Bytes of one content.
const CONTENT_BYTES_MAX: usize = 65_536;
/// Bytes of a type.
const TYPE_BYTES_MAX: usize = 255;
/// Types a user may have globally.
const GLOBAL_TYPES_MAX: u32 = 1_000;
/// Types a user may have in a room.
const ROOM_TYPES_MAX: u32 = 100;
/// Rows of a user read at once: thousands of rooms with a few types each.
const ROWS_MAX: u32 = 100_000;

/// Types that have endpoints of their own (spec: "Server Behaviour").
const SERVER_MANAGED: [&str; 2] = ["m.fully_read", "m.push_rules"];

/// A piece of account data.
#[derive(Clone, Debug)]
pub struct AccountDatum {
    /// `None`: global.
    pub room: Option<OwnedRoomId>,
    pub kind: String,
    /// A JSON object.
    pub content: Box<RawValue>,
    /// Was removed; the content is `{}`. Clients that knew it must learn that.
    pub deleted: bool,
    /// When it was last written.
    pub pos: StreamPos,
}

impl AccountDatum {
    /// As in `account_data` of a sync answer.
    pub fn global_event(&self) -> Raw<AnyGlobalAccountDataEvent> {
        self.event()
    }

    /// As in `account_data` of a room in a sync answer.
    pub fn room_event(&self) -> Raw<AnyRoomAccountDataEvent> {
        self.event()
    }

    fn event<T>(&self) -> Raw<T> {
        #[derive(serde::Serialize)]
        struct Event<'a> {
            content: &'a RawValue,
            r#type: &'a str,
        }
        let event = Event { content: &self.content, r#type: &self.kind };
        Raw::from_json(serde_json::value::to_raw_value(&event).expect("JSON and a text are JSON"))
    }
}

/// Which account data of a user.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    Global,
    Room(&'a RoomId),
    /// Both, all rooms.
    Everything,
}

/// What happens to content that is already there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Same {
    IsLeft,
    IsWritten,
}

impl Accounts {
    /// One content; `None` if it was never set or was removed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_data(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
    ) -> Result<Option<Box<RawValue>>, AccountsError> {
        if kind.len() > TYPE_BYTES_MAX {
            return Ok(None);
        }
        let row = self.data().get::<AccountDataRow>(self.part(user), &key(room, kind)).await?;
        Ok(row.and_then(|row| row.value).map(raw))
    }

    /// What was written after a position, removed things too; without a position everything that
    /// is there. One read. Whether there is anything at all, [`Change::AccountData`] says.
    ///
    /// # Errors
    /// The store failed.
    pub async fn account_data_since(
        &self,
        user: &UserId,
        scope: Scope<'_>,
        since: Option<StreamPos>,
    ) -> Result<Vec<AccountDatum>, AccountsError> {
        let part = self.part(user);
        let mut want = ReadSet::new();
        let order = Order::Forward;
        let rows = match scope {
            Scope::Global => {
                want.prefix::<AccountDataRow>(part, &String::new(), order, GLOBAL_TYPES_MAX)
            }
            Scope::Room(room) => {
                want.prefix::<AccountDataRow>(part, &room.to_string(), order, ROOM_TYPES_MAX)
            }
            Scope::Everything => want.prefix::<AccountDataRow>(part, &(), order, ROWS_MAX),
        };
        let rows = want.run(self.data()).await?.many(rows)?.rows.into_iter();
        let news = rows.filter(|(_, row)| match since {
            Some(since) => row.pos > since,
            None => row.value.is_some(),
        });
        let data = news.map(|((room, kind), row)| AccountDatum {
            room: OwnedRoomId::try_from(room).ok(),
            kind,
            deleted: row.value.is_none(),
            pos: row.pos,
            content: raw(row.value.unwrap_or_else(|| "{}".to_owned())),
        });
        Ok(data.collect())
    }

    /// Set account data as a client may.
    ///
    /// # Errors
    /// The type is the server's, the content is no object, something is too large, or the store
    /// failed.
    pub async fn set_account_data(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
        content: &RawValue,
    ) -> Result<(), AccountsError> {
        check_client_may_set(kind)?;
        // An empty object is what clients have always deleted with (MSC3391). They wait for the
        // echo of what they set in /sync, so this is written where nothing was, too.
        if serde_json::from_str::<Map<String, Value>>(content.get()).is_ok_and(|map| map.is_empty())
        {
            let nothing = |_: Option<&str>| Ok::<_, AccountsError>(None);
            self.write_account_data(user, room, kind, Same::IsWritten, nothing).await?;
            return Ok(());
        }
        self.set_server_account_data(user, room, kind, content).await?;
        Ok(())
    }

    /// Set account data of any type. Answers the position of the change.
    ///
    /// # Errors
    /// The content is no object, something is too large, or the store failed.
    pub async fn set_server_account_data(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
        content: &RawValue,
    ) -> Result<StreamPos, AccountsError> {
        let content = content.get();
        self.change_account_data(user, room, kind, |_| Ok(Some(content.to_owned()))).await
    }

    /// Remove account data (MSC3391); if it is not there, nothing happens.
    ///
    /// # Errors
    /// The type is the server's, or the store failed.
    pub async fn delete_account_data(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
    ) -> Result<(), AccountsError> {
        check_client_may_set(kind)?;
        self.change_account_data(user, room, kind, |_| Ok::<_, AccountsError>(None)).await?;
        Ok(())
    }

    /// Read, change and write account data; `change` may be called more than once. Writes nothing
    /// if nothing changes.
    ///
    /// # Errors
    /// What `change` says, the content is no object, something is too large, or the store failed.
    pub async fn change_account_data<E: From<AccountsError>>(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
        change: impl Fn(Option<&str>) -> Result<Option<String>, E>,
    ) -> Result<StreamPos, E> {
        self.write_account_data(user, room, kind, Same::IsLeft, change).await
    }

    async fn write_account_data<E: From<AccountsError>>(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
        kind: &str,
        same: Same,
        change: impl Fn(Option<&str>) -> Result<Option<String>, E>,
    ) -> Result<StreamPos, E> {
        if kind.is_empty() || kind.len() > TYPE_BYTES_MAX {
            return Err(AccountsError::Invalid("type of account data").into());
        }
        let part = self.part(user);
        let key = key(room, kind);
        for _ in 0..ATTEMPTS_MAX {
            let row = self.data().get::<AccountDataRow>(part, &key).await;
            let row = row.map_err(AccountsError::from)?;
            let old = row.as_ref().and_then(|row| row.value.as_deref());
            let new: StoredAccountData = change(old)?;
            if same == Same::IsLeft && old == new.as_deref() {
                return Ok(row.map_or_else(|| self.data().position(), |row| row.pos));
            }
            if row.is_none() {
                self.check_room_for_type(user, room).await?;
            }
            new.as_deref().map(check_content).transpose()?;
            let version = row.map_or(0, |row| row.version);
            let mut write = Write::new(part);
            write.require_version::<AccountDataRow>(part, &key, version);
            write.put_version::<AccountDataRow>(part, &key, version + 1, &new);
            let room = room.map(ToOwned::to_owned);
            write.change(&Change::AccountData { user: user.to_owned(), room });
            match self.data().commit(write).await {
                Ok(pos) => return Ok(pos),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(AccountsError::from(error).into()),
            }
        }
        Err(AccountsError::Busy.into())
    }

    /// New types are rare, so the count is made only for them.
    async fn check_room_for_type(
        &self,
        user: &UserId,
        room: Option<&RoomId>,
    ) -> Result<(), AccountsError> {
        let (prefix, max) = match room {
            Some(room) => (room.to_string(), ROOM_TYPES_MAX),
            None => (String::new(), GLOBAL_TYPES_MAX),
        };
        let page = self.data().list::<AccountDataRow>(self.part(user), &prefix, max).await?;
        if page.rows.len() >= max as usize {
            return Err(AccountsError::TooMany("types of account data"));
        }
        Ok(())
    }
}

fn key(room: Option<&RoomId>, kind: &str) -> (String, String) {
    (room.map(ToString::to_string).unwrap_or_default(), kind.to_owned())
}

fn raw(json: String) -> Box<RawValue> {
    // Checked when it was written; `{}` is what a client can live with otherwise.
    RawValue::from_string(json).unwrap_or_else(|_| {
        RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
    })
}

fn check_client_may_set(kind: &str) -> Result<(), AccountsError> {
    match SERVER_MANAGED.into_iter().find(|managed| *managed == kind) {
        Some(managed) => Err(AccountsError::ServerManaged(managed)),
        None => Ok(()),
    }
}

/// `content` is JSON; is it an object that can be stored?
fn check_content(content: &str) -> Result<(), AccountsError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(AccountsError::TooLarge("account data"));
    }
    if !content.trim_start().starts_with('{') {
        return Err(AccountsError::NotAnObject);
    }
    Ok(())
}
