//! The map of the server: every handle, built from its parts, in the order of the crates.
//!
//! The compiler checks the order: a handle can only be given what stands above it. The domain
//! crates know nothing of the configuration file; [`settings`] turns its sections into the
//! settings of each crate.

mod entrance;
mod settings;

#[cfg(test)]
pub(crate) use settings::outbound as outbound_settings;

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use anyhow::{Context, bail};
use axum::{Router, body::Body};
use blaupause_accounts::{Accounts, NewAccount};
use blaupause_api::{App, ClientAddress, HttpMetrics, MailProofs, Parts};
use blaupause_data::{Data, Env};
use blaupause_e2ee::E2ee;
use blaupause_federation::{Federation, Https};
use blaupause_media::{Media, Previews};
use blaupause_notify::{Mailer, Notify, ServicePauses, Services};
use blaupause_outbound::Outbound;
use blaupause_policy::FederationMode;
use blaupause_rooms::Rooms;
use blaupause_sso::Sso;
use blaupause_store::{
    DamagedLog, Db, MemStore, PgStore, RocksLock, RocksSettings, RocksStore, SpaceLimits,
};
use blaupause_sync::Sync;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use self::entrance::Entrance;
use crate::{
    client_address::{client_address, request_id},
    config::{Config, Engine, Loaded, Net, Size},
    metrics::Telling,
    user::Account,
};

/// The running server, apart from its listeners.
pub struct Server {
    db: Db,
    federation: Federation,
    https: Option<Arc<Https>>,
    /// Whether other servers have doors of their own, at which they show who they are.
    servers_apart: bool,
    router: Router,
    trusted_proxies: Arc<[Net]>,
    answer_now: CancellationToken,
    stop: CancellationToken,
    workers: TaskTracker,
}

/// How the store is opened.
#[derive(Debug, Default)]
pub struct Opening {
    /// The database's lock, if it was taken before.
    pub lock: Option<RocksLock>,
    /// Give up acknowledged writes if the log is damaged.
    pub cut_damaged_log: bool,
}

/// Workers end at their next safe point, which is at most one batch away.
const WORKERS_END: Duration = Duration::from_secs(10);

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Build the server and start its workers. `stop` ends the workers; `opening` says how the
/// store is opened.
///
/// # Errors
/// If the store or the media folder cannot be opened, or the data belongs to another server name.
pub async fn build(
    loaded: &Loaded,
    opening: Opening,
    stop: CancellationToken,
    telling: &Telling,
) -> anyhow::Result<Server> {
    let config = &loaded.config;

    // level 0: the engine
    let env = Env::system(stop.clone());
    let answer_now = env.answer_now().clone();
    let db = open_store(config, opening, &env).await?;
    telling.watch_store(db.clone());
    // level 0: HTTP to others, one pool for all
    let outbound = Outbound::new(settings::outbound(config)).context("server.extra_ca_file")?;
    // level 1: typed rows over it
    let data = Data::open(db.clone(), config.server_name(), env).await?;
    telling.watch_log(data.clone());
    // level 2: people
    let accounts = Accounts::new(data.clone(), settings::accounts(loaded));
    // level 2: other servers
    let (federation, https) = federation(&data, config)?;
    federation.start().await?;
    // level 3: rooms, keys, files, and what deserves attention
    let rooms =
        Rooms::new(data.clone(), accounts.clone(), federation.clone(), settings::rooms(config));
    let e2ee =
        E2ee::with(data.clone(), accounts.clone(), federation.clone(), settings::e2ee(config));
    let media =
        Media::open(data.clone(), federation.clone(), outbound.clone(), settings::media(config))
            .await
            .with_context(|| format!("media.path: cannot use {}", config.media.path.display()))?;
    let previews = settings::previews(config)
        .map(|settings| Previews::new(media.clone(), settings, outbound.clone()));
    let notify =
        Notify::with(data.clone(), accounts.clone(), rooms.clone(), settings::notify(config));
    let services = Services::new(
        data.clone(),
        accounts.clone(),
        rooms.clone(),
        e2ee.clone(),
        ServicePauses::default(),
        outbound.clone(),
    );
    services.start().await.context("app_services")?;
    telling.watch_app_services(services.clone());
    let sso = Sso::new(data.clone(), accounts.clone(), loaded.sso.clone(), &outbound);
    // level 4: what a client has not seen. Last, so that the others' caches have forgotten what
    // changed before a client is woken to look again.
    let sync =
        Sync::new(data.clone(), accounts.clone(), rooms.clone(), e2ee.clone(), notify.clone());
    let workers = start_workers(&data, &accounts, &rooms, &notify, &services, outbound);
    start_telling(&workers, &federation, &rooms, &e2ee);
    // level 5: HTTP
    let metrics = telling.register(HttpMetrics::register);
    let mut settings = settings::api(loaded);
    settings.mail = mail_proofs(loaded, data.env())?;
    let app = App::new(Parts {
        data,
        accounts,
        federation: federation.clone(),
        rooms,
        e2ee,
        media,
        sync,
        notify,
        services,
        previews,
        sso,
        settings,
        metrics,
    });
    let trusted_proxies = config.server.trusted_proxies.as_slice().into();
    let router = blaupause_api::router(app);
    let servers_apart = config.federation.client_ca_file.path().is_some();
    Ok(Server {
        db,
        federation,
        https,
        servers_apart,
        router,
        trusted_proxies,
        answer_now,
        stop,
        workers,
    })
}

