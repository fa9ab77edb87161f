//! Whoever does something because of what the log says, and goes on with it after a restart.
//!
//! The cursor of a follower is stored in the batch of what the lines ask for, see
//! [`NewLines::note_in`], so that it costs no batch of its own. Where they ask for nothing the
//! stored cursor lags behind: after a start, looking again at so little costs less than a batch
//! each time.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use blaupause_store::StreamPos;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Change, Data, DataError, Write};

/// Lines of the log that are read at once, and positions by which the stored cursor may lag.
const LINES_MAX: u32 = 1_000;
/// A follower whom nothing concerns looks at the log at least so often: what lies before its
/// cursor can be forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// One who follows the log.
#[derive(Debug)]
pub struct Follower {
    name: &'static str,
    /// There may be lines that were not looked at.
    news: Arc<Notify>,
    /// Nothing before the stored cursor was read.
    at: Mutex<Option<At>>,
}

/// How far a follower has come in this process, and how far it has according to the store.
#[derive(Clone, Copy, Debug)]
struct At {
    passed: StreamPos,
    stored: StreamPos,
}

/// Lines that a follower has to deal with; see [`Follower::next`].
#[derive(Debug)]
#[must_use = "lines are dealt with when the follower was told so"]
pub struct NewLines {
    /// Oldest first, each with its position.
    pub changes: Vec<(StreamPos, Change)>,
    name: &'static str,
    upto: StreamPos,
    noted: Noted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// After a crash, the lines may be looked at again.
    Lags,
    /// In a batch of the lines.
    Already,
    /// In a batch of its own.
    Alone,
}

impl NewLines {
    /// Store with this batch that the lines are dealt with. For the last batch that they ask for.
    pub fn note_in(&mut self, write: &mut Write) {
        write.cursor(self.name, self.upto);
        self.noted = Noted::Already;
    }

    /// The lines asked for something that is better not done again after a crash, in batches that
    /// the cursor could not be part of.
    pub fn note(&mut self) {
        if self.noted == Noted::Lags {
            self.noted = Noted::Alone;
        }
    }
}

impl Follower {
    /// A follower of this name. The name is stored; each has one of its own.
    pub fn new(name: &'static str) -> Self {
        Self { name, news: Arc::default(), at: Mutex::default() }
    }

    /// Wake up for batches with such a change.
    pub fn listen(&self, data: &Data, concerns: fn(&Change) -> bool) {
        let news = Arc::clone(&self.news);
        data.feed().follow_visible(Box::new(move |_, changes| {
            if changes.iter().any(concerns) {
                news.notify_one();
            }
        }));
    }

    /// A follower that never ran begins here and now: what was before does not concern it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn begin(&self, data: &Data) -> Result<(), DataError> {
        if self.at(data).await?.stored == StreamPos(0) {
            // A new store has a position of its own before anything happened.
            let now = data.position().max(StreamPos(1));
            data.store_cursor(self.name, now).await?;
            *self.at.lock() = Some(At { passed: now, stored: now });
        }
        Ok(())
    }

    /// Follow until the server stops. `follow` deals with everything up to the end of the log;
    /// if it fails it is tried again after a pause.
    pub async fn run<F, E>(&self, data: &Data, follow: impl Fn() -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: fmt::Display,
    {
        let stop = data.env().stop().clone();
        loop {
            let again = async {
                if let Err(error) = follow().await {
                    tracing::warn!(%error, follower = self.name, "what happened cannot be followed");
                    tokio::time::sleep(PAUSE).await;
                    return;
                }
                tokio::select! {
                    () = self.news.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = again => {}
            }
        }
    }

    /// The next lines of the log; `None` at its end.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next(&self, data: &Data) -> Result<Option<NewLines>, DataError> {
        let At { passed, .. } = self.at(data).await?;
        let changes = data.log_after(passed, LINES_MAX).await?;
        Ok(changes.last().map(|(upto, _)| *upto).map(|upto| NewLines {
            changes,
            name: self.name,
            upto,
            noted: Noted::Lags,
        }))
    }

    /// These lines are dealt with.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn done(&self, data: &Data, lines: NewLines) -> Result<(), DataError> {
        let At { stored, .. } = self.at(data).await?;
        let upto = lines.upto;
        let is_far = upto.0 >= stored.0 + u64::from(LINES_MAX);
        let is_stored = match lines.noted {
            Noted::Already => true,
            Noted::Lags if !is_far => false,
            Noted::Lags | Noted::Alone => {
                data.store_cursor(self.name, upto).await?;
                true
            }
        };
        let stored = if is_stored { upto } else { stored };
        *self.at.lock() = Some(At { passed: upto, stored });
        Ok(())
    }

    async fn at(&self, data: &Data) -> Result<At, DataError> {
        if let Some(at) = *self.at.lock() {
            return Ok(at);
        }
        let stored = data.cursor(self.name).await?;
        Ok(*self.at.lock().insert(At { passed: stored, stored }))
    }
}

