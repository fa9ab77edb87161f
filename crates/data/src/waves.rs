//! Many questions side by side, in few round trips.
//!
//! A handler that asks the same of two hundred rooms is easiest to read as two hundred futures.
//! Inside of [`Data::in_waves`] what they read is gathered: when none of them can go on without an
//! answer, everything that they wait for is read in one round trip, from one view. So the number
//! of round trips is that of the longest chain of questions, however many chains there are.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use blaupause_store::{Got, Read, Store};
use parking_lot::Mutex;

use crate::{Data, DataError};

tokio::task_local! {
    /// The wave that gathers what the running future reads.
    static WAVE: Arc<Wave>;
}

/// Questions of one piece of work: those of the next round trip, and answers not yet taken.
#[derive(Default)]
struct Wave(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    reads: Vec<Read>,
    slots: Vec<Slot>,
    /// Slots whose reads stand in `reads`, with their number.
    asked: Vec<(usize, usize)>,
}

enum Slot {
    Asked(Option<Waker>),
    Answered(Result<Vec<Got>, DataError>),
    Taken,
}

/// The answer to one question of a wave.
struct Answer {
    wave: Arc<Wave>,
    slot: usize,
}

impl Future for Answer {
    type Output = Result<Vec<Got>, DataError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut gathered = self.wave.0.lock();
        let slot = &mut gathered.slots[self.slot];
        match std::mem::replace(slot, Slot::Taken) {
            Slot::Answered(got) => Poll::Ready(got),
            Slot::Asked(_) => {
                *slot = Slot::Asked(Some(cx.waker().clone()));
                Poll::Pending
            }
            Slot::Taken => unreachable!("a future is not polled after its end"),
        }
    }
}

impl Wave {
    fn ask(self: Arc<Self>, reads: Vec<Read>) -> Answer {
        let mut gathered = self.0.lock();
        let slot = gathered.slots.len();
        gathered.asked.push((slot, reads.len()));
        gathered.reads.extend(reads);
        gathered.slots.push(Slot::Asked(None));
        drop(gathered);
        Answer { wave: self, slot }
    }

    fn has_questions(&self) -> bool {
        !self.0.lock().asked.is_empty()
    }

    /// Read everything that is asked for and hand out the answers.
    async fn read(&self, data: &Data) {
        let (reads, asked) = {
            let mut gathered = self.0.lock();
            (std::mem::take(&mut gathered.reads), std::mem::take(&mut gathered.asked))
        };
        let mut got = data.db().read(reads).await.map(Vec::into_iter);
        let mut gathered = self.0.lock();
        for (slot, count) in asked {
            let answer = match &mut got {
                Ok(got) => Ok(got.take(count).collect()),
                Err(error) => Err(error.clone().into()),
            };
            let before = std::mem::replace(&mut gathered.slots[slot], Slot::Answered(answer));
            if let Slot::Asked(Some(waker)) = before {
                waker.wake();
            }
        }
    }
}

impl Data {
    /// Run `work`; what its parts read at the same time (see [`together`]) is read in one round
    /// trip. Inside of another such piece of work both share their round trips.
    pub async fn in_waves<F: Future>(&self, work: F) -> F::Output {
        if WAVE.try_with(|_| ()).is_ok() {
            return work.await;
        }
        let wave = Arc::new(Wave::default());
        let mut work = pin!(WAVE.scope(Arc::clone(&wave), work));
        loop {
            let step = poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if wave.has_questions() => Poll::Ready(None),
                // It waits for something that is no read.
                Poll::Pending => Poll::Pending,
            });
            match step.await {
                Some(done) => return done,
                None => wave.read(self).await,
            }
        }
    }

    /// One round trip, or a part of one.
    pub(crate) async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, DataError> {
        match WAVE.try_with(Arc::clone) {
            Ok(wave) => wave.ask(reads).await,
            Err(_) => Ok(self.db().read(reads).await?),
        }
    }
}

/// Run futures side by side; their results in order.
///
/// All of them are polled whenever one can go on, which is what [`Data::in_waves`] wants: after a
/// round trip all of them can.
pub fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Together<F> {
    Together(futures.into_iter().map(|future| Part::Running(Box::pin(future))).collect())
}

/// As [`together`], for what can fail: the first error in order, if there is one.
pub fn try_together<T, E, F: Future<Output = Result<T, E>>>(
    futures: impl IntoIterator<Item = F>,
) -> TryTogether<F> {
    TryTogether(together(futures))
}

/// See [`together`].
#[must_use = "futures do nothing unless awaited"]
pub struct Together<F: Future>(Vec<Part<F>>);

/// See [`try_together`].
#[must_use = "futures do nothing unless awaited"]
pub struct TryTogether<F: Future>(Together<F>);

impl<T, E, F: Future<Output = Result<T, E>>> Future for TryTogether<F> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|done| done.into_iter().collect())
    }
}

enum Part<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

// The futures themselves are pinned on the heap.
impl<F: Future> Unpin for Together<F> {}

impl<F: Future> Future for Together<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut all_done = true;
        for part in &mut self.0 {
            if let Part::Running(future) = part {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *part = Part::Done(done),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if !all_done {
            return Poll::Pending;
        }
        let done = self.0.drain(..).map(|part| match part {
            Part::Done(done) => done,
            Part::Running(_) => unreachable!("all of them are done"),
        });
        Poll::Ready(done.collect())
    }
}

#[cfg(test)]
mod tests {
    use blaupause_store::{Db, MemStore};
    use ruma::server_name;

    use super::*;
    use crate::{Env, rows::CursorRow};

    async fn data() -> (MemStore, Data) {
        let store = MemStore::new();
        let data = Data::open(Db::Mem(store.clone()), server_name!("x"), Env::manual(0)).await;
        (store, data.expect("an empty store"))
    }

    /// A chain of reads, each after the other.
    async fn chain(data: &Data, length: usize) -> usize {
        let part = data.parts().room(ruma::room_id!("!r:x"));
        for step in 0..length {
            let row = data.get::<CursorRow>(part, &step.to_string()).await;
            assert!(row.expect("reads").is_none());
        }
        length
    }

    #[tokio::test]
    async fn as_many_round_trips_as_the_longest_chain() {
        let (store, data) = data().await;
        let (before, _) = store.round_trips();
        let chains = (0..300).map(|index| chain(&data, index % 4));
        let done = data.in_waves(together(chains)).await;
        assert_eq!(done.iter().sum::<usize>(), 75 * (1 + 2 + 3));
        assert_eq!(store.round_trips().0 - before, 3);
    }

    #[tokio::test]
    async fn waves_within_waves_share_round_trips() {
        let (store, data) = data().await;
        let (before, _) = store.round_trips();
        let inner = || data.in_waves(together((0..5).map(|_| chain(&data, 2))));
        let all = Box::pin(async { tokio::join!(inner(), inner(), chain(&data, 1)) });
        Box::pin(data.in_waves(all)).await;
        assert_eq!(store.round_trips().0 - before, 2);
    }

    #[tokio::test]
    async fn other_waiting_goes_on_between_reads() {
        let (store, data) = data().await;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (before, _) = store.round_trips();
        let both = Box::pin(async {
            let first = async {
                receiver.await.expect("is sent");
                chain(&data, 1).await
            };
            let second = async {
                chain(&data, 1).await;
                sender.send(()).expect("is awaited");
            };
            tokio::join!(first, second)
        });
        Box::pin(data.in_waves(both)).await;
        assert_eq!(store.round_trips().0 - before, 2);
    }
}
