//! Numbers of state keys, remembered: a number once given never changes.

use std::num::NonZeroUsize;

use blaupause_data::{Answers, Data, DataError, One, Part, ReadSet, rows::StateKeyNoRow};
use blaupause_graph::StateKeyNo;
use lru::LruCache;
use parking_lot::Mutex;

/// Numbers kept in memory (about 150 bytes each).
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// Event type and state key.
pub(crate) type KeyName = (String, String);

/// Which number a state key has in a room.
pub(crate) struct KeyNumbers(Mutex<LruCache<(Part, KeyName), StateKeyNo>>);

impl Default for KeyNumbers {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_MAX)))
    }
}

/// Numbers that are asked for in a read that fetches other things too.
pub(crate) struct Asked(Vec<(Part, KeyName, Answer)>);

enum Answer {
    Known(StateKeyNo),
    Slot(One<StateKeyNoRow>),
}

impl KeyNumbers {
    /// Add what is not remembered to a read.
    pub(crate) fn ask(
        &self,
        want: &mut ReadSet,
        names: impl IntoIterator<Item = (Part, KeyName)>,
    ) -> Asked {
        let mut cached = self.0.lock();
        let asked = names.into_iter().map(|(part, name)| {
            let key = (part, name);
            let answer = match cached.get(&key) {
                Some(number) => Answer::Known(*number),
                None => Answer::Slot(want.get::<StateKeyNoRow>(part, &key.1)),
            };
            (part, key.1, answer)
        });
        Asked(asked.collect())
    }

    /// The numbers, in the order asked; `None` for keys that the room never had.
    pub(crate) fn answer(
        &self,
        asked: Asked,
        got: &Answers,
    ) -> Result<Vec<Option<StateKeyNo>>, DataError> {
        let mut cached = self.0.lock();
        asked
            .0
            .into_iter()
            .map(|(part, name, answer)| match answer {
                Answer::Known(number) => Ok(Some(number)),
                Answer::Slot(slot) => {
                    let number = got.one(slot)?.map(|row| row.value);
                    if let Some(number) = number {
                        cached.put((part, name), number);
                    }
                    Ok(number)
                }
            })
            .collect()
    }

    /// The numbers, in the order asked; at most one round trip.
    pub(crate) async fn get(
        &self,
        data: &Data,
        names: impl IntoIterator<Item = (Part, KeyName)>,
    ) -> Result<Vec<Option<StateKeyNo>>, DataError> {
        let mut want = ReadSet::new();
        let asked = self.ask(&mut want, names);
        let got = want.run(data).await?;
        self.answer(asked, &got)
    }
}
