//! Files of other servers: fetched when somebody first asks for them, then kept as our own are
//! (spec: server-server API, "Content Repository").
//!
//! Nothing of a file is in memory but the piece that is being written. A file that does not end as
//! it should is thrown away before anybody sees it.

mod answer;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use blaupause_data::{DataError, Write};
use blaupause_federation::{CallLimits, FederationError};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedServerName, OwnedUserId, ServerName,
    api::federation::authenticated_media::get_content::v1::Request,
};
use tokio::sync::Semaphore;

use self::answer::is_in_parts;
use crate::{
    Media, MediaError, MediaInfo,
    rows::{Content, MediaRow, media_name, media_part},
};

/// Files that are fetched at once …
const FETCHES_AT_ONCE: usize = 64;
/// … and of one server: a slow one must not hold up the files of others.
const FETCHES_PER_SERVER: usize = 8;
/// Files, and servers, of which it is remembered that somebody fetches them.
const FETCHED_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// How long a file may take. Its pieces have a time of their own.
const FETCH_TIME: Duration = Duration::from_secs(5 * 60);
/// How long the other server may wait for a file that is not uploaded yet.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// What an answer may have besides the file.
const ANSWER_BYTES_MORE: u64 = 64 * 1024;

/// What this part keeps in memory.
pub(crate) struct Fetches {
    turns: Semaphore,
    of_servers: Mutex<LruCache<OwnedServerName, Arc<Semaphore>>>,
    /// One at a time of each file: whoever waits finds it.
    under_way: Mutex<LruCache<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(FETCHES_AT_ONCE),
            of_servers: Mutex::new(LruCache::new(FETCHED_MAX)),
            under_way: Mutex::new(LruCache::new(FETCHED_MAX)),
        }
    }
}

impl Fetches {
    fn of_server(&self, server: &ServerName) -> Arc<Semaphore> {
        let mut servers = self.of_servers.lock();
        let new = || Arc::new(Semaphore::new(FETCHES_PER_SERVER));
        Arc::clone(servers.get_or_insert(server.to_owned(), new))
    }

    fn of_file(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut files = self.under_way.lock();
        Arc::clone(files.get_or_insert(name.to_owned(), Arc::default))
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
        let one = self.fetches().of_file(&name);
        let _one = one.lock().await;
        if let Some(info) = self.info(server, id).await? {
            return Ok(info);
        }
        // Of a server that this one does not speak with there are no files.
        self.federation().permits(server).map_err(|_| MediaError::Unknown)?;
        self.check_space()?;
        let turns = self.fetches().of_server(server);
        let _turn_of_server = turns.acquire().await;
        let _turn = self.fetches().turns.acquire().await;
        let content = self.ask_for(server, id, timeout.min(WAIT_MAX)).await?;
        self.keep_fetched(server, name, content).await
    }

    /// The file as its server gives it, on our disk.
    async fn ask_for(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<Content, MediaError> {
        let bytes_max = self.settings().upload_bytes_max;
        let answer_bytes = usize::try_from(bytes_max + ANSWER_BYTES_MORE).unwrap_or(usize::MAX);
        let limits = CallLimits { time: FETCH_TIME, answer_bytes };
        let mut request = Request::new(id.to_owned());
        request.timeout_ms = timeout;
        let asked = match self.federation().open(server, request, limits).await {
            Ok(answer) if is_in_parts(&answer) => self.take_parts(answer).await,
            // Before v1.11 of the specification servers gave files to everybody, and as they are.
            Ok(_) => self.ask_as_before(server, id, timeout, limits).await,
            Err(FederationError::Remote { status, ref errcode, .. })
                if knows_no_such_request(status, errcode) =>
            {
                self.ask_as_before(server, id, timeout, limits).await
            }
            Err(error) => Err(error.into()),
        };
        asked.map_err(|error| match error {
            MediaError::Federation(FederationError::TooLarge) | MediaError::TooLarge { .. } => {
                MediaError::TooLargeElsewhere { bytes_max }
            }
            MediaError::Federation(FederationError::Remote { status, errcode, .. }) => {
                match (status, &*errcode) {
                    (_, "M_NOT_YET_UPLOADED") => MediaError::NotYetUploaded,
                    (404, _) => MediaError::Unknown,
                    // Of the specification: too large for the other server itself.
                    (_, "M_TOO_LARGE") => MediaError::TooLargeElsewhere { bytes_max },
                    _ => FederationError::Remote { status, errcode, message: String::new() }.into(),
                }
            }
            other => other,
        })
    }

    async fn ask_as_before(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
        limits: CallLimits,
    ) -> Result<Content, MediaError> {
        // It must not ask a third server, nor lead us anywhere.
        let path = format!(
            "/_matrix/media/v3/download/{server}/{id}\
             ?allow_remote=false&allow_redirect=false&timeout_ms={}",
            timeout.as_millis()
        );
        let request = http::Request::get(path).body(bytes::Bytes::new());
        let request = request.map_err(|_| MediaError::Unknown)?;
        let answer = self.federation().open_as_is(server, request, limits).await?;
        self.take_file(answer).await
    }

    async fn keep_fetched(
        &self,
        server: &ServerName,
        name: String,
        content: Content,
    ) -> Result<MediaInfo, MediaError> {
        let info = MediaInfo {
            uploader: unknown_uploader(server)?,
            created_ms: self.data().env().now_millis(),
            content: Some(content),
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

/// Whether a server refused because it does not know the request: who has no errcode to tell has
/// not understood what was asked.
fn knows_no_such_request(status: u16, errcode: &str) -> bool {
    match errcode {
        "M_UNRECOGNIZED" => matches!(status, 404 | 405),
        "" => (400..500).contains(&status) && status != 429,
        _ => false,
    }
}

/// Who uploaded the file only its server knows.
fn unknown_uploader(server: &ServerName) -> Result<OwnedUserId, MediaError> {
    OwnedUserId::try_from(format!("@unknown:{server}")).map_err(|_| MediaError::Unknown)
}
