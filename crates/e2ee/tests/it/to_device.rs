use std::collections::BTreeMap;

use blaupause_data::StreamPos;
use blaupause_e2ee::Recipients;
use ruma::{TransactionId, user_id};
use serde_json::value::RawValue;

use crate::people::World;

const END: StreamPos = StreamPos(u64::MAX - 1);

fn content(text: &str) -> Box<RawValue> {
    RawValue::from_string(format!("{{\"n\":\"{text}\"}}")).expect("is JSON")
}

#[tokio::test]
async fn waiting_messages_come_in_pages_in_order_and_go_when_acknowledged() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let sender = user_id!("@ben:example.org");
    for n in 0..250 {
        let to = BTreeMap::from([(Recipients::All, content(&n.to_string()))]);
        let messages = BTreeMap::from([(device.user.clone(), to)]);
        let txn = TransactionId::new();
        world.e2ee.send_to_device(sender, None, &txn, "m.test", &messages).await.expect("sent");
    }
    let (mut seen, mut since) = (Vec::new(), StreamPos(0));
    loop {
        let page = world.e2ee.to_device(&device.user, &device.id, since, END).await;
        let page = page.expect("the store works");
        assert!(page.messages.len() <= 100);
        let Some(last) = page.messages.last() else { break };
        since = last.pos;
        seen.extend(page.messages.iter().map(|message| message.event.json().get().to_owned()));
        world.e2ee.acknowledge_to_device(&device.user, &device.id, since).await.expect("done");
    }
    assert_eq!(seen.len(), 250);
    assert!(seen.iter().enumerate().all(|(n, json)| json.contains(&format!("\"n\":\"{n}\""))));
    let again = world.e2ee.to_device(&device.user, &device.id, StreamPos(0), END).await;
    assert!(again.expect("the store works").messages.is_empty());
}

#[tokio::test]
async fn a_transaction_is_done_once() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let sender = user_id!("@ben:example.org");
    let to = BTreeMap::from([(Recipients::Device(device.id.clone()), content("once"))]);
    let messages = BTreeMap::from([(device.user.clone(), to)]);
    for _ in 0..3 {
        let txn = "t1".into();
        world.e2ee.send_to_device(sender, None, txn, "m.test", &messages).await.expect("sent");
    }
    let page = world.e2ee.to_device(&device.user, &device.id, StreamPos(0), END).await;
    assert_eq!(page.expect("the store works").messages.len(), 1);
}

#[tokio::test]
async fn large_messages_come_in_whole_batches() {
    let world = World::new().await;
    let device = world.device("anna").await;
    let sender = user_id!("@ben:example.org");
    // More than one answer of the store holds: pages end between batches, not inside of one.
    for n in 0..40 {
        let large = |m: usize| content(&format!("{n}-{m} {}", "x".repeat(60_000)));
        let to = (0..4).map(|m| (device.user.clone(), m));
        for (user, m) in to {
            let to = BTreeMap::from([(Recipients::All, large(m))]);
            let messages = BTreeMap::from([(user, to)]);
            let txn = TransactionId::new();
            world.e2ee.send_to_device(sender, None, &txn, "m.test", &messages).await.expect("sent");
        }
    }
    let (mut seen, mut since) = (0, StreamPos(0));
    loop {
        let page = world.e2ee.to_device(&device.user, &device.id, since, END).await;
        let page = page.expect("the store works");
        let Some(last) = page.messages.last() else { break };
        (since, seen) = (last.pos, seen + page.messages.len());
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, 160);
}

#[tokio::test]
async fn transactions_are_forgotten_after_a_day() {
    use blaupause_e2ee::rows::ToDeviceTxnRow;
    let world = World::new().await;
    let device = world.device("anna").await;
    let send = |n: usize| {
        let to = BTreeMap::from([(Recipients::All, content("x"))]);
        let messages = BTreeMap::from([(device.user.clone(), to)]);
        let (e2ee, user, id) = (world.e2ee.clone(), device.user.clone(), device.id.clone());
        async move {
            let txn = format!("t{n}");
            let txn = txn.as_str().into();
            e2ee.send_to_device(&user, Some(&id), txn, "m.test", &messages).await.expect("sent");
        }
    };
    for n in 0..200 {
        send(n).await;
    }
    world.data.env().advance(std::time::Duration::from_secs(25 * 60 * 60));
    for n in 200..400 {
        send(n).await;
    }
    let part = world.data.parts().user(&device.user);
    let rows = world.data.list::<ToDeviceTxnRow>(part, &(), 1_000).await.expect("reads").rows;
    assert!((200..300).contains(&rows.len()), "{} are remembered", rows.len());
}
