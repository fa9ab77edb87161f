//! `user create`, with the server stopped and running.

use std::{fs, net::SocketAddr, path::Path, process::Output};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Ask, once},
    program::{Running, complaint, run},
    serve::configured,
};

/// Passwords that cost nothing.
const CHEAP: &str = "[login.argon2]\nmemory = \"8 KiB\"\npasses = 1\n";

fn create(config: &Path, name: &str, more: &[&str]) -> Output {
    let mut args = vec!["user", "create", name, "--config", config.to_str().expect("text")];
    args.extend(more);
    run(&args)
}

/// What the command prints after a word.
fn printed(output: &Output, word: &str) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {text}")).trim().to_owned()
}

fn log_in(address: SocketAddr, user: &str, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    });
    once(address, &Ask::new("POST", "/_matrix/client/v3/login").json(&body)).expect("an answer")
}

#[test]
fn an_account_made_while_the_server_is_stopped_can_sign_in() {
    let (_folder, config) = configured(CHEAP);
    let made = create(&config, "alice", &[]);
    assert_eq!(printed(&made, "user:"), "@alice:example.org");
    let password = printed(&made, "password:");

    let again = create(&config, "alice", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(complaint(&again).contains("alice"), "{}", complaint(&again));
    let wrong = create(&config, "no spaces", &[]);
    assert_eq!(wrong.status.code(), Some(1));

    let server = Running::start(&config, None);
    let address = server.address("listen");
    let answer = log_in(address, "alice", &password);
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert_eq!(log_in(address, "alice", "wrong").status, 403);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_given_password_is_not_printed() {
    let (folder, config) = configured(CHEAP);
    let file = folder.path().join("password");
    fs::write(&file, "correct horse\nnot this line\n").expect("written");
    let made = create(&config, "alice", &["--password-file", file.to_str().expect("text")]);
    assert_eq!(printed(&made, "user:"), "@alice:example.org");
    assert!(!String::from_utf8_lossy(&made.stdout).contains("horse"));

    let server = Running::start(&config, None);
    assert_eq!(log_in(server.address("listen"), "alice", "correct horse").status, 200);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn while_the_server_runs_the_command_says_what_it_needs() {
    let (_folder, config) = configured(CHEAP);
    let server = Running::start(&config, None);
    let refused = create(&config, "alice", &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = complaint(&refused);
    assert!(said.contains("registration.shared_secret_file"), "{said}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn with_the_registration_secret_the_running_server_makes_the_account() {
    let secrets = tempfile::tempdir().expect("a folder");
    let secret = secrets.path().join("secret");
    fs::write(&secret, "a secret of more than sixteen characters\n").expect("written");
    let registration = format!("[registration]\nshared_secret_file = {secret:?}\n");
    let (_folder, config) = configured(&format!("{CHEAP}{registration}"));
    let server = Running::start(&config, None);
    let address = server.address("listen");
    // The command has to find the server: in the file it reads, the port is the one in use.
    let text = fs::read_to_string(&config).expect("there");
    let known = text.replacen("127.0.0.1:0", &address.to_string(), 1);
    fs::write(&config, known).expect("written");

    let made = create(&config, "alice", &["--admin"]);
    assert_eq!(printed(&made, "user:"), "@alice:example.org");
    assert_eq!(log_in(address, "alice", &printed(&made, "password:")).status, 200);

    let again = create(&config, "alice", &[]);
    assert_eq!(again.status.code(), Some(1));
    let said = complaint(&again);
    assert!(said.contains("M_USER_IN_USE"), "{said}");

    fs::write(&secret, "another secret of more than sixteen characters").expect("written");
    let forged = create(&config, "mallory", &[]);
    assert_eq!(forged.status.code(), Some(1));
    assert_eq!(log_in(address, "mallory", "x").json()["errcode"], Value::from("M_FORBIDDEN"));
    assert_eq!(server.stop().0, Some(0));
}
