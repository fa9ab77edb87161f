//! One busy room: members who wait in /sync, some of whom send.
//!
//! A message carries its number; who sees the number in a /sync has got the message.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use crate::{
    Wanted,
    client::{Client, encoded, text_after},
    numbers::{mib, ms, quantile, rounded},
    people,
    report::{Line, Span, Spent, line},
    target::Target,
};

const NAME: &str = "messages";
/// Stands before the number in a message.
const MARK: &[u8] = b"bench-message-";
/// How an answer says that it leaves messages out.
const LIMITED: &[u8] = b"\"limited\":true";
/// Digits of the number.
const DIGITS: usize = 8;
/// So that a client that falls behind gets few gaps instead of messages. Servers allow no more.
const TIMELINE_MAX: usize = 100;
/// After the last message was sent, everybody has seen everything within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients know together.
pub(super) struct Board {
    /// When each message's send began, by its number.
    begun: RefCell<Vec<Instant>>,
    send_times: RefCell<Vec<Duration>>,
    delivery_times: RefCell<Vec<Duration>>,
    /// Which messages each member has seen, and how many that makes over all.
    seen_by: RefCell<Vec<Vec<bool>>>,
    seen: Cell<usize>,
    /// How often a /sync left messages out, so that the client had to ask for them.
    gaps: Cell<usize>,
    progress: Notify,
}

pub async fn run(wanted: &Wanted, target: &Target) -> Result<Vec<Line>> {
    ensure!(wanted.senders <= wanted.members, "senders are members: --senders <= --members");
    let people = people::register(&target.url, wanted.members).await?;
    let room = people::create_room(&mut people[0].client(&target.url)).await?;
    for person in &people {
        people::join(&mut person.client(&target.url), &room).await?;
    }
    let before = target.usage();

    let board = Board::of(people.len());
    let mut readers = JoinSet::new();
    for (member, person) in people.iter().enumerate() {
        let client = person.client(&target.url);
        readers.spawn_local(read(client, member, room.clone(), Rc::clone(&board)));
    }
    let senders = || people[..wanted.senders].iter().map(|one| one.client(&target.url)).collect();
    // Warm up: connections, caches, the readers' first sync.
    send_all(senders(), &room, &board, wanted.messages / 10).await?;
    wait_until_seen(&board, wanted.members, &mut readers).await?;
    board.forget_times();

    let span = Span::start(target)?;
    send_all(senders(), &room, &board, wanted.messages).await?;
    let sent = span.end(target)?;
    wait_until_seen(&board, wanted.members, &mut readers).await?;
    let delivered = span.end(target)?;
    readers.shutdown().await;
    let after = target.usage();
    let mut lines = figures(wanted, &board, &sent, &delivered);
    if let Some((before, after)) = before.zip(after) {
        lines.push(line(NAME, "memory before", mib(before.rss), "MiB"));
        lines.push(
            line(NAME, "memory after", mib(after.rss), "MiB")
                .note("includes the database's buffers and caches, up to their configured sizes"),
        );
    }
    Ok(lines)
}

fn figures(wanted: &Wanted, board: &Board, sent: &Spent, delivered: &Spent) -> Vec<Line> {
    let what = format!(
        "{} members syncing, {} senders, {} messages",
        wanted.members, wanted.senders, wanted.messages
    );
    let per_second = rounded(wanted.messages as f64 / sent.time.as_secs_f64());
    let send = &mut *board.send_times.borrow_mut();
    let delivery = &mut *board.delivery_times.borrow_mut();
    let mut lines = vec![
        line(NAME, &what, per_second, "/s").note(sent.limit()),
        line(NAME, "send, p50", ms(quantile(send, 0.5)), "ms")
            .note("until it is durable and answered"),
        line(NAME, "send, p95", ms(quantile(send, 0.95)), "ms"),
        line(NAME, "delivery, p50", ms(quantile(delivery, 0.5)), "ms")
            .note("from the beginning of the send until it is in another member's /sync"),
        line(NAME, "delivery, p95", ms(quantile(delivery, 0.95)), "ms"),
        line(NAME, "gaps filled by /messages", board.gaps.get() as f64, "")
            .note(format!("a /sync holds {TIMELINE_MAX} messages at most")),
    ];
    if let Some(cpu) = delivered.cpu_per(wanted.messages, 1_000.0) {
        lines.push(
            line(NAME, "CPU per 1,000 messages", cpu, "s")
                .note(format!("sending and delivering to all; {}", delivered.limit())),
        );
    }
    lines
}

pub(super) async fn send_all(
    senders: Vec<Client>,
    room: &str,
    board: &Rc<Board>,
    count: usize,
) -> Result<()> {
    let (room, board) = (room.to_owned(), Rc::clone(board));
    people::in_parallel(senders, (0..count).collect(), async move |client, _| {
        let started = Instant::now();
        let number = {
            let mut begun = board.begun.borrow_mut();
            begun.push(started);
            begun.len() - 1
        };
        let mark = String::from_utf8_lossy(MARK);
        let text = format!("{mark}{number:0DIGITS$} and some words that somebody might say");
        people::send(client, &room, &format!("n{number}"), &text).await?;
        board.send_times.borrow_mut().push(started.elapsed());
        Ok(())
    })
    .await?;
    Ok(())
}

