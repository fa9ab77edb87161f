//! The task of one server: what it is owed becomes transactions, one after the other.

use std::{sync::Arc, time::Duration};

use blaupause_data::{DIRECTORY, DataError, Order, ReadSet, Write};
use ruma::{
    OwnedTransactionId, ServerName,
    api::federation::transactions::send_transaction_message::v1::{Request, Response},
    serde::Raw,
};
use serde_json::value::RawValue;

use super::{
    Link, STORE_PAUSE, backoff,
    queue::{self, EDUS_MAX},
    rows::{DebtorRow, Destination, DestinationRow, OutEduRow, Owed, OwedEvent, OwedRow},
};
use crate::{CallLimits, Federation, FederationError};

/// How long a server may take over a transaction.
const TRANSACTION_TIME: Duration = Duration::from_secs(60);
/// Rooms of one server that are looked at for a transaction.
const ROOMS_MAX: u32 = 1_000;
/// An EDU that could not be brought for so long is no longer owed.
const EDU_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// A transaction that the server says it does not want is sent so often; then it is given up, so
/// that what comes after it can arrive.
const REFUSALS_MAX: u32 = 3;
/// Attempts to note what was sent while more is noted as owed.
const ATTEMPTS_MAX: usize = 20;

/// What one round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// There is nothing to send.
    Idle,
    /// Look again.
    Sent,
    /// Not before this time, in milliseconds since the Unix epoch.
    Wait(u64),
}

/// A transaction and what it settles.
#[derive(Default)]
struct Transaction {
    pdus: Vec<Box<RawValue>>,
    edus: Vec<String>,
    /// Rooms with their events.
    events: Vec<(Owed, Vec<OwedEvent>)>,
    stored_edus: Vec<<OutEduRow as blaupause_data::Row>::Key>,
    catch_up: bool,
}

