//! Who is online (spec: "Presence"). Kept in memory: lost on restart by design.

use std::{collections::HashMap, sync::Arc, time::Duration};

use blaupause_data::{Data, Passing};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UInt, UserId, events::presence::PresenceEvent, presence::PresenceState};

use crate::{AccountsError, registration::millis};

/// Somebody who did nothing for so long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(5 * 60);
/// Somebody who was active within so long is "currently active".
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);
/// Somebody of whom no client has waited for news for so long is offline.
const OFFLINE_AFTER: Duration = Duration::from_secs(60);
/// Bytes of a status message.
const STATUS_BYTES_MAX: usize = 1_024;
/// Users remembered.
const USERS_MAX: usize = 200_000;
/// Up to so many users those of other servers find a place; the rest is for those of this one.
const REMOTE_USERS_UPTO: usize = USERS_MAX / 2;
/// A user of another server of whom nothing was heard for so long is offline.
const REMOTE_OFFLINE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Presence of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceStatus {
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// Since the user did something; `None`: unknown.
    pub last_active_ago: Option<Duration>,
    pub currently_active: bool,
}

/// Who is online. Cheap to clone.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    data: Data,
    enabled: bool,
    users: Mutex<HashMap<OwnedUserId, Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    state: PresenceState,
    status_msg: Option<String>,
    active_ms: u64,
    /// When a client last asked for news, or ended waiting for it.
    asked_ms: u64,
    /// Clients that wait for news now.
    waiting: u32,
}

/// A client of somebody waits for news: until this is dropped they do not go offline.
#[must_use = "presence ends when this is dropped"]
pub struct Here(Option<(Presence, OwnedUserId)>);

impl Drop for Here {
    fn drop(&mut self) {
        let Some((presence, user)) = self.0.take() else { return };
        let now = presence.0.data.env().now_millis();
        if let Some(entry) = presence.0.users.lock().get_mut(&user) {
            entry.waiting = entry.waiting.saturating_sub(1);
            entry.asked_ms = now;
            if entry.state == PresenceState::Online {
                // Until now the client said so.
                entry.active_ms = now;
            }
        }
    }
}

impl Presence {
    pub(crate) fn new(data: Data, enabled: bool) -> Self {
        Self(Arc::new(Inner { data, enabled, users: Mutex::default() }))
    }

    /// Whether presence is shown at all.
    pub fn is_enabled(&self) -> bool {
        self.0.enabled
    }

    /// A client of the user asks for news, says what state the user is in (`set_presence`), and may
    /// wait for minutes; that lasts until the answer is dropped.
    pub fn waiting(&self, user: &UserId, state: &PresenceState) -> Here {
        if !self.0.enabled || *state == PresenceState::Offline || !is_known(state) {
            return Here(None);
        }
        let now = self.0.data.env().now_millis();
        self.change(user, |entry| {
            entry.asked_ms = now;
            entry.waiting += 1;
            // Busy was chosen by hand; only another choice ends it.
            if is_busy(&entry.state) && !is_busy(state) {
                return;
            }
            if *state != PresenceState::Unavailable {
                entry.active_ms = now;
            }
            entry.state = state.clone();
        });
        Here(Some((self.clone(), user.to_owned())))
    }

    /// The user did something.
    pub fn active(&self, user: &UserId) {
        if !self.0.enabled {
            return;
        }
        let now = self.0.data.env().now_millis();
        self.change(user, |entry| {
            entry.active_ms = now;
            entry.asked_ms = now;
            if matches!(entry.state, PresenceState::Unavailable | PresenceState::Offline) {
                entry.state = PresenceState::Online;
            }
        });
    }

    /// The user chose a state; without a message, the old one goes. Does nothing if presence is
    /// switched off.
    ///
    /// # Errors
    /// The state does not exist or the message is too long.
    pub fn set(
        &self,
        user: &UserId,
        state: &PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), AccountsError> {
        if !is_known(state) {
            return Err(AccountsError::Invalid("presence"));
        }
        if status_msg.as_ref().is_some_and(|text| text.len() > STATUS_BYTES_MAX) {
            return Err(AccountsError::Invalid("status_msg is too long"));
        }
        if !self.0.enabled {
            return Ok(());
        }
        let now = self.0.data.env().now_millis();
        self.change(user, |entry| {
            entry.state = state.clone();
            entry.status_msg = status_msg.filter(|text| !text.is_empty());
            entry.asked_ms = now;
            if *state != PresenceState::Offline && *state != PresenceState::Unavailable {
                entry.active_ms = now;
            }
        });
        Ok(())
    }

    /// Another server says how its user is (`m.presence`); whether it may, the caller knows.
    pub fn hear(&self, user: &UserId, status: PresenceStatus) {
        if !self.0.enabled || self.0.data.is_local(user) || !is_known(&status.state) {
            return;
        }
        let now = self.0.data.env().now_millis();
        {
            let users = self.0.users.lock();
            if users.len() >= REMOTE_USERS_UPTO && !users.contains_key(user) {
                return;
            }
        }
        self.change(user, |entry| {
            entry.state = status.state;
            entry.status_msg =
                status.status_msg.filter(|text| !text.is_empty() && text.len() <= STATUS_BYTES_MAX);
            entry.asked_ms = now;
            let ago = if status.currently_active {
                0
            } else {
                status.last_active_ago.map_or(now, millis)
            };
            entry.active_ms = now.saturating_sub(ago);
        });
    }

