//! `check-config`, `generate-config`, and what `serve` says to a wrong file.

use std::fs;

use crate::program::{complaint, run};

#[test]
fn a_generated_configuration_passes_the_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let output = run(&[
        "generate-config",
        "--server-name",
        "example.org",
        "--data-dir",
        data.to_str().expect("text"),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(output.status.success(), "{}", complaint(&output));
    let file = folder.path().join("b.toml");
    fs::write(&file, &output.stdout).expect("written");
    let output = run(&["check-config", file.to_str().expect("text")]);
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(complaint(&output), "");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(": OK\n"));
    assert!(!data.exists(), "checking makes nothing");
}

#[test]
fn the_shipped_example_passes_the_check() {
    let output =
        run(&["check-config", concat!(env!("CARGO_MANIFEST_DIR"), "/config/blaupause.toml")]);
    assert!(output.status.success(), "{}", complaint(&output));
}

#[test]
fn check_and_serve_refuse_a_wrong_file_with_the_same_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("b.toml");
    fs::write(&file, "[server]\nname = \"example.org\"\nlissten = []\n").expect("written");
    let file = file.to_str().expect("text");
    let checked = run(&["check-config", file]);
    let served = run(&["serve", "--config", file]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(served.status.code(), Some(1));
    assert!(complaint(&checked).starts_with(&format!("{file}:3: server.lissten: unknown field")));
    assert_eq!(complaint(&checked), complaint(&served));
}

#[test]
fn a_missing_file_is_named() {
    let output = run(&["serve", "--config", "/does/not/exist.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).starts_with("/does/not/exist.toml: cannot read"));
}

#[test]
fn the_version_is_the_packages() {
    let output = run(&["version"]);
    let wanted = format!("blaupause {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
}