/// Other servers, if there are any for this one.
fn federation(data: &Data, config: &Config) -> anyhow::Result<(Federation, Option<Arc<Https>>)> {
    let settings = settings::federation(config);
    if settings.servers.mode == FederationMode::Off {
        return Ok((Federation::off(data.clone()), None));
    }
    let https = Https::new(data.env().clone(), &settings::https(config)).context("federation")?;
    let https = Arc::new(https);
    let wire = Arc::clone(&https);
    Ok((Federation::new(data.clone(), wire, settings), Some(https)))
}

/// Everything that runs by itself until the server stops.
fn start_workers(
    data: &Data,
    accounts: &Accounts,
    rooms: &Rooms,
    notify: &Notify,
    services: &Services,
    outbound: Outbound,
) -> TaskTracker {
    let workers = TaskTracker::new();
    workers.spawn(accounts.clone().housekeeping());
    let follower = rooms.clone();
    workers.spawn(async move { follower.run_follower().await });
    let intake = rooms.clone();
    workers.spawn(intake.run_intake());
    workers.spawn(rooms.clone().run_resync());
    let clockwork = rooms.clone();
    workers.spawn(async move { clockwork.run_delayed().await });
    workers.spawn(rooms.clone().run_retention());
    let notifications = notify.clone();
    workers.spawn(async move { notifications.run_follower().await });
    let gateway = notify.clone();
    workers.spawn(async move { gateway.run_gateway(outbound).await });
    let log = data.clone();
    workers.spawn(async move { log.run_log_pruner().await });
    services.workers().into_iter().for_each(|worker| drop(workers.spawn(worker)));
    workers.close();
    workers
}

/// What other servers are sent and told. Nothing of it does anything where there are none.
fn start_telling(workers: &TaskTracker, federation: &Federation, rooms: &Rooms, e2ee: &E2ee) {
    workers.spawn(federation.clone().run_sender());
    workers.spawn(rooms.clone().run_teller());
    workers.spawn(rooms.clone().run_farewells());
    workers.spawn(e2ee.clone().run_remote());
}

/// How people prove their mail addresses; `None` if no mail is sent.
fn mail_proofs(loaded: &Loaded, env: &Env) -> anyhow::Result<Option<MailProofs>> {
    let config = &loaded.config;
    let Some(link_base) = config.mail.link_base(config.server.public_base_url.text()) else {
        return Ok(None);
    };
    let extra_ca = config.server.extra_ca_file.path().map(std::fs::read);
    let extra_ca = extra_ca.transpose().context("server.extra_ca_file")?;
    let Some(settings) = settings::mail(loaded, extra_ca) else { return Ok(None) };
    let mailer = Mailer::new(env.clone(), settings).context("mail")?;
    let next_link_hosts = config.mail.next_link_hosts.clone();
    Ok(Some(MailProofs { mailer, link_base: link_base.to_owned(), next_link_hosts }))
}

impl Server {
    /// What answers a request from a peer that came in by a door for clients, and perhaps servers.
    pub fn answer(
        &self,
    ) -> impl Fn(SocketAddr, Request<Incoming>) -> Answering + Clone + Send + std::marker::Sync + use<>
    {
        self.answer_at(if self.servers_apart { Entrance::Clients } else { Entrance::Everybody })
    }

    /// What answers a request that came in by a door for servers.
    pub fn answer_servers(
        &self,
    ) -> impl Fn(SocketAddr, Request<Incoming>) -> Answering + Clone + Send + std::marker::Sync + use<>
    {
        self.answer_at(Entrance::Servers)
    }

