//! Push rules: every message of a busy room is judged for each of its members.
//!
//! One member has a pusher, to a gateway in this program. The server judges messages in order, so
//! when the gateway hears of the last one, all have been judged for everybody.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use crate::{
    Wanted,
    numbers::{ms, rounded},
    people,
    report::{Line, Span, line},
    target::Target,
};

const NAME: &str = "pushes";
/// Stands before the number in a message.
const MARK: &str = "bench-push-";
/// After the last message was sent, the gateway has heard of it within this.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is asked of the server.
const EVALUATIONS_WANTED: f64 = 5_000.0;

/// What the gateway has heard.
#[derive(Default)]
struct Heard {
    last: Cell<Option<usize>>,
    told: Cell<usize>,
    progress: Notify,
    failure: RefCell<Option<String>>,
}

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    let people = people::register(&target.url, wanted.push_members + 1).await?;
    let Some((watcher, others)) = people.split_last() else { bail!("nobody is there") };
    let room = people::create_room(&mut others[0].client(&target.url)).await?;
    for person in &people[1..] {
        people::join(&mut person.client(&target.url), &room).await?;
    }
    let heard = Rc::new(Heard::default());
    let (address, _gateway) = listen(&heard).await?;
    let pusher = json!({
        "app_id": "bench", "pushkey": "bench", "kind": "http", "lang": "en",
        "app_display_name": "bench", "device_display_name": "bench",
        "data": { "url": format!("http://{address}/_matrix/push/v1/notify") },
    });
    let path = "/_matrix/client/v3/pushers/set";
    watcher.client(&target.url).must(Method::POST, path, Some(&pusher)).await?;
    let senders = || others[..wanted.senders.min(others.len())].iter();
    let clients = || senders().map(|one| one.client(&target.url)).collect();
    // Warm up: rules, rooms as the rules see them.
    send_all(clients(), &room, 0..10).await?;
    wait_for(&heard, 9).await?;

    let span = Span::start(target)?;
    let started = Instant::now();
    send_all(clients(), &room, 10..10 + wanted.push_messages).await?;
    let sent = started.elapsed();
    wait_for(&heard, 9 + wanted.push_messages).await?;
    let spent = span.end(target)?;
    let evaluations = wanted.push_messages * (people.len() - 1);
    let per_second = rounded(evaluations as f64 / spent.time.as_secs_f64());
    let what = format!("{} members, {} messages, judged", people.len(), wanted.push_messages);
    let verdict = if per_second >= EVALUATIONS_WANTED { "enough" } else { "TOO FEW" };
    let note = format!("{EVALUATIONS_WANTED} are wanted: {verdict}; {}", spent.limit());
    let behind = ms(spent.time.saturating_sub(sent));
    let mut lines = vec![
        line(NAME, &what, per_second, "/s").note(note),
        line(NAME, "the gateway heard of the last after", behind, "ms"),
        line(NAME, "requests to the gateway", heard.told.get() as f64, ""),
    ];
    if let Some(cpu) = spent.cpu_per(evaluations, 100_000.0) {
        lines.push(line(NAME, "CPU per 100,000 judgements", cpu, "s").note("with sending"));
    }
    Ok(lines)
}

async fn send_all(
    senders: Vec<crate::client::Client>,
    room: &str,
    numbers: std::ops::Range<usize>,
) -> Result<()> {
    let room = room.to_owned();
    people::in_parallel(senders, numbers.collect(), async move |client, number| {
        let text = format!("{MARK}{number:08} and some words that somebody might say");
        people::send(client, &room, &format!("p{number}"), &text).await
    })
    .await?;
    Ok(())
}

/// Until the gateway has heard of a message. Senders overtake each other, so it is the highest
/// number that is waited for.
async fn wait_for(heard: &Heard, number: usize) -> Result<()> {
    let told = async {
        while heard.last.get() < Some(number) {
            heard.progress.notified().await;
        }
    };
    if timeout(PATIENCE, told).await.is_err() {
        let failure = heard.failure.borrow();
        bail!("the gateway heard of {:?}, not of {number}; {failure:?}", heard.last.get());
    }
    Ok(())
}

/// A gateway that takes everything. It ends when the set is dropped.
async fn listen(heard: &Rc<Heard>) -> Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let heard = Rc::clone(heard);
    let mut gateway = JoinSet::new();
    gateway.spawn_local(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let heard = Rc::clone(&heard);
            connections.spawn_local(async move {
                if let Err(error) = serve(stream, &heard).await {
                    *heard.failure.borrow_mut() = Some(format!("{error:#}"));
                }
            });
        }
    });
    Ok((address, gateway))
}

/// One connection: as much of HTTP/1.1 as a push needs.
async fn serve(stream: TcpStream, heard: &Heard) -> Result<()> {
    let mut stream = BufStream::new(stream);
    loop {
        let mut length = 0;
        let mut is_first = true;
        loop {
            let mut head = String::new();
            if stream.read_line(&mut head).await? == 0 && is_first {
                return Ok(());
            }
            is_first = false;
            let head = head.trim();
            if head.is_empty() {
                break;
            }
            if let Some((name, value)) = head.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("a length")?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        heard.note(&String::from_utf8_lossy(&body));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                      content-length: 15\r\n\r\n{\"rejected\":[]}";
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

impl Heard {
    fn note(&self, body: &str) {
        self.told.set(self.told.get() + 1);
        let digits = body.split_once(MARK).and_then(|(_, rest)| rest.get(..8));
        let number = digits.and_then(|digits| digits.parse().ok());
        self.last.set(self.last.get().max(number));
        self.progress.notify_one();
    }
}
