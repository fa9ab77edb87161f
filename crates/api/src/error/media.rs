use std::io::ErrorKind;

use blaupause_media::MediaError;
use http::StatusCode;

use crate::ApiError;

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        let text = error.to_string();
        match error {
            MediaError::Unknown | MediaError::Quarantined => Self::not_found(text),
            MediaError::NotYetUploaded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", text)
            }
            MediaError::AlreadyUploaded => {
                Self::new(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA", text)
            }
            MediaError::NotYours => Self::forbidden(text),
            MediaError::TooManyPending => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", text)
            }
            MediaError::TooLarge { .. } => Self::too_large(text),
            MediaError::TooLargeElsewhere { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "M_TOO_LARGE", text)
            }
            MediaError::NoThumbnail(_) => Self::unknown(text),
            MediaError::NoSpace => Self::disk_full(text),
            MediaError::Folder(error) if error.kind() == ErrorKind::StorageFull => {
                Self::disk_full(text)
            }
            MediaError::Folder(error) => Self::internal(&error),
            MediaError::Federation(error) => error.into(),
            MediaError::Data(error) => error.into(),
        }
    }
}
