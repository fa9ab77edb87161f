//! What push rules ask about a room.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use blaupause_data::{
    Member, Part, ReadSet,
    rows::{HeadRow, MemberRow},
};
use blaupause_graph::StateRoot;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedUserId, RoomId, UInt, UserId, push::PushConditionRoomCtx};

use crate::{Notify, NotifyError};

/// Rooms as somebody's rules see them that are kept in memory (about 1 kB each).
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");

/// Rooms as they were seen lately, by user and room, with the state that they follow from: most
/// messages change none.
pub(crate) struct ContextCache(Mutex<Rooms>);

type Rooms = LruCache<(OwnedUserId, Part), (StateRoot, Arc<RuleContext>)>;

impl ContextCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_MAX)))
    }
}

/// A room as somebody's rules see it.
pub(crate) struct RuleContext {
    pub room: PushConditionRoomCtx,
    /// The threads that the user subscribed to; empty if this is switched off.
    pub threads: Arc<HashSet<OwnedEventId>>,
}

impl Notify {
    /// The room in a state as the rules of `user` see it; `None` if the room is gone.
    pub(crate) async fn rule_context(
        &self,
        user: &UserId,
        room: &RoomId,
        state: StateRoot,
    ) -> Result<Option<Arc<RuleContext>>, NotifyError> {
        if self.settings().thread_subscriptions {
            // They change without the room.
            return Ok(self.read_rule_context(user, room, state).await?.map(Arc::new));
        }
        let key = (user.to_owned(), self.data().parts().room(room));
        if let Some((of, known)) = self.0.contexts.0.lock().get(&key)
            && *of == state
        {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(read) = self.read_rule_context(user, room, state).await? else { return Ok(None) };
        let read = Arc::new(read);
        self.0.contexts.0.lock().put(key, (state, Arc::clone(&read)));
        Ok(Some(read))
    }

    async fn read_rule_context(
        &self,
        user: &UserId,
        room: &RoomId,
        state: StateRoot,
    ) -> Result<Option<RuleContext>, NotifyError> {
        let data = self.data();
        let part = data.parts().room(room);
        let mut want = ReadSet::new();
        let head = want.get::<HeadRow>(part, &());
        let member = want.get::<MemberRow>(part, &(Member::Join as u8, data.parts().user(user)));
        let with_threads = self.settings().thread_subscriptions;
        let threads = with_threads.then(|| self.ask_subscribed_threads(&mut want, user, room));
        let (got, levels) = tokio::join!(want.run(data), self.rooms().power_levels_at(part, state));
        let got = got?;
        // People are invited to rooms that this server is not in.
        let is_known = state != StateRoot::EMPTY;
        let joined = match got.one(head)? {
            None if is_known => return Ok(None),
            head => head.map_or(0, |head| head.joined),
        };
        let name = got.one(member)?.and_then(|row| row.value.display_name);
        let mut context = PushConditionRoomCtx::new(
            room.to_owned(),
            UInt::new_saturating(joined),
            user.to_owned(),
            name.unwrap_or_else(|| user.localpart().to_owned()),
        );
        context.power_levels = levels?.map(Into::into);
        let Some(threads) = threads else {
            return Ok(Some(RuleContext { room: context, threads: Arc::default() }));
        };
        let threads = Arc::new(Self::subscribed_threads(room, got.many(threads)?));
        let known = Arc::clone(&threads);
        let context = context.with_has_thread_subscription_fn(move |root| {
            Box::pin(std::future::ready(known.contains(root)))
        });
        Ok(Some(RuleContext { room: context, threads }))
    }
}
