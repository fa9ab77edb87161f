//! Files by the hash of their bytes.

use std::{
    io,
    path::{Path, PathBuf},
};

use blaupause_data::Env;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

/// SHA-256 of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobId([u8; 32]);

#[cfg(test)]
impl BlobId {
    /// As if a file had this hash.
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub(crate) async fn open(root: PathBuf) -> io::Result<Self> {
        let incoming = root.join("incoming");
        fs::create_dir_all(&incoming).await?;
        // What an earlier run left half written was never acknowledged.
        let mut entries = fs::read_dir(&incoming).await?;
        while let Some(entry) = entries.next_entry().await? {
            fs::remove_file(entry.path()).await?;
        }
        Ok(Self { root })
    }

    /// Where a file lies: two levels of folders, so that none has too many entries.
    pub(crate) fn path(&self, id: BlobId) -> PathBuf {
        let name = hex::encode(id.0);
        self.root.join(&name[..2]).join(&name[2..4]).join(&name[4..])
    }

    pub(crate) async fn writer(&self, env: &Env) -> io::Result<BlobWriter> {
        let path = self.root.join("incoming").join(hex::encode(env.random::<16>()));
        let file = File::create_new(&path).await?;
        let (blobs, digest) = (self.clone(), Sha256::new());
        Ok(BlobWriter { blobs, path, file, digest, size_bytes: 0, done: false })
    }
}

/// A file being written. Removed when dropped before [`BlobWriter::finish`].
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    path: PathBuf,
    file: File,
    digest: Sha256,
    size_bytes: u64,
    done: bool,
}

impl BlobWriter {
    /// Bytes so far.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.digest.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// The file is durable under its hash when this returns.
    pub(crate) async fn finish(mut self) -> io::Result<(BlobId, u64)> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let id = BlobId(self.digest.clone().finalize().into());
        let target = self.blobs.path(id);
        let folder = target.parent().expect("a blob lies in a folder");
        if !fs::try_exists(&target).await? {
            fs::create_dir_all(folder).await?;
            fs::rename(&self.path, &target).await?;
            self.done = true;
            // The names, too, must survive a power loss: of the file and of new folders.
            for folder in folder.ancestors().take(3) {
                sync_folder(folder).await?;
            }
        }
        Ok((id, self.size_bytes))
    }
}

async fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).await?.sync_all().await
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: the next start clears the folder as well.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
