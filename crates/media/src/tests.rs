//! The rules of the domain against the in-memory store and a temporary folder.

mod stored;
mod thumbnails;
mod uploads;

use std::time::Duration;

use blaupause_data::{Data, Db, Env};
use blaupause_federation::Federation;
use blaupause_outbound::{Outbound, OutboundSettings};
use blaupause_store::MemStore;
use bytes::Bytes;
use ruma::{OwnedMxcUri, OwnedUserId, UserId, server_name, user_id};
use tempfile::TempDir;

use crate::{Download, Media, MediaError, Settings};

const NO_WAIT: Duration = Duration::ZERO;

/// A server of its own.
struct World {
    media: Media,
    data: Data,
    store: MemStore,
    folder: TempDir,
}

fn nowhere() -> Outbound {
    Outbound::new(OutboundSettings::default()).expect("a client")
}

fn anna() -> OwnedUserId {
    user_id!("@anna:a.example").to_owned()
}

impl World {
    async fn new() -> Self {
        let free_bytes_min = 0;
        Self::with(Settings { upload_bytes_max: 10_000_000, free_bytes_min, ..Settings::default() })
            .await
    }

    async fn with(settings: Settings) -> Self {
        let store = MemStore::new();
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::manual(1_800_000_000_000);
        let db = Db::Mem(store.clone());
        let data = Data::open(db, server_name!("a.example"), env).await.expect("memory opens");
        let settings = Settings { path: folder.path().to_owned(), ..settings };
        let media = Media::open(data.clone(), Federation::off(data.clone()), nowhere(), settings)
            .await
            .expect("the folder can be written");
        Self { media, data, store, folder }
    }

    async fn upload(&self, bytes: &[u8], content_type: &str) -> OwnedMxcUri {
        let mut upload = self.media.upload(&anna()).await.expect("begins");
        upload.write(&Bytes::copy_from_slice(bytes)).await.expect("fits");
        upload.finish(Some(content_type.to_owned()), None).await.expect("is stored")
    }

    async fn download(&self, uri: &OwnedMxcUri) -> Result<Download, MediaError> {
        let (server, id) = uri.parts().expect("a good URI");
        self.media.download(server, id, NO_WAIT).await
    }

    async fn upload_to(&self, user: &UserId, uri: &OwnedMxcUri) -> Result<(), MediaError> {
        let (server, id) = uri.parts().expect("a good URI");
        let mut upload = self.media.upload_created(user, server, id).await?;
        upload.write(&Bytes::from_static(b"later")).await?;
        upload.finish(None, None).await.map(drop)
    }

    fn advance(&self, seconds: u64) {
        self.data.env().advance(Duration::from_secs(seconds));
    }

    /// Reads and commits of an action, printed and held to a budget.
    async fn budget<T>(&self, what: &str, most: (u64, u64), action: impl Future<Output = T>) -> T {
        let before = self.store.round_trips();
        let done = action.await;
        let after = self.store.round_trips();
        let spent = (after.0 - before.0, after.1 - before.1);
        println!("budget: {what}: {spent:?} of {most:?} (reads, commits)");
        assert!(spent.0 <= most.0 && spent.1 <= most.1, "{what}: {spent:?} of {most:?}");
        done
    }

    /// Files that are not (or no longer) being written, and those that are.
    fn files(&self) -> (usize, usize) {
        let mut folders = vec![self.folder.path().to_owned()];
        let (mut whole, mut incoming) = (0, 0);
        while let Some(folder) = folders.pop() {
            let is_incoming = folder.ends_with("incoming");
            for entry in std::fs::read_dir(folder).expect("the folder reads") {
                let path = entry.expect("an entry").path();
                match (path.is_dir(), is_incoming) {
                    (true, _) => folders.push(path),
                    (false, true) => incoming += 1,
                    (false, false) => whole += 1,
                }
            }
        }
        (whole, incoming)
    }
}
