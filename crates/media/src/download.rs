//! Handing files out.

use std::{path::PathBuf, time::Duration};

use ruma::ServerName;

use crate::{
    Media, MediaError, MediaInfo,
    rows::{Content, MediaRow, media_name, media_part},
};

/// Longest wait for content that was not uploaded yet (spec: `timeout_ms`).
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A file to hand out.
#[derive(Clone, Debug)]
pub struct Download {
    pub path: PathBuf,
    pub content: Content,
}

impl Media {
    /// A file of this server, or of another one, from where it is fetched. Waits up to `timeout` if only its id exists.
    ///
    /// # Errors
    /// Unknown, withdrawn, or not uploaded within the time.
    pub async fn download(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<Download, MediaError> {
        let (_, content) = self.content(server, id, timeout).await?;
        Ok(Download { path: self.blobs().path(content.blob), content })
    }

    pub(crate) async fn content(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<(MediaInfo, Content), MediaError> {
        let deadline = tokio::time::sleep(timeout.min(WAIT_MAX));
        tokio::pin!(deadline);
        loop {
            // Listen first, look second: content that arrives in between wakes us.
            let arrived = self.arrived().notified();
            let info = match self.info(server, id).await? {
                Some(info) => info,
                None if server != self.data().server_name() => {
                    self.fetch(server, id, timeout).await?
                }
                None => return Err(MediaError::Unknown),
            };
            if info.quarantined {
                return Err(MediaError::Quarantined);
            }
            if let Some(content) = info.content.clone() {
                return Ok((info, content));
            }
            if info.created_ms + self.settings().unused_expires_ms < self.data().env().now_millis()
            {
                return Err(MediaError::Unknown);
            }
            tokio::select! {
                () = arrived => {}
                () = &mut deadline => return Err(MediaError::NotYetUploaded),
                () = self.data().env().answer_now().cancelled() => return Err(MediaError::NotYetUploaded),
            }
        }
    }

    /// What is known about a media id; of other servers' those that were fetched.
    ///
    /// # Errors
    /// The store failed.
    pub async fn info(
        &self,
        server: &ServerName,
        id: &str,
    ) -> Result<Option<MediaInfo>, MediaError> {
        let name = media_name(server, id);
        let row = self.data().get::<MediaRow>(media_part(self.data(), &name), &()).await?;
        Ok(row.map(|row| row.value).filter(|info| info.name == name))
    }
}
