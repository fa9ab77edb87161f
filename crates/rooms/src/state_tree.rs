//! The state tree of a room that is being written: pages that are stored, and pages of the batch.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_data::{
    DataError, ReadSet,
    rows::{AuthRow, PageRow},
};
use blaupause_graph::{
    AuthGraph, EventNo, PageNo, Refusal, StateKeyNo, StateRoot, Step,
    tree::{self, Changed, Written},
};

use crate::{
    Rooms, RoomsError,
    append::Appending,
    hot::{PageBag, RoomHot},
};

/// Reads that one look into a state tree may need: its height, and one to spare.
const WAVES_MAX: usize = 8;

impl Rooms {
    /// Ask the state tree something, until all pages for the answer are at hand. `new` holds pages
    /// that are not stored yet, and gets those that were read.
    async fn with_pages<T>(
        &self,
        hot: &RoomHot,
        new: &mut PageBag,
        ask: impl Fn(&PageBag) -> Result<Step<T>, Refusal>,
    ) -> Result<T, RoomsError> {
        for _ in 0..WAVES_MAX {
            let need = match ask(new)? {
                Step::Done(answer) => return Ok(answer),
                Step::Need(need) => need.pages,
            };
            let (mut want, mut slots) = (ReadSet::new(), BTreeMap::new());
            for no in need {
                match hot.pages.0.get(&no) {
                    Some(page) => drop(new.0.insert(no, Arc::clone(page))),
                    None => drop(slots.insert(no, want.get::<PageRow>(hot.part, &no))),
                }
            }
            let got = want.run(self.data()).await?;
            for (no, slot) in slots {
                let page = got.one(slot)?;
                let page = page.ok_or_else(|| DataError::Damaged("state/p: absent".into()))?;
                new.0.insert(no, Arc::new(page.value));
            }
        }
        Err(DataError::Damaged("state/p: tree too high".into()).into())
    }
}

impl Appending<'_> {
    /// A state with some keys changed.
    pub(crate) async fn set_state(
        &mut self,
        root: StateRoot,
        changes: &[(StateKeyNo, Option<EventNo>)],
    ) -> Result<StateRoot, RoomsError> {
        let next = self.head.next_page;
        let ask = |pages: &PageBag| tree::set(root, changes, next, pages);
        let written = self.rooms.with_pages(self.hot, &mut self.pages, ask).await?;
        Ok(self.write_pages(written))
    }

    /// The events of some keys at a state, in the order asked.
    pub(crate) async fn state_get(
        &mut self,
        root: StateRoot,
        keys: &[StateKeyNo],
    ) -> Result<Vec<Option<EventNo>>, RoomsError> {
        let ask = |pages: &PageBag| tree::get_many(root, keys, pages);
        self.rooms.with_pages(self.hot, &mut self.pages, ask).await
    }

    /// What differs between two states.
    pub(crate) async fn state_diff(
        &mut self,
        before: StateRoot,
        after: StateRoot,
    ) -> Result<Vec<Changed>, RoomsError> {
        let ask = |pages: &PageBag| tree::diff(before, after, pages);
        self.rooms.with_pages(self.hot, &mut self.pages, ask).await
    }

    pub(crate) fn write_pages(&mut self, written: Written) -> StateRoot {
        for (no, page) in written.pages {
            self.write.put::<PageRow>(self.part(), &no, &page);
            self.pages.0.insert(no, Arc::new(page));
            self.head.next_page = self.head.next_page.max(PageNo(no.0 + 1));
        }
        written.root
    }

    /// Note who authorizes a state event that was not rejected.
    pub(crate) fn write_auth(&mut self, no: EventNo, auth: &[EventNo]) {
        self.write.put::<AuthRow>(self.part(), &no, &auth.to_vec());
        self.auth_rows.push((no, auth.to_vec()));
    }
}

/// The auth graph with further events; `None` if it has to be read anew.
pub(crate) fn with_rows(
    mut graph: Arc<AuthGraph>,
    rows: &[(EventNo, Vec<EventNo>)],
) -> Option<Arc<AuthGraph>> {
    for (no, auth) in rows {
        if !graph.contains(*no) {
            Arc::make_mut(&mut graph).push(*no, auth).ok()?;
        }
    }
    Some(graph)
}
