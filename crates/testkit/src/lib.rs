//! A server in memory for tests: a store that counts round trips, a clock that only tests move,
//! and short words for what people do.
//!
//! Only for `dev-dependencies`. What goes wrong here panics: the test has failed then.

use blaupause_accounts::{Accounts, NewAccount};
use blaupause_data::{Data, Db, Env, Event, Member};
use blaupause_federation::Federation;
use blaupause_rooms::{
    ChangeMembership, CreateRoom, MembershipAction, Preset, Redact, Rooms, RoomsError, SendEvent,
    SendState, Transaction,
};
use blaupause_store::MemStore;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, ServerName, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Value, value::RawValue};

/// Where the clock of every test starts: 14 November 2023.
pub const START_MS: u64 = 1_700_000_000_000;

/// One server in memory.
#[derive(Clone)]
pub struct TestServer {
    pub store: MemStore,
    pub data: Data,
    pub accounts: Accounts,
    /// Off: there is only this server.
    pub federation: Federation,
    pub rooms: Rooms,
}

impl TestServer {
    /// `example.org`, empty, with default settings.
    pub async fn new() -> Self {
        let store = MemStore::new();
        Self::over(store.clone(), Db::Mem(store), blaupause_rooms::Settings::default()).await
    }

    /// As [`TestServer::new`], with other settings for rooms.
    pub async fn with_rooms(settings: blaupause_rooms::Settings) -> Self {
        let store = MemStore::new();
        Self::over(store.clone(), Db::Mem(store), settings).await
    }

    /// The same over an engine with a disk, whose batches become durable some time after they
    /// were queued. Round trips are not counted.
    pub async fn on(db: Db) -> Self {
        Self::over(MemStore::new(), db, blaupause_rooms::Settings::default()).await
    }

    async fn over(store: MemStore, db: Db, settings: blaupause_rooms::Settings) -> Self {
        let name = ServerName::parse("example.org").expect("a name");
        let data = Data::open(db, &name, Env::manual(START_MS)).await.expect("an empty store");
        let accounts = Accounts::new(data.clone(), blaupause_accounts::Settings::default());
        let federation = Federation::off(data.clone());
        let rooms = Rooms::new(data.clone(), accounts.clone(), federation.clone(), settings);
        Self { store, data, accounts, federation, rooms }
    }

    /// A user id of this server. Rooms do not ask whether there is an account.
    pub fn user(&self, localpart: &str) -> OwnedUserId {
        UserId::parse(format!("@{localpart}:{}", self.data.server_name())).expect("a user id")
    }

    /// An account without a password.
    pub async fn account(&self, localpart: &str) -> OwnedUserId {
        let new = NewAccount { localpart: localpart.to_owned(), password: None, admin: false };
        self.accounts.create(new).await.expect("a new account")
    }

    /// A room that everybody may join, of the default version.
    pub async fn public_room(&self, creator: &UserId) -> OwnedRoomId {
        self.room(creator, Preset::Public, None).await
    }

    /// A room that people are invited to, of the default version.
    pub async fn private_room(&self, creator: &UserId) -> OwnedRoomId {
        self.room(creator, Preset::Private, None).await
    }

    /// A room with a preset, of a version or of the default one.
    pub async fn room(
        &self,
        creator: &UserId,
        preset: Preset,
        version: Option<RoomVersionId>,
    ) -> OwnedRoomId {
        let mut request = CreateRoom::new(creator.to_owned());
        request.preset = Some(preset);
        request.version = version;
        self.rooms.create(request).await.expect("a room")
    }

    /// Somebody joins.
    pub async fn join(&self, user: &UserId, room: &RoomId) -> Result<(), RoomsError> {
        self.change(ChangeMembership::own(room.to_owned(), user.to_owned(), MembershipAction::Join))
            .await
    }

    /// Somebody leaves.
    pub async fn leave(&self, user: &UserId, room: &RoomId) -> Result<(), RoomsError> {
        self.change(ChangeMembership::own(
            room.to_owned(),
            user.to_owned(),
            MembershipAction::Leave,
        ))
        .await
    }

    /// Somebody does something to another person's membership.
    pub async fn act(
        &self,
        sender: &UserId,
        action: MembershipAction,
        target: &UserId,
        room: &RoomId,
    ) -> Result<(), RoomsError> {
        self.change(ChangeMembership::of(
            room.to_owned(),
            sender.to_owned(),
            target.to_owned(),
            action,
        ))
        .await
    }

