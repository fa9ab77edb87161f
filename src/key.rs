//! `blaupause key`: the key that this server signs with.

use std::path::Path;

use anyhow::{Context, bail};
use blaupause_store::RocksLock;

use crate::{
    cli::print_warnings,
    config::{self, Engine},
    wiring,
};

/// Replace the signing key and print the id of the new one.
///
/// # Errors
/// If the configuration is wrong, or the server runs.
pub fn rotate(config: &Path) -> anyhow::Result<()> {
    let loaded = config::load(config)?;
    print_warnings(&loaded);
    let storage = &loaded.config.storage;
    let lock = match storage.engine {
        Engine::Memory => bail!("storage.engine is \"memory\": there is no key to replace"),
        Engine::Postgres => None,
        Engine::Rocksdb => Some(RocksLock::take(&storage.path).context("storage.path")?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a thread")?;
    println!("key: {}", runtime.block_on(wiring::rotate_key(&loaded, lock))?);
    Ok(())
}