/// Until every member has seen every message.
pub(super) async fn wait_until_seen(
    board: &Board,
    members: usize,
    readers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let wanted = board.begun.borrow().len() * members;
    let all = async {
        while board.seen.get() < wanted {
            board.progress.notified().await;
        }
    };
    if timeout(PATIENCE, all).await.is_err() {
        if let Some(ended) = readers.try_join_next() {
            ended??;
        }
        let seen = board.seen.get();
        let who = board.missing();
        anyhow::bail!("of {wanted} deliveries only {seen} came; missing in /sync: {who}");
    }
    Ok(())
}

/// A member's /sync, over and over; gaps are filled as clients fill them.
pub(super) async fn read(
    mut client: Client,
    member: usize,
    room: String,
    board: Rc<Board>,
) -> Result<()> {
    let filter = json!({
        "presence": { "not_types": ["*"] },
        "room": { "state": { "lazy_load_members": true }, "timeline": { "limit": TIMELINE_MAX } },
    });
    let filter = encoded(&filter.to_string());
    let mut since = String::new();
    loop {
        let path = format!("/_matrix/client/v3/sync?timeout=30000&filter={filter}{since}");
        let answer = client.must(Method::GET, &path, None).await?;
        let is_limited = answer.windows(LIMITED.len()).any(|window| window == LIMITED);
        board.note_messages(member, &answer);
        if is_limited && !since.is_empty() {
            board.gaps.set(board.gaps.get() + 1);
            fill_gap(&mut client, member, &room, &board, &answer).await?;
        }
        since = format!("&since={}", text_after(&answer, "next_batch")?);
    }
}

async fn fill_gap(
    client: &mut Client,
    member: usize,
    room: &str,
    board: &Board,
    answer: &[u8],
) -> Result<()> {
    let mut from = text_after(answer, "prev_batch")?;
    loop {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/messages?dir=b&limit={TIMELINE_MAX}&from={}",
            encoded(room),
            encoded(&from)
        );
        let page = client.must(Method::GET, &path, None).await?;
        // A page with something known or without anything is where the gap ends.
        if board.note_messages(member, &page) < TIMELINE_MAX {
            return Ok(());
        }
        from = text_after(&page, "end")?;
    }
}

impl Board {
    /// Of so many members.
    pub(super) fn of(members: usize) -> Rc<Self> {
        Rc::new(Self {
            begun: RefCell::default(),
            send_times: RefCell::default(),
            delivery_times: RefCell::default(),
            seen_by: RefCell::new(vec![Vec::new(); members]),
            seen: Cell::new(0),
            gaps: Cell::new(0),
            progress: Notify::new(),
        })
    }

    /// Deliveries so far.
    pub(super) fn seen(&self) -> usize {
        self.seen.get()
    }

    /// After warming up.
    pub(super) fn forget_times(&self) {
        self.send_times.borrow_mut().clear();
        self.delivery_times.borrow_mut().clear();
    }

    /// How long messages took, from the beginning of the send: half of them, and 95 of 100.
    pub(super) fn delivery(&self) -> [Duration; 2] {
        let times = &mut *self.delivery_times.borrow_mut();
        [0.5, 0.95].map(|part| quantile(times, part))
    }

    /// Note the messages in an answer; gives how many are new to this member.
    fn note_messages(&self, member: usize, answer: &[u8]) -> usize {
        self.note_at(Instant::now(), member, answer)
    }

    /// The same, for what came at some moment.
    pub(super) fn note_at(&self, now: Instant, member: usize, answer: &[u8]) -> usize {
        let begun = self.begun.borrow();
        let seen = &mut self.seen_by.borrow_mut()[member];
        seen.resize(begun.len(), false);
        let mut rest = answer;
        let mut found = 0;
        while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
            rest = &rest[at + MARK.len()..];
            let digits = rest.get(..DIGITS).and_then(|text| std::str::from_utf8(text).ok());
            let Some(number) = digits.and_then(|text| text.parse::<usize>().ok()) else { continue };
            let (Some(begun), Some(seen)) = (begun.get(number), seen.get_mut(number)) else {
                continue;
            };
            if !std::mem::replace(seen, true) {
                self.delivery_times.borrow_mut().push(now.duration_since(*begun));
                found += 1;
            }
        }
        if found > 0 {
            self.seen.set(self.seen.get() + found);
            self.progress.notify_one();
        }
        found
    }

    /// Who has not seen what.
    fn missing(&self) -> String {
        let count = self.begun.borrow().len();
        let mut text = String::new();
        for (member, seen) in self.seen_by.borrow().iter().enumerate() {
            let missing: Vec<usize> =
                (0..count).filter(|number| seen.get(*number) != Some(&true)).collect();
            if !missing.is_empty() {
                text.push_str(&format!("member {member}: {missing:?}; "));
            }
        }
        text
    }
}
