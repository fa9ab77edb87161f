//! Who may read which event (client-server API, `m.room.history_visibility`).

use ruma::events::room::{history_visibility::HistoryVisibility, member::MembershipState};
use serde::Deserialize;

use crate::Pdu;

/// What the room's state said around one event about one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The room's history visibility.
    pub visibility: HistoryVisibility,
    /// The reader's membership.
    pub membership: MembershipState,
}

impl Sight {
    /// From the two state events, as far as they exist. Unknown or malformed values count as
    /// `shared` and `leave`, as the specification says for the former.
    pub fn of(visibility: Option<&Pdu>, membership: Option<&Pdu>) -> Self {
        Self { visibility: visibility_of(visibility), membership: membership_of(membership) }
    }

    fn allows(&self, joined_later: bool) -> bool {
        match (&self.visibility, &self.membership) {
            (HistoryVisibility::WorldReadable, _) | (_, MembershipState::Join) => true,
            (HistoryVisibility::Invited, MembershipState::Invite) => true,
            (HistoryVisibility::Invited | HistoryVisibility::Joined, _) => false,
            // `shared`, and whatever is not understood.
            _ => joined_later,
        }
    }
}

/// Whether a reader may see an event.
///
/// `before` is the state before the event. `after` is the state after it; it matters only where the
/// event is the room's visibility or the reader's own membership, and may be `None` or the same
/// otherwise. `joined_later` says whether the reader was joined at any time after the event.
pub fn visible(before: &Sight, after: Option<&Sight>, joined_later: bool) -> bool {
    before.allows(joined_later) || after.is_some_and(|after| after.allows(joined_later))
}

/// The value of a history visibility event; `shared` if there is none or it is malformed.
pub fn visibility_of(event: Option<&Pdu>) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content {
        history_visibility: HistoryVisibility,
    }

    event
        .and_then(|event| event.content_as::<Content>().ok())
        .map_or(HistoryVisibility::Shared, |content| content.history_visibility)
}

/// The value of a membership event; `leave` if there is none or it is malformed.
pub fn membership_of(event: Option<&Pdu>) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }

    event
        .and_then(|event| event.content_as::<Content>().ok())
        .map_or(MembershipState::Leave, |content| content.membership)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(visibility: &str, membership: &str) -> Sight {
        Sight { visibility: visibility.into(), membership: membership.into() }
    }

    #[test]
    fn the_table_of_the_specification_holds() {
        // visibility, membership at the event, joined later, allowed
        let table = [
            ("world_readable", "leave", false, true),
            ("world_readable", "ban", false, true),
            ("shared", "leave", false, false),
            ("shared", "leave", true, true),
            ("shared", "invite", false, false),
            ("shared", "join", false, true),
            ("invited", "leave", true, false),
            ("invited", "invite", false, true),
            ("invited", "join", false, true),
            ("joined", "invite", true, false),
            ("joined", "leave", true, false),
            ("joined", "join", false, true),
            ("not.understood", "leave", true, true),
            ("not.understood", "leave", false, false),
        ];
        for (visibility, membership, joined_later, allowed) in table {
            let sight = sight(visibility, membership);
            assert_eq!(
                visible(&sight, None, joined_later),
                allowed,
                "{visibility} {membership} {joined_later}"
            );
        }
    }

    #[test]
    fn ones_own_join_and_leave_are_visible() {
        let (out, joined) = (sight("joined", "leave"), sight("joined", "join"));
        assert!(visible(&out, Some(&joined), false));
        assert!(visible(&joined, Some(&out), false));
    }

    #[test]
    fn a_change_of_visibility_is_visible_from_either_side() {
        let (open, shut) = (sight("world_readable", "leave"), sight("joined", "leave"));
        assert!(visible(&open, Some(&shut), false));
        assert!(visible(&shut, Some(&open), false));
        assert!(!visible(&shut, Some(&shut), false));
    }
}
