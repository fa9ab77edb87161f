use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Whether the database can be used, as those see it who use it.
#[derive(Default)]
pub(super) struct Condition {
    troubles: Mutex<Troubles>,
    generation: AtomicU64,
}

#[derive(Default)]
struct Troubles {
    commits: Option<String>,
    lease: Option<String>,
}

/// Who noticed.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Commits,
    Lease,
}

impl Condition {
    /// # Errors
    /// What is wrong.
    pub fn ready(&self) -> Result<(), String> {
        let troubles = self.troubles.lock();
        match troubles.commits.as_ref().or(troubles.lease.as_ref()) {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    /// Log the first trouble of a row, and a change of its kind.
    pub fn down(&self, whose: Whose, why: String) {
        let mut troubles = self.troubles.lock();
        let slot = troubles.of(whose);
        if slot.as_ref() != Some(&why) {
            tracing::warn!(%why, "the database cannot be used");
            *slot = Some(why);
        }
    }

    pub fn up(&self, whose: Whose) {
        if self.troubles.lock().of(whose).take().is_some() {
            tracing::info!("the database can be used again");
        }
    }

    /// Grows whenever connections made before may lead to a server that is not the primary any
    /// more.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Troubles {
    fn of(&mut self, whose: Whose) -> &mut Option<String> {
        match whose {
            Whose::Commits => &mut self.commits,
            Whose::Lease => &mut self.lease,
        }
    }
}
