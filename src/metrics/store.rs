//! What the database did, for the share of time that sends wait for the disk.

use std::fmt::Error;

use blaupause_store::{Db, Store};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// The engine's counters, read when asked.
pub struct Database(pub Db);

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

impl Collector for Database {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let position = ConstGauge::new(i64::try_from(self.0.position().0).unwrap_or(i64::MAX));
        let at = encoder.encode_descriptor(
            "store_position",
            "Batches ever committed",
            None,
            position.metric_type(),
        )?;
        position.encode(at)?;
        let Db::Rocks(store) = &self.0 else { return Ok(()) };
        let stats = store.stats();
        for (name, help, value) in [
            ("store_groups", "Groups of batches written, each with one fsync", stats.groups),
            ("store_batches", "Batches committed", stats.batches),
            ("store_written_bytes", "Bytes of committed batches", stats.bytes),
            ("store_fsync_microseconds", "Time spent in those writes", stats.fsync_micros),
        ] {
            let counter = ConstCounter::new(value);
            let at = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(at)?;
        }
        Ok(())
    }
}
