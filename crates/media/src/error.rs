use blaupause_data::DataError;
use blaupause_federation::FederationError;

/// Why a request about files was not done.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// No such media id, or not on this server.
    #[error("no such media")]
    Unknown,
    /// The id exists, its content was not uploaded yet.
    #[error("the content was not uploaded yet")]
    NotYetUploaded,
    /// The id already has its content.
    #[error("the content was already uploaded")]
    AlreadyUploaded,
    /// The id was created by somebody else.
    #[error("this media id belongs to somebody else")]
    NotYours,
    /// More ids without content than one user may have.
    #[error("too many created media ids wait for their content")]
    TooManyPending,
    /// The file is larger than allowed.
    #[error("the file is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    /// A file of another server is larger than this one takes.
    #[error("the file is larger than {bytes_max} bytes, too large for this server")]
    TooLargeElsewhere { bytes_max: u64 },
    /// No thumbnail can be made of this file.
    #[error("cannot make a thumbnail: {0}")]
    NoThumbnail(&'static str),
    /// An administrator withdrew the file.
    #[error("this media was withdrawn")]
    Quarantined,
    /// Too little space is left for files.
    #[error("the server's disk is full")]
    NoSpace,
    /// The folder cannot be read or written.
    #[error("media folder: {0}")]
    Folder(#[from] std::io::Error),
    /// Another server did not give its file.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The store failed.
    #[error(transparent)]
    Data(#[from] DataError),
}
