//! Keys of other servers for others (spec: server-server API, "Querying Keys Through Another
//! Server"). Nobody signs these requests, so what they make us do is bounded.

use std::{collections::BTreeMap, time::Duration};

use blaupause_data::DataError;
use futures_util::{StreamExt, stream};
use ruma::{CanonicalJsonObject, OwnedServerName, ServerName};
use tokio::time::{Instant, timeout_at};

use crate::Federation;

/// Servers of one query that are answered for, in the order of their names.
const SERVERS_MAX: usize = 100;
/// Servers that are asked at once for one query.
const ASKED_AT_ONCE: usize = 8;
/// Until an answer is due, with what is there.
const ANSWER_TIME: Duration = Duration::from_secs(10);

impl Federation {
    /// The keys of these servers as they published them, with our signature. The number is the
    /// time until which the keys should be good (milliseconds since the Unix epoch); of servers
    /// that do not answer that is what was known, of unknown ones nothing. Nobody is told of
    /// servers that we have nothing to do with.
    ///
    /// # Errors
    /// The store.
    pub async fn keys_of_others(
        &self,
        wanted: BTreeMap<OwnedServerName, u64>,
    ) -> Result<Vec<CanonicalJsonObject>, DataError> {
        let due = Instant::now() + ANSWER_TIME;
        let own = self.data().server_name();
        let mut answer = Vec::new();
        if wanted.contains_key(own) {
            answer.push(self.own_key_document());
        }
        let others = wanted.into_iter().filter(|(server, _)| server != own);
        let others = others.filter(|(server, _)| self.permits(server).is_ok()).take(SERVERS_MAX);
        let documents = others.map(|(server, until_ms)| async move {
            self.document_of(&server, until_ms, due).await
        });
        let documents: Vec<_> = stream::iter(documents).buffered(ASKED_AT_ONCE).collect().await;
        for document in documents {
            if let Some(document) = document? {
                answer.push(self.signed(document));
            }
        }
        Ok(answer)
    }

    async fn document_of(
        &self,
        server: &ServerName,
        until_ms: u64,
        due: Instant,
    ) -> Result<Option<CanonicalJsonObject>, DataError> {
        let now_ms = self.data().env().now_millis();
        let mut known = self.known_keys(server).await?;
        let is_good = known.as_ref().is_some_and(|keys| {
            keys.document.is_some() && keys.document_until_ms >= until_ms && !keys.is_stale(now_ms)
        });
        if !is_good && let Ok(told) = timeout_at(due, self.refreshed(server)).await {
            known = told?;
        }
        let document = known.as_ref().and_then(|keys| keys.document.as_deref());
        Ok(document.and_then(|text| serde_json::from_str(text).ok()))
    }
}
