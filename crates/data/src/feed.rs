//! The end of the log in memory, and who wants to know when it grows.

use std::{collections::VecDeque, fmt, sync::Arc};

use blaupause_store::StreamPos;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::{Change, Passing};

/// Batches kept in memory. A client that is further behind is served from the stored rows.
const RECENT_BATCHES_MAX: usize = 16_384;

/// The changes of one batch and its position.
pub type Committed = (StreamPos, Arc<[Change]>);

/// A follower's callback. Runs on the commit thread: wake somebody, nothing more.
pub type OnCommitted = Box<dyn Fn(StreamPos, &Arc<[Change]>) + Send + Sync>;

/// A follower's callback for what is not stored.
pub type OnPassing = Box<dyn Fn(&Passing) + Send + Sync>;

/// Recent changes, and callbacks for new ones. Callbacks see batches in commit order, after they
/// are durable and readable and before the committing call returns.
#[derive(Default)]
pub struct Feed {
    recent: RwLock<Recent>,
    followers: RwLock<Vec<OnCommitted>>,
    passing: RwLock<Vec<OnPassing>>,
}

#[derive(Default)]
struct Recent {
    batches: VecDeque<Committed>,
    /// Every change after this position is in `batches`.
    complete_after: StreamPos,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl Feed {
    pub(crate) fn starting_at(pos: StreamPos) -> Self {
        let feed = Self::default();
        feed.recent.write().complete_after = pos;
        feed
    }

    pub(crate) fn committed(&self, pos: StreamPos, lines: &[Bytes]) {
        let changes: Arc<[Change]> = lines.iter().filter_map(|line| Change::decode(line)).collect();
        {
            let mut recent = self.recent.write();
            if recent.batches.len() == RECENT_BATCHES_MAX
                && let Some((oldest, _)) = recent.batches.pop_front()
            {
                recent.complete_after = oldest;
            }
            recent.batches.push_back((pos, Arc::clone(&changes)));
        }
        for follower in self.followers.read().iter() {
            follower(pos, &changes);
        }
    }

    /// Batches with `since < position <= until`, oldest first; `None` if memory does not reach
    /// back that far.
    pub fn between(&self, since: StreamPos, until: StreamPos) -> Option<Vec<Committed>> {
        let recent = self.recent.read();
        if since < recent.complete_after {
            return None;
        }
        let from = recent.batches.partition_point(|(pos, _)| *pos <= since);
        let to = recent.batches.partition_point(|(pos, _)| *pos <= until);
        Some(recent.batches.range(from..to.max(from)).cloned().collect())
    }

    /// Be called for every batch from now on.
    pub fn follow(&self, follower: OnCommitted) {
        self.followers.write().push(follower);
    }

    /// Be called for everything that passes without being stored.
    pub fn follow_passing(&self, follower: OnPassing) {
        self.passing.write().push(follower);
    }

    /// Tell followers about something that is not stored.
    pub fn pass(&self, passing: &Passing) {
        for follower in self.passing.read().iter() {
            follower(passing);
        }
    }
}
