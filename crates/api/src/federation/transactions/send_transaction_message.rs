//! `PUT /_matrix/federation/v1/send/{txnId}`

use ruma::{
    OwnedEventId,
    api::federation::transactions::send_transaction_message::v1::{Request, Response},
};

use super::edus::hear;
use crate::{ApiError, App, Call};

/// Events of one transaction (spec: "Transactions").
const PDUS_MAX: usize = 50;
/// EDUs of one transaction (spec).
const EDUS_MAX: usize = 100;
/// Bytes of a transaction id.
const ID_BYTES_MAX: usize = 1_024;

pub(crate) async fn send_transaction_message(
    app: App,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let origin = call.who;
    let Request { transaction_id, origin: said, pdus, edus, .. } = call.body;
    if said != origin {
        return Err(ApiError::forbidden("the transaction is from another server"));
    }
    if pdus.len() > PDUS_MAX || edus.len() > EDUS_MAX {
        return Err(ApiError::invalid_param("at most 50 PDUs and 100 EDUs"));
    }
    if transaction_id.as_str().len() > ID_BYTES_MAX {
        return Err(ApiError::invalid_param("the transaction id is too long"));
    }
    let _turn = app.federation.turn_of(&origin).await;
    if let Some(before) = app.federation.received(&origin, &transaction_id).await? {
        let events = before.events.into_iter().filter_map(|(id, why)| {
            Some((OwnedEventId::try_from(id).ok()?, why.map_or(Ok(()), Err)))
        });
        return Ok(Response::new(events.collect()));
    }
    let staged = app.rooms.stage(&origin, pdus).await?;
    for edu in &edus {
        hear(&app, &origin, edu).await?;
    }
    let events = staged.iter().map(|(id, result)| (id.to_string(), result.clone().err()));
    app.federation.note_received(&origin, &transaction_id, events.collect()).await?;
    Ok(Response::new(staged))
}
