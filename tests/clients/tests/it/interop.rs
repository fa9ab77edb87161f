//! The same room on two servers, one of them perhaps Synapse, with the library on both sides.
//! `tests/interop` starts the servers and then these tests: they are ignored otherwise.

use anyhow::Result;
use blaupause_clients::{Person, Talk, until};
use matrix_sdk::RoomMemberships;

use crate::rooms::{open, room};

mod devices;
mod encryption;
mod restarts;

/// A new encrypted room of two people, opened by both.
async fn talk(alice: &Person, bob: &Person) -> Result<(Talk, Talk)> {
    let talks = open(alice, bob, &room(&[alice, bob], true).await?).await?;
    for talk in [&talks.0, &talks.1] {
        members(talk, 2).await?;
        assert!(talk.room.latest_encryption_state().await?.is_encrypted());
    }
    Ok(talks)
}

/// Wait until so many are in the room.
///
/// Synapse's sliding sync may count the members while it still stores a join from elsewhere, and
/// does not correct that number: the list of the members decides.
async fn members(talk: &Talk, count: usize) -> Result<()> {
    let what = format!("{} sees {count} members", talk.room.own_user_id());
    until(&what, async || {
        let members = talk.room.members(RoomMemberships::JOIN).await.ok()?;
        if members.len() != count {
            talk.room.mark_members_missing();
        }
        (members.len() == count).then_some(())
    })
    .await
}
