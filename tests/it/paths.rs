//! Path templates of the spec, filled with somebody's things.

use crate::{http::encoded, placeholders::Names};

/// Parameters whose value is a name of the fixture.
const NAMED: &[(&str, &str)] = &[
    ("userId", "user_id"),
    ("roomId", "room_id"),
    ("roomIdOrAlias", "alias_pub"),
    ("roomAlias", "alias_pub"),
    ("eventId", "event_id"),
    ("threadRootId", "event_id"),
    ("deviceId", "device_id"),
    ("filterId", "filter_id"),
    ("mediaId", "media_png"),
    ("serverName", "server_name"),
    ("txnId", "txn"),
];

/// Parameters for which one value is as good as another.
const FIXED: &[(&str, &str)] = &[
    ("eventType", "org.example.type"),
    ("stateKey", "key"),
    ("type", "org.example.type"),
    ("keyName", "displayname"),
    ("kind", "override"),
    ("ruleId", ".m.rule.master"),
    ("receiptType", "m.read"),
    ("relType", "m.thread"),
    ("tag", "u.tag"),
    ("version", "1"),
    ("sessionId", "session"),
    ("fileName", "file.png"),
    ("authType", "m.login.dummy"),
    ("appserviceId", "bridge"),
    ("networkId", "network"),
    ("protocol", "irc"),
    ("idpId", "idp"),
    ("delayId", "delay"),
    ("id", "id"),
    ("queryType", "directory"),
];

/// The template with every parameter replaced.
///
/// # Panics
/// If a parameter is not known.
pub fn with_parameters(template: &str, names: &Names) -> String {
    let mut path = template.to_owned();
    for (parameter, name) in NAMED {
        path = path.replace(&format!("{{{parameter}}}"), &encoded(&names[name]));
    }
    for (parameter, value) in FIXED {
        path = path.replace(&format!("{{{parameter}}}"), value);
    }
    assert!(!path.contains('{'), "a parameter of {template} has no value");
    path
}

/// The parameters of a template, with their braces.
pub fn parameters(template: &str) -> Vec<&str> {
    template.split_inclusive('}').filter_map(|part| part.find('{').map(|at| &part[at..])).collect()
}
