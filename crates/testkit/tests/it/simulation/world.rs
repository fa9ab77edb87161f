//! A script happens.

use std::{sync::Arc, time::Duration};

use blaupause_data::Write;
use blaupause_rooms::{
    ChangeMembership, CreateRoom, MembershipAction, Preset, Redact, RoomsError, SendEvent,
    SendState,
};
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, UserId, events::StateEventType};
use serde_json::{Value, json, value::RawValue};
use tokio::time::sleep;

use super::{
    chance::Chance,
    network::Network,
    script::{Act, Deed, PEOPLE, Person, SERVERS, Script, Step},
    server::{START_MS, Server, index_of, letter, name_of, new_stores, person},
    trace::Trace,
};

/// How long everything may take to become quiet when nothing is broken any more. A server that was
/// silent for long is left alone for up to a day.
const QUIET_WITHIN: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Some things are tried again this long after everything is quiet (a leave that nobody took).
const LAST_RETRIES: Duration = Duration::from_secs(8 * 3_600);

/// An event of which somebody was told that it is said.
#[derive(Clone, Debug)]
pub struct Said {
    pub room: usize,
    pub who: Person,
    pub event: OwnedEventId,
}

/// What people were told.
#[derive(Default)]
pub struct Told {
    pub said: Vec<Said>,
    /// What has to arrive at a server beside events.
    pub messages: Vec<(usize, u64)>,
    /// Servers that may have been out of a room for a while.
    pub lapsed: [bool; SERVERS],
}

pub struct World {
    seed: u64,
    pub network: Network,
    pub rooms: Vec<OwnedRoomId>,
    pub told: Arc<Mutex<Told>>,
    /// Things that people wait for.
    busy: Arc<()>,
    starts: u64,
    acts: u64,
}

impl World {
    pub async fn new(seed: u64, trace: Trace) -> Self {
        let network = Network::new(seed, trace);
        let mut world = Self {
            seed,
            network,
            rooms: Vec::new(),
            told: Arc::default(),
            busy: Arc::default(),
            starts: 0,
            acts: 0,
        };
        for (at, store) in new_stores().iter().enumerate() {
            world.start(at, store.copy(), Arc::default()).await;
        }
        world
    }

    async fn start(
        &mut self,
        at: usize,
        store: blaupause_store::MemStore,
        messages: Arc<Mutex<std::collections::BTreeSet<u64>>>,
    ) {
        self.starts += 1;
        let seed = self.seed.wrapping_mul(0x1_0001) ^ (self.starts << 48) ^ (at as u64) << 40;
        let now_ms = START_MS + self.network.trace().elapsed_ms();
        let server = Server::start(at, store, messages, (seed, now_ms), &self.network).await;
        self.network.set(at, Some(server));
    }

    /// Everything that the script says, and then everything mended.
    pub async fn play(&mut self, script: &Script) -> Result<(), String> {
        self.open(script).await?;
        self.network.set_weather(script.weather.clone());
        let mut down: Vec<(tokio::time::Instant, usize, Server)> = Vec::new();
        for (pause, step) in &script.steps {
            sleep(Duration::from_millis(*pause)).await;
            self.start_again(&mut down, false).await;
            match step {
                Step::Act(act) => self.act(act),
                Step::Cut { from, to } => self.cut(*from, *to, true),
                Step::Mend { from, to } => self.cut(*from, *to, false),
                Step::Kill { server, down_ms } => {
                    let Some(victim) = self.network.server(*server) else { continue };
                    self.note(&format!("{} is killed", letter(*server)));
                    victim.env.kill();
                    self.network.set(*server, None);
                    let until = tokio::time::Instant::now() + Duration::from_millis(*down_ms);
                    down.push((until, *server, victim));
                    self.start_again(&mut down, false).await;
                }
            }
        }
        self.start_again(&mut down, true).await;
        self.network.set_weather(Default::default());
        self.network.mend_all();
        self.note("everything is mended");
        self.become_quiet().await?;
        sleep(LAST_RETRIES).await;
        self.become_quiet().await
    }

    fn note(&self, line: &str) {
        self.network.trace().note(line);
    }

    fn cut(&self, from: usize, to: usize, is_cut: bool) {
        self.network.cut(from, to, is_cut);
        let what = if is_cut { "is cut" } else { "is mended" };
        self.note(&format!("{}→{} {what}", letter(from), letter(to)));
    }

    async fn start_again(
        &mut self,
        down: &mut Vec<(tokio::time::Instant, usize, Server)>,
        all: bool,
    ) {
        let now = tokio::time::Instant::now();
        let (up, still): (Vec<_>, Vec<_>) =
            std::mem::take(down).into_iter().partition(|(until, ..)| all || *until <= now);
        *down = still;
        for (_, at, before) in up {
            self.note(&format!("{} starts again", letter(at)));
            let (store, messages) = (before.store.copy(), Arc::clone(&before.messages));
            drop(before);
            self.start(at, store, messages).await;
        }
    }

