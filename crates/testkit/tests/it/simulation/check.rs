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
    server::{Server, letter, name_of},
    world::{Told, World},
};

/// Pages of history that are read at most.
const PAGES_MAX: usize = 60;

/// What the current state says: type, state key, event.
type State = BTreeMap<(String, String), OwnedEventId>;

/// What is known not to hold yet (docs/decisions/0032-simulation.md), and how often it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Servers that were thrown out and never heard of it.
    pub unaware: u64,
    /// Events from before a server came (back), absent there or in another order.
    pub early: u64,
}

/// A room on one server.
struct View {
    at: usize,
    /// Somebody of the server is joined.
    is_in: bool,
    /// When the server last came, in milliseconds since the Unix epoch.
    here_since: u64,
    head: RoomHead,
    state: State,
    /// Oldest first.
    timeline: Vec<OwnedEventId>,
    events: BTreeMap<OwnedEventId, Stored>,
}

struct Stored {
    ts: u64,
    joins: Option<OwnedUserId>,
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

/// Check everything. `strict`: what is known not to hold yet, too.
pub async fn check(world: &World, strict: bool) -> Result<Known, String> {
    let mut known = Known::default();
    for (number, room) in world.rooms.iter().enumerate() {
        read_all(world, room).await?;
        world.become_quiet().await?;
        let mut views = Vec::new();
        for at in 0..SERVERS {
            let server = world.network.server(at).expect("all run");
            let lapsed = world.told.lock().lapsed[at];
            views.extend(view(at, &server, room, lapsed).await?);
        }
        nobody_forgot_that_they_are_in(&views)?;
        known.unaware += leave_out_unaware(&mut views)?;
        let told = world.told.lock();
        same_state(&views)?;
        known.early += nothing_lost(&views, number, &told, strict)?;
        known.early += in_order(&views, number, &told, strict)?;
    }
    for (to, number) in &world.told.lock().messages {
        let server = world.network.server(*to).expect("all run");
        must!(server.messages.lock().contains(number), "{} never got {number}", letter(*to));
    }
    Ok(known)
}

/// Servers with somebody in the room, as one server has it.
fn servers_in(view: &View) -> BTreeSet<OwnedServerName> {
    let joins = view.state.values().filter_map(|id| view.events.get(id)?.joins.as_ref());
    joins.map(|user| user.server_name().to_owned()).collect()
}

/// No server takes itself for out whom all others take for in. But who was thrown out, and knows it,
/// is told nothing more: where the rules undo that later, because of something that was said at the
/// same time elsewhere, it stays out. And whose join was taken by others, while the answer was lost,
/// was told that it failed.
fn nobody_forgot_that_they_are_in(views: &[View]) -> Result<(), String> {
    for view in views.iter().filter(|view| !view.is_in) {
        let name = name_of(view.at);
        let mut others = views.iter().filter(|view| view.is_in).peekable();
        let all = others.peek().is_some() && others.all(|other| servers_in(other).contains(&name));
        let was_undone = |other: &View| {
            let mut there = other.state.iter().filter(|(_, id)| joins(other, id, &name));
            there.all(|(key, join)| {
                if !view.events.contains_key(join) {
                    return true;
                }
                let end = view.state.get(key).filter(|end| *end != join);
                let is_valid =
                    |id: &OwnedEventId| other.events.get(id).is_some_and(|e| !e.rejected);
                end.is_some_and(is_valid)
            })
        };
        let knows_better = !views.iter().filter(|view| view.is_in).all(was_undone);
        must!(
            !all || !knows_better,
            "{}: all others take it for in, and it does not",
            letter(view.at)
        );
    }
    Ok(())
}

/// Servers that others take for gone, and that believe to be in the room. Nobody tells them anything
/// any more. So they can know what was decided before that: each event that threw one of their
/// people out was for them, too. Where the rules undid a join because of something that was said at
/// the same time elsewhere, nothing names them, and nobody owes them anything.
fn leave_out_unaware(views: &mut [View]) -> Result<u64, String> {
    let mut unaware = BTreeSet::new();
    for view in views.iter().filter(|view| view.is_in) {
        let (at, name) = (letter(view.at), name_of(view.at));
        for other in views.iter().filter(|other| other.is_in && other.at != view.at) {
            if servers_in(other).contains(&name) {
                continue;
            }
            unaware.insert(view.at);
            for (key, _) in view.state.iter().filter(|(_, id)| joins(view, id, &name)) {
                let end = other.state.get(key);
                let is_known = end.is_none_or(|end| view.events.contains_key(end));
                let by = letter(other.at);
                must!(is_known, "{at}: {} is out by {end:?}, as {by} knows", key.1);
            }
        }
    }
    for view in views.iter_mut().filter(|view| unaware.contains(&view.at)) {
        view.is_in = false;
    }
    Ok(unaware.len() as u64)
}

/// Whether an event is the join of somebody of a server.
fn joins(view: &View, id: &OwnedEventId, server: &OwnedServerName) -> bool {
    let user = view.events.get(id).and_then(|event| event.joins.as_ref());
    user.is_some_and(|user| user.server_name() == server)
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

async fn view(
    at: usize,
    server: &Server,
    room: &RoomId,
    lapsed: bool,
) -> Result<Option<View>, String> {
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
        let pdu: Pdu = serde_json::from_str(&stored.pdu).expect("it is stored");
        let event = Stored {
            ts: pdu.origin_server_ts,
            joins: pdu.state_key.filter(|_| pdu.content.membership.as_deref() == Some("join")),
            prev: pdu.prev_events,
            rejected: stored.rejected,
            soft_failed: stored.soft_failed,
        };
        (stored.event_id, event)
    });
    let events: BTreeMap<OwnedEventId, Stored> = events.collect();
    let joins = events.values().filter(|event| {
        event.joins.as_ref().is_some_and(|user| data.is_local(user)) && !event.rejected
    });
    let joins = joins.map(|event| event.ts);
    let here_since = if lapsed { joins.max() } else { joins.min() }.unwrap_or(0);
    let state = state_of(at, server, room, &head).await?;
    let is_in = !joined_here(server, room).await.is_empty();
    Ok(Some(View { at, is_in, here_since, head, state, timeline, events }))
}

