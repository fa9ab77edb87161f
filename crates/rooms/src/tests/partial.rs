//! Rooms that are joined without their members.

use blaupause_data::Member;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId};
use serde_json::json;

use super::{
    network::Network,
    world::{Forged, Server},
};
use crate::{
    ChangeMembership, Handshake, MembershipAction, RoomsError, TemplateQuery, Wholeness,
    import::Import, partial::ServersSaid, rows::PartialEventRow,
};

/// Alice and others of one server are in a room; Bob of another has just come in.
struct Joined {
    network: Network,
    a: Server,
    b: Server,
    alice: OwnedUserId,
    bob: OwnedUserId,
    carol: OwnedUserId,
    room: OwnedRoomId,
}

async fn change(server: &Server, user: &UserId, room: &RoomId, action: MembershipAction) {
    let change = ChangeMembership::own(room.to_owned(), user.to_owned(), action);
    server.rooms.change_membership(&change).await.expect("allowed");
}

/// Somebody of `b` comes into a room by what `a` tells without the members.
async fn come_in(b: &Server, a: &Server, user: &UserId, room: &RoomId) {
    let in_room = a.data.servers_in(room).await.expect("reads");
    let content = json!({ "membership": "join" });
    let forged = Forged::state(user, "m.room.member", user.as_str(), content);
    let join = b.forge(a, room, forged).await;
    a.rooms.accept(b.name(), room, join.to_raw()).await.expect("may join");
    let told = a.rooms.server_access(b.name(), room).await.expect("is in");
    let id = join.event_id().to_owned();
    let told = told.state_without_members_at(&id).await.expect("reads");
    let import = Import {
        room: room.to_owned(),
        version: a.head(room).await.version,
        origin: a.name().to_owned(),
        state: told.state,
        auth_chain: told.auth_chain,
        event: join.to_raw(),
        partial: Some(ServersSaid { via: a.name().to_owned(), in_room }),
    };
    b.rooms.import(import).await.expect("taken over");
}

impl Joined {
    /// `before`: what happens before Bob comes.
    async fn after<F: Future<Output = ()>>(
        before: impl FnOnce(Server, OwnedRoomId, OwnedUserId) -> F,
    ) -> Self {
        let network = Network::default();
        let a = Server::new("a.example", &network).await;
        let b = Server::new("b.example", &network).await;
        let (alice, bob, carol) = (a.user("alice"), b.user("bob"), a.user("carol"));
        let room = a.public_room(&alice, RoomVersionId::V11).await;
        let users =
            json!({ alice.as_str(): 100, carol.as_str(): 100, a.user("elsie").as_str(): 50 });
        let levels = json!({ "users": users });
        a.set(&alice, &room, "m.room.power_levels", "", levels).await.expect("set");
        a.set(&alice, &room, "m.room.name", "", json!({ "name": "tea" })).await.expect("set");
        change(&a, &carol, &room, MembershipAction::Join).await;
        before(a.clone(), room.clone(), carol.clone()).await;
        come_in(&b, &a, &bob, &room).await;
        Self { network, a, b, alice, bob, carol, room }
    }

    async fn new() -> Self {
        Self::after(|_, _, _| async {}).await
    }

    async fn wholeness(&self) -> Wholeness {
        self.b.rooms.wholeness(&self.room).await.expect("reads")
    }

    async fn members(&self) -> Vec<OwnedUserId> {
        let members = self.b.data.members(&self.room, Member::Join).await.expect("reads");
        let mut members: Vec<_> = members.into_iter().map(|member| member.user_id).collect();
        members.sort();
        members
    }

    /// Everything is known, and the same as where the room was made.
    async fn is_whole(&self) {
        assert!(matches!(self.wholeness().await, Wholeness::WholeSince(_)));
        assert_eq!(self.b.state(&self.room).await, self.a.state(&self.room).await);
        let part = self.b.data.parts().room(&self.room);
        let left = self.b.data.list::<PartialEventRow>(part, &(), 10).await.expect("reads");
        assert!(left.rows.is_empty());
    }

    /// With which somebody came who has left since.
    async fn first_join(&self, user: &UserId) -> OwnedEventId {
        let (a, room) = (&self.a, &self.room);
        let left = a.stored(room, &member_event(a, room, user).await).await.expect("stored");
        let join = left.stored.replaces.expect("a join");
        let join = a.data.event(a.data.parts().room(room), join).await.expect("reads");
        join.expect("a join").stored.event_id.clone()
    }

