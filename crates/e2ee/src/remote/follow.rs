//! From the log to what other servers are told of devices, and to lists that are no longer told to
//! us.

use std::{collections::BTreeSet, sync::Arc};

use blaupause_data::{Change, DataError, Member, StreamPos};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, events::room::member::MembershipState,
};
use serde::Deserialize;

use crate::{E2ee, E2eeError};

/// Name of the cursor.
pub(crate) const FOLLOWER: &str = "e2ee-remote";

/// What some lines of the log ask for.
#[derive(Default)]
struct Work {
    /// Local users whose devices or keys changed.
    changed: BTreeSet<OwnedUserId>,
    /// Local users who came to a room.
    came: BTreeSet<(OwnedUserId, OwnedRoomId)>,
    /// Remote users who left a room.
    went: BTreeSet<OwnedUserId>,
    /// Rooms where a server's first member came or its last one went.
    rooms: BTreeSet<OwnedRoomId>,
    /// Servers that turned out to be, or to have been, in a room.
    found: Vec<(OwnedRoomId, Vec<OwnedServerName>)>,
}

impl E2ee {
    /// Tell other servers of devices until the server stops.
    pub async fn run_remote(self) {
        if !self.federation().is_on() {
            return;
        }
        let follower = &self.remote().follower;
        follower.listen(self.data(), concerns_keys);
        let doubted = Arc::clone(&self.remote().doubted);
        self.data().feed().follow(Box::new(move |_, changes| {
            for change in changes.iter() {
                if let Change::StateWhole { gone, .. } = change {
                    doubted.lock().extend(gone.iter().cloned());
                }
            }
        }));
        follower.run(self.data(), || self.follow_remote()).await;
    }

    /// Do what the log asks for, up to its end. After a crash some of it is done again; others are
    /// told the same then.
    ///
    /// # Errors
    /// The store failed.
    pub async fn follow_remote(&self) -> Result<(), E2eeError> {
        let follower = &self.remote().follower;
        follower.begin(self.data()).await?;
        while let Some(mut lines) = follower.next(self.data()).await? {
            let work = self.work_of(&lines.changes).await?;
            if self.do_work(work).await? {
                lines.note();
            }
            follower.done(self.data(), lines).await?;
        }
        Ok(())
    }

    async fn do_work(&self, work: Work) -> Result<bool, E2eeError> {
        let Work { changed, came, went, rooms, found } = work;
        let something = !(changed.is_empty() && came.is_empty() && went.is_empty());
        for user in &changed {
            self.tell_devices(user).await?;
        }
        for (user, room) in &came {
            self.tell_newcomer(user, room).await?;
        }
        for (room, servers) in found {
            self.tell_found(&room, &servers).await?;
        }
        let went: Vec<_> = went.into_iter().collect();
        self.forget_lists(&went).await?;
        for room in &rooms {
            self.forget_left_behind(room).await?;
        }
        Ok(something)
    }

    /// One read for the events of rooms with other servers.
    async fn work_of(&self, lines: &[(StreamPos, Change)]) -> Result<Work, DataError> {
        let (mut work, mut wanted) = (Work::default(), Vec::new());
        let parts = self.data().parts();
        for (_, change) in lines {
            match change {
                Change::Devices { user } if self.data().is_local(user) => {
                    work.changed.insert(user.clone());
                }
                Change::Membership { user, room, membership: Member::Join }
                    if self.data().is_local(user) =>
                {
                    work.came.insert((user.clone(), room.clone()));
                }
                Change::Servers { room } => drop(work.rooms.insert(room.clone())),
                Change::StateWhole { room, gone, servers } => {
                    work.went.extend(gone.iter().cloned());
                    work.found.push((room.clone(), servers.clone()));
                }
                Change::Event { room, no } => wanted.push((room, *no)),
                _ => {}
            }
        }
        let mut keys = Vec::new();
        for (room, no) in wanted {
            let touched = work.rooms.contains(room);
            if touched || self.data().servers_in(room).await?.len() > 1 {
                keys.push((parts.room(room), no));
            }
        }
        for event in self.data().events(&keys).await?.into_iter().flatten() {
            if event.kind == "m.room.member"
                && let Some(user) = event.state_key.as_deref()
                && let Ok(user) = OwnedUserId::try_from(user)
                && !self.data().is_local(&user)
                && event.content_as::<Content>().is_none_or(|content| content.is_gone())
            {
                work.went.insert(user);
            }
        }
        Ok(work)
    }

    /// If nobody of this server is in the room any more, its other members' servers do not tell us
    /// of their devices.
    async fn forget_left_behind(&self, room: &RoomId) -> Result<(), E2eeError> {
        let own = self.data().server_name();
        if self.data().servers_in(room).await?.iter().any(|server| server == own) {
            return Ok(());
        }
        let members = self.data().members(room, Member::Join).await?;
        let remote: Vec<_> = members.into_iter().map(|member| member.user_id).collect();
        for users in remote.chunks(1_000) {
            self.forget_lists(users).await?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Content {
    membership: MembershipState,
}

impl Content {
    fn is_gone(&self) -> bool {
        matches!(self.membership, MembershipState::Leave | MembershipState::Ban)
    }
}

fn concerns_keys(change: &Change) -> bool {
    matches!(
        change,
        Change::Devices { .. }
            | Change::Membership { .. }
            | Change::Servers { .. }
            | Change::StateWhole { .. }
            | Change::Event { .. }
    )
}
