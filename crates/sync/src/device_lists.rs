//! Whose device lists a client has to look up again (spec: client-server API, "Tracking the
//! device list for a user").

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use blaupause_data::{
    DataError, Event, Found, Member, Order, Part, Place, ReadSet, StreamPos,
    rows::{UserRoom, UserRoomRow},
    try_together,
};
use blaupause_e2ee::DeviceListChanges;
use blaupause_graph::StateRoot;
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{
    Sync, SyncError, SyncToken,
    span::{News, Span},
    state::{MEMBER, membership_in},
};

/// Others who came to a room of the user or went.
#[derive(Debug, Default)]
struct Moves {
    came: BTreeSet<OwnedUserId>,
    went: BTreeSet<OwnedUserId>,
    /// Those who were there before, which nobody knew.
    revealed: BTreeSet<OwnedUserId>,
}

/// What a span says of others.
#[derive(Debug, Default)]
pub(crate) struct OfOthers {
    pub devices: DeviceListChanges,
    /// Those with whom the user came to share a room.
    pub met: BTreeSet<OwnedUserId>,
}

impl Sync {
    /// What a client that follows devices has to be told of a span, and whom the user met in it.
    pub(crate) async fn device_list_changes(
        &self,
        user: &UserId,
        rooms: &[Found<UserRoom>],
        news: &News,
        span: &Span,
    ) -> Result<OfOthers, SyncError> {
        let mut answer = DeviceListChanges::default();
        let Some(since) = span.since else { return Ok(OfOthers::default()) };
        let rooms = || rooms.iter().filter(|room| span.is_told_by(room));
        let joined = || rooms().filter(|room| room.membership == Member::Join);
        let is_new = |room: &&Found<UserRoom>| span.is_new(room.entered_at());
        let entered: Vec<_> = joined().filter(is_new).map(|room| room.room_id.clone()).collect();
        let stayed = joined().filter(|room| !is_new(room) && news.in_room(&room.room_id));
        let gone = rooms()
            .filter(|room| matches!(room.membership, Member::Leave | Member::Ban))
            .filter(|room| room.was_joined)
            .filter(is_new);
        let (devices, signed, came, moves, went) = tokio::join!(
            Box::pin(self.changed_devices(since, span.until, news)),
            Box::pin(self.signed_keys(user, since, span.until, news)),
            self.data().joined_members_of(&entered),
            Box::pin(try_together(stayed.map(|room| self.others_moves(user, room, span)))),
            Box::pin(try_together(gone.map(|room| self.left_behind(user, room, since)))),
        );
        let mut devices = devices?;
        if devices.remove(user) {
            answer.changed.insert(user.to_owned());
        }
        let mut gone: BTreeSet<OwnedUserId> = went?.into_iter().flatten().collect();
        // Who is in a room of the user certainly shares one.
        let mut certain: BTreeSet<OwnedUserId> = came?.into_iter().collect();
        let mut met = BTreeSet::new();
        for moves in moves? {
            certain.extend(moves.came);
            met.extend(moves.revealed);
            gone.extend(moves.went);
        }
        let all = devices.union(&gone).filter(|other| *other != user);
        let unsure: Vec<_> = all.filter(|other| !certain.contains(*other)).cloned().collect();
        if !unsure.is_empty() {
            let joined = joined().map(|room| room.room_id.clone()).collect();
            let sharing = self.who_shares_rooms(&unsure, &joined).await?;
            for other in unsure {
                if !sharing.contains(&other) {
                    if gone.contains(&other) {
                        answer.left.insert(other);
                    }
                } else if devices.contains(&other) {
                    answer.changed.insert(other);
                }
            }
        }
        met.extend(certain.iter().cloned());
        met.remove(user);
        // Who came into a room with others is told of themselves, too: their other devices have a
        // reason to look.
        if certain.len() == 1 {
            certain.remove(user);
        }
        answer.changed.extend(certain);
        // Whether they share a room or not: the user's other devices trust them from now on.
        let signed = signed?;
        answer.left.retain(|other| !signed.contains(other));
        answer.changed.extend(signed);
        Ok(OfOthers { devices: answer, met })
    }

    async fn changed_devices(
        &self,
        since: StreamPos,
        until: StreamPos,
        news: &News,
    ) -> Result<BTreeSet<OwnedUserId>, SyncError> {
        Ok(match news.devices() {
            Some(devices) => devices.clone(),
            None => self.e2ee().devices_changed(since, until).await?,
        })
    }

    /// Whose keys look different to the user, because they signed them.
    async fn signed_keys(
        &self,
        user: &UserId,
        since: StreamPos,
        until: StreamPos,
        news: &News,
    ) -> Result<BTreeSet<OwnedUserId>, SyncError> {
        Ok(match news.signed() {
            Some(signed) => signed.clone(),
            None => self.e2ee().signed_by(user, since, until).await?,
        })
    }

