mod admit;
pub mod auth;
mod authorize;
mod event;
mod ids;
mod limits;
pub mod order;
mod redact;
mod refusal;
mod resolve;
mod seal;
mod step;
pub mod tree;
mod visible;

pub use admit::{Unverified, admit};
pub use auth::AuthGraph;
pub use authorize::{
    StateLookup, auth_types, authorize, authorize_by_auth_events, check_state_independent,
    may_redact, power_level, state_needed,
};
pub use event::{Draft, Parents, Pdu};
pub use ids::{EventNo, PageNo, StateKeyNo, StateRoot};
pub use limits::{EVENT_SIZE_BYTES_MAX, FIELD_SIZE_BYTES_MAX};
pub use redact::redact;
pub use refusal::Refusal;
pub use resolve::{Bag, merge};
pub use seal::{countersign, seal, seal_json, template};
pub use step::{Need, Step};
pub use visible::{Sight, membership_of, visibility_of, visible};
