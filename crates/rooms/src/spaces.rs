//! `GET /rooms/{roomId}/hierarchy`: the tree of a space (client-server API, "Spaces").
//!
//! The tree is walked anew for each page: it is small, and a token then says no more than how many
//! rooms were given. Other servers are asked about rooms that this one is not in (`remote.rs`).

mod remote;

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use blaupause_data::{
    Event, Order, Part, ReadSet,
    rows::{CurrentRow, StateKeyNoRow},
};
use ruma::{
    OwnedRoomId, OwnedServerName, RoomId, UserId,
    room::{RoomSummary, RoomType},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use remote::RemoteSpaces;

use crate::{Rooms, RoomsError, read::Memberships};

/// Rooms of a page when the client does not say.
const PAGE_ROOMS_DEFAULT: u64 = 50;
/// Rooms of a page at most.
const PAGE_ROOMS_MAX: u64 = 100;
/// Levels below the space that are walked.
const DEPTH_MAX: u64 = 10;
/// Rooms of a tree; what lies beyond is not found.
const TREE_ROOMS_MAX: usize = 1_000;
/// Children of one space; more are not looked at.
const CHILDREN_MAX: u32 = 1_000;
/// Links of all spaces of a level. Where there are many spaces fewer links of each are looked at.
const LEVEL_LINKS_MAX: u32 = 20_000;
const LINKS_EACH_MIN: u32 = 20;
/// Longest `order` of a child (client-server API, `m.space.child`).
const ORDER_CHARS_MAX: usize = 50;

const CHILD: &str = "m.space.child";

/// Which part of a tree.
#[derive(Clone, Debug, Default)]
pub struct HierarchyQuery {
    pub from: Option<String>,
    /// Cut to 1…100.
    pub limit: Option<u64>,
    /// Levels below the space; cut to 10.
    pub max_depth: Option<u64>,
    pub suggested_only: bool,
}

/// A part of a tree, depth first.
#[derive(Debug)]
pub struct Hierarchy {
    /// Rooms and their `m.space.child` events as stripped state.
    pub rooms: Vec<(RoomSummary, Vec<Box<RawValue>>)>,
    pub next_batch: Option<String>,
}

/// A link from a space to a room.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) room: OwnedRoomId,
    /// Servers through which the room can be found.
    via: Vec<OwnedServerName>,
    order: Option<String>,
    ts: u64,
    pub(crate) json: Box<RawValue>,
}

/// A room and what it links to, in the order to be shown.
struct Node {
    summary: RoomSummary,
    children: Vec<Child>,
}

/// A room that a walk comes to.
struct Asked {
    room: OwnedRoomId,
    via: Vec<OwnedServerName>,
    /// What the parent's server said of it.
    hint: Option<RoomSummary>,
}

/// A room that is known, here or by another server.
struct Known {
    summary: RoomSummary,
    /// `None`: they are stored here.
    links: Option<Vec<Child>>,
    /// What the same server said of the children.
    hints: HashMap<OwnedRoomId, RoomSummary>,
}

/// How a walk goes; part of the token, because it must not change between pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walk {
    max_depth: u64,
    suggested_only: bool,
}

impl Rooms {
    /// A part of the tree below a space, as far as the user may know of its rooms.
    ///
    /// # Errors
    /// [`RoomsError::NotJoined`] if the user may not know of the space itself;
    /// [`RoomsError::Invalid`] if the token is not ours or was made with other parameters.
    pub async fn hierarchy(
        &self,
        user: &UserId,
        space: &RoomId,
        query: &HierarchyQuery,
    ) -> Result<Hierarchy, RoomsError> {
        let walk = Walk {
            max_depth: query.max_depth.unwrap_or(DEPTH_MAX).min(DEPTH_MAX),
            suggested_only: query.suggested_only,
        };
        let skip = query.from.as_deref().map_or(Ok(0), |token| walk.skip(token))?;
        let limit = query.limit.unwrap_or(PAGE_ROOMS_DEFAULT).clamp(1, PAGE_ROOMS_MAX) as usize;
        let mut tree = self.tree(user, space, walk).await?;
        let order = depth_first(&tree, space, walk.max_depth);
        if order.is_empty() {
            return Err(RoomsError::NotJoined);
        }
        let end = skip.saturating_add(limit);
        let page = order.get(skip..end.min(order.len())).unwrap_or_default();
        let rooms = page.iter().filter_map(|room| tree.remove(room)).map(|node| {
            let children = node.children.into_iter().map(|child| child.json).collect();
            (node.summary, children)
        });
        Ok(Hierarchy {
            rooms: rooms.collect(),
            next_batch: (end < order.len()).then(|| walk.token(end)),
        })
    }