    async fn change(&self, change: ChangeMembership) -> Result<(), RoomsError> {
        self.rooms.change_membership(&change).await
    }

    /// Somebody says something.
    pub async fn say(
        &self,
        user: &UserId,
        room: &RoomId,
        text: &str,
    ) -> Result<OwnedEventId, RoomsError> {
        let content = serde_json::json!({ "msgtype": "m.text", "body": text });
        self.send(user, room, "m.room.message", content, None).await
    }

    /// Somebody sends a message event, perhaps under a transaction id of the device `DEVICE`.
    pub async fn send(
        &self,
        user: &UserId,
        room: &RoomId,
        kind: &str,
        content: Value,
        transaction: Option<&str>,
    ) -> Result<OwnedEventId, RoomsError> {
        let event = SendEvent {
            room: room.to_owned(),
            sender: user.to_owned(),
            kind: TimelineEventType::from(kind),
            content: raw(&content),
            transaction: transaction.map(transaction_of),
            timestamp: None,
            sticky_ms: None,
        };
        self.rooms.send(event).await
    }

    /// Somebody sets a state event.
    pub async fn set(
        &self,
        user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomsError> {
        let state = SendState {
            room: room.to_owned(),
            sender: user.to_owned(),
            kind: StateEventType::from(kind),
            state_key: state_key.to_owned(),
            content: raw(&content),
            timestamp: None,
            sticky_ms: None,
        };
        self.rooms.send_state(state).await
    }

    /// Somebody redacts an event.
    pub async fn redact(
        &self,
        user: &UserId,
        room: &RoomId,
        event: &OwnedEventId,
    ) -> Result<OwnedEventId, RoomsError> {
        let redact = Redact {
            room: room.to_owned(),
            sender: user.to_owned(),
            event: event.clone(),
            reason: None,
            transaction: None,
            timestamp: None,
            own_only: false,
        };
        self.rooms.redact(redact).await
    }

    /// Content of a current state event.
    pub async fn state(&self, room: &RoomId, kind: &str, state_key: &str) -> Option<Value> {
        let name = (StateEventType::from(kind), state_key.to_owned());
        let event =
            self.rooms.current_state(room, &[name]).await.expect("the store reads").pop()?;
        event?.content_as()
    }

    /// What somebody is to a room.
    pub async fn membership(&self, user: &UserId, room: &RoomId) -> Option<Member> {
        let row = self.data.membership(user, room).await.expect("the store reads")?;
        Some(row.membership)
    }

    /// The room's timeline, oldest first.
    pub async fn timeline(&self, room: &RoomId) -> Vec<std::sync::Arc<Event>> {
        use blaupause_data::rows::TimelineRow;
        let part = self.data.parts().room(room);
        let rows = self.data.list::<TimelineRow>(part, &(), u32::MAX).await.expect("reads").rows;
        let numbers: Vec<_> = rows.into_iter().map(|(_, row)| (part, row.value.no)).collect();
        let events = self.data.events(&numbers).await.expect("the store reads");
        events.into_iter().flatten().collect()
    }

    /// Reads and commits that an action needs.
    pub async fn round_trips<T>(&self, action: impl Future<Output = T>) -> (T, u64, u64) {
        let (reads, commits) = self.store.round_trips();
        let done = action.await;
        let (reads_after, commits_after) = self.store.round_trips();
        (done, reads_after - reads, commits_after - commits)
    }
}

/// What an action may cost: reads and commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub reads: u64,
    pub commits: u64,
}

/// Run an action, print what it cost, and fail if that is more than its budget.
///
/// # Panics
/// If the action needs more round trips than allowed.
pub async fn budget<T>(
    store: &MemStore,
    what: &str,
    most: Budget,
    action: impl Future<Output = T>,
) -> T {
    let before = store.round_trips();
    let done = action.await;
    let after = store.round_trips();
    let (reads, commits) = (after.0 - before.0, after.1 - before.1);
    let Budget { reads: most_reads, commits: most_commits } = most;
    println!("budget: {what}: {reads} of {most_reads} reads, {commits} of {most_commits} commits");
    assert!(reads <= most_reads, "{what}: {reads} reads, {most_reads} are allowed");
    assert!(commits <= most_commits, "{what}: {commits} commits, {most_commits} are allowed");
    done
}

/// JSON as event content.
pub fn raw(content: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(content).expect("JSON")
}

/// A transaction id of the device `DEVICE`.
pub fn transaction_of(id: &str) -> Transaction {
    Transaction { device: "DEVICE".to_owned(), id: id.to_owned() }
}