    /// The rooms are made, and most servers are in them.
    async fn open(&mut self, script: &Script) -> Result<(), String> {
        let mut chance = Chance::new(self.seed ^ 0x0be9);
        let boss = self.network.server(0).expect("it runs");
        for room in 0..script.rooms {
            let mut request = CreateRoom::new(person(0));
            request.preset = Some(Preset::Public);
            request.version = Some(script.version.clone());
            let id = boss.rooms.create(request).await.map_err(|error| error.to_string())?;
            self.rooms.push(id.clone());
            for at in 1..SERVERS {
                if chance.percent(80) {
                    let (who, deed) = (at * PEOPLE, Deed::Join { via: 0 });
                    self.act(&Act { room, who, deed });
                    self.become_quiet().await?;
                }
            }
            let mut users = json!({ person(2): 100, person(4): 50, person(6): 50 });
            if script.version != RoomVersionId::V12 {
                users[person(0).as_str()] = json!(100);
            }
            let content = json!({ "users": users });
            let power = state(&id, &person(0), "m.room.power_levels", "", &content);
            boss.rooms.send_state(power).await.map_err(|error| error.to_string())?;
        }
        self.become_quiet().await
    }

    /// Somebody begins to do something.
    fn act(&mut self, act: &Act) {
        self.acts += 1;
        let number = self.acts;
        let Some(server) = self.network.server(act.who / PEOPLE) else { return };
        let room = self.rooms[act.room].clone();
        let deed = Doing {
            number,
            room,
            who: person(act.who),
            server: server.clone(),
            earlier: self.told.lock().said.clone(),
        };
        if let Some(whom) = deed.may_remove(act) {
            self.told.lock().lapsed[whom / PEOPLE] = true;
        }
        let (told, act, trace) =
            (Arc::clone(&self.told), act.clone(), self.network.trace().clone());
        let busy = Arc::clone(&self.busy);
        server.env.spawn(async move {
            let done = Box::pin(deed.done(&act.deed)).await;
            let (at, who) = (letter(act.who / PEOPLE), &deed.who);
            let end = match &done {
                Ok(Some(event)) => event.to_string(),
                Ok(None) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            trace.note(&format!("{at}: {number} {who} {:?} in {}: {end}", act.deed, act.room));
            let mut told = told.lock();
            match done {
                Ok(Some(event)) => told.said.push(Said { room: act.room, who: act.who, event }),
                Ok(None) => {
                    if let Deed::Message { to } = act.deed {
                        told.messages.push((to, number));
                    }
                }
                Err(_) => {}
            }
            drop(busy);
        });
    }

    /// Wait until nothing waits.
    pub async fn become_quiet(&self) -> Result<(), String> {
        let begin = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(500);
        while begin.elapsed() < QUIET_WITHIN {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3_600));
            let mut queued = 0;
            for at in 0..SERVERS {
                if let Some(server) = self.network.server(at) {
                    queued += server.queued().await;
                }
            }
            if queued == 0 && self.network.is_quiet() && Arc::strong_count(&self.busy) == 1 {
                return Ok(());
            }
        }
        Err(format!("not quiet after {} hours", QUIET_WITHIN.as_secs() / 3_600))
    }

    /// Somebody of each server in a room says a last word, so that all that was said is known to
    /// lie before it.
    pub async fn settle(&mut self) -> Result<(), String> {
        for room in 0..self.rooms.len() {
            for at in 0..SERVERS {
                let server = self.network.server(at).expect("all run");
                let id = self.rooms[room].clone();
                for who in (0..PEOPLE).map(|number| at * PEOPLE + number) {
                    let said = server.rooms.send(message(&id, &person(who), "that is all")).await;
                    if let Ok(event) = said {
                        self.note(&format!("{}: settles {room} by {event}", letter(at)));
                        self.told.lock().said.push(Said { room, who, event });
                        self.become_quiet().await?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Somebody at something.
struct Doing {
    number: u64,
    room: OwnedRoomId,
    who: ruma::OwnedUserId,
    server: Server,
    earlier: Vec<Said>,
}

impl Doing {
    /// Who may be out of the room after it.
    fn may_remove(&self, act: &Act) -> Option<Person> {
        match act.deed {
            Deed::Leave => Some(act.who),
            Deed::Kick(whom) | Deed::Ban(whom) => Some(whom),
            _ => None,
        }
    }

    async fn done(&self, deed: &Deed) -> Result<Option<OwnedEventId>, RoomsError> {
        let text = format!("{} by {}", self.number, self.who);
        match deed {
            Deed::Say => {
                let said = message(&self.room, &self.who, &text);
                self.server.rooms.send(said).await.map(Some)
            }
            Deed::Topic => self.set("m.room.topic", "", &json!({ "topic": text })).await,
            Deed::Name => self.set("m.room.name", "", &json!({ "name": text })).await,
            Deed::Own => {
                self.set("org.example.own", self.who.as_str(), &json!({ "text": text })).await
            }
            Deed::Power { whom, level } => {
                let whom = person(*whom);
                self.set_power(|levels| levels["users"][whom.as_str()] = json!(level)).await
            }
            Deed::TopicLevel { level } => {
                self.set_power(|levels| levels["events"]["m.room.topic"] = json!(level)).await
            }
            Deed::JoinRule(rule) => {
                self.set("m.room.join_rules", "", &json!({ "join_rule": rule })).await
            }
            Deed::Join { via } => self.change(MembershipAction::Join, None, Some(*via)).await,
            Deed::Leave => self.change(MembershipAction::Leave, None, None).await,
            Deed::Invite(whom) => self.change(MembershipAction::Invite, Some(*whom), None).await,
            Deed::Kick(whom) => self.change(MembershipAction::Kick, Some(*whom), None).await,
            Deed::Ban(whom) => self.change(MembershipAction::Ban, Some(*whom), None).await,
            Deed::Unban(whom) => self.change(MembershipAction::Unban, Some(*whom), None).await,
            Deed::Redact(which) => self.redact(*which).await,
            Deed::Message { to } => self.owe(*to).await,
        }
    }

    async fn set(
        &self,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<Option<OwnedEventId>, RoomsError> {
        let wanted = state(&self.room, &self.who, kind, state_key, content);
        self.server.rooms.send_state(wanted).await.map(Some)
    }

    async fn set_power(
        &self,
        change: impl FnOnce(&mut Value),
    ) -> Result<Option<OwnedEventId>, RoomsError> {
        let name = (StateEventType::RoomPowerLevels, String::new());
        let levels = self.server.rooms.current_state(&self.room, &[name]).await?.pop().flatten();
        let levels = levels.and_then(|event| event.content_as::<Value>());
        let mut levels = levels.unwrap_or_else(|| json!({}));
        change(&mut levels);
        self.set("m.room.power_levels", "", &levels).await
    }

    async fn change(
        &self,
        action: MembershipAction,
        whom: Option<Person>,
        via: Option<usize>,
    ) -> Result<Option<OwnedEventId>, RoomsError> {
        let (room, who) = (self.room.clone(), self.who.clone());
        let mut change = match whom {
            Some(whom) => ChangeMembership::of(room, who, person(whom), action),
            None => ChangeMembership::own(room, who, action),
        };
        change.via.extend(via.map(name_of).filter(|via| via != self.server.name()));
        self.server.rooms.change_membership(&change).await?;
        Ok(None)
    }

    async fn redact(&self, which: usize) -> Result<Option<OwnedEventId>, RoomsError> {
        if self.earlier.is_empty() {
            return Ok(None);
        }
        let redact = Redact {
            room: self.room.clone(),
            sender: self.who.clone(),
            event: self.earlier[which % self.earlier.len()].event.clone(),
            reason: None,
            transaction: None,
            timestamp: None,
            own_only: false,
        };
        self.server.rooms.redact(redact).await.map(Some)
    }

    async fn owe(&self, to: usize) -> Result<Option<OwnedEventId>, RoomsError> {
        let data = &self.server.data;
        if index_of(data.server_name()) == Some(to) {
            return Err(RoomsError::NotJoined);
        }
        let mut write = Write::new(data.parts().server(&name_of(to)));
        let content = json!({ "number": self.number });
        self.server.federation.owe_edu(&mut write, &name_of(to), "org.example.told", &content);
        data.commit(write).await?;
        Ok(None)
    }
}

fn raw(content: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(content).expect("JSON")
}

fn message(room: &RoomId, sender: &UserId, text: &str) -> SendEvent {
    SendEvent {
        room: room.to_owned(),
        sender: sender.to_owned(),
        kind: "m.room.message".into(),
        content: raw(&json!({ "msgtype": "m.text", "body": text })),
        transaction: None,
        timestamp: None,
        sticky_ms: None,
    }
}

fn state(
    room: &RoomId,
    sender: &UserId,
    kind: &str,
    state_key: &str,
    content: &Value,
) -> SendState {
    SendState {
        room: room.to_owned(),
        sender: sender.to_owned(),
        kind: kind.into(),
        state_key: state_key.to_owned(),
        content: raw(content),
        timestamp: None,
        sticky_ms: None,
    }
}
