//! How far a service has been told, and the transaction that it is being told.

use blaupause_accounts::AppService;
use blaupause_data::{Data, DataError, Part, StreamPos, Write};
use blaupause_e2ee::rows::ToDeviceRow;
use ruma::OwnedUserId;

use crate::rows::{ServicePieceRow, ServiceRow, StoredService};

/// The slot in whose partition the rows lie, as the cursors do.
const SLOT: u8 = 1;
/// Bytes of one piece of a transaction: less than a row may have.
const PIECE_BYTES: usize = 90_000;

/// Name of a service's cursor in the log.
pub(super) fn follower(service: &AppService) -> String {
    format!("service/{}", service.id())
}

/// A transaction as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    /// Never used twice, not even after all data were lost: services forget nothing.
    pub id: String,
    pub body: String,
}

/// A to-device message that lies in a transaction and no longer in its queue.
pub(super) type Moved = (OwnedUserId, (String, StreamPos, u16));

/// A service that is not known yet begins now.
pub(super) async fn begin(data: &Data, service: &AppService) -> Result<(), DataError> {
    let part = Part::slot(SLOT);
    let key = service.id().to_owned();
    if data.get::<ServiceRow>(part, &key).await?.is_some() {
        return Ok(());
    }
    let at = data.position();
    let since_ms = data.env().now_millis();
    let row = StoredService { since_ms, number: 0, position: at.0, done: 0, pieces: 0 };
    let mut write = Write::new(part);
    write.require_absent::<ServiceRow>(part, &key);
    write.put::<ServiceRow>(part, &key, &row);
    write.cursor(&follower(service), at);
    data.commit(write).await?;
    Ok(())
}

/// How far the service has been told.
pub(super) async fn load(data: &Data, service: &AppService) -> Result<StoredService, DataError> {
    let row = data.get::<ServiceRow>(Part::slot(SLOT), &service.id().to_owned()).await?;
    row.map(|row| row.value).ok_or_else(|| DataError::Damaged("meta/A: not begun".into()))
}

/// The transaction that the service has not taken yet.
pub(super) async fn open_transaction(
    data: &Data,
    service: &AppService,
    row: &StoredService,
) -> Result<Option<Transaction>, DataError> {
    if row.pieces == 0 {
        return Ok(None);
    }
    let key = service.id().to_owned();
    let page = data.list::<ServicePieceRow>(Part::slot(SLOT), &key, row.pieces).await?;
    if page.rows.len() != row.pieces as usize {
        return Err(DataError::Damaged("box/A: a piece is missing".into()));
    }
    let body = page.rows.into_iter().map(|(_, piece)| piece.value).collect();
    Ok(Some(Transaction { id: id(row), body }))
}

/// Store a transaction before it is sent, with where it ends in the log (`row`) and the messages
/// that moved into it.
pub(super) async fn open(
    data: &Data,
    service: &AppService,
    row: &mut StoredService,
    body: String,
    moved: &[Moved],
) -> Result<Transaction, DataError> {
    let part = Part::slot(SLOT);
    let pieces = pieces(&body);
    row.number += 1;
    row.pieces = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let mut write = Write::new(part);
    write.put::<ServiceRow>(part, &service.id().to_owned(), row);
    for (at, piece) in (0..).zip(pieces) {
        let key = (service.id().to_owned(), at);
        write.put::<ServicePieceRow>(part, &key, &piece.to_owned());
    }
    for (user, key) in moved {
        write.del::<ToDeviceRow>(data.parts().user(user), key);
    }
    write.cursor(&follower(service), StreamPos(row.position));
    data.commit(write).await?;
    Ok(Transaction { id: id(row), body })
}

/// The service has taken the transaction, or there was nothing to tell until here.
pub(super) async fn done(
    data: &Data,
    service: &AppService,
    row: &mut StoredService,
) -> Result<(), DataError> {
    let part = Part::slot(SLOT);
    let mut write = Write::new(part);
    for at in 0..row.pieces {
        write.del::<ServicePieceRow>(part, &(service.id().to_owned(), at));
    }
    row.pieces = 0;
    write.put::<ServiceRow>(part, &service.id().to_owned(), row);
    write.cursor(&follower(service), StreamPos(row.position));
    data.commit(write).await?;
    Ok(())
}

fn id(row: &StoredService) -> String {
    format!("{}-{}", row.since_ms, row.number)
}

fn pieces(mut body: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        let fits = |at: &usize| body.is_char_boundary(*at);
        let end = (1..=body.len().min(PIECE_BYTES)).rev().find(fits).unwrap_or(body.len());
        let (piece, rest) = body.split_at(end);
        pieces.push(piece);
        body = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_between_characters_and_nothing_is_lost() {
        let body = "ä€😀".repeat(50_000);
        let cut = pieces(&body);
        assert!(cut.len() > 4 && cut.iter().all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(cut.concat(), body);
        assert!(pieces("").is_empty());
    }
}
