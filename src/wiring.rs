//! The map of the server: every handle, built from its parts, in the order of the crates.
//!
//! The compiler checks the order: a handle can only be given what stands above it. The domain
//! crates know nothing of the configuration file; `settings` turns its sections into theirs.

use std::{convert::Infallible, future::Future, net::SocketAddr};

use anyhow::Context;
use blaupause_data::{Data, Env};
use blaupause_store::{Db, MemStore};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Engine, Loaded},
    lock::make_folder,
    metrics::Telling,
};

/// The running server, apart from its listeners.
pub struct Server {
    data: Data,
}

/// Build the server and start its workers.
///
/// # Errors
/// If the store cannot be opened or belongs to another server name.
pub async fn build(loaded: &Loaded, stop: CancellationToken, telling: &Telling) -> anyhow::Result<Server> {
    let config = &loaded.config;
    // level 0 and 1: the engine, typed rows over it
    let db = open_store(config)?;
    let data = Data::open(db, config.server_name(), Env::system(stop)).await.context("cannot open the data")?;
    Ok(Server { data })
}

impl Server {
    pub async fn close(self) {
        self.data.db().close().await;
    }
}
