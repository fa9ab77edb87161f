//! Starting, answering, stopping.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
};

use crate::{
    http::{Ask, Client},
    place::{Engine, Place},
    program::{Running, complaint, exchange, get, run},
    server::open_to_everybody,
};
use serde_json::json;

/// A configuration on free ports, with JSON logs, in a folder of its own.
pub fn configured(extra: &str) -> (Place, PathBuf) {
    let place = Place::new();
    let file = configured_at(&place, extra);
    (place, file)
}

/// The same with its data in a place that exists; gives the file.
pub fn configured_at(place: &Place, extra: &str) -> PathBuf {
    configured_with(place, &place.section(), extra)
}

/// The same with a store of somebody else's.
pub fn configured_with(place: &Place, store: &str, extra: &str) -> PathBuf {
    let file = place.path().join("b.toml");
    let data = place.path().display();
    let text = format!(
        "[server]\nname = \"example.org\"\nlisten = [\"127.0.0.1:0\"]\n\
         [metrics]\nlisten = [\"127.0.0.1:0\"]\n\
         [log]\nformat = \"json\"\n\
         {store}[media]\npath = \"{data}/media\"\n{extra}"
    );
    fs::write(&file, text).expect("written");
    file
}

fn started(extra: &str) -> (Place, Running) {
    let (place, file) = configured(extra);
    (place, Running::start(&file, None))
}

#[test]
fn a_server_answers_is_healthy_and_stops_cleanly() {
    let (_folder, server) = started("");
    let operators = server.address("metrics");
    assert!(get(operators, "/health/live").starts_with("HTTP/1.1 200"));
    assert!(get(operators, "/health/ready").starts_with("HTTP/1.1 200"));
    assert!(get(operators, "/metrics").contains("blaupause_build_info"));
    let answer = get(server.address("listen"), "/_matrix/does/not/exist");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("M_UNRECOGNIZED"), "{answer}");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}

#[test]
fn the_health_command_says_whether_the_server_is_ready() {
    let (place, file) = configured("");
    let server = Running::start(&file, None);
    // The command reads the configuration, which must name the port.
    let text = fs::read_to_string(&file).expect("written");
    let operators = format!("[metrics]\nlisten = [\"{}\"]", server.address("metrics"));
    let named = place.path().join("named.toml");
    fs::write(&named, text.replace("[metrics]\nlisten = [\"127.0.0.1:0\"]", &operators))
        .expect("written");
    let health = || run(&["health", "--config", named.to_str().expect("a text path")]);
    let healthy = health();
    assert!(healthy.status.success(), "{}", complaint(&healthy));
    server.stop();
    let stopped = health();
    assert_eq!(stopped.status.code(), Some(1));
    assert!(complaint(&stopped).contains("does not answer"), "{}", complaint(&stopped));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_stop() {
    let (_folder, server) = started("");
    let mut idle = TcpStream::connect(server.address("listen")).expect("it listens");
    idle.write_all(b"GET /_matrix/client/versions HT").expect("sent");
    assert!(get(server.address("listen"), "/").starts_with("HTTP/1.1 404"));
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_long_poll_is_answered_at_the_stop() {
    let (_folder, config) = open_to_everybody("");
    let server = Running::start(&config, None);
    let address = server.address("listen");
    let body = json!({ "auth": { "type": "m.login.dummy" }, "username": "alice", "password": "correct horse" });
    let mut client = Client::new(address);
    let made = client.must(&Ask::new("POST", "/_matrix/client/v3/register").json(&body));
    let token = made["access_token"].as_str().expect("a token").to_owned();
    let sync = client.must(&Ask::new("GET", "/_matrix/client/v3/sync").token(&token));
    let since = sync["next_batch"].as_str().expect("a position");
    let poll = format!("/_matrix/client/v3/sync?timeout=30000&since={since}");
    let poll = Ask::new("GET", poll).token(&token);
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.ask(&poll));
        // Other connections' answers: by then the poll has reached the server.
        for _ in 0..50 {
            get(address, "/_matrix/client/versions");
        }
        assert_eq!(server.stop().0, Some(0));
        waiting.join().expect("no panic")
    });
    let answer = waiting.expect("the poll is answered, not cut off");
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert!(answer.json()["next_batch"].is_string());
}

#[test]
fn a_request_in_progress_ends_before_the_store_closes() {
    let (_folder, config) = open_to_everybody("");
    let server = Running::start(&config, None);
    let address = server.address("listen");
    let body = json!({ "auth": { "type": "m.login.dummy" }, "username": "alice", "password": "correct horse" });
    let mut client = Client::new(address);
    let made = client.must(&Ask::new("POST", "/_matrix/client/v3/register").json(&body));
    let token = made["access_token"].as_str().expect("a token");
    // Half of a file is on its way when the stop comes; its other half follows after it.
    let mut upload = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: text/plain\r\ncontent-length: 20\r\n\r\n0123456789"
    );
    upload.write_all(head.as_bytes()).expect("sent");
    for _ in 0..50 {
        get(address, "/_matrix/client/versions");
    }
    let answer = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        // Nobody is let in any more: the stop has begun.
        while TcpStream::connect(address).is_ok() {}
        upload.write_all(b"0123456789").expect("sent");
        let mut answer = String::new();
        upload.read_to_string(&mut answer).expect("an answer");
        let (code, log) = stopping.join().expect("no panic");
        assert_eq!(code, Some(0), "{log}");
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("mxc://"), "{answer}");
}

#[test]
fn the_ready_file_names_the_ports() {
    let (place, file) = configured("");
    let ready = place.path().join("ready.json");
    let server = Running::start(&file, Some(&ready));
    let text = fs::read_to_string(&ready).expect("it is there before the log says ready");
    let addresses: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(addresses["listen"][0], server.address("listen").to_string());
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let (place, file) = configured("");
    let server = Running::start(&file, None);
    let second = run(&["serve", "--config", file.to_str().expect("text")]);
    assert_eq!(second.status.code(), Some(1));
    let said = complaint(&second);
    assert!(said.contains(&place.refusal()), "{said}");
    if Engine::of_this_run() == Engine::Rocksdb {
        let holder = format!("in use by the process {}", server.id().as_raw_nonzero());
        assert!(said.contains(&holder), "{said}");
    }
    assert_eq!(server.stop().0, Some(0));
    // The lock goes with its owner.
    assert_eq!(Running::start(&file, None).stop().0, Some(0));
}

#[test]
fn an_address_in_use_is_named_with_its_key() {
    let (_folder, server) = started("");
    let (_other, file) = configured("");
    let taken = server.address("listen").to_string();
    let text = fs::read_to_string(&file).expect("there").replacen("127.0.0.1:0", &taken, 1);
    fs::write(&file, text).expect("written");
    let output = run(&["serve", "--config", file.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = complaint(&output);
    assert!(said.contains(&format!("server.listen: cannot listen on {taken}")), "{said}");
}

#[test]
fn a_request_that_is_no_http_is_refused() {
    let (_folder, server) = started("");
    let answer = exchange(server.address("listen"), "\u{1}\u{2}\u{3} nonsense\r\n\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(100 * 1024));
    let answer = exchange(server.address("listen"), &long);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.stop().0, Some(0));
}
