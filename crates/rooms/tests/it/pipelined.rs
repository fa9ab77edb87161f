//! On a real engine, where a batch is durable only some time after it was queued, so that the lane
//! runs ahead of the store.

use std::collections::{BTreeSet, HashSet};

use blaupause_data::Db;
use blaupause_store::{RocksSettings, RocksStore};
use blaupause_testkit::TestServer;
use serde_json::json;
use tempfile::TempDir;

async fn server() -> (TestServer, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = RocksStore::open(RocksSettings::new(folder.path())).expect("an empty store");
    (TestServer::on(Db::Rocks(store)).await, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_and_state_at_once_stay_one_chain() {
    let (server, _folder) = server().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    let before = server.timeline(&room).await.len();
    let sends: Vec<_> = (0..200)
        .map(|n| {
            let (server, alice, room) = (server.clone(), alice.clone(), room.clone());
            server.data.env().clone().spawn(async move {
                if n % 10 == 0 {
                    let key = (n % 4).to_string();
                    server.set(&alice, &room, "org.x", &key, json!({ "n": n })).await
                } else {
                    server.say(&alice, &room, &n.to_string()).await
                }
            })
        })
        .collect();
    let mut sent = HashSet::new();
    for send in sends {
        sent.insert(send.await.expect("no panic").expect("sent"));
    }
    assert_eq!(sent.len(), 200);
    let timeline = server.timeline(&room).await;
    assert_eq!(timeline.len(), before + 200);
    for pair in timeline.windows(2) {
        assert_eq!(pair[1].stored.prev, [pair[0].no]);
        assert_eq!(pair[1].stored.state_before, pair[0].stored.state_after);
    }
    // The newest of each key is the current state, in the tree as in the rows.
    let part = server.data.parts().room(&room);
    let head = server.rooms.head(&room).await.expect("reads").expect("known");
    for key in ["0", "2"] {
        let newest = timeline.iter().rev().find(|event| event.state_key.as_deref() == Some(key));
        let name = ("org.x".to_owned(), key.to_owned());
        let in_tree = server.data.state_lookup(part, head.state, &[name]).await.expect("reads");
        assert_eq!(in_tree, [newest.map(|event| event.no)]);
        let current = server.state(&room, "org.x", key).await;
        assert_eq!(current, newest.and_then(|event| event.content_as()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_sent_many_times_at_once_is_one_event() {
    let (server, _folder) = server().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for txn in ["a", "b", "c"] {
        let sends: Vec<_> = (0..30)
            .map(|_| {
                let (server, alice, room) = (server.clone(), alice.clone(), room.clone());
                server.data.env().clone().spawn(async move {
                    let content = json!({ "msgtype": "m.text", "body": "x" });
                    server.send(&alice, &room, "m.room.message", content, Some(txn)).await
                })
            })
            .collect();
        let mut events = BTreeSet::new();
        for send in sends {
            events.insert(send.await.expect("no panic").expect("sent"));
        }
        assert_eq!(events.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn abandoned_requests_do_not_stop_the_room() {
    let (server, _folder) = server().await;
    let alice = server.user("alice");
    let room = server.private_room(&alice).await;
    for n in 0..50 {
        let (other, user, id) = (server.clone(), alice.clone(), room.clone());
        let abandoned = server.data.env().spawn(async move {
            let content = json!({ "n": n });
            let _ = other.set(&user, &id, "org.x", "", content).await;
            let _ = other.say(&user, &id, "x").await;
        });
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        abandoned.abort();
        server.say(&alice, &room, "still here").await.expect("sent");
    }
    let timeline = server.timeline(&room).await;
    for pair in timeline.windows(2) {
        assert_eq!(pair[1].stored.prev, [pair[0].no]);
        assert_eq!(pair[1].stored.state_before, pair[0].stored.state_after);
    }
    server.data.db().close().await;
}
