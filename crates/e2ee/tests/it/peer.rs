//! Another server as far as the wire goes: it answers what a test says, and remembers what it was
//! asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use blaupause_data::{
    Change, Data, Member, StreamPos, Write,
    rows::{MemberRow, RoomMember, RoomServerRow, UserRoom, UserRoomRow},
};
use blaupause_federation::{CallLimits, Exchange, Federation, Settings, Wire, WireError};
use blaupause_policy::ServerPolicy;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use ruma::{
    OwnedDeviceId, OwnedUserId, RoomId, ServerName, UserId, encryption::DeviceKeys, serde::Raw,
};
use serde_json::{Value, json};
use vodozemac::olm;

use crate::people::World;

/// The peer.
#[derive(Default)]
pub struct Peer {
    /// By the end of the path; what has no answer is not answered at all.
    answers: Mutex<BTreeMap<String, Value>>,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Peer {
    pub fn answer(&self, path: &str, answer: Value) {
        self.answers.lock().insert(path.to_owned(), answer);
    }

    pub fn is_away(&self) {
        self.answers.lock().clear();
    }

    /// How often something was asked.
    pub fn count(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|(asked, _)| asked.contains(path)).count()
    }

    /// The EDUs that arrived, oldest first, each once.
    pub fn edus(&self) -> Vec<Value> {
        let asked = self.asked.lock();
        let sent = asked.iter().filter(|(path, _)| path.contains("/send/"));
        sent.flat_map(|(_, body)| body["edus"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The same once so many have arrived.
    pub async fn edus_of(&self, count: usize) -> Vec<Value> {
        for _ in 0..10_000 {
            if self.edus().len() >= count {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.edus()
    }
}

impl Wire for Peer {
    fn exchange<'a>(
        &'a self,
        _: &'a ServerName,
        request: Request<Bytes>,
        _: CallLimits,
    ) -> Exchange<'a> {
        let path = request.uri().path().to_owned();
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let answers = self.answers.lock();
        let answer = answers.iter().find(|(end, _)| path.contains(end.as_str()));
        let answer = answer.map(|(_, answer)| answer.to_string());
        self.asked.lock().push((path, body));
        Box::pin(async move {
            let answer = answer.ok_or(WireError::TimedOut)?;
            Ok(Response::new(Bytes::from(answer)))
        })
    }
}

/// A world that speaks with a peer.
pub async fn world() -> (World, Arc<Peer>) {
    let peer = Arc::<Peer>::default();
    let wire: Arc<dyn Wire> = Arc::<Peer>::clone(&peer);
    let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
    let world = World::speaking(|data| Federation::new(data.clone(), wire, settings)).await;
    world.e2ee.federation().start().await.expect("a store");
    world.e2ee.follow_remote().await.expect("a store");
    peer.answer("/send/", json!({ "pdus": {} }));
    (world, peer)
}

/// Somebody's device on the peer.
pub struct Stranger {
    pub user: OwnedUserId,
    pub device: OwnedDeviceId,
    pub olm: olm::Account,
}

impl Stranger {
    pub fn new(user: &str, device: &str) -> Self {
        let user = OwnedUserId::try_from(user).expect("an id");
        Self { user, device: device.into(), olm: olm::Account::new() }
    }

    pub fn keys(&self) -> Raw<DeviceKeys> {
        let device = crate::people::Device {
            user: self.user.clone(),
            id: self.device.clone(),
            olm: olm::Account::from_pickle(self.olm.pickle()),
        };
        device.keys()
    }

    /// A signed one-time key.
    pub fn one_time_key(&mut self) -> Value {
        self.olm.generate_one_time_keys(1);
        let key = self.olm.one_time_keys().values().next().expect("one").to_base64();
        self.olm.mark_keys_as_published();
        let mut object = json!({ "key": key });
        let signature = self.olm.sign(object.to_string().as_bytes()).to_base64();
        let id = format!("ed25519:{}", self.device);
        object["signatures"] = json!({ &self.user: { id: signature } });
        object
    }
}

static ROOMS: AtomicU32 = AtomicU32::new(0);

/// A room with these joined users, as its rows say.
pub async fn room(data: &Data, users: &[&UserId]) {
    room_with(data, users, &[]).await;
}

/// A room with these joined users; of other servers it is only said that they are there.
pub async fn room_with(data: &Data, users: &[&UserId], servers: &[&ServerName]) {
    let number = ROOMS.fetch_add(1, Ordering::SeqCst);
    let room = RoomId::parse(format!("!r{number}:example.org")).expect("an id");
    let parts = data.parts();
    let part = parts.room(&room);
    let mut write = Write::new(part);
    for server in servers {
        write.put::<RoomServerRow>(part, &(*server).to_owned(), &1);
    }
    for user in users {
        let member = RoomMember {
            user_id: (*user).to_owned(),
            no: serde_json::from_value(json!(1)).expect("a number"),
            display_name: None,
            avatar_url: None,
        };
        write.put::<MemberRow>(part, &(Member::Join as u8, parts.user(user)), &member);
        write.put::<RoomServerRow>(part, &user.server_name().to_owned(), &1);
        if data.is_local(user) {
            let row = UserRoom {
                room_id: room.clone(),
                membership: Member::Join,
                entered: None,
                no: None,
                sender: (*user).to_owned(),
                forgotten: false,
                was_joined: true,
                stripped: Vec::new(),
            };
            write.put::<UserRoomRow>(parts.user(user), &part, &row);
            let (user, room) = ((*user).to_owned(), room.clone());
            write.change(&Change::Membership { user, room, membership: Member::Join });
        }
    }
    write.change(&Change::Servers { room });
    data.commit(write).await.expect("a store");
}

/// Whose devices changed since a position.
pub async fn changed(world: &World, since: StreamPos) -> Vec<String> {
    let until = world.data.position();
    let changed = world.e2ee.devices_changed(since, until).await.expect("a store");
    changed.into_iter().map(|user| user.to_string()).collect()
}
