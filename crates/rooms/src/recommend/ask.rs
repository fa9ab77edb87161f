//! A policy server is asked (`POST /_matrix/policy/v1/sign`).

use std::time::Duration;

use blaupause_federation::{CallLimits, FederationError};
use blaupause_graph::{Pdu, PolicyServer};
use ruma::{
    api::federation::policy::sign_event::v1::Request, room_version_rules::RoomVersionRules,
};

use super::{Unasked, words::Word};
use crate::{Rooms, RoomsError};

/// What an answer may take: somebody waits for their message to be sent. A server that does not
/// answer is soon left alone for a while, as any other is.
const LIMITS: CallLimits = CallLimits { time: Duration::from_secs(10), answer_bytes: 16 * 1024 };

impl Rooms {
    /// After something in a room's lane did not work: whether to try it once more. Asks a policy
    /// server if that is what was missing.
    ///
    /// # Errors
    /// The error, if another try would not help; [`RoomsError::NotRecommended`].
    pub(crate) async fn before_next_try(&self, error: RoomsError) -> Result<(), RoomsError> {
        match error {
            RoomsError::Unasked(question) => Box::pin(self.ask_policy_server(*question)).await,
            error if error.is_conflict() => Ok(()),
            error => Err(error),
        }
    }

    async fn ask_policy_server(&self, question: Unasked) -> Result<(), RoomsError> {
        let Unasked { server, rules, pdu, draft } = question;
        let answer = self.ask_for_signature(&server, &pdu, &rules).await;
        let now_ms = self.data().env().now_millis();
        match (draft, answer) {
            (Some(draft), Ok(signed)) => self.words().note_draft(draft, signed, now_ms),
            // Nobody else hears of an event of ours that is not recommended.
            (Some(_), Err(error)) => return Err(error),
            (None, Ok(signed)) => {
                let word = Word::Signed(Box::new(signed));
                self.words().note(pdu.event_id(), server, word, now_ms);
            }
            (None, Err(error @ RoomsError::Data(_))) => return Err(error),
            // Whoever cannot be asked recommends nothing.
            (None, Err(error)) => {
                tracing::debug!(event = %pdu.event_id(), %error, "an event is not recommended");
                let why = format!("the room's policy server does not recommend it: {error}");
                self.words().note(pdu.event_id(), server, Word::No(why), now_ms);
            }
        }
        Ok(())
    }

    /// The event with the policy server's signature.
    ///
    /// # Errors
    /// [`RoomsError::NotRecommended`] with what the policy server says, or says wrongly;
    /// [`RoomsError::Federation`] if it cannot be asked.
    pub(super) async fn ask_for_signature(
        &self,
        server: &PolicyServer,
        pdu: &Pdu,
        rules: &RoomVersionRules,
    ) -> Result<Pdu, RoomsError> {
        let via = server.via();
        let request = Request::new(pdu.to_raw());
        let answer = match self.federation().call_within(via, request, LIMITS).await {
            Ok(answer) => answer,
            Err(FederationError::Remote { status, errcode, message }) => {
                return Err(RoomsError::NotRecommended { status, errcode, message });
            }
            Err(error) => return Err(error.into()),
        };
        let signature = answer.ed25519_signature(via);
        let signed = signature.map(|signature| server.signed(pdu, signature, rules));
        match signed {
            Some(Ok(signed)) => Ok(signed),
            Some(Err(why)) => Err(not_good(why)),
            None => Err(not_good("there is no signature in the policy server's answer")),
        }
    }
}

/// The policy server said neither yes nor no.
fn not_good(why: impl std::fmt::Display) -> RoomsError {
    RoomsError::NotRecommended {
        status: 403,
        errcode: "M_FORBIDDEN".to_owned(),
        message: why.to_string(),
    }
}
