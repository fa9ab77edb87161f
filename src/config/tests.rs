//! The example file agrees with the code, and wrong files are refused with file, key and line.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/blaupause.toml");

fn example() -> String {
    fs::read_to_string(EXAMPLE).expect("config/blaupause.toml is there")
}

/// Every dotted key with a value that is no table.
fn keys(value: &toml::Table, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, value) in value {
        let dotted = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => keys(inner, &format!("{dotted}."), into),
            _ => {
                into.insert(dotted);
            }
        }
    }
}

fn refused(text: &str) -> Vec<Problem> {
    match parse(&Source { file: Path::new("/etc/b.toml"), text }) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(rejected) => rejected.0,
    }
}

fn accepted(text: &str) -> Loaded {
    match parse(&Source { file: Path::new("/etc/b.toml"), text }) {
        Ok(loaded) => loaded,
        Err(rejected) => panic!("refused:\n{rejected}"),
    }
}

fn only(mut problems: Vec<Problem>) -> Problem {
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn the_example_file_holds_the_defaults_of_the_code() {
    let mut config = accepted(&example()).config;
    // The one key without a default.
    config.server.name = Maybe::none();
    assert_eq!(config, Config::default());
}

#[test]
fn the_example_file_shows_every_key() {
    let mut known = BTreeSet::new();
    keys(&toml::Table::try_from(Config::default()).expect("a table"), "", &mut known);
    let mut shown = BTreeSet::new();
    keys(&example().parse().expect("TOML"), "", &mut shown);
    assert_eq!(shown, known);
}

#[test]
fn every_key_of_the_example_file_has_a_comment() {
    let text = example();
    let lines: Vec<&str> = text.lines().collect();
    let bare: Vec<&&str> = lines
        .windows(2)
        .filter(|pair| pair[1].contains(" = ") && (pair[0].is_empty() || pair[0].starts_with('[')))
        .map(|pair| &pair[1])
        .collect();
    assert!(bare.is_empty(), "no comment above {bare:?}");
}

#[test]
fn an_unknown_key_is_named_with_file_and_line() {
    let problem = only(refused("[server]\nname = \"a.org\"\n\n[rooms]\ndefalt_version = \"11\"\n"));
    assert_eq!(problem.line, Some(5));
    assert_eq!(problem.key, "rooms.defalt_version");
    let shown = problem.to_string();
    assert!(shown.starts_with("/etc/b.toml:5: rooms.defalt_version: unknown field"), "{shown}");
}

#[test]
fn an_unknown_section_is_named_with_file_and_line() {
    let problem = only(refused("[server]\nname = \"a.org\"\n[post]\nhost = \"x\"\n"));
    assert_eq!((problem.line, problem.key.as_str()), (Some(3), "post"));
}

#[test]
fn an_impossible_value_is_named_with_file_and_line() {
    for (text, line, key) in [
        (
            "[server]\nname = \"a.org\"\n[rooms]\ndefault_version = \"99\"\n",
            4,
            "rooms.default_version",
        ),
        ("[server]\nname = \"a.org\"\nlisten = [\"nowhere\"]\n", 3, "server.listen"),
        ("[server]\nname = \"not a name\"\n", 2, "server.name"),
        ("[server]\nname = \"a.org\"\npublic_base_url = \"matrix\"\n", 3, "server.public_base_url"),
        (
            "[server]\nname = \"a.org\"\n[media]\nupload_size_max = \"50 MB\"\n",
            4,
            "media.upload_size_max",
        ),
        ("[server]\nname = \"a.org\"\n[log]\nfilter = \"a=b=c\"\n", 4, "log.filter"),
        (
            "[server]\nname = \"a.org\"\n[rate_limits]\nmessage = { per_second = 1.0, burst = 0 }\n",
            4,
            "rate_limits.message.burst",
        ),
        (
            "[server]\nname = \"a.org\"\n[rate_limits.message]\nper_second = -1.0\nburst = 1\n",
            4,
            "rate_limits.message.per_second",
        ),
        (
            "[server]\nname = \"a.org\"\n[rtc]\nlivekit_service_urls = [\"a b\"]\n",
            4,
            "rtc.livekit_service_urls",
        ),
        (
            "[server]\nname = \"a.org\"\n[tls]\nlisten = [\"[::]:8448\"]\ncert_file = \"\"\nkey_file = \"/dev/null\"",
            5,
            "tls.cert_file",
        ),
    ] {
        let problem = only(refused(text));
        assert_eq!((problem.line, problem.key.as_str()), (Some(line), key), "{problem}");
    }
}

#[test]
fn a_wrong_type_is_named_with_file_and_line() {
    for (text, line, key) in [
        ("[server]\nname = 5\n", 2, "server.name"),
        (
            "[server]\nname = \"a.org\"\n[limits]\nconnections_max = \"many\"\n",
            4,
            "limits.connections_max",
        ),
        (
            "[server]\nname = \"a.org\"\n[limits]\nconnections_max = -1\n",
            4,
            "limits.connections_max",
        ),
        ("server = 1\n", 1, "server"),
    ] {
        let problem = only(refused(text));
        assert_eq!((problem.line, problem.key.as_str()), (Some(line), key), "{problem}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let problem = only(refused("[server]\nname = \"a.org\"\nlisten = [\n"));
    assert!(problem.line.is_some_and(|line| line >= 3), "{problem}");
}

#[test]
fn a_file_without_a_server_name_is_refused() {
    let problem = only(refused("[rooms]\ndefault_version = \"11\"\n"));
    assert_eq!((problem.line, problem.key.as_str()), (None, "server.name"));
    let problem = only(refused("[server]\nlisten = [\"127.0.0.1:0\"]\n"));
    assert_eq!((problem.line, problem.key.as_str()), (Some(1), "server.name"));
}

#[test]
fn a_missing_secret_file_is_named_with_file_and_line() {
    for key in ["registration.shared_secret_file", "turn.shared_secret_file"] {
        let (section, name) = key.split_once('.').expect("dotted");
        let problem = only(refused(&format!(
            "[server]\nname = \"a.org\"\n[{section}]\n{name} = \"/does/not/exist\"\n"
        )));
        assert_eq!((problem.line, problem.key.as_str()), (Some(4), key));
        assert!(problem.text.contains("/does/not/exist"), "{problem}");
    }
}

#[test]
fn an_empty_secret_file_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let problem = only(refused(&format!(
        "[server]\nname = \"a.org\"\n[registration]\nshared_secret_file = {:?}\n",
        file.path()
    )));
    assert_eq!(problem.key, "registration.shared_secret_file");
    assert!(problem.text.contains("is empty"), "{problem}");
}

