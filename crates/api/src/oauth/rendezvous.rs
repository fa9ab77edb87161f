//! Where two devices of a person meet while one signs in the other by a QR code: a place for one
//! short text, under a name that only the two know (MSC4108 of 2024; MSC4388, its successor).
//!
//! Kept in memory: it lives for minutes, and after a restart people scan again. The content is
//! encrypted between the devices; here it is bytes that nobody else should ever look at.

mod msc4108;
mod msc4388;

use std::num::NonZeroUsize;

use axum::Router;
use blaupause_data::Env;
use bytes::Bytes;
use http::HeaderMap;
use lru::LruCache;
use parking_lot::Mutex;

use crate::{ApiError, App};

/// Places at once (at most 5 kB each); a new one pushes out the oldest.
const PLACES_MAX: NonZeroUsize = NonZeroUsize::new(2_000).expect("not zero");
/// Bytes at a place.
const CONTENT_BYTES_MAX: usize = 4 * 1024;
/// A place is there for so long, in milliseconds: enough for a person with two devices in hand.
const LIFETIME_MS: u64 = 5 * 60 * 1000;
/// Bytes of the name of an attempt to write.
const ATTEMPT_BYTES_MAX: usize = 255;

pub(super) fn routes(router: Router<App>) -> Router<App> {
    msc4388::routes(msc4108::routes(router))
}

/// The places of one version of the protocol.
pub(crate) struct Places {
    env: Env,
    places: Mutex<LruCache<String, Place>>,
}

#[derive(Clone)]
struct Place {
    content: Bytes,
    /// Names this content: whoever writes must have seen what they replace.
    revision: String,
    changed_ms: u64,
    ends_ms: u64,
    /// The last attempt to write that had a name.
    attempt: Option<String>,
}

/// Why nothing was written.
enum Missed {
    /// There is no such place, or not any more.
    Gone,
    /// The other one was faster; this is what is there now.
    Changed(Place),
}

impl Places {
    pub(crate) fn new(env: Env) -> Self {
        Self { env, places: Mutex::new(LruCache::new(PLACES_MAX)) }
    }

    /// Make a place; answers its name.
    fn create(&self, content: Bytes) -> Result<(String, Place), ApiError> {
        check_size(&content)?;
        let now = self.env.now_millis();
        let place = Place {
            content,
            revision: self.env.random_text::<12>(),
            changed_ms: now,
            ends_ms: now.saturating_add(LIFETIME_MS),
            attempt: None,
        };
        let name = self.env.random_text::<18>();
        self.places.lock().put(name.clone(), place.clone());
        Ok((name, place))
    }

    // Looking is no use: otherwise who polls would keep a place and push out others.
    fn get(&self, name: &str) -> Option<Place> {
        let place = self.places.lock().peek(name).cloned();
        place.filter(|place| place.ends_ms > self.env.now_millis())
    }

    /// Replace what is there, if it is what the writer saw last. An attempt that is repeated because
    /// its answer was lost gets the same answer.
    fn write(
        &self,
        name: &str,
        seen: &str,
        content: Bytes,
        attempt: Option<&str>,
    ) -> Result<Place, Missed> {
        let now = self.env.now_millis();
        let mut places = self.places.lock();
        let place = places.peek_mut(name).filter(|place| place.ends_ms > now);
        let place = place.ok_or(Missed::Gone)?;
        if attempt.is_some() && place.attempt.as_deref() == attempt {
            return Ok(place.clone());
        }
        if place.revision != seen {
            return Err(Missed::Changed(place.clone()));
        }
        place.content = content;
        place.revision = self.env.random_text::<12>();
        place.changed_ms = now;
        place.attempt = attempt.map(ToOwned::to_owned);
        Ok(place.clone())
    }

    /// Whether there was such a place.
    fn remove(&self, name: &str) -> bool {
        let now = self.env.now_millis();
        self.places.lock().pop(name).is_some_and(|place| place.ends_ms > now)
    }
}

fn check_size(content: &Bytes) -> Result<(), ApiError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(ApiError::too_large("at most 4096 bytes fit here"));
    }
    Ok(())
}

fn gone() -> ApiError {
    ApiError::not_found("there is no such rendezvous, or not any more")
}

/// Programs fetch a place. A browser that would show it as a page was sent there by somebody who
/// wants to show something in this server's name.
fn must_be_a_program(headers: &HeaderMap) -> Result<(), ApiError> {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let elsewhere = headers.get("sec-fetch-dest").is_some_and(|to| to != "empty");
    if elsewhere
        || is("sec-fetch-mode", "navigate")
        || is("sec-fetch-user", "?1")
        || is("sec-fetch-site", "none")
    {
        return Err(ApiError::forbidden("this is not a page"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn places() -> Places {
        Places::new(Env::manual(1_000_000))
    }

    fn made(places: &Places, content: &'static str) -> (String, Place) {
        places.create(Bytes::from_static(content.as_bytes())).expect("it fits")
    }

    #[test]
    fn who_has_not_seen_the_newest_does_not_write() {
        let places = places();
        let (name, first) = made(&places, "a");
        let write = |seen: &str, content: &'static str| {
            places.write(&name, seen, Bytes::from_static(content.as_bytes()), None)
        };
        let second = write(&first.revision, "b").ok().expect("it was seen");
        let late = write(&first.revision, "c");
        assert!(matches!(late, Err(Missed::Changed(now)) if now.revision == second.revision));
        // The same content is another revision.
        let third = write(&second.revision, "b").ok().expect("it was seen");
        assert_ne!(third.revision, second.revision);
        assert_eq!(places.get(&name).expect("it is there").content, "b");
    }

    #[test]
    fn an_attempt_that_is_repeated_gets_the_same_answer() {
        let places = places();
        let (name, first) = made(&places, "a");
        let write =
            |attempt| places.write(&name, &first.revision, Bytes::from_static(b"b"), Some(attempt));
        let once = write("1").ok().expect("it was seen");
        let again = write("1").ok().expect("it is the same attempt");
        assert_eq!(once.revision, again.revision);
        assert!(write("2").is_err());
    }

    #[test]
    fn places_end_by_themselves_and_by_removal() {
        let places = places();
        let (name, first) = made(&places, "a");
        places.env.advance(Duration::from_millis(LIFETIME_MS));
        assert!(places.get(&name).is_none());
        let late = places.write(&name, &first.revision, Bytes::new(), None);
        assert!(matches!(late, Err(Missed::Gone)));
        let (name, _) = made(&places, "a");
        assert!(places.remove(&name) && !places.remove(&name));
        assert!(places.get(&name).is_none());
    }

    #[test]
    fn places_do_not_pile_up() {
        let places = places();
        let (first, _) = made(&places, "a");
        for _ in 0..PLACES_MAX.get() {
            assert!(places.get(&first).is_some());
            made(&places, "b");
        }
        assert!(places.get(&first).is_none());
        assert!(places.create(Bytes::from(vec![b'a'; CONTENT_BYTES_MAX + 1])).is_err());
    }
}
