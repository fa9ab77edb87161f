//! What must be true when everything is quiet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use blaupause_data::{
    Event, Member,
    rows::{CurrentRow, EventRow, HeadRow, RoomHead, TimelineRow},
};
use blaupause_rooms::{MessagesQuery, Reader};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, api::Direction};
use serde::Deserialize;

use super::{
    script::{PEOPLE, SERVERS},
    server::{Server, letter},
    world::{Told, World},
};

/// Pages of history that are read at most.
const PAGES_MAX: usize = 60;

/// What the current state says: type, state key, event.
type State = BTreeMap<(String, String), OwnedEventId>;

/// A room on one server.
struct View {
    at: usize,
    /// Somebody of the server is joined.
    is_in: bool,
    head: RoomHead,
    state: State,
    /// Oldest first.
    timeline: Vec<OwnedEventId>,
    events: BTreeMap<OwnedEventId, Stored>,
}

struct Stored {
    prev: Vec<OwnedEventId>,
    rejected: bool,
    soft_failed: bool,
}

macro_rules! must {
    ($that:expr, $($why:tt)+) => {
        if !$that {
            return Err(format!($($why)+));
        }
    };
}

/// Check everything.
pub async fn check(world: &World) -> Result<(), String> {
    for (number, room) in world.rooms.iter().enumerate() {
        read_all(world, room).await?;
        world.become_quiet().await?;
        let mut views = Vec::new();
        for at in 0..SERVERS {
            let server = world.network.server(at).expect("all run");
            views.extend(view(at, &server, room).await?);
        }
        let told = world.told.lock();
        same_state(&views)?;
        nothing_lost(&views, number, &told)?;
        in_order(&views, number, &told)?;
    }
    for (to, number) in &world.told.lock().messages {
        let server = world.network.server(*to).expect("all run");
        must!(server.messages.lock().contains(number), "{} never got {number}", letter(*to));
    }
    Ok(())
}

/// Somebody of each server reads the whole room.
async fn read_all(world: &World, room: &OwnedRoomId) -> Result<(), String> {
    for at in 0..SERVERS {
        let server = world.network.server(at).expect("all run");
        let Some(user) = joined_here(&server, room).await.into_iter().next() else { continue };
        let reader = Reader::new(user, None);
        let mut from = None;
        for page in 0.. {
            must!(page < PAGES_MAX, "{}: the history has no beginning", letter(at));
            let access = server.rooms.access(&reader, room).await;
            let access = access.map_err(|error| format!("{} reads: {error}", letter(at)))?;
            let query = MessagesQuery {
                from,
                to: None,
                dir: Direction::Backward,
                limit: 100,
                filter: Default::default(),
            };
            let read = access.messages(&query).await;
            from = read.map_err(|error| format!("{} reads: {error}", letter(at)))?.end;
            if from.is_none() {
                break;
            }
        }
    }
    Ok(())
}

async fn joined_here(server: &Server, room: &RoomId) -> Vec<OwnedUserId> {
    let joined = server.data.members(room, Member::Join).await.expect("reads").into_iter();
    let users = joined.map(|member| member.user_id);
    users.filter(|user| server.data.is_local(user)).collect()
}

async fn view(at: usize, server: &Server, room: &RoomId) -> Result<Option<View>, String> {
    let (data, part) = (&server.data, server.data.parts().room(room));
    let Some(head) = data.get::<HeadRow>(part, &()).await.expect("reads") else { return Ok(None) };
    let head = head.value;
    let rows = data.list_all::<TimelineRow>(part, &(), 100_000).await.expect("reads").rows;
    let numbers: Vec<_> = rows.into_iter().map(|(_, row)| (part, row.value.no)).collect();
    let timeline = data.events(&numbers).await.expect("reads").into_iter().flatten();
    let timeline = timeline.map(|event| event.stored.event_id.clone()).collect();
    let rows = data.list_all::<EventRow>(part, &(), 100_000).await.expect("reads").rows;
    let events = rows.into_iter().map(|(_, row)| {
        let stored = row.value;
        let event = Stored {
            prev: prev_events(&stored.pdu),
            rejected: stored.rejected,
            soft_failed: stored.soft_failed,
        };
        (stored.event_id, event)
    });
    let events = events.collect();
    let state = state_of(at, server, room, &head).await?;
    let is_in = !joined_here(server, room).await.is_empty();
    Ok(Some(View { at, is_in, head, state, timeline, events }))
}

fn prev_events(pdu: &str) -> Vec<OwnedEventId> {
    #[derive(Deserialize)]
    struct Pdu {
        prev_events: Vec<OwnedEventId>,
    }
    serde_json::from_str::<Pdu>(pdu).expect("it is stored").prev_events
}

