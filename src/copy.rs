//! `store copy`: moves a site from one engine to another.
//!
//! Two configuration files of the same site name the two stores. What is copied and how it is
//! proved equal stands in [`blaupause_store::copy`]; here are the files, the locks and the words.

mod show;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use blaupause_data::Env;
use blaupause_store::{CopyError, Db, copy};
use tokio_util::sync::CancellationToken;

use self::show::Show;
use crate::{
    cli::{StoreCopy, print_warnings},
    config::{self, Config, Engine, Loaded},
    wiring::{self, Opening},
};

/// Copy everything from the store of one configuration into that of another, and print what was
/// copied.
///
/// # Errors
/// If a configuration is wrong, a server uses one of the stores, the target holds another site, or
/// the copy is not what the source is. Interrupted, the same command goes on where it was.
pub fn run(wanted: &StoreCopy) -> anyhow::Result<()> {
    let (from, to) = (load(&wanted.from)?, load(&wanted.to)?);
    check(&from.config, &to.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the threads")?;
    runtime.block_on(copy_between(&from, &to))?;
    println!("\nNow start the server with {}.", wanted.to.display());
    println!("Keep the source until you have seen it work; never start a server on it again,");
    println!("or the two would speak as the same server.");
    if from.config.media.path != to.config.media.path {
        println!(
            "Media are files and were not copied: {} to {}.",
            from.config.media.path.display(),
            to.config.media.path.display()
        );
    }
    Ok(())
}

fn load(file: &Path) -> anyhow::Result<Loaded> {
    let loaded = config::load(file)?;
    print_warnings(&loaded);
    ensure!(
        loaded.config.storage.engine != Engine::Memory,
        "{}: storage.engine is \"memory\": there is nothing to copy from or to",
        file.display()
    );
    Ok(loaded)
}

fn check(from: &Config, to: &Config) -> anyhow::Result<()> {
    ensure!(
        from.server_name() == to.server_name(),
        "--from is the server {}, --to the server {}: a site keeps its name",
        from.server_name(),
        to.server_name()
    );
    let folder = &from.storage.path;
    let is_rocksdb = |config: &Config| config.storage.engine == Engine::Rocksdb;
    if is_rocksdb(from) {
        // Opening would make an empty one: a wrong path must not look like an empty site.
        ensure!(folder.is_dir(), "--from: there is no database {}", folder.display());
        ensure!(
            !is_rocksdb(to) || *folder != to.storage.path,
            "--from and --to name the same database {}",
            folder.display()
        );
    }
    Ok(())
}

async fn copy_between(from: &Loaded, to: &Loaded) -> anyhow::Result<()> {
    let from = open(from).await.context("--from")?;
    let opened = open(to).await.context("--to");
    let to = match opened {
        Ok(opened) => opened,
        Err(error) => {
            from.close().await;
            return Err(error);
        }
    };
    let done = copy_open(&from, &to).await;
    from.close().await;
    to.close().await;
    done
}

async fn copy_open(from: &Db, to: &Db) -> anyhow::Result<()> {
    ensure!(!copy::is_empty(from).await?, "--from: the database is empty");
    if copy::is_unfinished(to).await? {
        eprintln!("going on with the copy that was interrupted");
    }
    let mut show = Show::new();
    let done = copy::copy(from, to, |progress| show.tell(&progress)).await;
    show.end();
    match done {
        Ok(copied) => {
            print!("{}", show::table(&copied.sums, &copied.sums));
            println!("both stores hold the same; the stream goes on at {}", copied.position.0 + 1);
            Ok(())
        }
        Err(CopyError::TargetInUse) => bail!(
            "--to: the database holds data already. If it is a copy that you do not want any more, \
             empty it yourself"
        ),
        Err(CopyError::SourceChanged) => bail!(
            "--to holds the beginning of a copy, but --from is another site or has changed since. \
             Empty the target yourself and begin anew"
        ),
        Err(CopyError::Differs { wanted, found }) => {
            print!("{}", show::table(&wanted, &found));
            bail!("the copy is not what the source is; no server will start on it")
        }
        Err(error) => Err(error).context("the copy was interrupted; the same command goes on"),
    }
}

/// Open a store that no server uses.
async fn open(loaded: &Loaded) -> anyhow::Result<Db> {
    let env = Env::system(CancellationToken::new());
    wiring::open_store(&loaded.config, Opening::default(), &env).await
}
