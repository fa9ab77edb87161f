//! `[retention]`: how long messages are kept.

use serde::{Deserialize, Serialize};

use super::{Findings, Period};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    pub enabled: bool,
    /// Of messages in rooms that do not say it. Zero: for ever.
    pub default_lifetime: Period,
    /// What rooms can choose. Zero: no limit.
    pub lifetime_min: Period,
    pub lifetime_max: Period,
    pub sweep_interval: Period,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            enabled: false,
            default_lifetime: Period::ZERO,
            lifetime_min: Period::days(1),
            lifetime_max: Period::ZERO,
            sweep_interval: Period::hours(6),
        }
    }
}

/// A shorter pause would do nothing but read.
const SWEEP_INTERVAL_MIN: Period = Period::minutes(1);

impl Retention {
    pub(super) fn check(&self, found: &mut Findings) {
        if !self.enabled {
            return;
        }
        let (default, min, max) = (
            self.default_lifetime.duration(),
            self.lifetime_min.duration(),
            self.lifetime_max.duration(),
        );
        if self.sweep_interval.duration() < SWEEP_INTERVAL_MIN.duration() {
            found.error("retention.sweep_interval", "must be at least \"1m\"");
        }
        if !max.is_zero() && max < min {
            found.error("retention.lifetime_max", "is below retention.lifetime_min");
            return;
        }
        if default.is_zero() {
            if !max.is_zero() {
                let text = "must be set where there is a retention.lifetime_max: otherwise rooms \
                            that say nothing keep their messages for ever";
                found.error("retention.default_lifetime", text);
            }
        } else if default < min || (!max.is_zero() && default > max) {
            let text = "must lie between retention.lifetime_min and retention.lifetime_max";
            found.error("retention.default_lifetime", text);
        }
    }
}
