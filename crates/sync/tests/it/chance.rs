//! Dice that fall the same way for the same seed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A generator of numbers (SplitMix64). Clones go on from each other.
#[derive(Clone, Debug)]
pub struct Chance(Arc<AtomicU64>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// From now on as after [`Chance::new`].
    pub fn reseed(&self, seed: u64) {
        self.0.store(seed, Ordering::SeqCst);
    }

    /// Less than `end`.
    pub fn below(&self, end: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Let others have some turns.
    pub async fn dawdle(&self, turns: u64) {
        for _ in 0..self.below(turns) {
            tokio::task::yield_now().await;
        }
    }
}