    /// All rooms of the tree that the user may know of, level by level: a few round trips each.
    async fn tree(
        &self,
        user: &UserId,
        space: &RoomId,
        walk: Walk,
    ) -> Result<HashMap<OwnedRoomId, Node>, RoomsError> {
        let memberships = Memberships::of(self.data(), Some(user)).await?;
        let mut tree = HashMap::new();
        let mut seen = HashSet::from([space.to_owned()]);
        let mut level = vec![Asked { room: space.to_owned(), via: Vec::new(), hint: None }];
        for depth in 0..=walk.max_depth {
            level.truncate(TREE_ROOMS_MAX - tree.len());
            if level.is_empty() {
                break;
            }
            let known = self.known(std::mem::take(&mut level), &memberships, walk).await?;
            let spaces: Vec<_> = known
                .iter()
                .filter(|known| known.summary.room_type == Some(RoomType::Space))
                .filter(|known| known.links.is_none())
                .map(|known| known.summary.room_id.clone())
                .collect();
            let mut children = self.children(&spaces, walk.suggested_only).await?;
            for Known { summary, links, mut hints } in known {
                let ours = children.remove(&summary.room_id);
                let children = links.or(ours).unwrap_or_default();
                if depth < walk.max_depth {
                    let new = children.iter().filter(|child| seen.insert(child.room.clone()));
                    level.extend(new.map(|child| Asked {
                        room: child.room.clone(),
                        via: child.via.clone(),
                        hint: hints.remove(&child.room),
                    }));
                }
                tree.insert(summary.room_id.clone(), Node { summary, children });
            }
        }
        Ok(tree)
    }

    /// What the user may know of the rooms of a level: from here, or from other servers.
    async fn known(
        &self,
        level: Vec<Asked>,
        memberships: &Memberships,
        walk: Walk,
    ) -> Result<Vec<Known>, RoomsError> {
        let rooms: Vec<_> = level.iter().map(|asked| asked.room.clone()).collect();
        let summaries = self.summaries(&rooms).await?;
        let mut known: Vec<Option<Known>> = summaries
            .into_iter()
            .map(|summary| Some(Known { summary: summary?, links: None, hints: HashMap::new() }))
            .collect();
        let absent: Vec<_> = (0..known.len()).filter(|at| known[*at].is_none()).collect();
        let wanted = absent.iter().map(|at| &level[*at]);
        let told = self.ask_about(wanted, walk.suggested_only).await;
        for (at, told) in absent.into_iter().zip(told) {
            known[at] = told;
        }
        let known = known.into_iter().flatten();
        Ok(known.filter(|known| memberships.may_know(&known.summary)).collect())
    }

    /// The valid links of spaces, in the order to be shown. Three round trips.
    pub(crate) async fn children(
        &self,
        spaces: &[OwnedRoomId],
        suggested_only: bool,
    ) -> Result<HashMap<OwnedRoomId, Vec<Child>>, RoomsError> {
        let data = self.data();
        let count = u32::try_from(spaces.len().max(1)).unwrap_or(u32::MAX);
        let each = (LEVEL_LINKS_MAX / count).clamp(LINKS_EACH_MIN, CHILDREN_MAX);
        let mut want = ReadSet::new();
        let slots: Vec<_> = spaces
            .iter()
            .map(|space| {
                let part = data.parts().room(space);
                let (prefix, order) = (CHILD.to_owned(), Order::Forward);
                (part, want.prefix::<StateKeyNoRow>(part, &prefix, order, each))
            })
            .collect();
        let got = want.run(data).await?;
        let mut keys = Vec::new();
        for (space, (part, slot)) in spaces.iter().zip(slots) {
            let rows = got.many(slot)?.rows.into_iter();
            keys.extend(rows.map(|(_, number)| (space, part, number.value)));
        }
        let current =
            data.get_many::<CurrentRow>(keys.iter().map(|(_, part, no)| (*part, no))).await?;
        let wanted: Vec<(&OwnedRoomId, Part, _)> = keys
            .iter()
            .zip(current)
            .filter_map(|((space, part, _), row)| Some((*space, *part, row?.value)))
            .collect();
        let numbers: Vec<_> = wanted.iter().map(|(_, part, no)| (*part, *no)).collect();
        let events = data.events(&numbers).await?;
        let mut children: HashMap<OwnedRoomId, Vec<Child>> = HashMap::new();
        for ((space, ..), event) in wanted.iter().zip(events) {
            let child = event.and_then(|event| child_of(&event, suggested_only));
            children.entry((*space).clone()).or_default().extend(child);
        }
        for children in children.values_mut() {
            children.sort_by(order_of_children);
        }
        Ok(children)
    }
}

/// A link, if the event is a valid one.
fn child_of(event: &Arc<Event>, suggested_only: bool) -> Option<Child> {
    let stripped = Stripped {
        content: event.content(),
        origin_server_ts: event.origin_server_ts,
        sender: event.sender.as_str().into(),
        state_key: event.state_key.as_deref()?.into(),
        kind: event.kind.as_str().into(),
    };
    stripped.child(suggested_only)
}

