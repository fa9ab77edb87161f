//! A TCP proxy before PostgreSQL that loses what the test wants lost.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinHandle,
};

/// What happens to the next COMMIT, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None = 0,
    /// It does not reach the server.
    LoseCommit = 1,
    /// It reaches the server, and the server's answer is lost.
    LoseAnswer = 2,
}

/// The simple query that ends a transaction: its length, its text. Without the length it would also
/// be found in the name of a connection.
const COMMIT: &[u8] = b"\x0bcommit\0";

/// Whether a commit is among these messages.
pub fn has_commit(messages: &[u8]) -> bool {
    messages.windows(COMMIT.len()).any(|window| window == COMMIT)
}

/// Listens until dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    fault: AtomicU8,
    /// Faults that happened.
    happened: AtomicU64,
    /// Whether answers of the server are held back.
    held: AtomicU8,
    released: Notify,
    /// What clients sent while answers were held back.
    sent: parking_lot::Mutex<Vec<u8>>,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let for_task = shared.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    let _ = client.set_nodelay(true);
                    let _ = server.set_nodelay(true);
                    tokio::spawn(carry(client, server, for_task.clone()));
                }
            }
        });
        Self { port, shared, listening }
    }

    pub fn arm(&self, fault: Fault) {
        self.shared.fault.store(fault as u8, Ordering::SeqCst);
    }

    pub fn happened(&self) -> u64 {
        self.shared.happened.load(Ordering::SeqCst)
    }

    /// Hold the server's answers back and remember what clients send.
    pub fn hold(&self) {
        self.shared.sent.lock().clear();
        self.shared.held.store(1, Ordering::SeqCst);
    }

    pub fn sent(&self) -> Vec<u8> {
        self.shared.sent.lock().clone()
    }

    pub fn release(&self) {
        self.shared.held.store(0, Ordering::SeqCst);
        self.shared.released.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = Arc::new(Notify::new());
    // When either ends, both connections are closed.
    tokio::select! {
        () = requests(from_client, to_server, &shared, &lost) => {}
        () = answers(from_server, to_client, &shared, &lost) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, lost: &Notify) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let sent = &buffer[..count];
        if shared.held.load(Ordering::SeqCst) == 1 {
            shared.sent.lock().extend_from_slice(sent);
        }
        if has_commit(sent) {
            let armed = shared.fault.swap(Fault::None as u8, Ordering::SeqCst);
            if armed == Fault::LoseCommit as u8 {
                shared.happened.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if armed == Fault::LoseAnswer as u8 {
                lost.notify_one();
            }
        }
        if to.write_all(sent).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, lost: &Notify) {
    let mut buffer = vec![0; 1 << 16];
    let mut losing = false;
    loop {
        let count = tokio::select! {
            biased;
            () = lost.notified(), if !losing => {
                losing = true;
                continue;
            }
            read = from.read(&mut buffer) => match read {
                Ok(count @ 1..) => count,
                _ => return,
            },
        };
        if losing {
            shared.happened.fetch_add(1, Ordering::SeqCst);
            return;
        }
        loop {
            let released = shared.released.notified();
            if shared.held.load(Ordering::SeqCst) == 0 {
                break;
            }
            released.await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