#[derive(Deserialize)]
struct Pdu {
    prev_events: Vec<OwnedEventId>,
    origin_server_ts: u64,
    #[serde(default, deserialize_with = "user")]
    state_key: Option<OwnedUserId>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: Option<String>,
}

/// A state key that is no user is none that matters here.
fn user<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<OwnedUserId>, D::Error> {
    Ok(String::deserialize(from)?.try_into().ok())
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
    let membership = event.content_as::<Content>().and_then(|content| content.membership);
    event.kind == "m.room.member" && membership.as_deref() == Some("join")
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

fn nothing_lost(views: &[View], room: usize, told: &Told, strict: bool) -> Result<u64, String> {
    let mut early = 0;
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
                // From before the server came: nobody who is left may have it, or what leads to it.
                _ if is_early(views, view, id) && !reachable(views, view).contains(id) => {}
                known
                    if !strict
                        && is_early(views, view, id)
                        && (known.is_some() || told.lapsed[view.at] || behind.contains(id)) =>
                {
                    early += 1;
                }
                _ if behind.contains(id) => {
                    return Err(format!("{at}: {id} of {by} is not in the timeline"));
                }
                None if told.lapsed[view.at] => {}
                // Somebody who is gone said it, and all others refuse it or what follows it.
                _ if !inside.iter().any(|other| other.timeline.contains(id)) => {}
                _ => return Err(format!("{at}: {id} of {by} never arrived")),
            }
        }
    }
    Ok(early)
}

/// Events that a server has, or can be told: what goes before them, step by step, as far as
/// somebody in the room has it in its timeline.
fn reachable(views: &[View], view: &View) -> BTreeSet<OwnedEventId> {
    let inside = || views.iter().filter(|view| view.is_in);
    let has = |id: &OwnedEventId| inside().any(|view| view.timeline.contains(id));
    let mut open = view.timeline.clone();
    let mut found: BTreeSet<OwnedEventId> = open.iter().cloned().collect();
    while let Some(id) = open.pop() {
        let event = inside().find_map(|view| view.events.get(&id));
        for id in event.into_iter().flat_map(|event| &event.prev) {
            if has(id) && found.insert(id.clone()) {
                open.push(id.clone());
            }
        }
    }
    found
}

/// Whether an event is from before a server came.
fn is_early(views: &[View], view: &View, id: &OwnedEventId) -> bool {
    let event = views.iter().find_map(|view| view.events.get(id));
    event.is_some_and(|event| event.ts <= view.here_since)
}

/// What people of one server said stands everywhere in the order in which it was said.
fn in_order(views: &[View], room: usize, told: &Told, strict: bool) -> Result<u64, String> {
    let mut early = 0;
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
            let is_late = |id: &&OwnedEventId| strict || !is_early(views, view, id);
            let is_sorted = there == expected;
            let there: Vec<_> = there.iter().filter(is_late).collect();
            let expected: Vec<_> = expected.iter().filter(is_late).collect();
            early += u64::from(!is_sorted && there == expected);
            let first = there.iter().zip(&expected).find(|(there, here)| there != here);
            must!(first.is_none(), "{at}: {by}'s events in another order, from {first:?}");
        }
    }
    Ok(early)
}
