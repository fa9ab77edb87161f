//! What happened, line by line, and a number that stands for all of it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    zero: Instant,
    is_printed: bool,
    state: Mutex<DefaultHasher>,
}

impl Trace {
    pub fn new(is_printed: bool) -> Self {
        let state = Mutex::new(DefaultHasher::new());
        Self(Arc::new(Inner { zero: Instant::now(), is_printed, state }))
    }

    pub fn note(&self, line: &str) {
        let millis = self.0.zero.elapsed().as_millis();
        (millis, line).hash(&mut *self.0.state.lock());
        if self.0.is_printed {
            println!("{:>12}.{:03} {line}", millis / 1_000, millis % 1_000);
        }
    }

    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.zero.elapsed().as_millis()).expect("a simulation ends")
    }

    /// The same for the same lines at the same times.
    pub fn hash(&self) -> u64 {
        self.0.state.lock().finish()
    }
}
