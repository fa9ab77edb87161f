//! How long to leave a server alone that does not take what it is owed. Pure.

use ruma::ServerName;

use super::rows::Destination;
use crate::Pauses;

/// A server that was heard from is tried at once, but not more often than this because of it: it may
/// be able to speak and not to listen.
const HEARD_PAUSE_MS: u64 = 30_000;
/// After so long without an answer the newest event of each room is enough: the server asks for
/// what it has missed.
const CATCH_UP_AFTER_MS: u64 = 60 * 60 * 1_000;

/// One more failure. `random` spreads servers that failed together.
pub(super) fn failed(
    before: Option<&Destination>,
    server: &ServerName,
    pauses: Pauses,
    now_ms: u64,
    random: u16,
) -> Destination {
    let failures = before.map_or(0, |before| before.failures).saturating_add(1);
    Destination {
        server_name: server.to_owned(),
        failures,
        failing_since_ms: before.map_or(now_ms, |before| before.failing_since_ms),
        next_try_ms: now_ms.saturating_add(pause_ms(failures, pauses, random)),
    }
}

/// Between 80 % and 120 % of the doubled pause.
fn pause_ms(failures: u32, pauses: Pauses, random: u16) -> u64 {
    let doublings = failures.saturating_sub(1).min(30);
    let pause = pauses.min_ms().saturating_mul(1 << doublings).min(pauses.max_ms());
    let spread = pause * 2 / 5 * u64::from(random) / u64::from(u16::MAX);
    pause - pause / 5 + spread
}

/// When a failing server is tried next: now (`None`) or at a time. `heard_try_ms`: when it was last
/// tried only because it was heard from.
pub(super) fn wait_until_ms(
    failing: &Destination,
    heard: bool,
    heard_try_ms: u64,
    now_ms: u64,
) -> Option<u64> {
    let mut until = failing.next_try_ms;
    if heard {
        until = until.min(heard_try_ms.saturating_add(HEARD_PAUSE_MS));
    }
    (until > now_ms).then_some(until)
}

/// Whether the server was away for so long that it has to catch up.
pub(super) fn has_to_catch_up(failing: Option<&Destination>, now_ms: u64) -> bool {
    failing.is_some_and(|it| now_ms.saturating_sub(it.failing_since_ms) >= CATCH_UP_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn pauses_grow_from_seconds_to_a_day_and_are_spread() {
        let (name, usual) = (server_name!("a.x"), Pauses::default());
        let mut destination = None;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let next = failed(destination.as_ref(), name, usual, 1_000, u16::MAX / 2);
            pauses.push(next.next_try_ms - 1_000);
            destination = Some(next);
        }
        assert!((4_900..=5_100).contains(&pauses[0]), "{}", pauses[0]);
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]));
        let max = usual.max_ms();
        assert!(pauses[39] <= max && pauses[39] > max * 9 / 10);
        assert_eq!(pause_ms(1, usual, 0), 4_000);
        assert_eq!(pause_ms(1, usual, u16::MAX), 6_000);
    }

    #[test]
    fn who_speaks_to_us_is_tried_at_once_but_not_all_the_time() {
        let failing = failed(None, server_name!("a.x"), Pauses::default(), 0, 0);
        let failing = Destination { next_try_ms: 500_000, ..failing };
        assert_eq!(wait_until_ms(&failing, false, 1_000, 100_000), Some(500_000));
        assert_eq!(wait_until_ms(&failing, true, 1_000, 100_000), None);
        assert_eq!(wait_until_ms(&failing, true, 90_000, 100_000), Some(120_000));
        assert_eq!(wait_until_ms(&failing, false, 1_000, 500_000), None);
    }

    #[test]
    fn only_a_long_silence_needs_catching_up() {
        let failing = failed(None, server_name!("a.x"), Pauses::default(), 1_000, 0);
        assert!(!has_to_catch_up(None, u64::MAX));
        assert!(!has_to_catch_up(Some(&failing), 1_000 + CATCH_UP_AFTER_MS - 1));
        assert!(has_to_catch_up(Some(&failing), 1_000 + CATCH_UP_AFTER_MS));
    }
}
