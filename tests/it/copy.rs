//! `store copy`: a site moves to the engine of this run and back.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use blaupause_store::{Batch, Db, Key, Op, Part, RocksSettings, RocksStore, Store, Table};
use bytes::Bytes;
use serde_json::json;

use crate::{
    http::encoded,
    people,
    place::{Engine, Place},
    program::{Running, command, complaint, run},
    serve::configured_at,
    server::{OPEN, Server},
};

/// Batches that fill a store for which a copy takes many steps.
const BATCHES: u64 = 40;
/// Rows of such a batch.
const BATCH_ROWS: u64 = 4_000;

/// An empty place and its configuration.
fn place(engine: Engine) -> (Place, PathBuf) {
    let place = Place::on(engine);
    let file = configured_at(&place, OPEN);
    (place, file)
}

fn copy(from: &Path, to: &Path) -> Output {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    run(&["store", "copy", "--from", &text(from), "--to", &text(to)])
}

fn must_copy(from: &Path, to: &Path) -> String {
    let output = copy(from, to);
    assert!(output.status.success(), "{}", complaint(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Table, rows, bytes and checksum of every table, from what the command prints.
fn sums(printed: &str) -> Vec<Vec<&str>> {
    let tables: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    let words = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.first().is_some_and(|first| tables.contains(first))).collect()
}

#[test]
fn a_site_moves_to_another_engine_and_back_with_every_byte() {
    let (_first, first) = place(Engine::Rocksdb);
    let mut server = Server::start(&first);
    let mut client = server.client();
    let alice = people::register(&mut client, "alice");
    let room = alice.create_room(&mut client, &json!({ "preset": "private_chat" }));
    alice.send(&mut client, &room, "before", "before the move");
    let seen = client.must(&alice.ask("GET", "/_matrix/client/v3/sync?timeout=0"));
    server.kill();

    let (_second, second) = place(Engine::of_this_run());
    let there = must_copy(&first, &second);
    let (_third, third) = place(Engine::Rocksdb);
    let back = must_copy(&second, &third);
    assert_eq!(sums(&there).len(), Table::ALL.len(), "{there}");
    assert_eq!(sums(&there), sums(&back));

    // On the new engine the client goes on as if nothing had happened.
    let mut server = Server::start(&second);
    let mut client = server.client();
    alice.send(&mut client, &room, "after", "after the move");
    let since = seen["next_batch"].as_str().expect("a token");
    let path = format!("/_matrix/client/v3/sync?timeout=0&since={since}");
    let news = client.must(&alice.ask("GET", &path));
    let events = news["rooms"]["join"][&room]["timeline"]["events"].as_array().expect("events");
    let texts: Vec<_> =
        events.iter().filter_map(|event| event["content"]["body"].as_str()).collect();
    assert_eq!(texts, ["after the move"]);
    let again = alice.send(&mut client, &room, "before", "before the move");
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=f&limit=50", encoded(&room));
    let history = client.must(&alice.ask("GET", &path));
    let texts = history["chunk"].as_array().expect("a chunk");
    let before: Vec<_> =
        texts.iter().filter(|event| event["content"]["body"] == "before the move").collect();
    assert_eq!(before.len(), 1, "the transaction was forgotten");
    assert_eq!(before[0]["event_id"], json!(again));
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.kill();
}

/// A RocksDB store with so many rows that a copy can be killed in the middle of it.
fn fill(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let settings = RocksSettings::new(place.path().join("db"));
        let store = Db::Rocks(RocksStore::open(settings).expect("opened"));
        for batch in 0..BATCHES {
            let put = |n: u64| {
                let number = (batch * BATCH_ROWS + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let t = Table::ALL[(n % 7) as usize];
                Op::Put { t, k: Key::new(Part(number), b'z'), v: Bytes::from(vec![b'v'; 100]) }
            };
            let ops = (0..BATCH_ROWS).map(put).collect();
            store.submit(Batch { ops, ..Batch::default() }).await.expect("committed");
        }
        store.close().await;
    });
}

/// Start a copy and kill it when it says that it has written something.
fn kill_in_the_middle(from: &Path, to: &Path) {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let mut child = command(&["store", "copy", "--from", &text(from), "--to", &text(to)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut lines = said.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("copying")), "it never began");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn a_killed_copy_goes_on_where_it_was_and_no_server_starts_meanwhile() {
    let ((from_place, from), (_to, to)) = (place(Engine::Rocksdb), place(Engine::of_this_run()));
    fill(&from_place);
    kill_in_the_middle(&from, &to);

    let refused = run(&["serve", "--config", to.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("interrupted"), "{}", complaint(&refused));

    let done = copy(&from, &to);
    assert!(done.status.success(), "{}", complaint(&done));
    assert!(complaint(&done).contains("going on with the copy"), "{}", complaint(&done));
    let printed = String::from_utf8(done.stdout).expect("text");
    let rows =
        sums(&printed).iter().map(|words| words[1].parse::<u64>().expect("rows")).sum::<u64>();
    assert_eq!(rows, BATCHES * BATCH_ROWS + 1, "all rows and the position:\n{printed}");

    let again = copy(&from, &to);
    assert_eq!(again.status.code(), Some(1));
    assert!(complaint(&again).contains("holds data already"), "{}", complaint(&again));
}

#[test]
fn a_copy_is_refused_while_a_server_runs_on_either_side() {
    let ((_from, from), (_to, to)) = (place(Engine::Rocksdb), place(Engine::of_this_run()));
    for busy in [&from, &to] {
        let server = Running::start(busy, None);
        let refused = copy(&from, &to);
        assert_eq!(refused.status.code(), Some(1), "while {} is served", busy.display());
        let side = if busy == &from { "--from: " } else { "--to: " };
        assert!(complaint(&refused).contains(side), "{}", complaint(&refused));
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn a_copy_to_another_servers_name_or_from_nowhere_is_refused() {
    let ((_from, from), (_to, to)) = (place(Engine::Rocksdb), place(Engine::of_this_run()));
    let refused = copy(&from, &to);
    assert!(complaint(&refused).contains("there is no database"), "{}", complaint(&refused));
    let other = std::fs::read_to_string(&to).expect("there").replace("example.org", "other.org");
    std::fs::write(&to, other).expect("written");
    let refused = copy(&from, &to);
    assert!(complaint(&refused).contains("a site keeps its name"), "{}", complaint(&refused));
    let itself = copy(&from, &from);
    assert_eq!(itself.status.code(), Some(1));
}