#[cfg(test)]
mod tests {
    use blaupause_store::{Db, MemStore, Part};
    use ruma::{owned_user_id, server_name};

    use super::*;
    use crate::Env;

    async fn over(store: &MemStore) -> Data {
        let opened = Data::open(Db::Mem(store.clone()), server_name!("x"), Env::manual(0)).await;
        opened.expect("memory opens")
    }

    async fn happens(data: &Data) -> StreamPos {
        let mut write = Write::new(Part(7));
        write.change(&Change::Profile { user: owned_user_id!("@u:x") });
        data.commit(write).await.expect("memory writes")
    }

    async fn lines(follower: &Follower, data: &Data) -> NewLines {
        follower.next(data).await.expect("reads").expect("something happened")
    }

    #[tokio::test]
    async fn what_is_dealt_with_and_noted_does_not_come_again_after_a_restart() {
        let store = MemStore::new();
        let data = over(&store).await;
        let follower = Follower::new("f");
        follower.begin(&data).await.expect("begins");
        let pos = happens(&data).await;
        let mut new = lines(&follower, &data).await;
        assert_eq!(new.changes.last().map(|(pos, _)| *pos), Some(pos));
        let (_, before) = store.round_trips();
        let mut write = Write::new(Part(7));
        new.note_in(&mut write);
        data.commit(write).await.expect("memory writes");
        follower.done(&data, new).await.expect("is done");
        assert_eq!(store.round_trips().1, before + 1, "the cursor has no batch of its own");
        let again = Follower::new("f");
        assert!(again.next(&over(&store.copy()).await).await.expect("reads").is_none());
    }

    #[tokio::test]
    async fn where_nothing_is_to_be_done_the_cursor_lags_but_not_far() {
        let store = MemStore::new();
        let data = over(&store).await;
        let follower = Follower::new("f");
        follower.begin(&data).await.expect("begins");
        let start = data.cursor("f").await.expect("reads");
        happens(&data).await;
        let (_, before) = store.round_trips();
        let new = lines(&follower, &data).await;
        follower.done(&data, new).await.expect("is done");
        assert_eq!(store.round_trips().1, before);
        assert!(follower.next(&data).await.expect("reads").is_none(), "it is remembered");
        assert_eq!(data.cursor("f").await.expect("reads"), start);
        for _ in 0..=LINES_MAX {
            happens(&data).await;
        }
        while let Some(new) = follower.next(&data).await.expect("reads") {
            follower.done(&data, new).await.expect("is done");
        }
        assert!(data.cursor("f").await.expect("reads") > start);
    }

    #[tokio::test]
    async fn lines_whose_work_failed_come_again() {
        let store = MemStore::new();
        let data = over(&store).await;
        let follower = Follower::new("f");
        let pos = happens(&data).await;
        drop(lines(&follower, &data).await);
        let mut again = lines(&follower, &data).await;
        assert_eq!(again.changes.last().map(|(pos, _)| *pos), Some(pos));
        again.note();
        follower.done(&data, again).await.expect("is done");
        assert_eq!(data.cursor("f").await.expect("reads"), pos);
    }
}