impl Federation {
    pub(super) async fn deliver_to(&self, server: &ServerName, link: &Arc<Link>) {
        loop {
            let round = match self.round(server, link).await {
                Ok(round) => round,
                Err(error) => {
                    tracing::warn!(%server, %error, "what a server is owed cannot be read");
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            match round {
                Round::Idle if self.may_end(server, link) => return,
                Round::Idle | Round::Sent => {}
                Round::Wait(until_ms) => {
                    let pause = until_ms.saturating_sub(self.data().env().now_millis());
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                        () = link.is_back.notified() => {}
                    }
                }
            }
        }
    }

    /// Two reads, one request, one batch.
    pub(super) async fn round(&self, server: &ServerName, link: &Link) -> Result<Round, DataError> {
        link.state.lock().wanted = false;
        if self.permits(server).is_err() {
            self.forget_debts(server).await?;
            link.state.lock().waiting.clear();
            return Ok(Round::Idle);
        }
        let part = self.data().parts().server(server);
        let mut want = ReadSet::new();
        let failing = want.get::<DestinationRow>(part, &());
        let rooms = want.prefix::<OwedRow>(part, &(), Order::Forward, ROOMS_MAX);
        let edus = want.prefix::<OutEduRow>(part, &(), Order::Forward, EDUS_MAX as u32);
        let got = want.run(self.data()).await?;
        let failing = got.one(failing)?.map(|row| row.value);
        let failing = failing.filter(|failing| failing.server_name == *server);
        let now = self.data().env().now_millis();
        {
            let mut state = link.state.lock();
            if let Some(failing) = &failing {
                state.waiting.failing(failing.failing_since_ms, now);
                let (heard, last) = (state.heard, state.heard_try_ms);
                if let Some(until) = backoff::wait_until_ms(failing, heard, last, now) {
                    return Ok(Round::Wait(until));
                }
                if now < failing.next_try_ms {
                    state.heard_try_ms = now;
                }
            }
            state.heard = false;
        }
        let rooms = got.many(rooms)?.rows.into_iter().map(|(_, row)| row.value).collect();
        let catch_up = backoff::has_to_catch_up(failing.as_ref(), now);
        let mut transaction = self.with_events(rooms, catch_up).await?;
        let mut used = transaction.pdus.iter().map(|pdu| pdu.get().len()).sum();
        let stored = got.many(edus)?.rows;
        let fitting = queue::fitting(stored.iter().map(|(_, row)| row.json.len()), &mut used);
        for (key, edu) in stored.into_iter().take(fitting) {
            transaction.stored_edus.push(key);
            // What lies there for too long goes as if it had been sent.
            if now.saturating_sub(edu.at_ms) < EDU_KEPT_MS {
                transaction.edus.push(edu.value.json);
            }
        }
        let left = EDUS_MAX - transaction.edus.len();
        transaction.edus.extend(link.state.lock().waiting.take(left));
        if transaction.pdus.is_empty() && transaction.edus.is_empty() {
            let is_settled = transaction.stored_edus.is_empty() && transaction.events.is_empty();
            if !is_settled {
                self.settle(server, &transaction, failing.is_some()).await?;
            }
            return Ok(if is_settled { Round::Idle } else { Round::Sent });
        }
        self.send(server, link, transaction, failing).await
    }

    /// The events that come next, as they are sent.
    async fn with_events(
        &self,
        rooms: Vec<Owed>,
        catch_up: bool,
    ) -> Result<Transaction, DataError> {
        let next = queue::next_events(&rooms, catch_up);
        let parts = self.data().parts();
        let keys: Vec<_> = next
            .iter()
            .map(|(room, event)| (parts.room(&rooms[*room].room_id), event.no))
            .collect();
        let events = self.data().events(&keys).await?;
        let mut transaction = Transaction { catch_up, ..Transaction::default() };
        let size = |event: &Option<Arc<blaupause_data::Event>>| {
            event.as_ref().map_or(0, |event| event.stored.pdu.len())
        };
        let fitting = queue::fitting(events.iter().map(size), &mut 0);
        let mut sent: Vec<Vec<OwedEvent>> = vec![Vec::new(); rooms.len()];
        for ((room, owed), event) in next.into_iter().zip(events).take(fitting) {
            sent[room].push(owed);
            // What is gone from the store cannot be sent, and is owed no longer.
            let pdu = event.map(|event| RawValue::from_string(event.stored.pdu.clone()));
            transaction.pdus.extend(pdu.and_then(Result::ok));
        }
        let sent = rooms.into_iter().zip(sent).filter(|(_, events)| !events.is_empty());
        transaction.events = sent.collect();
        Ok(transaction)
    }

    async fn send(
        &self,
        server: &ServerName,
        link: &Link,
        transaction: Transaction,
        failing: Option<Destination>,
    ) -> Result<Round, DataError> {
        let now = self.data().env().now();
        let id = self.data().env().random_text::<12>();
        let own = self.data().server_name().to_owned();
        let mut request = Request::new(OwnedTransactionId::from(id), own, now);
        request.pdus.clone_from(&transaction.pdus);
        let edus = transaction.edus.iter().map(|edu| RawValue::from_string(edu.clone()));
        request.edus = edus.filter_map(Result::ok).map(Raw::from_json).collect();
        let limits = CallLimits::default().within(TRANSACTION_TIME);
        let turn = self.sender().turns.acquire().await;
        let answer = self.call_within(server, request, limits).await;
        drop(turn);
        match answer {
            Ok(answer) => {
                note_refused(server, &answer);
                link.state.lock().refusals = 0;
                if let Some(failing) = &failing {
                    tracing::info!(%server, failures = failing.failures, "a server is there again");
                }
            }
            Err(error) => {
                if let Some(until) = self.note_failed(server, link, error, failing.as_ref()).await?
                {
                    return Ok(Round::Wait(until));
                }
            }
        }
        self.settle(server, &transaction, failing.is_some()).await?;
        link.state.lock().waiting.arrived();
        Ok(Round::Sent)
    }

    /// Until when to wait; `None`: the transaction is given up.
    async fn note_failed(
        &self,
        server: &ServerName,
        link: &Link,
        error: FederationError,
        failing: Option<&Destination>,
    ) -> Result<Option<u64>, DataError> {
        match error {
            FederationError::Data(error) => return Err(error),
            // Somebody else found out that the server is away.
            FederationError::BackingOff { until_ms } => return Ok(Some(until_ms)),
            _ => {}
        }
        if is_refusal(&error) {
            let mut state = link.state.lock();
            state.refusals += 1;
            if state.refusals >= REFUSALS_MAX {
                state.refusals = 0;
                tracing::warn!(%server, %error, "a transaction is given up");
                return Ok(None);
            }
        }
        let random = u16::from_be_bytes(self.data().env().random());
        let now = self.data().env().now_millis();
        let next = backoff::failed(failing, server, self.settings().pauses, now, random);
        if failing.is_none() {
            tracing::info!(%server, %error, "a server does not take a transaction");
        } else {
            tracing::debug!(%server, %error, failures = next.failures, "no transaction taken");
        }
        let part = self.data().parts().server(server);
        let mut write = Write::new(part);
        write.put::<DestinationRow>(part, &(), &next);
        self.data().commit(write).await?;
        let mut state = link.state.lock();
        // Its last words before it went are no sign that it is back.
        state.heard = false;
        state.waiting.failing(next.failing_since_ms, now);
        Ok(Some(next.next_try_ms))
    }

    /// What was sent is owed no longer. One batch, unless more is noted as owed at the same time.
    async fn settle(
        &self,
        server: &ServerName,
        sent: &Transaction,
        was_failing: bool,
    ) -> Result<(), DataError> {
        let mut attempts = 0;
        loop {
            match self.try_settle(server, sent, was_failing).await {
                Err(DataError::Conflict { .. }) if attempts < ATTEMPTS_MAX => attempts += 1,
                done => return done,
            }
        }
    }

    async fn try_settle(
        &self,
        server: &ServerName,
        sent: &Transaction,
        was_failing: bool,
    ) -> Result<(), DataError> {
        let parts = self.data().parts();
        let part = parts.server(server);
        let mut write = Write::new(part);
        let keys: Vec<_> = sent.events.iter().map(|(owed, _)| parts.room(&owed.room_id)).collect();
        let rows = self.data().get_many::<OwedRow>(keys.iter().map(|key| (part, key))).await?;
        for ((key, row), (_, events)) in keys.iter().zip(rows).zip(&sent.events) {
            let Some(row) = row else { continue };
            let mut owed = row.value;
            owed.remove(events, sent.catch_up);
            write.require_version::<OwedRow>(part, key, row.version);
            if owed.events.is_empty() {
                write.del::<OwedRow>(part, key);
            } else {
                write.put_version::<OwedRow>(part, key, row.version + 1, &owed);
            }
        }
        for key in &sent.stored_edus {
            write.del::<OutEduRow>(part, key);
        }
        if was_failing {
            write.del::<DestinationRow>(part, &());
        }
        if !write.is_empty() {
            self.data().commit(write).await?;
        }
        Ok(())
    }

    /// A server that this one has nothing to do with (any more) is owed nothing.
    async fn forget_debts(&self, server: &ServerName) -> Result<(), DataError> {
        let part = self.data().parts().server(server);
        let mut write = Write::new(part);
        write.del_prefix::<OwedRow>(part, &());
        write.del_prefix::<OutEduRow>(part, &());
        write.del::<DestinationRow>(part, &());
        write.del::<DebtorRow>(DIRECTORY, &server.to_string());
        self.data().commit(write).await?;
        self.sender().known.lock().remove(server);
        Ok(())
    }
}

/// Whether the server read the transaction and does not want it as it is. Everything else may be
/// another matter tomorrow: that we are not let in, too.
fn is_refusal(error: &FederationError) -> bool {
    match error {
        FederationError::Remote { status, .. } => matches!(status, 400 | 405..=407 | 409..=428),
        _ => false,
    }
}

fn note_refused(server: &ServerName, answer: &Response) {
    for (event, result) in &answer.pdus {
        if let Err(why) = result {
            let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
            tracing::debug!(%server, %event, why, "an event was not taken");
        }
    }
}
