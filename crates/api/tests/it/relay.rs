//! A mail relay that keeps what it is given.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use blaupause_api::MailProofs;
use blaupause_data::Env;
use blaupause_notify::{MailSettings, MailTls, Mailer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A mail as it came: who gets it, and all of it.
#[derive(Clone, Debug)]
pub struct Taken {
    pub to: String,
    pub text: String,
}

impl Taken {
    /// The text as a person reads it (quoted-printable decoded; base64 is not used for these).
    fn readable(&self) -> String {
        let joined = self.text.replace("=\r\n", "");
        let mut bytes = Vec::new();
        let mut rest = joined.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match byte.filter(|_| *first == b'=') {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                None => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The link in it, without the host.
    pub fn link(&self) -> String {
        let text = self.readable();
        let (_, rest) = text.split_once("https://matrix.example.org").expect("a link");
        rest.split_whitespace().next().expect("it ends").to_owned()
    }
}

#[derive(Clone)]
pub struct Relay {
    port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Connections that have ended.
    ended: Arc<Mutex<usize>>,
    news: Arc<Notify>,
}

impl Relay {
    /// A relay on a free port.
    #[expect(clippy::disallowed_methods, reason = "the relay is no part of the server")]
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let relay =
            Self { port, taken: Arc::default(), ended: Arc::default(), news: Arc::default() };
        let own = relay.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let relay = own.clone();
                tokio::spawn(async move {
                    relay.talk(socket).await;
                    *relay.ended.lock().expect("fine") += 1;
                    relay.news.notify_waiters();
                });
            }
        });
        relay
    }

    async fn talk(&self, socket: TcpStream) -> Option<()> {
        let mut socket = BufReader::new(socket);
        socket.write_all(b"220 relay\r\n").await.ok()?;
        let mut to = String::new();
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            let answer: &[u8] = match verb.as_str() {
                "EHLO" => b"250-relay\r\n250 8BITMIME\r\n",
                "RCPT" => {
                    to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    b"250 ok\r\n"
                }
                "DATA" => {
                    socket.write_all(b"354 go on\r\n").await.ok()?;
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        socket.read_line(&mut text).await.ok()?;
                    }
                    self.taken.lock().expect("fine").push(Taken { to: to.clone(), text });
                    self.news.notify_waiters();
                    b"250 taken\r\n"
                }
                "QUIT" => {
                    socket.write_all(b"221 bye\r\n").await.ok()?;
                    return None;
                }
                _ => b"250 ok\r\n",
            };
            socket.write_all(answer).await.ok()?;
        }
    }

    /// How a server uses this relay.
    pub fn proofs(&self) -> MailProofs {
        self.proofs_with(MailTls::None)
    }

    /// The same with or without encryption.
    pub fn proofs_with(&self, tls: MailTls) -> MailProofs {
        let settings = MailSettings {
            server: "127.0.0.1".to_owned(),
            port: self.port,
            tls,
            login: None,
            from: "Matrix <matrix@example.org>".to_owned(),
            own_name: "example.org".to_owned(),
            extra_ca: None,
        };
        let mailer = Mailer::new(Env::manual(0), settings).expect("a sender");
        MailProofs {
            mailer,
            link_base: "https://matrix.example.org".to_owned(),
            next_link_hosts: vec!["client.example.org".to_owned()],
        }
    }

    /// All mails, when there are so many.
    pub async fn taken(&self, count: usize) -> Vec<Taken> {
        let wait = async {
            loop {
                let news = self.news.notified();
                let taken = self.taken.lock().expect("fine").clone();
                if taken.len() >= count {
                    return taken;
                }
                news.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the mails come")
    }

    /// When a connection has ended: how many mails there are.
    pub async fn after_a_talk(&self) -> usize {
        let wait = async {
            loop {
                let news = self.news.notified();
                if *self.ended.lock().expect("fine") > 0 {
                    return self.taken.lock().expect("fine").len();
                }
                news.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it ends")
    }

    /// The last of so many mails.
    pub async fn last(&self, count: usize) -> Taken {
        self.taken(count).await.pop().expect("there is one")
    }
}
