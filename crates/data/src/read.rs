//! Typed batched reads: collect requests, ask once, take the answers.

use std::{marker::PhantomData, ops::Bound};

use blaupause_store::{Db, Got, Key, LIMITS, Part, Read, Store};
use bytes::Bytes;

use crate::{
    Data, DataError, Found, Row,
    codec::{KeyFields, KeyReader, key_of},
    row::decode,
};

/// Requests for one round trip.
#[derive(Debug, Default)]
pub struct ReadSet {
    reads: Vec<Read>,
}

/// Where the answer to a [`ReadSet::get`] will be.
#[derive(Debug)]
pub struct One<R>(usize, PhantomData<fn() -> R>);

/// Where the answer to a scan will be.
#[derive(Debug)]
pub struct Many<R>(usize, PhantomData<fn() -> R>);

impl<R> Clone for One<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for One<R> {}
impl<R> Clone for Many<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Many<R> {}

/// In which direction a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// Rows of a scan and whether there are more: beyond the limit, or because the answer is full
/// ([`LIMITS`]).
#[derive(Debug)]
pub struct Page<R: Row> {
    pub rows: Vec<(R::Key, Found<R::Value>)>,
    pub more: bool,
}

impl ReadSet {
    /// No requests yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    /// Ask for one row.
    pub fn get<R: Row>(&mut self, part: Part, key: &R::Key) -> One<R> {
        let (k, _) = key_of(part, R::TAG, key);
        self.reads.push(Read::Get { t: R::TABLE, k });
        One(self.reads.len() - 1, PhantomData)
    }

    /// Ask for all rows of a kind in a partition whose key starts with `prefix` (`&()` for all).
    pub fn prefix<R: Row>(
        &mut self,
        part: Part,
        prefix: &impl KeyFields,
        order: Order,
        limit: u32,
    ) -> Many<R> {
        let (lo, _) = key_of(part, R::TAG, prefix);
        let hi = lo.prefix_end();
        self.scan(lo, hi, order, limit)
    }

    /// Ask for the rows of a kind in a partition between two bounds. The bounds may have fewer
    /// fields than the key.
    pub fn range<R: Row>(
        &mut self,
        part: Part,
        from: Bound<&impl KeyFields>,
        to: Bound<&impl KeyFields>,
        order: Order,
        limit: u32,
    ) -> Many<R> {
        let all = Key::new(part, R::TAG);
        let lo = match from {
            Bound::Unbounded => all.clone(),
            Bound::Included(from) => key_of(part, R::TAG, from).0,
            Bound::Excluded(from) => key_of(part, R::TAG, from).0.prefix_end(),
        };
        let hi = match to {
            Bound::Unbounded => all.prefix_end(),
            Bound::Included(to) => key_of(part, R::TAG, to).0.prefix_end(),
            Bound::Excluded(to) => key_of(part, R::TAG, to).0,
        };
        self.scan(lo, hi, order, limit)
    }

    fn scan<R: Row>(&mut self, lo: Key, hi: Key, order: Order, limit: u32) -> Many<R> {
        let limit = limit.min(LIMITS.scan_rows_max);
        let rev = order == Order::Backward;
        self.reads.push(Read::Scan { t: R::TABLE, lo, hi, rev, limit });
        Many(self.reads.len() - 1, PhantomData)
    }

    /// Ask: one round trip, one consistent view.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn run(self, data: &Data) -> Result<Answers, DataError> {
        if self.reads.is_empty() {
            return Ok(Answers(Vec::new()));
        }
        Ok(Answers(data.read(self.reads).await?))
    }
}

impl ReadSet {
    /// One row straight from the engine, before there is a [`Data`].
    pub(crate) async fn single<R: Row>(
        db: &Db,
        part: Part,
        key: &R::Key,
    ) -> Result<Option<Bytes>, DataError> {
        let (k, _) = key_of(part, R::TAG, key);
        match db.read(vec![Read::Get { t: R::TABLE, k }]).await?.pop() {
            Some(Got::One(bytes)) => Ok(bytes),
            _ => unreachable!("a get answers with one"),
        }
    }
}

impl ReadSet {
    /// The rows of a kind in a partition straight from the engine, before there is a [`Data`].
    pub(crate) async fn all_of<R: Row>(
        db: &Db,
        part: Part,
        order: Order,
        limit: u32,
    ) -> Result<Vec<(R::Key, R::Value)>, DataError> {
        let mut want = Self::new();
        let at = want.prefix::<R>(part, &(), order, limit);
        let page = Answers(db.read(want.reads).await?).many(at)?;
        Ok(page.rows.into_iter().map(|(key, found)| (key, found.value)).collect())
    }
}

/// The answers to a [`ReadSet`].
#[derive(Debug)]
pub struct Answers(Vec<Got>);

