//! Room state as read back: waves of page reads around the pure tree of `graph`.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::Arc,
};

use blaupause_graph::{
    EventNo, Need, PageNo, Refusal, StateKeyNo, StateRoot, Step,
    tree::{self, Changed, Pages},
};
use blaupause_store::Part;
use lru::LruCache;
use parking_lot::Mutex;

use crate::{
    Data, DataError, ReadSet,
    rows::{PageRow, StateKeyNoRow, StateKeyRow},
};

/// Pages kept in memory (a few hundred bytes each, 30 kB at most).
const CACHED_PAGES_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
/// Reads that one look into a tree may need: its height, and one to spare.
const WAVES_MAX: usize = 8;

/// Recently read pages: they never change.
pub(crate) struct PageCache(Mutex<LruCache<(Part, PageNo), SharedPage>>);

type SharedPage = Arc<Vec<u8>>;

impl PageCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_PAGES_MAX)))
    }
}

/// Pages of one room at hand, growing wave by wave.
#[derive(Debug, Default)]
struct Bag(HashMap<PageNo, SharedPage>);

impl Pages for Bag {
    fn page(&self, no: PageNo) -> Option<&[u8]> {
        self.0.get(&no).map(|page| page.as_slice())
    }
}

/// One look into one room's tree, repeated until all its pages are at hand.
struct Look<T> {
    room: Part,
    bag: Bag,
    done: Option<T>,
    need: BTreeSet<PageNo>,
}

impl Data {
    /// The events of some state keys (by number) at a state, in the order asked.
    ///
    /// # Errors
    /// The store cannot be read or a page is broken.
    pub async fn state_get(
        &self,
        room: Part,
        root: StateRoot,
        keys: &[StateKeyNo],
    ) -> Result<Vec<Option<EventNo>>, DataError> {
        let mut found = self.look(&[room], |_, pages| tree::get_many(root, keys, pages)).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// The events of some state keys (by number) at several states of one room: for each state,
    /// in the order of the keys. As many reads as the highest tree has levels.
    ///
    /// # Errors
    /// As [`Data::state_get`].
    pub async fn state_get_at(
        &self,
        room: Part,
        roots: &[StateRoot],
        keys: &[StateKeyNo],
    ) -> Result<Vec<Vec<Option<EventNo>>>, DataError> {
        let rooms = vec![room; roots.len()];
        self.look(&rooms, |at, pages| tree::get_many(roots[at], keys, pages)).await
    }

    /// The events of some state keys (event type, state key) at a state, in the order asked.
    ///
    /// # Errors
    /// As [`Data::state_get`].
    pub async fn state_lookup(
        &self,
        room: Part,
        root: StateRoot,
        keys: &[(String, String)],
    ) -> Result<Vec<Option<EventNo>>, DataError> {
        let numbers = self.get_many::<StateKeyNoRow>(keys.iter().map(|key| (room, key))).await?;
        let known: Vec<_> = numbers.iter().flatten().map(|row| row.value).collect();
        let mut found = self.state_get(room, root, &known).await?.into_iter();
        Ok(numbers.iter().map(|number| number.as_ref().and_then(|_| found.next()?)).collect())
    }

    /// What differs between two states of each room, in the order asked; as many reads as the
    /// highest tree has levels, however many rooms.
    ///
    /// # Errors
    /// As [`Data::state_get`].
    pub async fn state_diff(
        &self,
        pairs: &[(Part, StateRoot, StateRoot)],
    ) -> Result<Vec<Vec<Changed>>, DataError> {
        let rooms: Vec<_> = pairs.iter().map(|(room, ..)| *room).collect();
        self.look(&rooms, |at, pages| tree::diff(pairs[at].1, pairs[at].2, pages)).await
    }

    /// Everything in a state.
    ///
    /// # Errors
    /// As [`Data::state_get`].
    pub async fn state_all(
        &self,
        room: Part,
        root: StateRoot,
    ) -> Result<Vec<(StateKeyNo, EventNo)>, DataError> {
        let mut all = self.look(&[room], |_, pages| tree::entries(root, pages)).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// A state with some keys changed: its root and the pages to store.
    ///
    /// # Errors
    /// As [`Data::state_get`].
    pub async fn state_set(
        &self,
        room: Part,
        root: StateRoot,
        changes: &[(StateKeyNo, Option<EventNo>)],
        next: PageNo,
    ) -> Result<tree::Written, DataError> {
        let mut written =
            self.look(&[room], |_, pages| tree::set(root, changes, next, pages)).await?;
        written.pop().ok_or_else(|| DataError::Damaged("state/p".into()))
    }

    /// The names (event type, state key) of state keys, in the order asked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn state_key_names(
        &self,
        room: Part,
        numbers: &[StateKeyNo],
    ) -> Result<Vec<Option<(String, String)>>, DataError> {
        let rows = self.get_many::<StateKeyRow>(numbers.iter().map(|no| (room, no))).await?;
        Ok(rows.into_iter().map(|row| row.map(|row| row.value)).collect())
    }

    /// Run a pure computation for each room until none lacks a page.
    async fn look<T>(
        &self,
        rooms: &[Part],
        ask: impl Fn(usize, &Bag) -> Result<Step<T>, Refusal>,
    ) -> Result<Vec<T>, DataError> {
        let mut looks: Vec<Look<T>> = rooms
            .iter()
            .map(|&room| Look { room, bag: Bag::default(), done: None, need: BTreeSet::new() })
            .collect();
        for _ in 0..WAVES_MAX {
            for (at, look) in looks.iter_mut().enumerate() {
                while look.done.is_none() && look.need.is_empty() {
                    match ask(at, &look.bag).map_err(|_| broken())? {
                        Step::Done(done) => look.done = Some(done),
                        Step::Need(Need { pages, .. }) => {
                            if pages.is_empty() {
                                return Err(broken());
                            }
                            look.need = pages;
                            self.take_cached(look);
                        }
                    }
                }
            }
            if looks.iter().all(|look| look.done.is_some()) {
                return Ok(looks.into_iter().filter_map(|look| look.done).collect());
            }
            self.fetch(&mut looks).await?;
        }
        Err(broken())
    }

    fn take_cached<T>(&self, look: &mut Look<T>) {
        let mut cache = self.page_cache().0.lock();
        let (room, bag) = (look.room, &mut look.bag);
        look.need.retain(|no| match cache.get(&(room, *no)) {
            Some(page) => {
                bag.0.insert(*no, Arc::clone(page));
                false
            }
            None => true,
        });
    }

    async fn fetch<T>(&self, looks: &mut [Look<T>]) -> Result<(), DataError> {
        let mut want = ReadSet::new();
        let mut slots = Vec::new();
        for (at, look) in looks.iter().enumerate() {
            for no in &look.need {
                slots.push((at, *no, want.get::<PageRow>(look.room, no)));
            }
        }
        let got = want.run(self).await?;
        let mut cache = self.page_cache().0.lock();
        for (at, no, slot) in slots {
            let page = Arc::new(got.one(slot)?.ok_or_else(broken)?.value);
            cache.put((looks[at].room, no), Arc::clone(&page));
            looks[at].bag.0.insert(no, page);
        }
        for look in looks {
            look.need.clear();
        }
        Ok(())
    }
}

fn broken() -> DataError {
    DataError::Damaged("state/p: a page is absent or broken".into())
}