    /// Who came to a room in which the user stayed, and who went: those whose membership at the
    /// end differs from that at the beginning. Who came and went again did neither.
    async fn others_moves(
        &self,
        user: &UserId,
        room: &Found<UserRoom>,
        span: &Span,
    ) -> Result<Moves, SyncError> {
        let part = self.data().parts().room(&room.room_id);
        let (since, until) = (span.since.map(Place::after), Place::after(span.until));
        let stretch = self.data().stretch(part, since, until, 1).await?;
        let difference =
            self.state_difference(part, stretch.state_since, stretch.state_until).await?;
        let members: Vec<_> = difference
            .events
            .iter()
            .zip(&difference.before)
            .filter(|(event, _)| {
                event.kind == MEMBER && event.state_key.as_deref() != Some(user.as_str())
            })
            .collect();
        let before: Vec<_> =
            members.iter().filter_map(|(_, before)| Some((part, (**before)?))).collect();
        let mut before = self.data().events(&before).await?.into_iter();
        let mut moves = Moves::default();
        for (event, had) in members {
            let before = had.and_then(|_| before.next()?);
            let was = before.as_deref().and_then(membership_in) == Some(Member::Join);
            let is = membership_in(event) == Some(Member::Join);
            let Some(target) = target_of(event) else { continue };
            match (was, is) {
                // No event of the timeline says so.
                (false, true) if had.is_none() && event.place.is_none() => {
                    moves.revealed.insert(target);
                }
                (false, true) => drop(moves.came.insert(target)),
                (true, false) => drop(moves.went.insert(target)),
                _ => {}
            }
        }
        if !moves.revealed.is_empty() {
            let to = stretch.state_until;
            self.look_at_revealed(room, (part, to), span, &mut moves).await?;
        }
        Ok(moves)
    }

    /// Members became known at once, as it turned out that they are there. In a room that is not
    /// encrypted nobody has to look at all their devices, but for those whose devices changed
    /// since, which nobody could be told.
    async fn look_at_revealed(
        &self,
        room: &Found<UserRoom>,
        state: (Part, StateRoot),
        span: &Span,
        moves: &mut Moves,
    ) -> Result<(), SyncError> {
        let whole_since = self.rooms().wholeness(&room.room_id).await?.since();
        let key = ("m.room.encryption".to_owned(), String::new());
        let is_encrypted =
            !self.rooms().state_events_at(state.0, state.1, vec![key]).await?.is_empty();
        if is_encrypted || !whole_since.is_some_and(|since| span.is_new(since)) {
            moves.came.append(&mut moves.revealed);
            return Ok(());
        }
        let changed = self.e2ee().devices_changed(room.entered_at(), span.until).await?;
        moves.came.extend(moves.revealed.intersection(&changed).cloned());
        Ok(())
    }

    /// The members of a room that the user left since; nobody, if the user was no member then:
    /// whom a declined invitation would have led to was never followed.
    async fn left_behind(
        &self,
        user: &UserId,
        room: &Found<UserRoom>,
        since: StreamPos,
    ) -> Result<Vec<OwnedUserId>, SyncError> {
        let part = self.data().parts().room(&room.room_id);
        let (since, until) = (Place::after(since), Place::after(room.pos));
        let stretch = self.data().stretch(part, Some(since), until, 1).await?;
        if !self.is_joined_at(part, stretch.state_since, user).await? {
            return Ok(Vec::new());
        }
        Ok(self.data().joined_members_of(std::slice::from_ref(&room.room_id)).await?)
    }

    /// What changed between two sync tokens (`GET /keys/changes`).
    ///
    /// # Errors
    /// A token is not one of ours, or the store failed.
    pub async fn key_changes(
        &self,
        user: &UserId,
        from: &str,
        to: &str,
    ) -> Result<DeviceListChanges, SyncError> {
        let parse = |text| SyncToken::parse(text).ok_or(SyncError::Invalid("not a sync token"));
        let (from, to) = (parse(from)?.pos, parse(to)?.pos.min(self.data().position()));
        let span =
            Span { since: Some(from.min(to)), until: to, passing_since: 0, passing_until: 0 };
        let look = async {
            let rooms = self.data().rooms_of(user).await?;
            let news = self.news(user, None, &span);
            let told = self.device_list_changes(user, &rooms, &news, &span).await?;
            Ok(told.devices)
        };
        self.data().in_waves(Box::pin(look)).await
    }

    /// Those of `others` who are joined to one of `rooms`.
    pub(crate) async fn who_shares_rooms(
        &self,
        others: &[OwnedUserId],
        rooms: &HashSet<OwnedRoomId>,
    ) -> Result<HashSet<OwnedUserId>, DataError> {
        let (others, remote): (Vec<_>, Vec<_>) =
            others.iter().cloned().partition(|other| self.data().is_local(other));
        // Of users of other servers it is only known in which rooms they are, not the rooms of each.
        let mut sharing = self.data().sharing(&remote, rooms).await?;
        let mut unknown = Vec::new();
        for other in &others {
            match self.notifier().shares(other, rooms) {
                Some(true) => drop(sharing.insert(other.clone())),
                Some(false) => {}
                None => unknown.push(other),
            }
        }
        let data = self.data();
        let mut want = ReadSet::new();
        let slots: Vec<_> = unknown
            .iter()
            .map(|other| {
                let part = data.parts().user(other);
                let limit = blaupause_data::LIMITS.scan_rows_max;
                want.prefix::<UserRoomRow>(part, &(), Order::Forward, limit)
            })
            .collect();
        let got = want.run(data).await?;
        for (other, slot) in unknown.into_iter().zip(slots) {
            let rows = got.many(slot)?.rows;
            let mut joined = rows.iter().filter(|(_, row)| row.membership == Member::Join);
            if joined.any(|(_, row)| rooms.contains(&row.room_id)) {
                sharing.insert(other.clone());
            }
        }
        Ok(sharing)
    }
}

fn target_of(event: &Arc<Event>) -> Option<OwnedUserId> {
    OwnedUserId::try_from(event.state_key.as_deref()?).ok()
}