    /// A user's presence; offline, if nothing is known.
    pub fn get(&self, user: &UserId) -> PresenceStatus {
        let entry = self.0.users.lock().get(user).cloned();
        self.status(entry.as_ref())
    }

    /// As clients see it in a sync answer; `None` if nothing is known.
    pub fn event(&self, user: &UserId) -> Option<PresenceEvent> {
        let entry = self.0.users.lock().get(user).cloned()?;
        let status = self.status(Some(&entry));
        let mut content = ruma::events::presence::PresenceEventContent::new(status.state);
        content.status_msg = status.status_msg;
        content.last_active_ago =
            status.last_active_ago.map(|ago| UInt::new_saturating(millis(ago)));
        content.currently_active = Some(status.currently_active);
        Some(PresenceEvent { content, sender: user.to_owned() })
    }

    /// Users of other servers who are not offline; if they are more than so many, those of whom
    /// something was heard last.
    pub fn elsewhere(&self, users_max: usize) -> Vec<OwnedUserId> {
        self.there(false, users_max, |_| true)
    }

    /// Users of this server who are not offline and pass a filter; if they are more than so many,
    /// those of whom something was heard last.
    pub fn here(&self, users_max: usize, passes: impl Fn(&UserId) -> bool) -> Vec<OwnedUserId> {
        self.there(true, users_max, passes)
    }

    fn there(
        &self,
        local: bool,
        users_max: usize,
        passes: impl Fn(&UserId) -> bool,
    ) -> Vec<OwnedUserId> {
        let mut there: Vec<_> = {
            let users = self.0.users.lock();
            let there = users.iter().filter(|(user, entry)| {
                entry.state != PresenceState::Offline && self.0.data.is_local(user) == local
            });
            there.map(|(user, entry)| (entry.asked_ms, user.clone())).collect()
        };
        there.retain(|(_, user)| passes(user));
        if there.len() > users_max {
            there.select_nth_unstable_by(users_max, |a, b| b.cmp(a));
            there.truncate(users_max);
        }
        there.into_iter().map(|(_, user)| user).collect()
    }

    fn status(&self, entry: Option<&Entry>) -> PresenceStatus {
        let Some(entry) = entry else {
            return PresenceStatus {
                state: PresenceState::Offline,
                status_msg: None,
                last_active_ago: None,
                currently_active: false,
            };
        };
        let now = self.0.data.env().now_millis();
        let ago = Duration::from_millis(now.saturating_sub(entry.active_ms));
        let online = entry.state == PresenceState::Online || is_busy(&entry.state);
        PresenceStatus {
            state: entry.state.clone(),
            status_msg: entry.status_msg.clone(),
            last_active_ago: (entry.active_ms > 0).then_some(ago),
            currently_active: online && ago < ACTIVE_WITHIN,
        }
    }

    pub(crate) fn forget(&self, user: &UserId) {
        self.0.users.lock().remove(user);
    }

    /// Let people become idle and offline.
    pub(crate) fn look_through(&self) {
        let now = self.0.data.env().now_millis();
        let mut changed = Vec::new();
        self.0.users.lock().retain(|user, entry| {
            if entry.state == PresenceState::Offline {
                // Nothing to tell about somebody who is offline and left no message.
                return entry.status_msg.is_some()
                    || entry.waiting > 0
                    || now < entry.asked_ms + 2 * millis(IDLE_AFTER);
            }
            if entry.waiting > 0 {
                return true;
            }
            let is_local = self.0.data.is_local(user);
            let offline_after = if is_local { OFFLINE_AFTER } else { REMOTE_OFFLINE_AFTER };
            let next = if now >= entry.asked_ms + millis(offline_after) {
                PresenceState::Offline
            } else if is_local
                && entry.state == PresenceState::Online
                && now >= entry.active_ms + millis(IDLE_AFTER)
            {
                PresenceState::Unavailable
            } else {
                return true;
            };
            if entry.state != next {
                entry.state = next;
                changed.push(user.clone());
            }
            true
        });
        for user in changed {
            self.0.data.feed().pass(&Passing::Presence { user });
        }
    }

    /// Change an entry and tell followers, if others can see a difference.
    fn change(&self, user: &UserId, change: impl FnOnce(&mut Entry)) {
        let now = self.0.data.env().now_millis();
        let mut users = self.0.users.lock();
        if users.len() >= USERS_MAX && !users.contains_key(user) {
            return;
        }
        let entry = users.entry(user.to_owned()).or_insert_with(|| Entry {
            state: PresenceState::Offline,
            status_msg: None,
            active_ms: 0,
            asked_ms: now,
            waiting: 0,
        });
        let before = (entry.state.clone(), entry.status_msg.clone());
        let was_active = now.saturating_sub(entry.active_ms) < millis(ACTIVE_WITHIN);
        change(entry);
        let is_active = now.saturating_sub(entry.active_ms) < millis(ACTIVE_WITHIN);
        let differs =
            before != (entry.state.clone(), entry.status_msg.clone()) || was_active != is_active;
        drop(users);
        if differs {
            self.0.data.feed().pass(&Passing::Presence { user: user.to_owned() });
        }
    }
}

fn is_busy(state: &PresenceState) -> bool {
    // "busy" is MSC3026; ruma knows it only with a feature.
    matches!(state.as_str(), "busy" | "org.matrix.msc3026.busy")
}

fn is_known(state: &PresenceState) -> bool {
    is_busy(state)
        || matches!(
            state,
            PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable
        )
}
