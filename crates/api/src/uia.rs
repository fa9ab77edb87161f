//! User-interactive authentication (spec: client-server API, "User-interactive authentication
//! API").
//!
//! A session belongs to one request of one caller: its method, its path, its body. What was proved
//! for deleting device A does not delete device B, and what was proved for one new password does
//! not set another. Sessions live in memory; a restart asks again.

mod digest;

use std::{collections::HashMap, num::NonZeroUsize};

use blaupause_accounts::{AccountsError, EmailAddress, Secret};
use blaupause_data::Env;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedUserId, UserId,
    api::{
        IncomingRequest,
        client::uiaa::{AuthData, AuthType, UserIdentifier},
    },
};
use serde_json::{Map, Value, json};

use crate::{ApiError, App, Call, Caller, User};

pub(crate) use digest::Operation;
use digest::{Digest, empty_body};

/// Sessions kept in memory (about 200 bytes each); the longest unused one goes first.
const SESSIONS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// How long a session waits for its next stage, in milliseconds.
const SESSION_MS_MAX: u64 = 15 * 60 * 1000;

/// Alternatives, each a list of stages that must all be done.
pub(crate) type Flows = &'static [&'static [AuthType]];

#[derive(Debug)]
struct Session {
    /// Who began it; `None`: somebody who registers.
    who: Option<OwnedUserId>,
    /// Caller, method and path.
    endpoint: Digest,
    /// The body without `auth`.
    body: Digest,
    done: Vec<AuthType>,
    touched_ms: u64,
    /// What stages proved beyond themselves (the registration token).
    facts: HashMap<&'static str, String>,
}

impl Session {
    /// Whether the body may become the one that the session is for: nothing was proved for another
    /// yet, and that other one was only sent to learn the flows. Who registers is nobody yet, and
    /// may change their mind about the name until then.
    fn may_take(&self, who: Option<&UserId>) -> bool {
        self.done.is_empty() && (who.is_none() || self.body == empty_body())
    }

    fn add(&mut self, stage: Stage) {
        if !self.done.contains(&stage.kind) {
            self.done.push(stage.kind);
        }
        self.facts.extend(stage.facts);
    }
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

/// Who asks for what, and how they may prove that they may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `None`: somebody who registers.
    pub who: Option<&'a UserId>,
    pub operation: &'a Operation,
    pub flows: Flows,
    /// The session that the caller names.
    pub session: Option<&'a str>,
}

impl Uia {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, sessions: Mutex::new(LruCache::new(SESSIONS_MAX)) }
    }

    /// Add a finished stage (or none, if the caller only asks what to do), and say whether that
    /// completes a flow.
    ///
    /// # Errors
    /// 401 with what is still to be done, in a new session if the body is another one than before;
    /// 403 if the session is unknown, too old, or somebody else's or another endpoint's.
    pub(crate) fn step(&self, asked: Asked<'_>, stage: Option<Stage>) -> Result<Proved, ApiError> {
        let unknown = || ApiError::forbidden("this authentication session is not known");
        let Asked { who, operation, flows, .. } = asked;
        let (endpoint, body) = (operation.endpoint(who), operation.body());
        let mut sessions = self.sessions.lock();
        let now = self.env.now_millis();
        let known = asked.session.map(|id| {
            let session = sessions.get_mut(id).filter(|session| {
                session.endpoint == endpoint && session.touched_ms + SESSION_MS_MAX > now
            });
            session.map(|session| (id.to_owned(), session)).ok_or_else(unknown)
        });
        let known =
            known.transpose()?.filter(|(_, session)| session.body == body || session.may_take(who));
        let was_swapped = asked.session.is_some() && known.is_none();
        let id = match known {
            Some((id, session)) => {
                session.body = body;
                session.touched_ms = now;
                id
            }
            None => {
                let id = self.env.random_text::<18>();
                let (done, facts) = (Vec::new(), HashMap::new());
                let who = who.map(ToOwned::to_owned);
                let session = Session { who, endpoint, body, done, touched_ms: now, facts };
                sessions.put(id.clone(), session);
                id
            }
        };
        let session = sessions.get_mut(&id).ok_or_else(unknown)?;
        if was_swapped {
            let challenge = ApiError::uia(challenge(flows, &id, &session.done));
            let reason = "the request is not the one that this session was opened for";
            return Err(challenge.with("errcode", "M_FORBIDDEN").with("error", reason));
        }
        if let Some(stage) = stage {
            session.add(stage);
        }
        let is_done = flows.iter().any(|flow| flow.iter().all(|kind| session.done.contains(kind)));
        if is_done {
            let session = sessions.pop(&id);
            return Ok(Proved { facts: session.map(|session| session.facts).unwrap_or_default() });
        }
        Err(ApiError::uia(challenge(flows, &id, &session.done)))
    }

    /// The body of the 401 that asks for a stage, with the reason why the last one failed.
    pub(crate) fn refuse(&self, asked: Asked<'_>, reason: &str) -> ApiError {
        match self.step(asked, None) {
            Err(challenge) => challenge.with("errcode", "M_FORBIDDEN").with("error", reason),
            Ok(_) => ApiError::forbidden(reason),
        }
    }

    /// The 401 that sends the person to a page of ours (spec: client-server API, "OAuth
    /// authentication"), in its stable and its unstable form. The page remembers what was allowed,
    /// so the session is only a name.
    pub(crate) fn see_page(&self, url: &str) -> ApiError {
        let stages = ["m.oauth", "org.matrix.cross_signing_reset"];
        let mut body = Map::new();
        let flows: Vec<Value> = stages.iter().map(|stage| json!({ "stages": [stage] })).collect();
        body.insert("flows".into(), flows.into());
        let params = stages.map(|stage| (stage.to_owned(), json!({ "url": url })));
        body.insert("params".into(), Value::Object(params.into_iter().collect()));
        body.insert("session".into(), self.env.random_text::<18>().into());
        ApiError::uia(body)
    }

    /// Add a stage that was done outside of the request, on a page of its own (spec: client-server
    /// API, "Fallback"). Whether the session exists.
    pub(crate) fn done_elsewhere(&self, id: &str, stage: Stage) -> bool {
        let mut sessions = self.sessions.lock();
        let now = self.env.now_millis();
        let session =
            sessions.get_mut(id).filter(|session| session.touched_ms + SESSION_MS_MAX > now);
        session.map(|session| session.add(stage)).is_some()
    }

    /// Who has to show in this session who they are.
    pub(crate) fn owner(&self, id: &str) -> Option<OwnedUserId> {
        let now = self.env.now_millis();
        let sessions = self.sessions.lock();
        let session = sessions.peek(id)?;
        let is_open = session.touched_ms + SESSION_MS_MAX > now;
        session.who.clone().filter(|_| is_open)
    }

    /// Whether somebody could go on with this session.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        let now = self.env.now_millis();
        let sessions = self.sessions.lock();
        sessions.peek(id).is_some_and(|session| session.touched_ms + SESSION_MS_MAX > now)
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
/// … of those who sign in at an identity provider …
const SSO: Flows = &[&[AuthType::Sso]];
/// … and of those who can do both.
const PASSWORD_OR_SSO: Flows = &[&[AuthType::Password], &[AuthType::Sso]];

