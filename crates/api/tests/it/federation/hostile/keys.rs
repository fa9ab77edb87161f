//! Servers that lie about their keys.

use serde_json::{Value, json};

use super::scene::Scene;
use crate::federation::{network::Network, peer::Peer};

const DAY_MS: u64 = 24 * 60 * 60_000;
const PATH: &str = "/v1/event/%24nothing";

#[tokio::test]
async fn documents_of_keys_that_are_wrong_give_nobody_a_voice() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let liar = Peer::new(&network, "liar.example");
    let good = |peer: &Peer| peer.key_document(network.env.now_millis() + DAY_MS);
    let old = network.env.now_millis() - 1;
    let cases: Vec<(&str, Value)> = {
        let peer = Peer::new(&network, "p0.example");
        let document = |change: &dyn Fn(&mut Value)| {
            let mut document = good(&peer);
            change(&mut document);
            document
        };
        let expired = peer.key_document(old);
        let unused = document(&|d| {
            let key = d["verify_keys"]["ed25519:peer"].clone();
            d["old_verify_keys"] =
                json!({ "ed25519:peer": { "key": key["key"], "expired_ts": old } });
            d["verify_keys"] = json!({});
            d.as_object_mut().expect("an object").remove("signatures");
            *d = peer.signed_json(d.clone());
        });
        let cases = vec![
            ("expired", expired),
            ("no longer in use", unused),
            ("of another server", good(&liar)),
            ("changed after signing", document(&|d| d["valid_until_ts"] = json!(u64::MAX >> 12))),
            (
                "unsigned",
                document(&|d| drop(d.as_object_mut().expect("an object").remove("signatures"))),
            ),
            ("no keys", document(&|d| d["verify_keys"] = json!({}))),
            ("a text", json!("x")),
            ("wrong types", json!({ "server_name": 5, "verify_keys": [], "valid_until_ts": "x" })),
            ("a short key", document(&|d| d["verify_keys"]["ed25519:peer"]["key"] = json!("AAAA"))),
            ("a negative time", document(&|d| d["valid_until_ts"] = json!(-1))),
        ];
        for (what, document) in &cases {
            peer.answers("/_matrix/key/v2/server", document.clone());
            network.env.advance(std::time::Duration::from_secs(3_600));
            let answer = peer.gets(&a, PATH).await;
            assert_eq!(answer.status.as_u16(), 401, "{what}: {}", answer.body);
        }
        peer.answers("/_matrix/key/v2/server", good(&peer));
        network.env.advance(std::time::Duration::from_secs(3_600));
        assert_ne!(peer.gets(&a, PATH).await.status.as_u16(), 401);
        cases
    };
    assert!(cases.len() > 5);
}

#[tokio::test]
async fn an_event_that_is_younger_than_the_key_it_is_signed_with_is_refused() {
    let scene = Scene::new("11").await;
    let mut event = scene.message("from the future").await;
    // Keys are believed for a week at most.
    event["origin_server_ts"] = json!(scene.network.env.now_millis() + 30 * DAY_MS);
    assert_eq!(scene.brings(&event).await, None);
    assert!(scene.brings(&scene.message("now").await).await.is_some());
    // The key is given up: what it signed before stays good, what it signs later is not.
    let scene = Scene::new("11").await;
    let now = scene.network.env.now_millis();
    let early = scene.message("early").await;
    let mut late = scene.message("late").await;
    late["origin_server_ts"] = json!(now + 2 * DAY_MS);
    let version = scene.version().await;
    let (early_id, early) = scene.peer.signs(&early, &version);
    let (late_id, late) = scene.peer.signs(&late, &version);
    scene.network.env.advance(std::time::Duration::from_millis(3 * DAY_MS));
    let heir = scene.peer.with_new_key("second", now + DAY_MS / 2);
    heir.sends(&scene.a, vec![early, late], Vec::new()).await.ok();
    assert!(scene.seen(&early_id).await.is_some(), "what a key signed in its time stays good");
    assert_eq!(scene.seen(&late_id).await, None);
}

#[tokio::test]
async fn a_key_that_is_known_to_be_public_is_nobodys() {
    // The key that was shipped with many installations of one product (CVE-2026-24044).
    let network = Network::new();
    let a = network.server("a.example").await;
    let peer = Peer::new(&network, "peer.example");
    let mut document = peer.key_document(network.env.now_millis() + DAY_MS);
    document["verify_keys"]["ed25519:shipped"] =
        json!({ "key": "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og" });
    document.as_object_mut().expect("an object").remove("signatures");
    peer.answers("/_matrix/key/v2/server", peer.signed_json(document));
    assert_ne!(peer.gets(&a, PATH).await.status.as_u16(), 401, "its other key is good");
    let name = ruma::server_name!("peer.example");
    let row = a.data.get::<blaupause_federation::ServerKeysRow>(a.data.parts().server(name), &());
    let keys = row.await.expect("the memory can be read").expect("they are known").value;
    let ids: Vec<_> = keys.keys.iter().map(|key| &*key.id).collect();
    assert_eq!(ids, ["ed25519:peer"]);
}