#[test]
fn secrets_are_read_and_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let shared = write("shared", "  a-very-secret-text-indeed\n");
    let tokens = write("tokens", "# for the town hall\nabc\n\ndef-1.2_3~\n");
    let loaded = accepted(&format!(
        "[server]\nname = \"a.org\"\n[registration]\nmode = \"token\"\ntokens_file = {tokens:?}\nshared_secret_file = {shared:?}\n",
    ));
    let secrets = &loaded.secrets;
    assert_eq!(
        secrets.registration_shared.as_ref().map(Secret::reveal),
        Some("a-very-secret-text-indeed")
    );
    let tokens: Vec<&str> = secrets.registration_tokens.iter().map(Secret::reveal).collect();
    assert_eq!(tokens, ["abc", "def-1.2_3~"]);
    assert!(!format!("{loaded:?}").contains("very-secret"));
}

#[test]
fn all_impossible_values_are_told_at_once() {
    let problems = refused(
        "[server]\nname = \"a.org\"\n[rooms]\ndefault_version = \"99\"\n[turn]\nuris = [\"http://x\"]\n",
    );
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["rooms.default_version", "turn.uris", "turn.shared_secret_file"]);
}

#[test]
fn suspicious_values_are_warnings() {
    let loaded = accepted(
        "[server]\nname = \"a.org\"\nlisten = [\"0.0.0.0:8008\"]\n[rate_limits]\nenabled = false\n[registration]\nmode = \"open\"\n",
    );
    let keys: Vec<&str> = loaded.warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(keys, ["registration.mode", "rate_limits.enabled", "server.listen"]);
    assert_eq!(loaded.warnings[1].line, Some(5));
}

