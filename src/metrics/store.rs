//! What the database did, for the share of time that sends wait for the disk.

use std::fmt::Error;

use blaupause_store::{Db, PgStats, RocksStats, Store};
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
        match &self.0 {
            Db::Rocks(store) => rocks(&mut encoder, &store.stats()),
            Db::Pg(store) => postgres(&mut encoder, &store.stats()),
            Db::Mem(_) => Ok(()),
        }
    }
}

fn rocks(encoder: &mut DescriptorEncoder<'_>, stats: &RocksStats) -> Result<(), Error> {
    counters(
        encoder,
        &[
            ("store_groups", "Groups of batches written, each with one fsync", stats.groups),
            ("store_batches", "Batches committed", stats.batches),
            ("store_written_bytes", "Bytes of committed batches", stats.bytes),
            ("store_fsync_microseconds", "Time spent in those writes", stats.fsync_micros),
            ("store_reads_inline", "Reads answered from memory at once", stats.reads_inline),
            ("store_reads_waited", "Reads that may have waited for the disk", stats.reads_waited),
        ],
    )?;
    for (name, help, value) in [
        ("store_free_bytes", "Free space for the database", stats.free_bytes),
        ("store_errors", "Failed attempts to write tables", stats.background_errors),
        ("store_writes_delayed", "Bytes per second, if writes are slowed down", stats.delayed_rate),
        ("store_writes_stopped", "1 if writes wait for tables to be written", stats.stopped),
    ] {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let at = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
        gauge.encode(at)?;
    }
    Ok(())
}

fn postgres(encoder: &mut DescriptorEncoder<'_>, stats: &PgStats) -> Result<(), Error> {
    counters(
        encoder,
        &[
            ("store_groups", "Groups of batches written, each one transaction", stats.groups),
            ("store_batches", "Batches committed", stats.batches),
            ("store_written_bytes", "Bytes of committed batches", stats.bytes),
            (
                "store_commit_microseconds",
                "Time of those commits, which overlap",
                stats.commit_micros,
            ),
        ],
    )
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    counters: &[(&str, &str, u64)],
) -> Result<(), Error> {
    for (name, help, value) in counters {
        let counter = ConstCounter::new(*value);
        let at = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(at)?;
    }
    Ok(())
}