/// An `m.space.child` event as it is told.
#[derive(Serialize, Deserialize)]
struct Stripped<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    origin_server_ts: u64,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl Stripped<'_> {
    fn child(&self, suggested_only: bool) -> Option<Child> {
        #[derive(Deserialize)]
        struct Content {
            via: Vec<String>,
            order: Option<serde_json::Value>,
            suggested: Option<serde_json::Value>,
        }
        let content: Content = serde_json::from_str(self.content.get()).ok()?;
        let suggested = content.suggested.and_then(|value| value.as_bool()) == Some(true);
        if self.kind != CHILD || content.via.is_empty() || (suggested_only && !suggested) {
            return None;
        }
        let via = content.via.into_iter().filter_map(|name| OwnedServerName::try_from(name).ok());
        Some(Child {
            room: OwnedRoomId::try_from(&*self.state_key).ok()?,
            via: via.collect(),
            order: content.order.and_then(|order| order.as_str().and_then(valid_order)),
            ts: self.origin_server_ts,
            json: serde_json::value::to_raw_value(self).ok()?,
        })
    }
}

fn valid_order(order: &str) -> Option<String> {
    let valid = order.len() <= ORDER_CHARS_MAX && order.bytes().all(|b| (0x20..=0x7e).contains(&b));
    (valid && !order.is_empty()).then(|| order.to_owned())
}

/// Client-server API, "Ordering of children within a space".
fn order_of_children(a: &Child, b: &Child) -> Ordering {
    let by_order = match (&a.order, &b.order) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    by_order.then(a.ts.cmp(&b.ts)).then_with(|| a.room.cmp(&b.room))
}

/// The rooms of the tree in the order of a walk, each once.
fn depth_first(
    tree: &HashMap<OwnedRoomId, Node>,
    space: &RoomId,
    max_depth: u64,
) -> Vec<OwnedRoomId> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut stack = vec![(space.to_owned(), 0)];
    while let Some((room, depth)) = stack.pop() {
        let Some(node) = tree.get(&room) else { continue };
        if !seen.insert(room.clone()) {
            continue;
        }
        order.push(room);
        if depth < max_depth {
            stack.extend(node.children.iter().rev().map(|child| (child.room.clone(), depth + 1)));
        }
    }
    order
}

impl Walk {
    fn token(self, given: usize) -> String {
        format!("h{given}_{}_{}", self.max_depth, u8::from(self.suggested_only))
    }

    /// How many rooms earlier pages gave.
    fn skip(self, token: &str) -> Result<usize, RoomsError> {
        let fields = token.strip_prefix('h').and_then(|token| token.split_once('_'));
        let given = fields.and_then(|(given, _)| given.parse().ok());
        let given = given.ok_or(RoomsError::Invalid("unknown pagination token"))?;
        if self.token(given) == token {
            Ok(given)
        } else {
            Err(RoomsError::Invalid("max_depth and suggested_only cannot change between pages"))
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    fn child(room: &str, order: Option<&str>, ts: u64) -> Child {
        let json = RawValue::from_string("{}".to_owned()).expect("JSON");
        let room = OwnedRoomId::try_from(room).expect("a room id");
        Child { room, via: Vec::new(), order: order.and_then(valid_order), ts, json }
    }

    #[test]
    fn the_example_of_the_specification_is_ordered_as_there() {
        let mut children = [
            child("!c:e.org", Some("first"), 1_640_841_000_000),
            child("!d:e.org", None, 1_640_741_000_000),
            child("!b:e.org", Some(" "), 1_640_341_000_000),
            child("!e:e.org", None, 1_640_641_000_000),
            child("!a:e.org", Some("aaaa"), 1_640_141_000_000),
        ];
        children.sort_by(order_of_children);
        let order: Vec<_> = children.iter().map(|child| child.room.as_str()).collect();
        assert_eq!(order, ["!b:e.org", "!a:e.org", "!c:e.org", "!e:e.org", "!d:e.org"]);
    }

    #[test]
    fn an_order_that_is_no_printable_ascii_does_not_count() {
        assert_eq!(valid_order("ä"), None);
        assert_eq!(valid_order(&"a".repeat(51)), None);
        assert_eq!(valid_order("a").as_deref(), Some("a"));
    }

    #[test]
    fn a_token_is_bound_to_its_parameters() {
        let walk = Walk { max_depth: 3, suggested_only: true };
        assert_eq!(walk.skip(&walk.token(7)).ok(), Some(7));
        assert!(Walk { max_depth: 4, ..walk }.skip(&walk.token(7)).is_err());
        for bad in ["", "h", "h_", "hx_3_1", "h7_3", "t1_2_3"] {
            assert!(walk.skip(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_loop_of_spaces_is_walked_once() {
        let node = |room: &RoomId, child_room: &str| Node {
            summary: RoomSummary::new(
                room.to_owned(),
                ruma::room::JoinRuleSummary::Public,
                false,
                1u32.into(),
                false,
            ),
            children: vec![child(child_room, None, 1)],
        };
        let (a, b) = (room_id!("!a:x"), room_id!("!b:x"));
        let tree =
            HashMap::from([(a.to_owned(), node(a, "!b:x")), (b.to_owned(), node(b, "!a:x"))]);
        assert_eq!(depth_first(&tree, a, 10), [a, b]);
        assert_eq!(depth_first(&tree, a, 0), [a]);
    }
}
