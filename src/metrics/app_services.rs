//! Whether application services take what they are told.

use std::fmt::Error;

use blaupause_notify::Services;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

/// How long each service has let its transaction wait, read when asked.
pub struct AppServices(pub Services);

impl std::fmt::Debug for AppServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppServices")
    }
}

impl Collector for AppServices {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let waiting = self.0.waiting();
        let Some(kind) = waiting.first().map(|_| ConstGauge::new(0.0).metric_type()) else {
            return Ok(());
        };
        let help = "Seconds since a transaction was first sent that the service has not taken yet";
        let name = "app_service_waiting_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (service, time) in waiting {
            let labels = [("service", service)];
            ConstGauge::new(time.as_secs_f64()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
