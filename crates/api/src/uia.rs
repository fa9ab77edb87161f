//! User-interactive authentication (spec: client-server API, "User-interactive authentication
//! API").
//!
//! A session belongs to one operation of one caller: what was proved for deleting device A does
//! not delete device B. Sessions live in memory; a restart asks again.

use std::{collections::HashMap, num::NonZeroUsize};

use blaupause_accounts::{AccountsError, Secret};
use blaupause_data::Env;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    UserId,
    api::{
        IncomingRequest,
        client::uiaa::{AuthData, AuthType, UserIdentifier},
    },
};
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Call, Caller, User};

/// Sessions kept in memory; the longest unused one goes first.
const SESSIONS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// How long a session waits for its next stage, in milliseconds.
const SESSION_MS_MAX: u64 = 15 * 60 * 1000;

/// Alternatives, each a list of stages that must all be done.
pub(crate) type Flows = &'static [&'static [AuthType]];

#[derive(Debug)]
struct Session {
    /// What the session was opened for.
    operation: String,
    done: Vec<AuthType>,
    touched_ms: u64,
    /// What stages proved beyond themselves (the registration token).
    facts: HashMap<&'static str, String>,
}

/// Open sessions.
pub(crate) struct Uia {
    env: Env,
    sessions: Mutex<LruCache<String, Session>>,
}

/// All stages of a flow were done. Only [`Uia::step`] makes one.
#[derive(Debug)]
pub(crate) struct Proved {
    pub facts: HashMap<&'static str, String>,
}

/// What a caller showed for one stage.
#[derive(Debug)]
pub(crate) struct Stage {
    pub kind: AuthType,
    pub facts: HashMap<&'static str, String>,
}

impl Uia {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, sessions: Mutex::new(LruCache::new(SESSIONS_MAX)) }
    }

    /// Add a finished stage (or none, if the caller only asks what to do), and say whether that
    /// completes a flow.
    pub(crate) fn step(
        &self,
        operation: &str,
        flows: Flows,
        session: Option<&str>,
        stage: Option<Stage>,
    ) -> Result<Proved, ApiError> {
        let mut sessions = self.sessions.lock();
        let now = self.env.now_millis();
        let mut id = match session {
            Some(id) => {
                let known = sessions.get(id).is_some_and(|session| {
                    session.operation == operation && session.touched_ms + SESSION_MS_MAX > now
                });
                if !known {
                    return Err(ApiError::forbidden("this authentication session is not known"));
                }
                Some(id.to_owned())
            }
            None => None,
        };
        let id = id.take().unwrap_or_else(|| {
            let id = self.env.random_text::<18>();
            let session = Session {
                operation: operation.to_owned(),
                done: Vec::new(),
                touched_ms: now,
                facts: HashMap::new(),
            };
            sessions.put(id.clone(), session);
            id
        });
        let Some(session) = sessions.get_mut(&id) else {
            return Err(ApiError::forbidden("this authentication session is not known"));
        };
        session.touched_ms = now;
        if let Some(stage) = stage {
            if !session.done.contains(&stage.kind) {
                session.done.push(stage.kind);
            }
            session.facts.extend(stage.facts);
        }
        let is_done = flows.iter().any(|flow| flow.iter().all(|kind| session.done.contains(kind)));
        if is_done {
            let session = sessions.pop(&id);
            return Ok(Proved { facts: session.map(|session| session.facts).unwrap_or_default() });
        }
        Err(ApiError::uia(challenge(flows, &id, &session.done)))
    }

    /// The body of the 401 that asks for a stage, with the reason why the last one failed.
    pub(crate) fn refuse(
        &self,
        operation: &str,
        flows: Flows,
        session: Option<&str>,
        reason: &str,
    ) -> ApiError {
        match self.step(operation, flows, session, None) {
            Err(challenge) => challenge.with("errcode", "M_FORBIDDEN").with("error", reason),
            Ok(_) => ApiError::forbidden(reason),
        }
    }
}

fn challenge(flows: Flows, session: &str, done: &[AuthType]) -> Map<String, Value> {
    let flows: Vec<Value> = flows
        .iter()
        .map(|stages| json!({ "stages": stages.iter().map(AuthType::as_str).collect::<Vec<_>>() }))
        .collect();
    let mut body = Map::new();
    body.insert("flows".into(), flows.into());
    body.insert("params".into(), json!({}));
    body.insert("session".into(), session.into());
    if !done.is_empty() {
        let done: Vec<&str> = done.iter().map(AuthType::as_str).collect();
        body.insert("completed".into(), done.into());
    }
    body
}

/// The flow of everything that needs the password again.
const PASSWORD: Flows = &[&[AuthType::Password]];

impl App {
    /// The caller proves again who they are, by their password.
    pub(crate) async fn prove_identity<R>(
        &self,
        call: &Call<R>,
        auth: Option<&AuthData>,
    ) -> Result<Proved, ApiError>
    where
        R: IncomingRequest,
        R::Authentication: Caller<Who = User>,
    {
        self.prove_password(&call.who.user_id, &call.operation, auth).await
    }

    /// As [`App::prove_identity`], where the caller is known by other means.
    pub(crate) async fn prove_password(
        &self,
        user: &UserId,
        operation: &str,
        auth: Option<&AuthData>,
    ) -> Result<Proved, ApiError> {
        let operation = format!("{user} {operation}");
        let session = auth.and_then(AuthData::session);
        let stage = match auth {
            Some(AuthData::Password(password)) => {
                let named = match &password.identifier {
                    UserIdentifier::Matrix(id) => id.user.as_str(),
                    _ => return Err(ApiError::unknown("only users are identified here")),
                };
                let secret = Secret::new(password.password.clone());
                let is_same = named == user.as_str() || named == user.localpart();
                let is_right = is_same
                    && match self.accounts.check_password(user, &secret).await {
                        Ok(()) => true,
                        Err(AccountsError::WrongPassword) => false,
                        Err(error) => return Err(error.into()),
                    };
                if !is_right {
                    let reason = "the password is wrong";
                    return Err(self.uia.refuse(&operation, PASSWORD, session, reason));
                }
                Some(Stage { kind: AuthType::Password, facts: HashMap::new() })
            }
            _ => None,
        };
        self.uia.step(&operation, PASSWORD, session, stage)
    }
}
