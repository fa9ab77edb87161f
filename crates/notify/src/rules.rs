//! Push rules: account data `m.push_rules` (spec: client-server API, "Push rules").

use std::{num::NonZeroUsize, sync::Arc};

use blaupause_data::Change;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedUserId, UserId,
    push::{Action, NewPushRule, RuleKind, Ruleset},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Notify, NotifyError};

/// Rule sets kept in memory.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Rules of one user (as Synapse since 1.157.2).
const RULES_MAX: usize = 10_000;
/// Bytes of a rule's id.
const RULE_ID_BYTES_MAX: usize = 300;
/// Bytes of a rule's conditions and actions.
const RULE_BYTES_MAX: usize = 1_024;
/// The account data type.
pub(crate) const PUSH_RULES: &str = "m.push_rules";

/// A user's rules.
#[derive(Debug)]
pub(crate) struct UserRules {
    pub ruleset: Ruleset,
    /// Nothing was changed by the user.
    pub is_default: bool,
}

/// Where a new rule goes among the rules of its kind.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub before: Option<String>,
    pub after: Option<String>,
}

pub(crate) struct RulesetCache(Mutex<Cached>);

struct Cached {
    rules: LruCache<OwnedUserId, Arc<UserRules>>,
    epoch: u64,
}

impl RulesetCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Cached { rules: LruCache::new(CACHED_MAX), epoch: 0 }))
    }

    pub(crate) fn forget_changed(&self, change: &Change) {
        if let Change::AccountData { user, room: None } = change {
            let mut cached = self.0.lock();
            cached.rules.pop(user);
            cached.epoch += 1;
        }
    }
}

/// The content of `m.push_rules`.
#[derive(Deserialize, Serialize)]
struct Content {
    global: Ruleset,
}

impl Notify {
    /// A user's rules: their own, or the server's default ones.
    ///
    /// # Errors
    /// The store failed.
    pub async fn ruleset(&self, user: &UserId) -> Result<Ruleset, NotifyError> {
        Ok(self.rules(user).await?.ruleset.clone())
    }

    pub(crate) async fn rules(&self, user: &UserId) -> Result<Arc<UserRules>, NotifyError> {
        let epoch = {
            let mut cached = self.0.rulesets.0.lock();
            if let Some(rules) = cached.rules.get(user) {
                return Ok(Arc::clone(rules));
            }
            cached.epoch
        };
        let stored = self.accounts().account_data(user, None, PUSH_RULES).await?;
        let rules = Arc::new(self.rules_in(user, stored.as_deref().map(RawValue::get)));
        let mut cached = self.0.rulesets.0.lock();
        if cached.epoch == epoch {
            cached.rules.put(user.to_owned(), Arc::clone(&rules));
        }
        Ok(rules)
    }

    /// Add a rule or replace one of the same id.
    ///
    /// # Errors
    /// The rule or its place is not possible, or the store failed.
    pub async fn put_rule(
        &self,
        user: &UserId,
        rule: NewPushRule,
        place: &Place,
    ) -> Result<(), NotifyError> {
        if rule.rule_id().len() > RULE_ID_BYTES_MAX {
            return Err(NotifyError::TooLarge("rule id"));
        }
        if rule_bytes(&rule) > RULE_BYTES_MAX {
            return Err(NotifyError::TooLarge("rule"));
        }
        self.change(user, |ruleset| {
            ruleset.insert(rule.clone(), place.after.as_deref(), place.before.as_deref())?;
            if ruleset.iter().count() > RULES_MAX {
                return Err(NotifyError::TooLarge("number of rules"));
            }
            Ok(())
        })
        .await
    }

    /// Remove a rule of the user's own.
    ///
    /// # Errors
    /// No such rule, or it is the server's; or the store failed.
    pub async fn delete_rule(
        &self,
        user: &UserId,
        kind: RuleKind,
        id: &str,
    ) -> Result<(), NotifyError> {
        self.change(user, |ruleset| Ok(ruleset.remove(kind.clone(), id)?)).await
    }

    /// Switch a rule on or off.
    ///
    /// # Errors
    /// No such rule, or the store failed.
    pub async fn enable_rule(
        &self,
        user: &UserId,
        kind: RuleKind,
        id: &str,
        enabled: bool,
    ) -> Result<(), NotifyError> {
        self.change(user, |ruleset| {
            ruleset.set_enabled(kind.clone(), id, enabled).map_err(|_| NotifyError::RuleUnknown)
        })
        .await
    }

    /// Set what a rule does.
    ///
    /// # Errors
    /// No such rule, too large, or the store failed.
    pub async fn set_rule_actions(
        &self,
        user: &UserId,
        kind: RuleKind,
        id: &str,
        actions: Vec<Action>,
    ) -> Result<(), NotifyError> {
        if serde_json::to_string(&actions).map_or(0, |json| json.len()) > RULE_BYTES_MAX {
            return Err(NotifyError::TooLarge("actions"));
        }
        self.change(user, |ruleset| {
            ruleset
                .set_actions(kind.clone(), id, actions.clone())
                .map_err(|_| NotifyError::RuleUnknown)
        })
        .await
    }

    async fn change(
        &self,
        user: &UserId,
        change: impl Fn(&mut Ruleset) -> Result<(), NotifyError>,
    ) -> Result<(), NotifyError> {
        // What another request writes at the same time must not get lost: the rules are read and
        // written as one step, not taken from memory.
        let change = |stored: Option<&str>| -> Result<_, NotifyError> {
            let mut global = self.rules_in(user, stored).ruleset;
            change(&mut global)?;
            let json = serde_json::to_string(&Content { global });
            Ok(Some(json.expect("a rule set is plain data")))
        };
        self.accounts().change_account_data(user, None, PUSH_RULES, change).await?;
        Ok(())
    }

    /// The rules that the account data stands for.
    fn rules_in(&self, user: &UserId, stored: Option<&str>) -> UserRules {
        let own = stored.and_then(|json| serde_json::from_str::<Content>(json).ok());
        match own {
            Some(content) => {
                // Rules that the server has learned since, and none that it has forgotten.
                let mut ruleset = content.global;
                ruleset.update_with_server_default(self.default_rules(user));
                UserRules { ruleset, is_default: false }
            }
            None => UserRules { ruleset: self.default_rules(user), is_default: true },
        }
    }
}

/// Bytes of what makes a rule slow or large to store.
fn rule_bytes(rule: &NewPushRule) -> usize {
    let json = |result: serde_json::Result<String>| result.map_or(0, |json| json.len());
    match rule {
        NewPushRule::Override(rule) | NewPushRule::Underride(rule) => {
            json(serde_json::to_string(&(&rule.conditions, &rule.actions)))
        }
        NewPushRule::Content(rule) => {
            rule.pattern.len() + json(serde_json::to_string(&rule.actions))
        }
        NewPushRule::Room(rule) => json(serde_json::to_string(&rule.actions)),
        NewPushRule::Sender(rule) => json(serde_json::to_string(&rule.actions)),
        // ruma may learn new kinds; they are as large as their actions at least.
        _ => 0,
    }
}