impl App {
    /// The caller proves again who they are, by their password. An application service has none
    /// and full control of its users: it has proved enough (spec: application service API, "Device
    /// management", "Cross-signing").
    pub(crate) async fn prove_identity<R>(
        &self,
        call: &Call<R>,
        auth: Option<&AuthData>,
    ) -> Result<Proved, ApiError>
    where
        R: IncomingRequest,
        R::Authentication: Caller<Who = User>,
    {
        if call.who.service.is_some() {
            return Ok(Proved { facts: HashMap::new() });
        }
        self.prove_password(&call.who.user_id, &call.operation, auth).await
    }

    /// As [`App::prove_identity`], where the caller is known by other means.
    pub(crate) async fn prove_password(
        &self,
        user: &UserId,
        operation: &Operation,
        auth: Option<&AuthData>,
    ) -> Result<Proved, ApiError> {
        let session = auth.and_then(AuthData::session);
        let flows = self.flows_of(user).await?;
        let asked = Asked { who: Some(user), operation, flows, session };
        let stage = match auth {
            Some(AuthData::Password(password)) if flows != SSO => {
                let is_same = match &password.identifier {
                    UserIdentifier::Matrix(id) => id.user == *user || id.user == user.localpart(),
                    UserIdentifier::Email(email) => match EmailAddress::parse(&email.address) {
                        Some(address) => self
                            .accounts
                            .address_owner(&address)
                            .await?
                            .is_some_and(|of| of == user),
                        None => false,
                    },
                    _ => return Err(ApiError::unknown("only users are identified here")),
                };
                if !is_same {
                    return Err(ApiError::forbidden("only who is signed in can prove to be so"));
                }
                let secret = Secret::new(password.password.clone());
                let is_right = match self.accounts.check_password(user, &secret).await {
                    Ok(()) => true,
                    Err(AccountsError::WrongPassword) => false,
                    Err(error) => return Err(error.into()),
                };
                if !is_right {
                    return Err(self.uia.refuse(asked, "the password is wrong"));
                }
                Some(Stage { kind: AuthType::Password, facts: HashMap::new() })
            }
            _ => None,
        };
        self.uia.step(asked, stage)
    }

    /// How somebody can prove who they are.
    async fn flows_of(&self, user: &UserId) -> Result<Flows, ApiError> {
        if self.sso.providers_of(user).await?.is_empty() {
            return Ok(PASSWORD);
        }
        let account = self.accounts.account(user).await?;
        let has_password = account.is_some_and(|account| account.has_password);
        Ok(if has_password { PASSWORD_OR_SSO } else { SSO })
    }
}

#[cfg(test)]
mod tests;
