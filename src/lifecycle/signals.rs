//! SIGTERM and SIGINT stop, SIGHUP reads the certificate again.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::tls::TlsFiles;

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on the signals no longer kill the process.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn install() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    /// Wait until a stop is wanted; meanwhile do what the other signals ask.
    pub async fn stop_wanted(&mut self, tls: Option<&TlsFiles>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(tls),
            }
        }
    }
}

fn reload(tls: Option<&TlsFiles>) {
    let Some(tls) = tls else { return };
    match tls.reload() {
        Ok(()) => tracing::info!("read the certificate again"),
        Err(error) => tracing::error!(%error, "kept the old certificate"),
    }
}