    /// Auth events for somebody, by a member event that may be long past.
    async fn auth(&self, members: &[OwnedEventId]) -> Vec<OwnedEventId> {
        let state = self.a.state(&self.room).await;
        let name = |kind: &str| state[&(kind.to_owned(), String::new())].clone();
        let mut auth = vec![name("m.room.create"), name("m.room.power_levels")];
        auth.extend(members.iter().cloned());
        auth
    }
}

async fn member_event(of: &Server, room: &RoomId, user: &UserId) -> OwnedEventId {
    of.state(room).await[&("m.room.member".to_owned(), user.to_string())].clone()
}

#[tokio::test(start_paused = true)]
async fn a_room_can_be_used_at_once_and_is_whole_later() {
    let joined = Joined::new().await;
    let Joined { a, b, alice, bob, carol, room, .. } = &joined;
    assert_eq!(joined.wholeness().await, Wholeness::Partial);
    assert_eq!(joined.members().await, std::slice::from_ref(bob));
    let there = b.data.servers_in(room).await.expect("reads");
    assert_eq!(there, [a.name(), b.name()], "it was said who is there");
    let said = b.say(bob, room, "hello").await;
    b.pass_on(a, room, &said).await;
    assert_eq!(a.timeline(room).await.last(), Some(&said));
    let answered = a.say(carol, room, "hello Bob").await;
    a.pass_on(b, room, &answered).await;
    assert_eq!(b.timeline(room).await.last(), Some(&answered));
    assert_eq!(joined.members().await, [bob.clone(), carol.clone()], "who speaks is known");
    b.rooms.resync().await;
    joined.is_whole().await;
    assert_eq!(joined.members().await, [alice.clone(), bob.clone(), carol.clone()]);
    let said = b.say(bob, room, "who is here?").await;
    b.pass_on(a, room, &said).await;
    assert_eq!(a.head(room).await.tips.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_let_in_wrongly_is_taken_back() {
    let joined = Joined::after(|a, room, carol| async move {
        change(&a, &carol, &room, MembershipAction::Leave).await;
    })
    .await;
    let Joined { a, b, carol, room, .. } = &joined;
    let auth = joined.auth(&[joined.first_join(carol).await]).await;
    let mut forged = Forged::state(carol, "m.room.topic", "", json!({ "topic": "mine" }));
    forged.auth = Some(auth);
    let bad = a.forge(a, room, forged).await;
    // Whoever sent it tells what it rests on.
    b.deliver(a, vec![bad.to_raw()]).await;
    a.deliver(b, vec![bad.to_raw()]).await;
    let id = bad.event_id().to_owned();
    assert_eq!(b.timeline(room).await.last(), Some(&id), "it is believed");
    let said = a.say(&joined.alice, room, "quiet here").await;
    a.pass_on(b, room, &said).await;
    b.rooms.resync().await;
    joined.is_whole().await;
    assert!(!b.timeline(room).await.contains(&id));
    assert!(b.stored(room, &id).await.expect("stored").stored.rejected);
    assert!(b.timeline(room).await.contains(&said));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_wrongly_comes_in() {
    let joined = Joined::after(|a, room, carol| async move {
        change(&a, &a.user("elsie"), &room, MembershipAction::Join).await;
        change(&a, &carol, &room, MembershipAction::Leave).await;
    })
    .await;
    let Joined { a, b, carol, room, .. } = &joined;
    let elsie = a.user("elsie");
    let elsie_in = member_event(a, room, &elsie).await;
    let gone = json!({ "membership": "leave" });
    let mut kick = Forged::state(carol, "m.room.member", elsie.as_str(), gone);
    let carol_in = joined.first_join(carol).await;
    kick.auth = Some(joined.auth(&[carol_in, elsie_in.clone()]).await);
    let kick = a.forge(a, room, kick).await;
    let after = [kick.event_id().to_owned()];
    let mut topic = Forged::state(&elsie, "m.room.topic", "", json!({ "topic": "hers" }));
    topic.auth = Some(joined.auth(std::slice::from_ref(&elsie_in)).await);
    topic.after = Some(&after);
    let topic = a.forge(a, room, topic).await;
    let id = topic.event_id().to_owned();
    let both = vec![kick.to_raw(), topic.to_raw()];
    b.deliver(a, both.clone()).await;
    assert!(a.timeline(room).await.contains(&id), "who knows the members lets it in");
    a.deliver(b, both).await;
    assert!(b.timeline(room).await.contains(&after[0]));
    assert!(!b.timeline(room).await.contains(&id));
    b.rooms.resync().await;
    joined.is_whole().await;
    assert!(!b.timeline(room).await.contains(&after[0]));
    assert_eq!(b.timeline(room).await.last(), Some(&id));
}

#[tokio::test(start_paused = true)]
async fn on_what_was_refused_wrongly_others_can_rest() {
    let joined = Joined::after(|a, room, carol| async move {
        change(&a, &a.user("elsie"), &room, MembershipAction::Join).await;
        change(&a, &a.user("dora"), &room, MembershipAction::Join).await;
        change(&a, &carol, &room, MembershipAction::Leave).await;
    })
    .await;
    let Joined { a, b, carol, room, .. } = &joined;
    let (elsie, dora) = (a.user("elsie"), a.user("dora"));
    let (elsie_in, dora_in) =
        (member_event(a, room, &elsie).await, member_event(a, room, &dora).await);
    let gone = json!({ "membership": "leave" });
    let mut kick = Forged::state(carol, "m.room.member", elsie.as_str(), gone.clone());
    kick.auth = Some(joined.auth(&[joined.first_join(carol).await, elsie_in.clone()]).await);
    let kick = a.forge(a, room, kick).await;
    let after = [kick.event_id().to_owned()];
    let mut right = Forged::state(&elsie, "m.room.member", dora.as_str(), gone);
    right.auth = Some(joined.auth(&[elsie_in, dora_in]).await);
    right.after = Some(&after);
    let right = a.forge(a, room, right).await;
    let both = vec![kick.to_raw(), right.to_raw()];
    b.deliver(a, both.clone()).await;
    a.deliver(b, both).await;
    assert!(!b.timeline(room).await.contains(&right.event_id().to_owned()));
    b.rooms.resync().await;
    joined.is_whole().await;
    change(a, &dora, room, MembershipAction::Join).await;
    let back = member_event(a, room, &dora).await;
    a.pass_on(b, room, &back).await;
    assert_eq!(b.timeline(room).await.last(), Some(&back));
    assert_eq!(b.state(room).await, a.state(room).await);
}

#[tokio::test(start_paused = true)]
async fn who_was_removed_wrongly_can_leave_and_who_was_banned_cannot_come_back() {
    let joined = Joined::after(|a, room, carol| async move {
        change(&a, &a.user("elsie"), &room, MembershipAction::Join).await;
        change(&a, &carol, &room, MembershipAction::Leave).await;
    })
    .await;
    let Joined { a, b, carol, room, .. } = &joined;
    let elsie = a.user("elsie");
    let elsie_in = member_event(a, room, &elsie).await;
    let carol_in = joined.first_join(carol).await;
    let gone = json!({ "membership": "leave" });
    // It does not name the membership that it ends: together with that it does not count.
    let mut kick = Forged::state(carol, "m.room.member", elsie.as_str(), gone.clone());
    kick.auth = Some(joined.auth(std::slice::from_ref(&carol_in)).await);
    let kick = a.forge(a, room, kick).await;
    let after = [kick.event_id().to_owned()];
    let mut leave = Forged::state(&elsie, "m.room.member", elsie.as_str(), gone);
    leave.auth = Some(joined.auth(std::slice::from_ref(&elsie_in)).await);
    leave.after = Some(&after);
    let leave = a.forge(a, room, leave).await;
    let both = vec![kick.to_raw(), leave.to_raw()];
    b.deliver(a, both.clone()).await;
    a.deliver(b, both).await;
    assert_eq!(b.timeline(room).await.last(), Some(&leave.event_id().to_owned()));
    let ban = json!({ "membership": "ban" });
    let ban = a.set(&joined.alice, room, "m.room.member", elsie.as_str(), ban).await.expect("may");
    a.pass_on(b, room, &ban).await;
    let mut topic = Forged::state(&elsie, "m.room.topic", "", json!({ "topic": "hers" }));
    topic.auth = Some(joined.auth(std::slice::from_ref(&elsie_in)).await);
    let topic = a.forge(a, room, topic).await;
    a.deliver(b, vec![topic.to_raw()]).await;
    assert_eq!(b.timeline(room).await.last(), Some(&ban), "what is banned stays out");
    b.rooms.resync().await;
    joined.is_whole().await;
    assert!(!b.timeline(room).await.contains(&after[0]));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_asked_for_again_also_after_a_restart() {
    let mut joined = Joined::new().await;
    joined.network.cut(joined.a.name(), true);
    joined.b.rooms.resync().await;
    assert_eq!(joined.wholeness().await, Wholeness::Partial);
    joined.network.cut(joined.a.name(), false);
    joined.b = joined.b.again(&joined.network);
    assert_eq!(joined.wholeness().await, Wholeness::Partial);
    let said = joined.b.say(&joined.bob, &joined.room, "still here").await;
    joined.b.pass_on(&joined.a, &joined.room, &said).await;
    joined.b.rooms.resync().await;
    joined.is_whole().await;
    joined.b = joined.b.again(&joined.network);
    joined.is_whole().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_the_members_lets_nobody_in_and_tells_no_state() {
    let joined = Joined::new().await;
    let Joined { a, b, bob, room, .. } = &joined;
    let dora = a.user("dora");
    for kind in [Handshake::Join, Handshake::Knock] {
        let query = TemplateQuery {
            origin: a.name().to_owned(),
            room: room.clone(),
            user: dora.clone(),
            versions: None,
        };
        let refused = b.rooms.member_template(kind, &query).await;
        assert!(matches!(refused, Err(RoomsError::RoomUnknown)), "{kind:?}");
    }
    let said = b.say(bob, room, "hello").await;
    let access = b.rooms.server_access(a.name(), room).await.expect("is there, as was said");
    assert!(matches!(access.state_ids_at(&said).await, Err(RoomsError::Forbidden(_))));
    b.rooms.resync().await;
    let access = b.rooms.server_access(a.name(), room).await.expect("is there");
    assert!(access.state_ids_at(&said).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_members_is_told_when_they_are_known() {
    let joined = Joined::new().await;
    let Joined { b, room, .. } = &joined;
    let (waited, ()) = tokio::join!(b.rooms.whole(room), b.rooms.resync());
    assert!(waited.expect("in time"));
    assert!(!b.rooms.whole(room).await.expect("whole"));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let joined = Joined::new().await;
    let waited = joined.b.rooms.whole(&joined.room).await;
    assert!(matches!(waited, Err(RoomsError::StatePartial)));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_everybody_left_is_not_completed_and_can_be_joined_again() {
    let joined = Joined::new().await;
    let Joined { a, b, bob, room, .. } = &joined;
    change(b, bob, room, MembershipAction::Leave).await;
    let left = member_event_of(b, room, bob).await;
    b.pass_on(a, room, &left).await;
    b.rooms.resync().await;
    assert_eq!(joined.wholeness().await, Wholeness::Whole);
    b.join_by(a, bob, room).await;
    assert_eq!(b.state(room).await, a.state(room).await);
    assert_eq!(joined.wholeness().await, Wholeness::Whole);
}

/// As [`member_event`], where the rest of the state is not known.
async fn member_event_of(server: &Server, room: &RoomId, user: &UserId) -> OwnedEventId {
    let row = server.data.membership(user, room).await.expect("reads").expect("a membership");
    let part = server.data.parts().room(room);
    let event = server.data.event(part, row.no.expect("an event")).await.expect("reads");
    event.expect("stored").stored.event_id.clone()
}

#[tokio::test(start_paused = true)]
async fn a_second_join_without_members_takes_the_place_of_the_first() {
    let joined = Joined::new().await;
    let Joined { a, b, bob, room, .. } = &joined;
    change(b, bob, room, MembershipAction::Leave).await;
    let left = member_event_of(b, room, bob).await;
    b.pass_on(a, room, &left).await;
    come_in(b, a, bob, room).await;
    assert_eq!(joined.wholeness().await, Wholeness::Partial);
    let said = a.say(&joined.carol, room, "back so soon?").await;
    a.pass_on(b, room, &said).await;
    b.rooms.resync().await;
    joined.is_whole().await;
}