/// The current state as the tree has it; the rows that follow it must say the same.
async fn state_of(
    at: usize,
    server: &Server,
    room: &RoomId,
    head: &RoomHead,
) -> Result<State, String> {
    let (data, part) = (&server.data, server.data.parts().room(room));
    let tree = data.state_all(part, head.state).await.expect("reads");
    let rows = data.list_all::<CurrentRow>(part, &(), 100_000).await.expect("reads").rows;
    let rows: Vec<_> = rows.into_iter().map(|(key, row)| (key, row.value)).collect();
    let (mut states, mut servers, mut joined) = (Vec::new(), BTreeSet::new(), 0);
    for entries in [tree, rows] {
        let keys: Vec<_> = entries.iter().map(|(key, _)| *key).collect();
        let names = data.state_key_names(part, &keys).await.expect("reads");
        let numbers: Vec<_> = entries.iter().map(|(_, no)| (part, *no)).collect();
        let events = data.events(&numbers).await.expect("reads");
        let mut state = State::new();
        (joined, servers) = (0, BTreeSet::new());
        for (name, event) in names.into_iter().zip(events) {
            let (name, event) = (name.expect("a name"), event.expect("an event"));
            if is_joined(&event) {
                joined += 1;
                let user = OwnedUserId::try_from(name.1.as_str()).expect("a user");
                servers.insert(user.server_name().to_owned());
            }
            state.insert(name, event.stored.event_id.clone());
        }
        states.push(state);
    }
    let at = letter(at);
    must!(states[0] == states[1], "{at}: the rows of the state are not the state");
    must!(head.joined == joined, "{at}: {} are counted, {joined} are joined", head.joined);
    let told: BTreeSet<OwnedServerName> =
        data.servers_in(room).await.expect("reads").into_iter().collect();
    must!(told == servers, "{at}: servers {told:?}, in the state {servers:?}");
    let members = data.members(room, Member::Join).await.expect("reads").len() as u64;
    must!(members == joined, "{at}: {members} rows of members, {joined} are joined");
    Ok(states.swap_remove(0))
}

fn is_joined(event: &Arc<Event>) -> bool {
    #[derive(Deserialize)]
    struct Content {
        membership: String,
    }
    event.kind == "m.room.member"
        && event.content_as::<Content>().is_some_and(|content| content.membership == "join")
}

fn same_state(views: &[View]) -> Result<(), String> {
    let mut inside = views.iter().filter(|view| view.is_in);
    let Some(first) = inside.next() else { return Ok(()) };
    for other in inside {
        let keys: BTreeSet<_> = first.state.keys().chain(other.state.keys()).collect();
        let differ = keys.into_iter().filter(|key| first.state.get(*key) != other.state.get(*key));
        let differ: Vec<_> = differ
            .map(|key| format!("{key:?}: {:?} / {:?}", first.state.get(key), other.state.get(key)))
            .collect();
        let (a, b) = (letter(first.at), letter(other.at));
        must!(differ.is_empty(), "{a} and {b} have another state: {}", differ.join("; "));
    }
    Ok(())
}

fn nothing_lost(views: &[View], room: usize, told: &Told) -> Result<(), String> {
    let inside: Vec<&View> = views.iter().filter(|view| view.is_in).collect();
    let mut behind: BTreeSet<OwnedEventId> = BTreeSet::new();
    for view in &inside {
        let at = letter(view.at);
        let unique: BTreeSet<_> = view.timeline.iter().collect();
        must!(unique.len() == view.timeline.len(), "{at}: an event stands twice in the timeline");
        let tips: Vec<_> = view.head.tips.iter().map(|tip| tip.event_id.clone()).collect();
        must!(tips.len() == 1, "{at}: tips {tips:?}");
        behind.extend(tips);
    }
    let mut open: Vec<OwnedEventId> = behind.iter().cloned().collect();
    while let Some(id) = open.pop() {
        let prev = views.iter().find_map(|view| view.events.get(&id)).map(|event| &event.prev);
        for id in prev.into_iter().flatten() {
            if behind.insert(id.clone()) {
                open.push(id.clone());
            }
        }
    }
    for said in told.said.iter().filter(|said| said.room == room) {
        for view in &inside {
            let (at, id) = (letter(view.at), &said.event);
            let by = letter(said.who / PEOPLE);
            if view.timeline.contains(id) {
                continue;
            }
            let is_own = view.at == said.who / PEOPLE;
            must!(!is_own, "{at}: its own event {id} is lost");
            match view.events.get(id) {
                Some(stored) if stored.soft_failed => {}
                Some(stored) if stored.rejected => {
                    return Err(format!("{at}: rejected {id} of {by}"));
                }
                _ if behind.contains(id) => {
                    return Err(format!("{at}: {id} of {by} is not in the timeline"));
                }
                None if told.lapsed[view.at] => {}
                _ => return Err(format!("{at}: {id} of {by} never arrived")),
            }
        }
    }
    Ok(())
}

/// What people of one server said stands everywhere in the order in which it was said.
fn in_order(views: &[View], room: usize, told: &Told) -> Result<(), String> {
    for home in views {
        let own: BTreeSet<&OwnedEventId> = told
            .said
            .iter()
            .filter(|said| said.room == room && said.who / PEOPLE == home.at)
            .map(|said| &said.event)
            .collect();
        let order = |view: &View| -> Vec<OwnedEventId> {
            view.timeline.iter().filter(|id| own.contains(id)).cloned().collect()
        };
        let here = order(home);
        for view in views.iter().filter(|view| view.is_in) {
            let there = order(view);
            let known: BTreeSet<_> = there.iter().collect();
            let expected: Vec<_> = here.iter().filter(|id| known.contains(id)).cloned().collect();
            let (by, at) = (letter(home.at), letter(view.at));
            let first = there.iter().zip(&expected).find(|(there, here)| there != here);
            must!(first.is_none(), "{at}: {by}'s events in another order, from {first:?}");
        }
    }
    Ok(())
}
