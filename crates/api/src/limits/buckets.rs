//! Remembers who did what how often.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
};

use blaupause_data::Env;
use lru::LruCache;
use parking_lot::Mutex;

use super::{Counted, Kind, RateLimit, RateLimits};
use crate::ApiError;

/// Callers whose recent requests are remembered; of the others the longest silent go first.
const CALLERS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");
/// Nobody is told to wait longer, in milliseconds.
const WAIT_MS_MAX: f64 = 3_600_000.0;

/// A bucket that fills with time and is emptied by requests.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl Bucket {
    /// What has come in since the last look.
    fn fill(&mut self, limit: RateLimit, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        self.tokens = (self.tokens + passed * limit.per_second).min(limit.burst);
        self.at_ms = now_ms;
    }

    fn must_have(&self, limit: RateLimit, cost: f64) -> Result<(), ApiError> {
        if self.tokens >= cost {
            return Ok(());
        }
        let wait_s = (cost - self.tokens) / limit.per_second.max(f64::MIN_POSITIVE);
        Err(ApiError::limit_exceeded((wait_s * 1000.0).ceil().clamp(1.0, WAIT_MS_MAX) as u64))
    }
}

type Buckets = LruCache<(Kind, u64), Bucket>;

/// The limits and who has used how much of them.
pub(crate) struct Limiter {
    env: Env,
    limits: Option<RateLimits>,
    /// Seeded at random: nobody outside can aim at another caller's bucket.
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

impl Limiter {
    /// `None`: no limits.
    pub(crate) fn new(env: Env, limits: Option<RateLimits>) -> Self {
        let buckets = Mutex::new(LruCache::new(CALLERS_MAX));
        Self { env, limits, hasher: RandomState::new(), buckets }
    }

    /// Take from a limit.
    ///
    /// # Errors
    /// 429 if not so much is left; nothing is taken then.
    pub(crate) fn take(&self, kind: Kind, who: Counted<'_>, cost: f64) -> Result<(), ApiError> {
        self.with(kind, who, |bucket, limit| {
            bucket.must_have(limit, cost)?;
            bucket.tokens -= cost;
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Put back what turned out to cost nothing.
    pub(crate) fn give_back(&self, kind: Kind, who: Counted<'_>, cost: f64) {
        self.with(kind, who, |bucket, limit| {
            bucket.tokens = (bucket.tokens + cost).min(limit.burst);
        });
    }

    /// Look whether anything is left.
    ///
    /// # Errors
    /// 429 if not.
    pub(crate) fn look(&self, kind: Kind, who: Counted<'_>) -> Result<(), ApiError> {
        self.with(kind, who, |bucket, limit| bucket.must_have(limit, 1.0)).unwrap_or(Ok(()))
    }

    /// `None` if there are no limits.
    fn with<T>(
        &self,
        kind: Kind,
        who: Counted<'_>,
        act: impl FnOnce(&mut Bucket, RateLimit) -> T,
    ) -> Option<T> {
        let limit = self.limits.as_ref()?.of(kind);
        let now_ms = self.env.now_millis();
        let who = self.hasher.hash_one(who);
        let mut buckets = self.buckets.lock();
        let full = Bucket { tokens: limit.burst, at_ms: now_ms };
        let bucket = buckets.get_or_insert_mut((kind, who), || full);
        bucket.fill(limit, now_ms);
        Some(act(bucket, limit))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ruma::user_id;

    use super::*;
    use crate::limits::ClientAddress;

    fn limiter(per_second: f64, burst: f64) -> Limiter {
        let limits = RateLimits { login: RateLimit { per_second, burst }, ..RateLimits::default() };
        Limiter::new(Env::manual(1_000_000), Some(limits))
    }

    fn at(address: &str) -> Counted<'static> {
        let address = ClientAddress(address.parse().expect("an address"));
        Counted::from(Some(&address))
    }

    fn login(limiter: &Limiter, who: Counted<'_>) -> Result<(), ApiError> {
        limiter.take(Kind::Login, who, 1.0)
    }

    fn wait_ms(refused: Result<(), ApiError>) -> Option<u64> {
        refused.err()?.body()["retry_after_ms"].as_u64()
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let limiter = limiter(0.5, 3.0);
        for _ in 0..3 {
            assert!(login(&limiter, at("192.0.2.1")).is_ok());
        }
        assert_eq!(wait_ms(login(&limiter, at("192.0.2.1"))), Some(2_000));
        limiter.env.advance(Duration::from_millis(1_999));
        assert!(login(&limiter, at("192.0.2.1")).is_err());
        limiter.env.advance(Duration::from_millis(1));
        assert!(login(&limiter, at("192.0.2.1")).is_ok());
        assert!(login(&limiter, at("192.0.2.1")).is_err());
    }

    #[test]
    fn callers_and_kinds_are_counted_apart() {
        let limiter = limiter(0.5, 1.0);
        assert!(login(&limiter, at("192.0.2.1")).is_ok());
        assert!(login(&limiter, at("192.0.2.1")).is_err());
        assert!(login(&limiter, at("192.0.2.2")).is_ok());
        assert!(login(&limiter, Counted::User(user_id!("@a:example.org"))).is_ok());
        assert!(login(&limiter, Counted::User(user_id!("@b:example.org"))).is_ok());
        assert!(limiter.take(Kind::Join, at("192.0.2.1"), 1.0).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let limiter = limiter(0.5, 1.0);
        assert!(login(&limiter, at("2001:db8::1")).is_ok());
        assert!(login(&limiter, at("2001:db8::ffff:1:2")).is_err());
        assert!(login(&limiter, at("2001:db8:0:1::1")).is_ok());
        assert!(login(&limiter, at("::ffff:192.0.2.9")).is_ok());
        assert!(login(&limiter, at("192.0.2.9")).is_err());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_but_no_more() {
        let limiter = limiter(0.5, 1.0);
        limiter.give_back(Kind::Login, at("192.0.2.1"), 1.0);
        assert!(login(&limiter, at("192.0.2.1")).is_ok());
        assert!(limiter.look(Kind::Login, at("192.0.2.1")).is_err());
        limiter.give_back(Kind::Login, at("192.0.2.1"), 1.0);
        assert!(limiter.look(Kind::Login, at("192.0.2.1")).is_ok());
        assert!(login(&limiter, at("192.0.2.1")).is_ok());
    }

    #[test]
    fn limits_can_be_off() {
        let limiter = Limiter::new(Env::manual(0), None);
        for _ in 0..1_000 {
            assert!(limiter.take(Kind::Registration, Counted::Unknown, 1.0).is_ok());
        }
    }
}
