//! Whether a service is there, and whether it has a user or a room that nobody has heard of yet.

use std::{sync::Arc, time::Duration};

use blaupause_accounts::AppService;
use blaupause_outbound::OutboundError;
use bytes::Bytes;
use http::{Method, StatusCode};
use ruma::{RoomAliasId, UserId};
use serde_json::{Map, json};
use tokio::time::Instant;

use super::{Services, ask::Question};

/// How long somebody waits for a service's answer.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Longest text of a service's answer that is passed on.
const BODY_CHARS_MAX: usize = 1_000;

/// Why a ping failed (spec: application service API, "Pinging").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingFailed {
    #[error("the application service has no URL")]
    NoUrl,
    #[error("the application service cannot be reached: {0}")]
    NoConnection(String),
    #[error("the application service does not answer in time")]
    TooSlow,
    /// The beginning of what it answered comes with it.
    #[error("the application service answered {status}")]
    Status { status: u16, body: String },
}

impl Services {
    /// Ask a service whether it hears us; how long that took. A service that was away is told at
    /// once what waits for it.
    ///
    /// # Errors
    /// It does not, or says no.
    pub async fn ping(
        &self,
        service: &AppService,
        transaction: Option<&str>,
    ) -> Result<Duration, PingFailed> {
        if service.url().is_none() {
            return Err(PingFailed::NoUrl);
        }
        let mut body = Map::new();
        body.extend(transaction.map(|id| ("transaction_id".to_owned(), json!(id))));
        let question = Question {
            method: Method::POST,
            path: &["_matrix", "app", "v1", "ping"],
            old_path: &[],
            query: &[],
            body: Some(Bytes::from(serde_json::Value::Object(body).to_string())),
            time: ANSWER_TIME,
        };
        #[expect(clippy::disallowed_methods, reason = "a measured duration is the answer")]
        let since = std::time::Instant::now();
        let reply = self.0.asker.ask(service, &question).await.map_err(|error| match error {
            OutboundError::TimedOut => PingFailed::TooSlow,
            other => PingFailed::NoConnection(other.to_string()),
        })?;
        if reply.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&reply.body).chars().take(BODY_CHARS_MAX).collect();
            return Err(PingFailed::Status { status: reply.status.as_u16(), body });
        }
        if let Some(link) = self.link(service) {
            link.is_back.notify_one();
        }
        Ok(since.elapsed())
    }

    /// Somebody asks for an alias of ours that leads nowhere: whether a service has made the room
    /// meanwhile.
    pub async fn ask_for_alias(&self, alias: &RoomAliasId) -> bool {
        if alias.server_name() != self.data().server_name() {
            return false;
        }
        let owners = self.listening_for(|service| service.has_alias(alias));
        self.one_says_yes(&owners, "rooms", alias.as_str()).await
    }

    /// Somebody means a user of ours: whether there is one, after a service that owns the name has
    /// been asked, if nobody has it.
    pub async fn ask_for_user(&self, user: &UserId) -> bool {
        if !self.data().is_local(user) {
            return false;
        }
        let owners = self.listening_for(|service| service.has_user(user));
        if owners.is_empty() {
            return false;
        }
        // An account is not asked for again: the answer is known.
        match self.0.accounts.account(user).await {
            Ok(None) => self.one_says_yes(&owners, "users", user.as_str()).await,
            Ok(Some(account)) => !account.deactivated,
            Err(_) => false,
        }
    }

    fn listening_for(&self, concerns: impl Fn(&AppService) -> bool) -> Vec<Arc<AppService>> {
        self.listening().filter(|service| concerns(service)).cloned().collect()
    }

    /// Services are asked one after the other: at most one of them makes the thing. All of them
    /// together have the time of one.
    async fn one_says_yes(&self, services: &[Arc<AppService>], kind: &str, name: &str) -> bool {
        let until = Instant::now() + ANSWER_TIME;
        for service in services {
            let time = until.saturating_duration_since(Instant::now());
            let question = Question {
                method: Method::GET,
                path: &["_matrix", "app", "v1", kind, name],
                old_path: &[kind, name],
                query: &[],
                body: None,
                time,
            };
            match self.0.asker.ask(service, &question).await {
                Ok(reply) if reply.status == StatusCode::OK => return true,
                Ok(_) => {}
                Err(error) => tracing::debug!(service = service.id(), %error, "no answer"),
            }
        }
        false
    }
}
