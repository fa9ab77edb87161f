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
