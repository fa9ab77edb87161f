//! One signed request to another server.

use std::collections::BTreeMap;

use blaupause_policy::ServerDenied;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use ruma::{
    ServerName,
    api::{
        IncomingResponse, OutgoingRequest, OutgoingRequestExt,
        federation::authentication::{ServerSignatures, XMatrixSigningInput},
        path_builder::SinglePath,
    },
};
use serde_json::value::RawValue;

use crate::{Arriving, CallLimits, Federation, FederationError, WireError};

/// Characters of a stranger's error that are kept.
const MESSAGE_CHARS: usize = 300;
/// Bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// A request of ruma's federation API that its sender signs.
pub trait SignedRequest:
    OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath> + Send
{
}

impl<R> SignedRequest for R where
    R: OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath> + Send
{
}

impl Federation {
    /// One signed request to another server, within the usual limits.
    ///
    /// # Errors
    /// [`FederationError`]; a refusal of the other server is [`FederationError::Remote`].
    pub async fn call<R: SignedRequest>(
        &self,
        to: &ServerName,
        request: R,
    ) -> Result<R::IncomingResponse, FederationError> {
        self.call_within(to, request, self.settings().limits).await
    }

    /// The same within other limits.
    ///
    /// # Errors
    /// As [`Federation::call`].
    pub async fn call_within<R: SignedRequest>(
        &self,
        to: &ServerName,
        request: R,
        limits: CallLimits,
    ) -> Result<R::IncomingResponse, FederationError> {
        self.may_call(to)?;
        let answer = self.exchange(to, self.to_http(to, request)?, limits).await?;
        understood(&answer)
    }

    /// The same with an answer that is read piece by piece.
    ///
    /// # Errors
    /// As [`Federation::call`].
    pub async fn open<R: SignedRequest>(
        &self,
        to: &ServerName,
        request: R,
        limits: CallLimits,
    ) -> Result<Arriving, FederationError> {
        let request = self.to_http(to, request)?;
        self.open_as_is(to, request, limits).await
    }

    /// A request that nobody signs, for what servers hand out to everybody.
    ///
    /// # Errors
    /// As [`Federation::call`].
    pub async fn open_as_is(
        &self,
        to: &ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<Arriving, FederationError> {
        self.may_call(to)?;
        let answer = self.wire().open(to, request, limits).await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.note_outcome(to, Err(&error));
                return Err(error.into());
            }
        };
        if answer.status.is_success() {
            self.note_outcome(to, Ok(answer.status));
            return Ok(answer);
        }
        let body = answer.rest(REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let refused = refusal(answer.status, &body);
        match &refused {
            // A file that is not there yet is answered with 504 by the server itself.
            FederationError::Remote { errcode, .. } if !errcode.is_empty() => {
                self.peers().heard_from(to);
            }
            _ => self.note_outcome(to, Ok(answer.status)),
        }
        Err(refused)
    }

    fn to_http<R: SignedRequest>(
        &self,
        to: &ServerName,
        request: R,
    ) -> Result<Request<Bytes>, FederationError> {
        let own = self.data().server_name().to_owned();
        let key = self.data().signing_key();
        let signed = XMatrixSigningInput::new(own, to.to_owned(), key.pair());
        let request = request
            .try_into_http_request::<BytesMut>("", signed, ())
            .map_err(|error| FederationError::BadAnswer(format!("request: {error}")))?;
        Ok(request.map(BytesMut::freeze))
    }

    /// Whether a server may be asked now.
    pub(crate) fn may_call(&self, to: &ServerName) -> Result<(), FederationError> {
        self.permits(to)?;
        if to == self.data().server_name() {
            // Whoever asks ourselves by the network has lost its way.
            return Err(FederationError::Denied(ServerDenied::Refused));
        }
        match self.peers().paused_until(to, self.data().env().now_millis()) {
            Some(until_ms) => Err(FederationError::BackingOff { until_ms }),
            None => Ok(()),
        }
    }

    /// A finished request over the wire; what becomes of it is remembered for the pauses.
    pub(crate) async fn exchange(
        &self,
        to: &ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<Response<Bytes>, FederationError> {
        let answer = self.wire().exchange(to, request, limits).await;
        self.note_outcome(to, answer.as_ref().map(Response::status));
        Ok(answer?)
    }

    fn note_outcome(&self, to: &ServerName, outcome: Result<StatusCode, &WireError>) {
        match outcome {
            // A proxy answers whose server is away. A server's own mistake (500) is an answer.
            Ok(status) if matches!(status.as_u16(), 502..=504) => self.note_failure(to),
            Ok(_) => self.peers().heard_from(to),
            // Its answer was too large, not absent.
            Err(WireError::TooLarge) => {}
            Err(WireError::Unreachable(_) | WireError::TimedOut) => self.note_failure(to),
        }
    }

    fn note_failure(&self, to: &ServerName) {
        self.peers().failed(to, self.data().env().now_millis());
    }

    /// Another server showed that it is there: it is asked again at once.
    pub fn heard_from(&self, server: &ServerName) {
        self.peers().heard_from(server);
        self.try_again(server);
    }
}

/// ruma's type from an answer.
pub(crate) fn understood<A: IncomingResponse>(
    answer: &Response<Bytes>,
) -> Result<A, FederationError> {
    if !answer.status().is_success() {
        return Err(refusal(answer.status(), answer.body()));
    }
    match read_as(answer, answer.body()) {
        Ok(read) => Ok(read),
        Err(error) => match without_nulls(answer.body()) {
            Some(body) => read_as(answer, &body),
            None => Err(error),
        },
    }
}

fn read_as<A: IncomingResponse>(
    answer: &Response<Bytes>,
    body: &[u8],
) -> Result<A, FederationError> {
    let mut head = Response::builder().status(answer.status());
    if let Some(headers) = head.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let bad = |error: &dyn std::fmt::Display| FederationError::BadAnswer(short(&error.to_string()));
    let answer = head.body(body).map_err(|error| bad(&error))?;
    A::try_from_http_response_inner(answer).map_err(|error| bad(&error))
}

/// An answer without its keys that are `null`, if there are any: some servers write those where
/// there is nothing to be said.
fn without_nulls(body: &[u8]) -> Option<Vec<u8>> {
    let mut keys: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let all = keys.len();
    keys.retain(|_, value| value.get() != "null");
    if keys.len() == all { None } else { serde_json::to_vec(&keys).ok() }
}

fn refusal(status: StatusCode, body: &[u8]) -> FederationError {
    #[derive(Default, serde::Deserialize)]
    struct Refusal {
        #[serde(default)]
        errcode: String,
        #[serde(default)]
        error: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    FederationError::Remote {
        status: status.as_u16(),
        errcode: short(&refusal.errcode),
        message: short(&refusal.error),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use ruma::api::federation::keys::get_keys::v1::Response as Keys;

    use super::*;

    #[test]
    fn null_for_what_may_be_left_out_is_understood() {
        let answer = |body: &'static str| Response::new(Bytes::from_static(body.as_bytes()));
        let nulls = r#"{"device_keys":{"@a:x":{}},"master_keys":null,"self_signing_keys":null}"#;
        let keys: Keys = understood(&answer(nulls)).expect("as if they were left out");
        assert_eq!((keys.device_keys.len(), keys.master_keys.len()), (1, 0));
        for bad in [r#"{"device_keys":null}"#, "null", "[null]", r#"{"device_keys":{"@a:x":null}}"#]
        {
            assert!(understood::<Keys>(&answer(bad)).is_err(), "{bad}");
        }
    }
}