#[test]
fn inner_networks_are_ranges_and_not_the_whole_world() {
    let with = |networks: &str| {
        format!("[server]\nname = \"a.org\"\n[outbound]\nallowed_networks = [{networks}]\n")
    };
    let loaded = accepted(&with("\"10.1.0.0/16\", \"fd00::1\""));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let networks = crate::wiring::outbound_settings(&loaded.config).allowed_networks;
    for (address, is_allowed) in [("10.1.2.3", true), ("fd00::1", true), ("10.2.0.1", false)] {
        let address = address.parse().expect("an address");
        assert_eq!(networks.allow(address), is_allowed, "{address}");
    }
    let everything = accepted(&with("\"0.0.0.0/0\""));
    assert_eq!(everything.warnings[0].key, "outbound.allowed_networks");
    assert_eq!(only(refused(&with("\"intranet\""))).line, Some(4));
}

#[test]
fn a_generated_file_is_accepted_without_warnings() {
    let wanted = crate::cli::GenerateConfig {
        server_name: "example.org".try_into().expect("a name"),
        data_dir: PathBuf::from("/tmp/with \"quotes\" and spaces"),
        listen: "127.0.0.1:0".parse().expect("an address"),
    };
    let loaded = accepted(&crate::generate::config(&wanted).expect("a text"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.server_name(), "example.org");
    assert_eq!(loaded.config.storage.path, PathBuf::from("/tmp/with \"quotes\" and spaces/db"));
}

#[test]
fn mail_without_what_it_needs_is_refused() {
    let start = "[server]\nname = \"a.org\"\npublic_base_url = \"https://m.a.org\"\n[mail]\n";
    let relay = "server = \"mail.a.org\"\nfrom = \"Matrix <matrix@a.org>\"\n";
    for (more, key) in [
        ("server = \"mail.a.org\"\n", "mail.from"),
        ("server = \"mail.a.org\"\nfrom = \"matrix\"\n", "mail.from"),
        ("server = \"mail.a.org\"\nfrom = \"a@b@a.org\"\n", "mail.from"),
        ("username = \"x\"\nserver = \"mail.a.org\"\nfrom = \"m@a.org\"\n", "mail.password_file"),
        ("allowed_domains = [\"*\"]\n", "mail.allowed_domains"),
        ("next_link_hosts = [\"https://x\"]\n", "mail.next_link_hosts"),
        ("link_base = \"here\"\n", "mail.link_base"),
    ] {
        let problem = only(refused(&format!("{start}{more}")));
        assert_eq!(problem.key, key, "{more}");
    }
    let loaded = accepted(&format!("{start}{relay}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let without_base = format!("[server]\nname = \"a.org\"\n[mail]\n{relay}");
    assert_eq!(only(refused(&without_base)).key, "mail.link_base");
    let needed = "[server]\nname = \"a.org\"\n[registration]\nemail_needed = true\n";
    assert_eq!(only(refused(needed)).key, "registration.email_needed");
    let in_clear = accepted(&format!("{start}{relay}tls = \"none\"\n"));
    assert_eq!(in_clear.warnings[0].key, "mail.tls");
}

#[test]
fn a_relay_for_calls_has_one_kind_of_login() {
    let start = "[server]\nname = \"a.org\"\n[turn]\nuris = [\"turn:t.a.org\"]\n";
    let problem = only(refused(&format!("{start}username = \"x\"\n")));
    assert_eq!(problem.key, "turn.password_file");
    assert_eq!(only(refused(start)).key, "turn.shared_secret_file");
}

#[test]
fn impossible_previews_are_refused() {
    let start = "[server]\nname = \"a.org\"\n[url_preview]\n";
    for (more, key) in [
        ("allow = [\"https://x.org/\"]\n", "url_preview.allow"),
        ("deny = [\"*\"]\n", "url_preview.deny"),
        ("timeout = \"0s\"\n", "url_preview.timeout"),
        ("page_size_max = \"0 B\"\n", "url_preview.page_size_max"),
        ("image_size_max = \"1 GiB\"\n", "url_preview.image_size_max"),
    ] {
        assert_eq!(only(refused(&format!("{start}{more}"))).key, key);
    }
}
