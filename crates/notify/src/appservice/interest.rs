//! Which rooms concern a service (spec: application service API, "Registration": namespaces).

use std::{collections::BTreeSet, num::NonZeroUsize, ops::Bound};

use blaupause_accounts::AppService;
use blaupause_data::{
    DataError, Member, Order, Place, ReadSet, StreamPos,
    rows::{MemberRow, TimelineRow},
};
use blaupause_rooms::RoomsError;
use lru::LruCache;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use super::Services;

/// Rooms whose members from the namespace are kept in memory.
const ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).expect("not zero");
/// Members of one room that are looked through, whatever their membership.
const MEMBERS_MAX: u32 = 2_000_000;

/// A service's users in rooms, as it was at the place in the log up to which the service has been
/// told. What it hears of follows from the members of that time, not of today, however long it was
/// away.
pub(super) struct Interest(LruCache<OwnedRoomId, BTreeSet<OwnedUserId>>);

impl Interest {
    pub fn new() -> Self {
        Self(LruCache::new(ROOMS_MAX))
    }

    /// Look anew: what is kept may be ahead of where the log is read again.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// What is known of a room without looking.
    pub fn is_known_empty(&mut self, room: &RoomId) -> bool {
        self.0.get(room).is_some_and(BTreeSet::is_empty)
    }

    /// A user of the service came or went. The room must have been looked at.
    pub fn change(&mut self, room: &RoomId, user: &UserId, membership: Member) {
        let Some(users) = self.0.get_mut(room) else { return };
        if membership == Member::Join {
            users.insert(user.to_owned());
        } else {
            users.remove(user);
        }
    }

    /// Whether the service has a user in the room after everything up to `at`. One or two reads,
    /// if it is not known.
    pub async fn has_member(
        &mut self,
        services: &Services,
        service: &AppService,
        room: &RoomId,
        at: StreamPos,
    ) -> Result<bool, DataError> {
        if let Some(users) = self.0.get(room) {
            return Ok(!users.is_empty());
        }
        let users = services.members_at(service, room, at).await?;
        let any = !users.is_empty();
        self.0.put(room.to_owned(), users);
        Ok(any)
    }

    /// Whether everything in the room concerns the service, as [`Self::has_member`].
    pub async fn has_room(
        &mut self,
        services: &Services,
        service: &AppService,
        room: &RoomId,
        at: StreamPos,
    ) -> Result<bool, DataError> {
        if self.has_member(services, service, room, at).await? || service.has_room(room) {
            return Ok(true);
        }
        if !service.has_aliases() {
            return Ok(false);
        }
        let aliases = match services.0.rooms.aliases_of(room).await {
            Err(RoomsError::Data(error)) => return Err(error),
            aliases => aliases.unwrap_or_default(),
        };
        Ok(aliases.iter().any(|alias| service.has_alias(alias)))
    }

    /// Whether somebody is in a room that concerns the service; of people of other servers that is
    /// not known here.
    pub async fn shares_room(
        &mut self,
        services: &Services,
        service: &AppService,
        user: &UserId,
        at: StreamPos,
    ) -> Result<bool, DataError> {
        if !services.data().is_local(user) {
            return Ok(false);
        }
        for room in services.data().joined_rooms(user).await? {
            if self.has_room(services, service, &room, at).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Services {
    /// The service's users who were joined after everything up to `at`.
    ///
    /// The stored members are those of now. Whose member event is no newer than the last event of
    /// that time was what they are; of the others the room's state of that time tells.
    async fn members_at(
        &self,
        service: &AppService,
        room: &RoomId,
        at: StreamPos,
    ) -> Result<BTreeSet<OwnedUserId>, DataError> {
        let data = self.data();
        let part = data.parts().room(room);
        let mut want = ReadSet::new();
        let last = want.range::<TimelineRow>(
            part,
            Bound::Unbounded::<&()>,
            Bound::Included(&Place::after(at)),
            Order::Backward,
            1,
        );
        let got = want.run(data).await?;
        let Some((_, last)) = got.many(last)?.rows.pop() else { return Ok(BTreeSet::new()) };
        let members = data.list_all::<MemberRow>(part, &(), MEMBERS_MAX).await?.rows;
        let mut joined = BTreeSet::new();
        let mut unsure = Vec::new();
        for ((membership, _), member) in members {
            let member = member.value;
            if !service.has_user(&member.user_id) {
                continue;
            }
            if member.no > last.value.no {
                unsure.push(member.user_id);
            } else if membership == Member::Join as u8 {
                joined.insert(member.user_id);
            }
        }
        if unsure.is_empty() {
            return Ok(joined);
        }
        let keys: Vec<_> =
            unsure.iter().map(|user| ("m.room.member".to_owned(), user.to_string())).collect();
        let numbers = data.state_lookup(part, last.value.state, &keys).await?;
        let wanted: Vec<_> = numbers.iter().flatten().map(|no| (part, *no)).collect();
        let mut events = data.events(&wanted).await?.into_iter();
        for (user, no) in unsure.into_iter().zip(numbers) {
            let event = no.and_then(|_| events.next().flatten());
            if event.is_some_and(|event| membership_in(&event) == Some(Member::Join)) {
                joined.insert(user);
            }
        }
        Ok(joined)
    }
}

/// The membership that a member event gives.
pub(super) fn membership_in(event: &blaupause_data::Event) -> Option<Member> {
    #[derive(Deserialize)]
    struct Content {
        membership: ruma::events::room::member::MembershipState,
    }
    let content = event.content_as::<Content>()?;
    Some(Member::from_state(&content.membership))
}
