//! Somebody with a client set up as Element X sets up its own.

use std::{collections::BTreeMap, path::Path, sync::Mutex, sync::PoisonError};

use anyhow::{Context, Result, ensure};
use matrix_sdk::{
    Client, Room, RoomState, ThreadingSupport,
    config::RequestConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{
        OwnedRoomId, OwnedUserId, RoomId, TransactionId,
        api::client::{
            account::register,
            keys::upload_keys,
            to_device::send_event_to_device,
            uiaa::{AuthData, Dummy, MatrixUserIdentifier, Password, UserIdentifier},
        },
        events::ToDeviceEventType,
        serde::Raw,
        uint,
    },
    sliding_sync,
};
use matrix_sdk_ui::sync_service::SyncService;
use serde_json::json;
use tempfile::TempDir;

use crate::{Homeserver, Talk, until};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// A signed-in device that syncs: sliding sync for rooms, and a second connection for keys.
pub struct Person {
    pub client: Client,
    sync: SyncService,
    /// Sliding sync forgets the earlier subscriptions with each new one.
    open: Mutex<Vec<OwnedRoomId>>,
    home: TempDir,
}

impl Person {
    /// Make an account and sign in to it.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn new(server: &impl Homeserver, name: &str) -> Result<Self> {
        register(server, name).await?;
        Self::sign_in(server, name).await
    }

    /// Sign in with the password: one more device of this user.
    ///
    /// # Errors
    /// If the server refuses or its device's keys cannot be uploaded.
    pub async fn sign_in(server: &impl Homeserver, name: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let client = build(server, home.path()).await?;
        let login = client.matrix_auth().login_username(name, PASSWORD);
        login.initial_device_display_name("a test's device").send().await.context("login")?;
        Self::start(client, home).await
    }

    async fn start(client: Client, home: TempDir) -> Result<Self> {
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        let sync = SyncService::builder(client.clone()).with_offline_mode().build().await?;
        sync.start().await;
        // Others can encrypt for this device only from here on.
        until("the device's one-time keys are on the server", async || {
            let counts = client.send(upload_keys::v3::Request::new()).await.ok()?;
            counts.one_time_key_counts.values().any(|count| *count > uint!(0)).then_some(())
        })
        .await?;
        Ok(Self { client, sync, open: Mutex::default(), home })
    }

    /// Close the app and open it again: the same device, everything read from its own database.
    ///
    /// # Errors
    /// If there is no session to go on with.
    pub async fn reopened(self, server: &impl Homeserver) -> Result<Self> {
        let Self { client, sync, home, .. } = self;
        let session = client.matrix_auth().session().context("a session")?;
        sync.stop().await;
        drop((sync, client));
        let client = build(server, home.path()).await?;
        client.restore_session(session).await?;
        Self::start(client, home).await
    }

    /// The full id.
    ///
    /// # Panics
    /// If the device is logged out.
    pub fn id(&self) -> OwnedUserId {
        self.client.user_id().expect("signed in").to_owned()
    }

    pub fn sync(&self) -> &SyncService {
        &self.sync
    }

    /// The room as this device knows it, once it is in that state.
    ///
    /// # Errors
    /// If it does not get there.
    pub async fn room(&self, id: &RoomId, state: RoomState) -> Result<Room> {
        let what = format!("{} sees {id} as {state:?}", self.id());
        until(&what, async || self.client.get_room(id).filter(|room| room.state() == state)).await
    }

    /// Wait for the invitation and accept it.
    ///
    /// # Errors
    /// If it does not arrive or the server refuses.
    pub async fn accept(&self, id: &RoomId) -> Result<Room> {
        let room = self.room(id, RoomState::Invited).await?;
        room.join().await.context("join")?;
        self.room(id, RoomState::Joined).await
    }

    /// Open a joined room on the screen: subscribe to it and keep its timeline.
    ///
    /// # Errors
    /// If this device does not come to know the room.
    pub async fn open(&self, id: &RoomId) -> Result<Talk> {
        let room = self.room(id, RoomState::Joined).await?;
        // Built before sync is asked for more events: see the README for what happens otherwise.
        let talk = Talk::new(room).await?;
        let open = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.push(id.to_owned());
            open.clone()
        };
        let open: Vec<&RoomId> = open.iter().map(AsRef::as_ref).collect();
        self.sync.room_list_service().subscribe_to_rooms(&open).await;
        Ok(talk)
    }

    /// Let the connection for keys turn once, with a message of this device to itself.
    ///
    /// The library sends what a verification in a room says next only when that connection turns, which
    /// otherwise is when its long poll ends.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn turn(&self) -> Result<()> {
        let device = self.client.device_id().context("a device")?.to_owned();
        let nothing = Raw::new(&json!({}))?.cast_unchecked();
        let to = BTreeMap::from([(device.into(), nothing)]);
        let message = send_event_to_device::v3::Request::new_raw(
            ToDeviceEventType::Dummy,
            TransactionId::new(),
            BTreeMap::from([(self.id(), to)]),
        );
        self.client.send(message).await.context("a message to itself")?;
        Ok(())
    }

    /// What a client answers when the server wants to see the password again.
    pub fn password_again(&self, session: Option<String>) -> AuthData {
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.id().to_string()));
        let mut password = Password::new(user, PASSWORD.to_owned());
        password.session = session;
        AuthData::Password(password)
    }
}

/// As Element X builds its client, apart from the retries: an error of the server shall show.
async fn build(server: &impl Homeserver, home: &Path) -> Result<Client> {
    let client = Client::builder()
        .homeserver_url(server.url())
        .sqlite_store(home, None)
        .handle_refresh_tokens()
        .sliding_sync_version_builder(sliding_sync::VersionBuilder::DiscoverNative)
        .with_threading_support(ThreadingSupport::Enabled { with_subscriptions: true })
        .with_encryption_settings(EncryptionSettings {
            auto_enable_cross_signing: true,
            backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
            auto_enable_backups: true,
        })
        .request_config(RequestConfig::new().retry_limit(3));
    Ok(client.build().await?)
}

/// Make an account in the two steps of the registration API, without signing in.
async fn register(server: &impl Homeserver, name: &str) -> Result<()> {
    let client = Client::builder().homeserver_url(server.url()).build().await?;
    let mut request = register::v3::Request::new();
    request.username = Some(name.to_owned());
    request.password = Some(PASSWORD.to_owned());
    request.inhibit_login = true;
    let asked = client.matrix_auth().register(request.clone()).await;
    let error = asked.err().context("registration without any stage went through")?;
    let stages = error.as_uiaa_response().context(format!("no stages are offered: {error}"))?;
    let mut dummy = Dummy::new();
    dummy.session = stages.session.clone();
    request.auth = Some(AuthData::Dummy(dummy));
    let made = client.matrix_auth().register(request).await.context("registration")?;
    ensure!(made.user_id == format!("@{name}:{}", server.name()), "made {}", made.user_id);
    ensure!(made.access_token.is_none(), "a login that was not asked for");
    Ok(())
}
