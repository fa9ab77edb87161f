//! Files of other servers: fetched when somebody first asks for them, then kept as our own are
//! (spec: server-server API, "Content Repository").

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use blaupause_data::{DataError, Write};
use blaupause_federation::{CallLimits, FederationError};
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedUserId, ServerName,
    api::federation::authenticated_media::{
        Content as FetchedFile, FileOrLocation, get_content::v1::Request,
    },
};
use tokio::sync::Semaphore;

use crate::{
    Media, MediaError, MediaInfo,
    rows::{Content, MediaRow, media_name, media_part},
    upload::shortened_names,
};

/// Files that are fetched at once: each is in memory until it is written.
const FETCHES_AT_ONCE: usize = 4;
/// Files of which it is remembered that somebody fetches them.
const FETCHED_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// How long the other server may take.
const FETCH_TIME: Duration = Duration::from_secs(120);
/// How long it may wait for a file that is not uploaded yet.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// What an answer may have besides the file.
const ANSWER_BYTES_MORE: u64 = 64 * 1024;

/// What this part keeps in memory.
pub(crate) struct Fetches {
    turns: Semaphore,
    /// One at a time of each file: whoever waits finds it.
    under_way: Mutex<LruCache<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Fetches {
    fn default() -> Self {
        let under_way = Mutex::new(LruCache::new(FETCHED_MAX));
        Self { turns: Semaphore::new(FETCHES_AT_ONCE), under_way }
    }
}

impl Media {
    /// Fetch a file of another server, unless it is here. Durable when this returns.
    ///
    /// # Errors
    /// The server does not have or does not give it, or it is too large.
    pub(crate) async fn fetch(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<MediaInfo, MediaError> {
        let name = media_name(server, id);
        let one = {
            let mut under_way = self.fetches().under_way.lock();
            Arc::clone(under_way.get_or_insert_mut(name.clone(), Arc::default))
        };
        let _one = one.lock().await;
        if let Some(info) = self.info(server, id).await? {
            return Ok(info);
        }
        // Of a server that this one does not speak with there are no files.
        self.federation().permits(server).map_err(|_| MediaError::Unknown)?;
        self.check_space()?;
        let _turn = self.fetches().turns.acquire().await;
        let file = self.ask_for(server, id, timeout).await?;
        self.keep_fetched(server, name, file).await
    }

    async fn ask_for(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<FetchedFile, MediaError> {
        let bytes_max = self.settings().upload_bytes_max;
        let answer_bytes = usize::try_from(bytes_max + ANSWER_BYTES_MORE).unwrap_or(usize::MAX);
        let mut request = Request::new(id.to_owned());
        request.timeout_ms = timeout.min(WAIT_MAX);
        let limits = CallLimits { time: FETCH_TIME, answer_bytes };
        let said = self.federation().call_within(server, request, limits).await;
        match said.map(|said| said.content) {
            Ok(FileOrLocation::File(file)) if file.file.len() as u64 > bytes_max => {
                Err(MediaError::TooLarge { bytes_max })
            }
            Ok(FileOrLocation::File(file)) => Ok(file),
            Ok(_) => Err(FederationError::BadAnswer("the file lies elsewhere".into()).into()),
            Err(FederationError::TooLarge) => Err(MediaError::TooLarge { bytes_max }),
            Err(FederationError::Remote { errcode, .. }) if errcode == "M_NOT_YET_UPLOADED" => {
                Err(MediaError::NotYetUploaded)
            }
            Err(FederationError::Remote { status: 404, .. }) => Err(MediaError::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep_fetched(
        &self,
        server: &ServerName,
        name: String,
        file: FetchedFile,
    ) -> Result<MediaInfo, MediaError> {
        let mut writer = self.blobs().writer(self.data().env()).await?;
        writer.write(&Bytes::from(file.file)).await?;
        let (blob, size_bytes) = writer.finish().await?;
        let file_name = file.content_disposition.and_then(|it| it.filename);
        let (content_type, file_name) = shortened_names(file.content_type, file_name);
        let info = MediaInfo {
            uploader: unknown_uploader(server)?,
            created_ms: self.data().env().now_millis(),
            content: Some(Content { blob, size_bytes, content_type, file_name }),
            quarantined: false,
            name,
        };
        let home = media_part(self.data(), &info.name);
        let mut write = Write::new(home);
        write.require_version::<MediaRow>(home, &(), 0);
        write.put_version::<MediaRow>(home, &(), 1, &info);
        match self.data().commit(write).await {
            // Somebody else was faster, or two names share a partition: this answer holds.
            Ok(_) | Err(DataError::Conflict { .. }) => Ok(info),
            Err(error) => Err(error.into()),
        }
    }
}

/// Who uploaded the file only its server knows.
fn unknown_uploader(server: &ServerName) -> Result<OwnedUserId, MediaError> {
    OwnedUserId::try_from(format!("@unknown:{server}")).map_err(|_| MediaError::Unknown)
}
