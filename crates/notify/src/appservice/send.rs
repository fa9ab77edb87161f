//! One worker: reads the log, makes transactions, sends them until they are taken.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use blaupause_accounts::AppService;
use blaupause_data::DataError;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    Services,
    ask::Question,
    gather::Look,
    interest::Interest,
    store::{self, Transaction},
};
use crate::rows::StoredService;

/// How long a service may take over a transaction.
const TRANSACTION_TIME: Duration = Duration::from_secs(60);
/// The place in the log is stored at least so often: what lies before it can be forgotten.
const ADVANCE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Positions after which it is stored, too.
const ADVANCE_POSITIONS: u64 = 20_000;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Services {
    /// Tell a service what concerns it until the server stops.
    pub(super) async fn tell(&self, service: &Arc<AppService>) {
        let stop = self.data().env().stop().clone();
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                told = self.tell_all(service) => told,
            };
            if let Err(error) = told {
                tracing::warn!(service = service.id(), %error, "a transaction cannot be made");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(STORE_PAUSE) => {}
                }
            }
        }
    }

    /// Ends only with an error.
    async fn tell_all(&self, service: &Arc<AppService>) -> Result<(), DataError> {
        let Some(link) = self.link(service) else { return std::future::pending().await };
        let mut interest = Interest::new();
        let mut row = store::load(self.data(), service).await?;
        if let Some(transaction) = store::open_transaction(self.data(), service, &row).await? {
            self.deliver(service, &transaction).await;
            store::done(self.data(), service, &mut row).await?;
        }
        let mut stored = row.position;
        loop {
            match self.gather(service, &mut interest, &mut row).await? {
                Look::Tell(told) => {
                    let transaction =
                        store::open(self.data(), service, &mut row, told.body, &told.moved).await?;
                    self.deliver(service, &transaction).await;
                    store::done(self.data(), service, &mut row).await?;
                    stored = row.position;
                }
                Look::GoOn => {}
                Look::Nothing => {
                    let is_late = tokio::time::timeout(ADVANCE_EVERY, link.news.notified()).await;
                    if is_late.is_err() && row.position != stored {
                        self.advance(service, &mut row, &mut stored).await?;
                    }
                }
            }
            if row.position >= stored + ADVANCE_POSITIONS {
                self.advance(service, &mut row, &mut stored).await?;
            }
        }
    }

    async fn advance(
        &self,
        service: &AppService,
        row: &mut StoredService,
        stored: &mut u64,
    ) -> Result<(), DataError> {
        store::done(self.data(), service, row).await?;
        *stored = row.position;
        Ok(())
    }

    /// Send a transaction until the service takes it: the same every time, so that the service
    /// knows it again if its answer was lost.
    async fn deliver(&self, service: &AppService, transaction: &Transaction) {
        let id = service.id();
        let body = Bytes::from(transaction.body.clone());
        let question = Question {
            method: Method::PUT,
            path: &["_matrix", "app", "v1", "transactions", &transaction.id],
            old_path: &["transactions", &transaction.id],
            query: &[],
            body: Some(body),
            time: TRANSACTION_TIME,
        };
        let Some(link) = self.link(service) else { return };
        link.sent_ms.store(self.data().env().now_millis(), Ordering::Relaxed);
        let mut pause = self.0.pauses.first;
        let mut failures = 0_u32;
        loop {
            let why = match self.0.asker.ask(service, &question).await {
                Ok(reply) if reply.status == StatusCode::OK => {
                    if failures > 0 {
                        tracing::info!(service = id, failures, "the service is there again");
                    }
                    link.sent_ms.store(0, Ordering::Relaxed);
                    return;
                }
                Ok(reply) => format!("it answered {}", reply.status.as_u16()),
                Err(error) => error.to_string(),
            };
            failures += 1;
            // Once for the operator; the end is told, too.
            if failures == 1 {
                tracing::warn!(service = id, why, "a transaction was not taken; it is sent again");
            } else {
                tracing::debug!(service = id, why, failures, "a transaction was not taken");
            }
            // Not if the service says that it is there.
            let _ = tokio::time::timeout(pause, link.is_back.notified()).await;
            pause = (pause * 2).min(self.0.pauses.longest);
        }
    }
}
