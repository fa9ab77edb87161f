//! The map of the server: every handle, built from its parts, in the order of the crates.
//!
//! The compiler checks the order: a handle can only be given what stands above it. The domain
//! crates know nothing of the configuration file; the functions below turn its sections into the
//! settings of each crate.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context, bail};
use blaupause_data::{Data, Env};
use blaupause_store::{Db, MemStore, RocksSettings, RocksStore};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Engine, Loaded, Size},
    metrics::Telling,
    user::Account,
};

/// The running server, apart from its listeners.
pub struct Server {
    db: Db,
    data: Data,
}

/// Build the server and start its workers. `stop` ends long polls and workers.
///
/// # Errors
/// If the store cannot be opened or belongs to another server name.
pub async fn build(
    loaded: &Loaded,
    stop: CancellationToken,
    telling: &Telling,
) -> anyhow::Result<Server> {
    let config = &loaded.config;

    // level 0: the engine
    let env = Env::system(stop);
    let db = open_store(config, &env).await?;
    telling.watch_store(db.clone());
    // level 1: typed rows over it
    let data = Data::open(db.clone(), config.server_name(), env).await?;

    Ok(Server { db, data })
}

impl Server {
    /// What answers a request from a peer.
    pub fn answer<'s>(
        &'s self,
    ) -> impl Fn(
        SocketAddr,
        Request<Incoming>,
    ) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>
    + Clone
    + Send
    + Sync
    + use<> {
        |_, _| std::future::ready(Ok(unrecognized()))
    }

    /// Wait for the workers, then finish the queued batches and close the engine.
    pub async fn close(self) {
        self.db.close().await;
        drop(self.data);
    }
}

fn unrecognized() -> Response<Full<Bytes>> {
    let body = r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#;
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Make an account in a database that no server uses at the moment.
///
/// # Errors
/// If the store cannot be opened, or the name is taken or impossible.
pub async fn create_user(loaded: &Loaded, account: &Account<'_>) -> anyhow::Result<String> {
    let _ = (loaded, account);
    bail!("not yet")
}

async fn open_store(config: &Config, env: &Env) -> anyhow::Result<Db> {
    let storage = &config.storage;
    if storage.engine == Engine::Memory {
        return Ok(Db::Mem(MemStore::new()));
    }
    let settings = RocksSettings {
        path: storage.path.clone(),
        wal_dir: storage.wal_path.path().map(Into::into),
        cache_bytes: bytes(storage.cache_size),
        write_buffer_bytes: bytes(storage.write_buffer_size),
        background_jobs: storage.background_jobs,
    };
    // Reading back the log may take seconds, and the operators' listener must answer meanwhile.
    let opened = env.cpu(move || RocksStore::open(settings)).await;
    let store = opened.with_context(|| {
        format!("storage.path: cannot open the database {}", storage.path.display())
    })?;
    Ok(Db::Rocks(store))
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}
