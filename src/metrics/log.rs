//! What the change log holds, for the question whether it grows without end.

use std::fmt::Error;

use blaupause_data::Data;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// The log's state, read when asked.
pub struct ChangeLog(pub Data);

impl std::fmt::Debug for ChangeLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChangeLog")
    }
}

impl Collector for ChangeLog {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let state = self.0.log_state();
        let kept = ConstGauge::new(i64::try_from(state.kept_positions).unwrap_or(i64::MAX));
        let help = "Batches whose lines are still in the change log";
        let at = encoder.encode_descriptor("log_kept_batches", help, None, kept.metric_type())?;
        kept.encode(at)?;
        let pruned = ConstCounter::new(state.pruned_lines);
        let help = "Lines removed from the change log since the start";
        let name = "log_pruned_lines";
        let at = encoder.encode_descriptor(name, help, None, pruned.metric_type())?;
        pruned.encode(at)
    }
}