impl Answers {
    /// The row, if it exists.
    ///
    /// # Errors
    /// The row cannot be decoded.
    pub fn one<R: Row>(&self, at: One<R>) -> Result<Option<Found<R::Value>>, DataError> {
        match self.0.get(at.0) {
            Some(Got::One(bytes)) => bytes.as_deref().map(decode::<R>).transpose(),
            _ => unreachable!("a slot is only valid for the set that gave it"),
        }
    }

    /// The rows of a scan.
    ///
    /// # Errors
    /// A row cannot be decoded.
    pub fn many<R: Row>(&self, at: Many<R>) -> Result<Page<R>, DataError> {
        let Some(Got::Rows { rows, more }) = self.0.get(at.0) else {
            unreachable!("a slot is only valid for the set that gave it")
        };
        let damaged = || DataError::Damaged(crate::codec::describe(R::TABLE, R::TAG));
        let rows = rows
            .iter()
            .map(|(key, value)| {
                let mut reader = KeyReader::new(key).ok_or_else(damaged)?;
                let fields = R::Key::read(&mut reader).ok_or_else(damaged)?;
                Ok((fields, decode::<R>(value)?))
            })
            .collect::<Result<_, DataError>>()?;
        Ok(Page { rows, more: *more })
    }
}

impl Data {
    /// One row, when one is all that is needed. Several: use a [`ReadSet`].
    ///
    /// # Errors
    /// The store cannot be read or the row cannot be decoded.
    pub async fn get<R: Row>(
        &self,
        part: Part,
        key: &R::Key,
    ) -> Result<Option<Found<R::Value>>, DataError> {
        let mut want = ReadSet::new();
        let at = want.get::<R>(part, key);
        want.run(self).await?.one(at)
    }

    /// Many rows of one kind in one round trip, in the order asked.
    ///
    /// # Errors
    /// As for [`Data::get`].
    pub async fn get_many<'k, R: Row>(
        &self,
        keys: impl IntoIterator<Item = (Part, &'k R::Key)>,
    ) -> Result<Vec<Option<Found<R::Value>>>, DataError>
    where
        R::Key: 'k,
    {
        let mut want = ReadSet::new();
        let slots: Vec<_> = keys.into_iter().map(|(part, key)| want.get::<R>(part, key)).collect();
        let got = want.run(self).await?;
        slots.into_iter().map(|at| got.one(at)).collect()
    }

    /// The first rows of a kind under a prefix, as many as the limit says or as one answer holds
    /// ([`LIMITS`]): [`Page::more`] says whether there are others. All of them:
    /// [`Data::list_all`].
    ///
    /// # Errors
    /// As for [`Data::get`].
    pub async fn list<R: Row>(
        &self,
        part: Part,
        prefix: &impl KeyFields,
        limit: u32,
    ) -> Result<Page<R>, DataError> {
        let mut want = ReadSet::new();
        let at = want.prefix::<R>(part, prefix, Order::Forward, limit);
        want.run(self).await?.many(at)
    }

    /// All rows of a kind under a prefix, `rows_max` at most; a round trip for each full answer.
    /// Rows that are written meanwhile may be in it or not.
    ///
    /// # Errors
    /// As for [`Data::get`].
    pub async fn list_all<R: Row>(
        &self,
        part: Part,
        prefix: &impl KeyFields,
        rows_max: u32,
    ) -> Result<Page<R>, DataError> {
        let mut pages = self.lists_all::<R, _>(&[(part, prefix)], rows_max).await?;
        Ok(pages.pop().unwrap_or(Page { rows: Vec::new(), more: false }))
    }

    /// As [`Data::list_all`] for many prefixes, in the order asked; as many round trips as the
    /// longest list needs.
    ///
    /// # Errors
    /// As for [`Data::get`].
    pub async fn lists_all<R: Row, P: KeyFields>(
        &self,
        lists: &[(Part, &P)],
        rows_max: u32,
    ) -> Result<Vec<Page<R>>, DataError> {
        let mut pages: Vec<Page<R>> =
            lists.iter().map(|_| Page { rows: Vec::new(), more: true }).collect();
        loop {
            let mut want = ReadSet::new();
            let mut slots = Vec::new();
            for (at, ((part, prefix), page)) in lists.iter().zip(&pages).enumerate() {
                let left = rows_max.saturating_sub(page.rows.len() as u32);
                if !page.more || left == 0 {
                    continue;
                }
                let (order, end) = (Order::Forward, Bound::Included(*prefix));
                slots.push((
                    at,
                    match page.rows.last() {
                        None => want.prefix::<R>(*part, *prefix, order, left),
                        Some((last, _)) => {
                            want.range::<R>(*part, Bound::Excluded(last), end, order, left)
                        }
                    },
                ));
            }
            if slots.is_empty() {
                return Ok(pages);
            }
            let got = want.run(self).await?;
            for (at, slot) in slots {
                let next = got.many(slot)?;
                pages[at].rows.extend(next.rows);
                pages[at].more = next.more;
            }
        }
    }
}
