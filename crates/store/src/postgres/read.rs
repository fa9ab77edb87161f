use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::{join_all, join3};
use tokio_postgres::{Client, Error, Row};

use super::{
    lease::position,
    pool::{Manner, Reader},
};
use crate::{Batch, Chunk, Got, Key, LIMITS, Read, Table, read::ScanRoom};

/// A scan of so few rows cannot fill an answer, however large they are.
const UNCOUNTED_ROWS_MAX: u32 =
    (LIMITS.scan_bytes_max / (LIMITS.key_bytes_max + LIMITS.value_bytes_max)) as u32;

const BEGIN: &str = "begin isolation level repeatable read read only";

/// Requests, grouped so that each table is asked at most thrice.
struct Plan<'a> {
    questions: Vec<Question<'a>>,
    /// Whether the row of the position is asked for: that is no row of the table, because all
    /// commits would wait for each other there.
    position: bool,
}

/// One statement with its parameters.
enum Question<'a> {
    Gets {
        t: Table,
        keys: Vec<&'a [u8]>,
    },
    Scans {
        t: Table,
        manner: Manner,
        of: Vec<usize>,
        lo: Vec<&'a [u8]>,
        hi: Vec<&'a [u8]>,
        rows: Vec<i64>,
    },
}

/// What the database said, in the order of the questions.
struct Said {
    answers: Vec<Vec<Row>>,
    position: Option<Bytes>,
}

/// Answer all requests from one view, in one round trip.
pub(super) async fn answer(reader: &Reader, reads: &[Read]) -> Result<Vec<Got>, Error> {
    let plan = Plan::of(reads);
    let said = plan.ask(reader).await?;
    plan.answers(reads, &said)
}

impl<'a> Plan<'a> {
    fn of(reads: &'a [Read]) -> Self {
        let mut plan = Self { questions: Vec::new(), position: false };
        for (index, read) in reads.iter().enumerate() {
            plan.position |= holds_position(read);
            match read {
                Read::Get { t, k } => plan.gets(*t).push(k.as_bytes()),
                Read::Scan { lo, hi, .. } if lo >= hi => {}
                Read::Scan { t, lo, hi, rev, limit } => {
                    plan.scan(index, *t, *rev, (lo, hi), (*limit).min(LIMITS.scan_rows_max));
                }
            }
        }
        plan
    }

    fn gets(&mut self, t: Table) -> &mut Vec<&'a [u8]> {
        let is_it =
            |question: &Question<'_>| matches!(question, Question::Gets { t: of, .. } if *of == t);
        let at = self.questions.iter().position(is_it).unwrap_or_else(|| {
            self.questions.push(Question::Gets { t, keys: Vec::new() });
            self.questions.len() - 1
        });
        match &mut self.questions[at] {
            Question::Gets { keys, .. } => keys,
            Question::Scans { .. } => unreachable!("looked for gets"),
        }
    }

    fn scan(&mut self, index: usize, t: Table, rev: bool, range: (&'a Key, &'a Key), limit: u32) {
        let is_it = |question: &Question<'_>| matches!(question, Question::Scans { t: of, manner, .. } if *of == t && manner.rev == rev);
        let at = self.questions.iter().position(is_it).unwrap_or_else(|| {
            let manner = Manner { rev, counted: false };
            let (of, lo, hi, rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            self.questions.push(Question::Scans { t, manner, of, lo, hi, rows });
            self.questions.len() - 1
        });
        if let Question::Scans { manner, of, lo, hi, rows, .. } = &mut self.questions[at] {
            manner.counted |= limit > UNCOUNTED_ROWS_MAX;
            of.push(index);
            lo.push(range.0.as_bytes());
            hi.push(range.1.as_bytes());
            // One more says whether rows are left.
            rows.push(i64::from(limit) + 1);
        }
    }

    /// A single statement is consistent with itself; several share a transaction. Everything is
    /// sent before the first answer: futures are polled in order, and sending does not wait.
    async fn ask(&self, reader: &Reader) -> Result<Said, Error> {
        let client = &reader.client;
        let questions = join_all(self.questions.iter().map(|question| question.ask(reader)));
        if self.questions.len() <= 1 && !self.position {
            let answers = questions.await.into_iter().collect::<Result<_, _>>()?;
            return Ok(Said { answers, position: None });
        }
        let questions = async {
            let (answers, position) =
                futures_util::join!(questions, stored_position(reader, self.position));
            let answers = answers.into_iter().collect::<Result<_, _>>()?;
            Ok(Said { answers, position: position? })
        };
        let (begun, said, ended) =
            join3(client.batch_execute(BEGIN), questions, client.batch_execute("commit")).await;
        begun?;
        let said = said?;
        ended?;
        Ok(said)
    }

    fn answers(&self, reads: &[Read], said: &Said) -> Result<Vec<Got>, Error> {
        let mut found: HashMap<(Table, &[u8]), &[u8]> = HashMap::new();
        let mut scanned: HashMap<usize, Vec<(Key, Option<Bytes>)>> = HashMap::new();
        for (question, rows) in self.questions.iter().zip(&said.answers) {
            match question {
                Question::Gets { t, .. } => {
                    for row in rows {
                        found.insert((*t, row.try_get(0)?), row.try_get(1)?);
                    }
                }
                Question::Scans { of, .. } => {
                    for row in rows {
                        let (n, key, value): (i64, &[u8], Option<&[u8]>) =
                            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                        let Some(index) = of.get(usize::try_from(n - 1).unwrap_or(usize::MAX))
                        else {
                            continue;
                        };
                        let key = Key::from_bytes(Bytes::copy_from_slice(key));
                        let row = (key, value.map(Bytes::copy_from_slice));
                        scanned.entry(*index).or_default().push(row);
                    }
                }
            }
        }
        let position_key = Batch::position_key(Batch::SLOT);
        let answer = |(index, read): (usize, &Read)| match read {
            Read::Get { t: Table::Meta, k } if *k == position_key => {
                Got::One(said.position.clone())
            }
            Read::Get { t, k } => {
                Got::One(found.get(&(*t, k.as_bytes())).map(|value| Bytes::copy_from_slice(value)))
            }
            Read::Scan { rev, limit, .. } => {
                let mut rows = scanned.remove(&index).unwrap_or_default();
                if holds_position(read) {
                    add_position(&mut rows, &said.position, *rev);
                }
                page(rows, *limit)
            }
        };
        Ok(reads.iter().enumerate().map(answer).collect())
    }
}

