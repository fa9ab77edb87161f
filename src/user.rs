//! `user create`: into the database while the server is stopped, through the running server
//! otherwise.
//!
//! The database has one owner at a time. While the server runs it is the owner, so the account is
//! made by asking it, as any provisioning script would: with the registration secret.

mod running;

use anyhow::{Context, bail};
use blaupause_store::{PgError, RocksLock, StoreError};
use zeroize::Zeroizing;

use crate::{
    cli::{UserCreate, print_warnings},
    config::{self, Engine, Loaded},
    password, wiring,
};

/// Make an account and print its id, and its password if it was made here.
///
/// # Errors
/// If the configuration is wrong, the name is taken or impossible, or the server runs and cannot be
/// asked.
pub fn create(wanted: &UserCreate) -> anyhow::Result<()> {
    let loaded = config::load(&wanted.config)?;
    print_warnings(&loaded);
    let (password, made) = match &wanted.password_file {
        Some(file) => (password::read(file)?, false),
        None => (password::make()?, true),
    };
    let account = Account { name: &wanted.name, password: &password, admin: wanted.admin };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a thread")?;
    let user_id = runtime.block_on(create_where_possible(&loaded, &account))?;
    println!("user: {user_id}");
    if made {
        println!("password: {}", *password);
    }
    Ok(())
}

/// What to make.
pub struct Account<'a> {
    pub name: &'a str,
    pub password: &'a Zeroizing<String>,
    pub admin: bool,
}

async fn create_where_possible(loaded: &Loaded, account: &Account<'_>) -> anyhow::Result<String> {
    if loaded.config.storage.engine == Engine::Memory {
        bail!("storage.engine is \"memory\": there is nothing to keep an account in");
    }
    if loaded.config.storage.engine == Engine::Postgres {
        let made = wiring::create_user(loaded, None, account).await;
        return match made {
            Err(error) if matches!(error.downcast_ref(), Some(PgError::InUse { .. })) => {
                running::create(loaded, account).await
            }
            made => made,
        };
    }
    match RocksLock::take(&loaded.config.storage.path) {
        Ok(lock) => wiring::create_user(loaded, Some(lock), account).await,
        Err(StoreError::InUse { .. }) => running::create(loaded, account).await,
        Err(error) => Err(error).context("storage.path"),
    }
}
