use std::time::Duration;

use blaupause_policy::ServerPolicy;
use ruma::OwnedServerName;

use crate::CallLimits;

/// What operators can set about other servers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// With whom this server speaks. [`crate::Federation::set_servers`] changes it in a running
    /// server.
    pub servers: ServerPolicy,
    /// Servers that are asked for the keys of others who cannot be reached, in this order.
    pub notaries: Vec<OwnedServerName>,
    /// What a usual request may take.
    pub limits: CallLimits,
    /// How long servers that do not answer are left alone.
    pub pauses: Pauses,
}

/// The pause after a failure; it doubles with each further one in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The first.
    pub min: Duration,
    /// The longest: what a server that is gone for good costs.
    pub max: Duration,
}

impl Pauses {
    pub(crate) fn min_ms(self) -> u64 {
        millis(self.min)
    }

    pub(crate) fn max_ms(self) -> u64 {
        millis(self.max)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self { min: Duration::from_secs(5), max: Duration::from_secs(24 * 60 * 60) }
    }
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}
