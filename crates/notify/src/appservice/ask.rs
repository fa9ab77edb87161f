//! One question to a service over HTTP.

use std::time::Duration;

use blaupause_accounts::AppService;
use blaupause_outbound::{Limits, Outbound, OutboundError, Reach};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Asks services.
pub(super) struct Asker(pub Outbound);

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question<'q> {
    pub method: Method,
    /// Segments of the path below the service's address, not encoded.
    pub path: &'q [&'q str],
    /// Where services listen that are older than version 1 of the API.
    pub old_path: &'q [&'q str],
    pub query: &'q [(&'q str, &'q str)],
    /// JSON.
    pub body: Option<Bytes>,
    pub time: Duration,
}

/// What the service said.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Reply {
    /// The body of a 200; `None` if it was another status or is no such JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        let body = Some(&self.body).filter(|_| self.status.is_success())?;
        serde_json::from_slice(body).ok()
    }

    /// Whether the service does not know the path. An error code of its own is an answer, except
    /// the one for this.
    pub fn is_unknown_path(&self) -> bool {
        #[derive(Deserialize)]
        struct Error {
            errcode: String,
        }
        let code = serde_json::from_slice::<Error>(&self.body).map(|error| error.errcode);
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
            StatusCode::NOT_FOUND => {
                code.is_ok_and(|code| code == "M_UNRECOGNIZED")
                    || serde_json::from_slice::<Error>(&self.body).is_err()
            }
            _ => false,
        }
    }
}

impl Asker {
    /// Ask a service. It is asked at its old path, too, if it does not know the new one.
    ///
    /// # Errors
    /// It cannot be reached, or does not listen.
    pub async fn ask(
        &self,
        service: &AppService,
        question: &Question<'_>,
    ) -> Result<Reply, OutboundError> {
        let reply = self.ask_at(service, question, question.path).await?;
        if question.old_path.is_empty() || !reply.is_unknown_path() {
            return Ok(reply);
        }
        let old = self.ask_at(service, question, question.old_path).await?;
        // What the old path says counts only if it is known.
        Ok(if old.is_unknown_path() { reply } else { old })
    }

    async fn ask_at(
        &self,
        service: &AppService,
        question: &Question<'_>,
        path: &[&str],
    ) -> Result<Reply, OutboundError> {
        let url = service.url().and_then(|base| below(base, path, question.query));
        let url = url.ok_or_else(|| OutboundError::BadRequest("it has no address".into()))?;
        let bad = |error: http::Error| OutboundError::BadRequest(error.to_string());
        let authorization = format!("Bearer {}", service.hs_token().reveal());
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(url.as_str())
            .header(header::AUTHORIZATION, authorization);
        if question.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(question.body.clone().unwrap_or_default()).map_err(bad)?;
        let limits = Limits { time: question.time, answer_bytes: ANSWER_BYTES_MAX };
        let answer = self.0.send(request, Reach::Configured, limits).await?;
        Ok(Reply { status: answer.status(), body: answer.into_body() })
    }
}

/// A path below an address that may have a path itself.
fn below(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_segment_of_the_path_whatever_is_in_them() {
        let at = |base: &str, path: &[&str], query: &[(&str, &str)]| {
            below(&Url::parse(base).expect("a URL"), path, query).expect("a base").to_string()
        };
        assert_eq!(at("http://a:1", &["x", "@b:c"], &[]), "http://a:1/x/@b:c");
        assert_eq!(
            at("http://a/base/", &["x", "#b/../c?d:e"], &[]),
            "http://a/base/x/%23b%2F..%2Fc%3Fd:e"
        );
        assert_eq!(at("http://a/base", &["x"], &[("k", "v&w=#")]), "http://a/base/x?k=v%26w%3D%23");
    }

    #[test]
    fn an_error_of_the_service_is_an_answer_and_an_unknown_path_is_none() {
        let reply = |status: u16, body: &'static str| Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            body: Bytes::from_static(body.as_bytes()),
        };
        for (status, body) in [
            (404, ""),
            (404, "<html>"),
            (404, r#"{"errcode":"M_UNRECOGNIZED"}"#),
            (405, ""),
            (501, ""),
        ] {
            assert!(reply(status, body).is_unknown_path(), "{status} {body}");
        }
        for (status, body) in [
            (200, "{}"),
            (404, r#"{"errcode":"M_NOT_FOUND"}"#),
            (404, r#"{"errcode":"COM.EXAMPLE.NO_SUCH_USER"}"#),
            (500, ""),
            (403, r#"{"errcode":"M_FORBIDDEN"}"#),
        ] {
            assert!(!reply(status, body).is_unknown_path(), "{status} {body}");
        }
    }
}
