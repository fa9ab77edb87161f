//! HTTP: a ruma request in, a ruma response out, error codes in between.
//!
//! # How an endpoint is added
//!
//! 1. One file per endpoint, named as in ruma: `client/<area>/<endpoint>.rs` with one function
//!    `pub(crate) async fn <endpoint>(app: App, call: Call<Request>) -> Result<Response, ApiError>`.
//! 2. One line in `client/<area>.rs`: `.serve(<endpoint>::<endpoint>)`. Method, paths and who may
//!    call come from ruma's metadata of `Request`. What ruma has no type for, or what is not JSON,
//!    goes through [`Serve::serve_raw`], or, if it is JSON, `asked::ServeAsked`.
//! 3. A new domain error gets its code in `error/<domain>.rs`; the match there has no `_` arm.
//!
//! A handler never checks whether somebody is signed in: `call.who` is a [`User`] exactly where
//! the specification asks for an access token.
//!
//! What is deliberately absent: decisions. A handler translates and calls one domain.

mod admin;
mod allowed;
mod app;
mod asked;
mod body;
mod call;
mod caller;
mod client;
mod cors;
mod drain;
mod error;
mod federation;
mod guests;
mod headers;
mod json;
mod limits;
mod mail;
mod metrics;
mod oauth;
mod pages;
mod reply;
mod request_id;
mod routes;
mod suspended;
mod uia;
mod wellknown;

pub use app::{App, LiveKit, Parts, Settings, Turn, TurnLogin, Who};
pub use call::Call;
pub use caller::{Caller, Newcomer, User};
pub use error::ApiError;
pub use limits::{ClientAddress, RateLimit, RateLimits};
pub use mail::MailProofs;
pub use metrics::HttpMetrics;
pub use oauth::OAuth;
pub use request_id::{REQUEST_ID, RequestId};
pub use routes::{OnlyWith, Route, Serve, route_table, router};
pub use wellknown::WellKnown;