    fn answer_at(
        &self,
        entrance: Entrance,
    ) -> impl Fn(SocketAddr, Request<Incoming>) -> Answering + Clone + Send + std::marker::Sync + use<>
    {
        let (router, trusted) = (self.router.clone(), Arc::clone(&self.trusted_proxies));
        move |peer, request| {
            if !entrance.is_for(request.uri().path()) {
                return Box::pin(std::future::ready(Ok(entrance::nothing_here())));
            }
            let mut request = request.map(Body::new);
            let address = client_address(peer.ip(), request.headers(), &trusted);
            if let Some(id) = request_id(peer.ip(), request.headers(), &trusted) {
                request.extensions_mut().insert(id);
            }
            request.extensions_mut().insert(ClientAddress(address));
            let mut router = router.clone();
            Box::pin(async move { router.call(request).await })
        }
    }

    /// Another list of servers to speak with, and other ways to them; their certificates are read
    /// again.
    ///
    /// # Errors
    /// If the ways cannot be used: then the old ones stay. The list is the new one anyway.
    pub fn reload(&self, config: &Config) -> anyhow::Result<()> {
        self.federation.set_servers(config.federation.servers());
        if let Some(https) = &self.https {
            https.reload(&settings::https(config)).context("federation")?;
        }
        Ok(())
    }

    /// Who waits for news answers now.
    pub fn answer_now(&self) {
        self.answer_now.cancel();
    }

    /// Resolves when the store will never take writes again: only a new start may help.
    pub async fn failed(&self) {
        self.db.failed().await;
    }

    /// End the workers, then finish the queued batches and close the engine. For when no request
    /// runs any more.
    pub async fn close(self) {
        self.stop.cancel();
        if timeout(WORKERS_END, self.workers.wait()).await.is_err() {
            tracing::warn!("some workers did not end in time");
        }
        self.db.close().await;
    }
}

/// Make an account in a database that no server uses at the moment.
///
/// # Errors
/// If the store cannot be opened, or the name is taken or impossible.
pub async fn create_user(
    loaded: &Loaded,
    lock: Option<RocksLock>,
    account: &Account<'_>,
) -> anyhow::Result<String> {
    let env = Env::system(CancellationToken::new());
    let opening = Opening { lock, ..Opening::default() };
    let db = open_store(&loaded.config, opening, &env).await?;
    let data = Data::open(db.clone(), loaded.config.server_name(), env).await?;
    let accounts = Accounts::new(data, settings::accounts(loaded));
    let new = NewAccount {
        localpart: account.name.to_owned(),
        password: Some(blaupause_accounts::Secret::new(account.password.to_string())),
        admin: account.admin,
    };
    let made = accounts.create(new).await;
    db.close().await;
    match made {
        Ok(user) => Ok(user.to_string()),
        Err(error) => bail!("cannot make the account {}: {error}", account.name),
    }
}

/// Replace the signing key in a database that no server uses at the moment; the new key's id.
///
/// # Errors
/// If the store cannot be opened, or holds no data of this server.
pub async fn rotate_key(loaded: &Loaded, lock: Option<RocksLock>) -> anyhow::Result<String> {
    let env = Env::system(CancellationToken::new());
    let opening = Opening { lock, ..Opening::default() };
    let db = open_store(&loaded.config, opening, &env).await?;
    let id = Data::rotate_signing_key(&db, loaded.config.server_name(), &env).await;
    db.close().await;
    id.context("cannot replace the key")
}

/// Open the engine that the configuration names.
///
/// # Errors
/// If it cannot be opened.
pub async fn open_store(config: &Config, opening: Opening, env: &Env) -> anyhow::Result<Db> {
    let storage = &config.storage;
    match storage.engine {
        Engine::Memory => return Ok(Db::Mem(MemStore::new())),
        Engine::Postgres => {
            let opened = PgStore::open(storage.postgres.settings()).await;
            return Ok(Db::Pg(opened.context("storage.postgres")?));
        }
        Engine::Rocksdb => {}
    }
    let settings = RocksSettings {
        path: storage.path.clone(),
        wal_dir: storage.wal_path.path().map(Into::into),
        cache_bytes: bytes(storage.cache_size),
        write_buffer_bytes: bytes(storage.write_buffer_size),
        background_jobs: storage.background_jobs,
        space: SpaceLimits {
            low_bytes: storage.free_space_low.bytes(),
            min_bytes: storage.free_space_min.bytes(),
            reserve_bytes: storage.reserve_size.bytes(),
        },
        damaged_log: if opening.cut_damaged_log { DamagedLog::Cut } else { DamagedLog::Refuse },
    };
    // Reading back the log may take seconds, and the operators' listener must answer meanwhile.
    let opened = env.cpu(move || match opening.lock {
        Some(lock) => RocksStore::open_locked(settings, lock),
        None => RocksStore::open(settings),
    });
    let opened = opened.await;
    let store = opened.with_context(|| {
        format!("storage.path: cannot open the database {}", storage.path.display())
    })?;
    Ok(Db::Rocks(store))
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}
