//! Spaces and rooms that this server is not in: other servers are asked (server-server API,
//! `GET /hierarchy/{roomId}`).

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc, time::Duration};

use blaupause_federation::CallLimits;
use futures_util::{StreamExt, stream};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, RoomId, ServerName,
    api::federation::space::get_hierarchy::v1 as hierarchy,
    room::{RoomSummary, RoomType},
};

use super::{Asked, Child, Known, Stripped, order_of_children};
use crate::Rooms;

/// Answers kept in memory (some kB each), and for how long.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");
const CACHED_FOR_MS: u64 = 5 * 60 * 1_000;
/// Rooms of one level that others are asked about; the others are not shown.
const ASKED_MAX: usize = 50;
/// Rooms that are asked about at the same time.
const AT_ONCE: usize = 8;
/// Servers that are asked about one room, one after the other, and how long each may take.
const VIA_MAX: usize = 3;
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Links and rooms of one answer that are looked at.
const CHILDREN_MAX: usize = 1_000;

/// What others said of their spaces, not long ago.
pub(crate) struct RemoteSpaces(Mutex<LruCache<Question, Answered>>);

/// A room, and whether only suggested children are wanted.
type Question = (OwnedRoomId, bool);
/// When it was answered (milliseconds since the Unix epoch), and how.
type Answered = (u64, Arc<Told>);

impl Default for RemoteSpaces {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_MAX)))
    }
}

/// What a server said of a room and its children.
struct Told {
    summary: RoomSummary,
    links: Vec<Child>,
    children: HashMap<OwnedRoomId, RoomSummary>,
}

impl Rooms {
    /// Ask other servers about rooms, in the order given; `None` where nobody says anything.
    pub(super) async fn ask_about<'a>(
        &self,
        rooms: impl Iterator<Item = &'a Asked>,
        suggested_only: bool,
    ) -> Vec<Option<Known>> {
        let answers = rooms.enumerate().map(|(at, asked)| async move {
            // Of a room that is no space its parent's server said all there is to say.
            if let Some(hint) = asked.hint.as_ref().filter(|hint| !is_space(hint)) {
                let (links, hints) = (Some(Vec::new()), HashMap::new());
                return Some(Known { summary: hint.clone(), links, hints });
            }
            if at >= ASKED_MAX {
                return None;
            }
            let told = self.told_of(asked, suggested_only).await?;
            let Told { summary, links, children } = &*told;
            let (links, hints) = (Some(links.clone()), children.clone());
            Some(Known { summary: summary.clone(), links, hints })
        });
        // Boxed: the compiler does not have to look through all of it for each caller.
        let answers: Vec<_> = answers.map(Box::pin).collect();
        stream::iter(answers).buffered(AT_ONCE).collect().await
    }

    async fn told_of(&self, asked: &Asked, suggested_only: bool) -> Option<Arc<Told>> {
        let now_ms = self.data().env().now_millis();
        let key = (asked.room.clone(), suggested_only);
        if let Some((at_ms, told)) = self.remote_spaces().0.lock().get(&key)
            && now_ms < at_ms + CACHED_FOR_MS
        {
            return Some(Arc::clone(told));
        }
        let others = asked.via.iter().filter(|server| **server != self.data().server_name());
        for server in others.take(VIA_MAX) {
            if let Some(told) = self.ask(server, &asked.room, suggested_only).await {
                let told = Arc::new(told);
                self.remote_spaces().0.lock().put(key, (now_ms, Arc::clone(&told)));
                return Some(told);
            }
        }
        None
    }

    async fn ask(&self, server: &ServerName, room: &RoomId, suggested_only: bool) -> Option<Told> {
        let mut request = hierarchy::Request::new(room.to_owned());
        request.suggested_only = suggested_only;
        let limits = CallLimits::default().within(ANSWER_TIME);
        let answer = match self.federation().call_within(server, request, limits).await {
            Ok(answer) if answer.room.summary.room_id == room => answer,
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%server, %error, "a space of another server is not shown");
                return None;
            }
        };
        let links = answer.room.children_state.iter().take(CHILDREN_MAX);
        let mut links: Vec<Child> = links
            .filter_map(|link| serde_json::from_str::<Stripped<'_>>(link.json().get()).ok())
            .filter_map(|link| link.child(suggested_only))
            .collect();
        links.sort_by(order_of_children);
        let children = answer.children.into_iter().take(CHILDREN_MAX);
        let children = children.map(|child| (child.room_id.clone(), child)).collect();
        Some(Told { summary: answer.room.summary, links, children })
    }
}

fn is_space(room: &RoomSummary) -> bool {
    room.room_type == Some(RoomType::Space)
}
