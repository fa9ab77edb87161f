//! The listeners: accept, TLS handshake, HTTP/1 or HTTP/2, graceful end.
//!
//! What is deliberately absent: routes and answers. A service is given in.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{config::Limits, metrics::Connections, tls::TlsFiles};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: u32 = 1024;

/// The pause after a failed accept: the usual reason is that no file handles are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// HTTP/2 peers are asked this often whether they are there …
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and given up when they do not answer for so long.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// After a stop, a connection without a request may stay so long to flush its last answer. One that
/// has sent half a request head would otherwise stay for as long as heads may take.
const LINGER: Duration = Duration::from_secs(1);

/// Header fields of one HTTP/1 request; more is 431.
const HEADERS_MAX: usize = 100;

/// How a listener is reached from the machine it runs on. Pure.
pub fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// One bound address, not yet accepting.
pub struct Door {
    pub address: SocketAddr,
    listener: TcpListener,
    tls: Option<TlsFiles>,
}

impl Door {
    /// Bind an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound; names address and configuration key.
    pub fn bind(key: &str, address: SocketAddr, tls: Option<TlsFiles>) -> anyhow::Result<Self> {
        let bind = || -> std::io::Result<(TcpListener, SocketAddr)> {
            let socket = if address.is_ipv4() {
                tokio::net::TcpSocket::new_v4()?
            } else {
                tokio::net::TcpSocket::new_v6()?
            };
            // A restart must not wait for the old connections to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) =
            bind().with_context(|| format!("{key}: cannot listen on {address}"))?;
        Ok(Self { address, listener, tls })
    }
}

/// What every listener shares. Cheap to clone.
#[derive(Clone)]
pub struct Serving {
    builder: Builder<TokioExecutor>,
    handshake_timeout: Duration,
    header_timeout: Duration,
    free: Arc<Semaphore>,
    /// Ends accepting and keep-alive.
    stop: CancellationToken,
    tasks: TaskTracker,
    connections: Connections,
}

impl Serving {
    pub fn new(limits: &Limits, stop: CancellationToken, connections: Connections) -> Self {
        let free = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            builder: http_builder(limits),
            handshake_timeout: limits.handshake_timeout.duration(),
            header_timeout: limits.header_timeout.duration(),
            free: Arc::new(Semaphore::new(free)),
            stop,
            tasks: TaskTracker::new(),
            connections,
        }
    }

    /// Accept on a door until the stop; each connection's requests go to `answer`.
    pub fn open<F, A, B>(&self, door: Door, answer: F)
    where
        F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let serving = self.clone();
        self.tasks.spawn(async move { serving.accept(door, answer).await });
    }

    /// Wait until every connection has ended. Call after the stop.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn accept<F, A, B>(self, door: Door, answer: F)
    where
        F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        loop {
            let next = async {
                // The place first: beyond the limit, connections wait in the kernel's queue.
                let place = Arc::clone(&self.free).acquire_owned().await;
                (place.expect("the semaphore is never closed"), door.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                next = next => next,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, address = %door.address, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (serving, tls, answer) = (self.clone(), door.tls.clone(), answer.clone());
            self.tasks.spawn(async move {
                let open = serving.connections.opened();
                serving.connection(stream, peer, tls, answer).await;
                drop((open, place));
            });
        }
    }

    async fn connection<F, A, B>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsFiles>,
        answer: F,
    ) where
        F: Fn(SocketAddr, Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        // Answers are written whole; waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return self.http(stream, peer, answer).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match timeout(self.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => self.http(stream, peer, answer).await,
            // Scanners do this all day: counted, not logged.
            Ok(Err(_)) | Err(_) => self.connections.handshake_failed(),
        }
    }

    async fn http<S, F, A, B>(&self, stream: S, peer: SocketAddr, answer: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(SocketAddr, Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let requests = TaskTracker::new();
        let begun = CancellationToken::new();
        let service = hyper::service::service_fn(|request| {
            begun.cancel();
            // Held until the last byte of the answer's body was given to the connection.
            let running = requests.token();
            let answer = answer(peer, request);
            async move {
                let response = answer.await?;
                Ok::<_, Infallible>(response.map(|body| {
                    body.map_frame(move |frame| {
                        let _ = &running;
                        frame
                    })
                }))
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.no_request(&begun) => return,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = connection.as_mut() => outcome,
                    () = linger(&requests) => Ok(()),
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

impl Serving {
    /// Returns if no request comes for as long as heads may take. hyper counts the time of each
    /// HTTP/1 head, but not while it waits for the first bytes, which say whether it is HTTP/1 or
    /// HTTP/2.
    async fn no_request(&self, begun: &CancellationToken) {
        if timeout(self.header_timeout, begun.cancelled()).await.is_ok() {
            std::future::pending().await
        }
    }
}

/// Wait until no request is running, and a moment more.
async fn linger(requests: &TaskTracker) {
    requests.close();
    requests.wait().await;
    tokio::time::sleep(LINGER).await;
}

fn http_builder(limits: &Limits) -> Builder<TokioExecutor> {
    // The checks of the configuration bound both to what the types hold.
    let header_size_max = limits.header_size_max.bytes();
    let header_bytes = usize::try_from(header_size_max).unwrap_or(usize::MAX);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout.duration())
        .max_buf_size(header_bytes)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(header_size_max).unwrap_or(u32::MAX));
    builder
}
