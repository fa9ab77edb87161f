//! Typing and presence on their way to a service: what changed since it was told last.

use std::{collections::BTreeSet, sync::Arc};

use blaupause_accounts::{AppService, Ephemeral};
use blaupause_data::{Data, Passing};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId};

use super::Link;

/// Rooms and users that are remembered while a service is away; others are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// Rooms in which typing changed, and users whose presence did. A thing that changes twice is
/// told once, as it is then.
#[derive(Default)]
pub(super) struct PassedBy(Mutex<Passed>);

/// See [`PassedBy`].
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub typing: BTreeSet<OwnedRoomId>,
    pub presence: BTreeSet<OwnedUserId>,
}

impl PassedBy {
    /// What has changed. It is not remembered any longer.
    pub fn take(&self) -> Passed {
        std::mem::take(&mut self.0.lock())
    }

    fn note(&self, passing: &Passing) {
        let mut passed = self.0.lock();
        match passing {
            Passing::Typing { room } if passed.typing.len() < REMEMBERED_MAX => {
                passed.typing.insert(room.clone());
            }
            Passing::Presence { user } if passed.presence.len() < REMEMBERED_MAX => {
                passed.presence.insert(user.clone());
            }
            _ => {}
        }
    }
}

/// Remember what passes for a service that wants to hear of it.
pub(super) fn follow(data: &Data, service: &AppService, link: &Link) {
    if service.ephemeral() == Ephemeral::No {
        return;
    }
    let (passed, news) = (Arc::clone(&link.passed), Arc::clone(&link.news));
    data.feed().follow_passing(Box::new(move |passing| {
        passed.note(passing);
        news.notify_one();
    }));
}