impl Question<'_> {
    async fn ask(&self, reader: &Reader) -> Result<Vec<Row>, Error> {
        let (client, statements) = (&reader.client, &reader.statements);
        match self {
            Self::Gets { t, keys } => {
                client.query(&statements.gets[*t as usize - 1], &[keys]).await
            }
            Self::Scans { t, manner, lo, hi, rows, .. } => {
                let statement = statements.scan(*t, *manner);
                if manner.counted {
                    let bytes = LIMITS.scan_bytes_max as i64;
                    client.query(statement, &[lo, hi, rows, &bytes]).await
                } else {
                    client.query(statement, &[lo, hi, rows]).await
                }
            }
        }
    }
}

fn holds_position(read: &Read) -> bool {
    let key = Batch::position_key(Batch::SLOT);
    match read {
        Read::Get { t, k } => *t == Table::Meta && *k == key,
        Read::Scan { t, lo, hi, .. } => *t == Table::Meta && *lo <= key && key < *hi,
    }
}

/// The value of the row of the position; none before the first commit.
async fn stored_position(reader: &Reader, wanted: bool) -> Result<Option<Bytes>, Error> {
    if !wanted {
        return Ok(None);
    }
    let row = reader.client.query_one(&reader.statements.position, &[]).await?;
    Ok(position_value(row.try_get(0)?))
}

fn position_value(stored: i64) -> Option<Bytes> {
    (stored > 0).then(|| Bytes::copy_from_slice(&position(stored).to_be_bytes()))
}

fn add_position(rows: &mut Vec<(Key, Option<Bytes>)>, value: &Option<Bytes>, rev: bool) {
    if value.is_none() {
        return;
    }
    let key = Batch::position_key(Batch::SLOT);
    let at = rows.partition_point(|(other, _)| if rev { *other > key } else { *other < key });
    rows.insert(at, (key, value.clone()));
}

/// What fits of the rows found; a row without value is one that the server saw not to fit.
fn page(found: Vec<(Key, Option<Bytes>)>, limit: u32) -> Got {
    let mut room = ScanRoom::new(limit);
    let mut rows = Vec::with_capacity(found.len());
    for (key, value) in found {
        match value {
            Some(value) if room.take(&key, &value) => rows.push((key, value)),
            _ => return Got::Rows { rows, more: true },
        }
    }
    Got::Rows { rows, more: false }
}

/// Up to `chunk` rows from a key on, and the key to go on with.
pub(super) async fn export(
    client: &Client,
    t: Table,
    from: Option<&Key>,
    chunk: u32,
) -> Result<Chunk, Error> {
    let from = from.map_or(&[][..], Key::as_bytes);
    let chunk = chunk.clamp(1, LIMITS.scan_rows_max) as usize;
    let sql = format!("select k, v from {} where k >= $1 order by k limit $2", t.name());
    let mut rows = Vec::new();
    for row in client.query(&sql, &[&from, &(chunk as i64 + 1)]).await? {
        let (key, value): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        rows.push((
            Key::from_bytes(Bytes::copy_from_slice(key)),
            Some(Bytes::copy_from_slice(value)),
        ));
    }
    if t == Table::Meta && from <= Batch::position_key(Batch::SLOT).as_bytes() {
        let row = client.query_one("select max(position) from lane", &[]).await?;
        add_position(&mut rows, &position_value(row.try_get(0)?), false);
    }
    let next = rows.get(chunk).map(|(key, _)| key.clone());
    rows.truncate(chunk);
    let rows = rows.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    Ok((rows, next))
}
