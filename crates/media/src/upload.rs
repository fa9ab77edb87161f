//! Taking files in.

use blaupause_data::{DataError, LIMITS, Write};
use bytes::Bytes;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedMxcUri, ServerName, UInt, UserId};

use crate::{
    BlobWriter, Media, MediaError, MediaInfo,
    rows::{Content, MediaRow, PendingRow, media_name, media_part},
};

/// Bytes of a file name that are kept.
const FILE_NAME_BYTES_MAX: usize = 255;
/// Bytes of a content type that are kept.
const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// A new media id that waits for its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub uri: OwnedMxcUri,
    /// After this time the id is no longer valid.
    pub expires: MilliSecondsSinceUnixEpoch,
}

/// An upload under way: write chunks, then finish.
#[derive(Debug)]
pub struct Upload {
    media: Media,
    writer: BlobWriter,
    /// The id and the version of its row.
    id: String,
    version: u64,
    info: MediaInfo,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Media")
    }
}

impl Media {
    fn new_info(&self, id: &str, uploader: &UserId) -> MediaInfo {
        MediaInfo {
            name: media_name(self.data().server_name(), id),
            uploader: uploader.to_owned(),
            created_ms: self.data().env().now_millis(),
            content: None,
            quarantined: false,
        }
    }

    fn new_id(&self) -> String {
        self.data().env().random_text::<18>()
    }

    fn uri(&self, id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{id}", self.data().server_name()).into()
    }

    /// Begin an upload under a new id (`POST /media/v3/upload`).
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn upload(&self, uploader: &UserId) -> Result<Upload, MediaError> {
        let id = self.new_id();
        let info = self.new_info(&id, uploader);
        self.begin(id, 0, info).await
    }

    /// Make an id whose content follows (`POST /media/v1/create`).
    ///
    /// # Errors
    /// The user has too many ids without content, or the store failed.
    pub async fn create(&self, uploader: &UserId) -> Result<Created, MediaError> {
        let data = self.data();
        let settings = self.settings();
        let now = data.env().now_millis();
        let part = data.parts().user(uploader);
        let pending = data.list::<PendingRow>(part, &(), LIMITS.scan_rows_max).await?;
        let expired = |created: u64| created + settings.unused_expires_ms < now;
        let alive = pending.rows.iter().filter(|(_, row)| !expired(row.value)).count();
        if alive >= settings.pending_per_user_max {
            return Err(MediaError::TooManyPending);
        }
        let id = self.new_id();
        let info = self.new_info(&id, uploader);
        let mut write = Write::new(part);
        for (old, _) in pending.rows.iter().filter(|(_, row)| expired(row.value)) {
            write.del::<PendingRow>(part, old);
            write.del::<MediaRow>(media_part(data, &media_name(data.server_name(), old)), &());
        }
        let home = media_part(data, &info.name);
        write.require_version::<MediaRow>(home, &(), 0);
        write.put_version::<MediaRow>(home, &(), 1, &info);
        write.put::<PendingRow>(part, &id, &now);
        data.commit(write).await?;
        let expires = UInt::new_saturating(now + settings.unused_expires_ms);
        Ok(Created { uri: self.uri(&id), expires: MilliSecondsSinceUnixEpoch(expires) })
    }

    /// Begin the upload of a created id's content (`PUT /media/v3/upload/{server}/{id}`).
    ///
    /// # Errors
    /// Unknown, expired, somebody else's or already uploaded.
    pub async fn upload_created(
        &self,
        uploader: &UserId,
        server: &ServerName,
        id: &str,
    ) -> Result<Upload, MediaError> {
        let name = media_name(server, id);
        let row = self.data().get::<MediaRow>(media_part(self.data(), &name), &()).await?;
        let row = row.filter(|row| row.name == name).ok_or(MediaError::Unknown)?;
        if row.uploader != uploader {
            return Err(MediaError::NotYours);
        }
        if row.content.is_some() {
            return Err(MediaError::AlreadyUploaded);
        }
        if row.created_ms + self.settings().unused_expires_ms < self.data().env().now_millis() {
            return Err(MediaError::Unknown);
        }
        self.begin(id.to_owned(), row.version, row.value).await
    }

    /// Files must not fill the disk, neither their own nor the database's.
    pub(crate) fn check_space(&self) -> Result<(), MediaError> {
        let disk = rustix::fs::statvfs(&self.settings().path).map_err(std::io::Error::from)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free_bytes < self.settings().free_bytes_min || !self.data().db().health().has_space() {
            return Err(MediaError::NoSpace);
        }
        Ok(())
    }

    async fn begin(&self, id: String, version: u64, info: MediaInfo) -> Result<Upload, MediaError> {
        self.check_space()?;
        let writer = self.blobs().writer(self.data().env()).await?;
        Ok(Upload { media: self.clone(), writer, id, version, info })
    }
}

impl Upload {
    /// Add bytes.
    ///
    /// # Errors
    /// The file grows beyond the limit, or cannot be written.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), MediaError> {
        let bytes_max = self.media.settings().upload_bytes_max;
        if self.writer.size_bytes() + bytes.len() as u64 > bytes_max {
            return Err(MediaError::TooLarge { bytes_max });
        }
        Ok(self.writer.write(bytes).await?)
    }

    /// The file and its id are durable when this returns.
    ///
    /// # Errors
    /// Somebody else finished the same id first, or file or store cannot be written.
    pub async fn finish(
        self,
        content_type: Option<String>,
        file_name: Option<String>,
    ) -> Result<OwnedMxcUri, MediaError> {
        let Self { media, writer, id, version, mut info } = self;
        let (blob, size_bytes) = writer.finish().await?;
        let (content_type, file_name) = shortened_names(content_type, file_name);
        info.content = Some(Content { blob, size_bytes, content_type, file_name });
        let data = media.data();
        let home = media_part(data, &info.name);
        let mut write = Write::new(home);
        write.require_version::<MediaRow>(home, &(), version);
        write.put_version::<MediaRow>(home, &(), version + 1, &info);
        write.del::<PendingRow>(data.parts().user(&info.uploader), &id);
        match data.commit(write).await {
            Ok(_) => {}
            Err(DataError::Conflict { .. }) => return Err(MediaError::AlreadyUploaded),
            Err(error) => return Err(error.into()),
        }
        media.arrived().notify_waiters();
        Ok(media.uri(&id))
    }
}

/// A content type and a file name as they are kept.
pub(crate) fn shortened_names(
    content_type: Option<String>,
    file_name: Option<String>,
) -> (Option<String>, Option<String>) {
    (
        content_type.map(|text| shortened(text, CONTENT_TYPE_BYTES_MAX)),
        file_name.map(|text| shortened(text, FILE_NAME_BYTES_MAX)),
    )
}

fn shortened(mut text: String, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
