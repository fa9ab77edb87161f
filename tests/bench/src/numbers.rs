//! Times and what they sum up to.

use std::time::Duration;

/// The value below which this part of the values lies; zero of none.
pub fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    // A count of samples is exact in f64.
    let at = (last as f64 * part).round() as usize;
    times.get(at).copied().unwrap_or_default()
}

/// Milliseconds with a useful number of digits.
pub fn ms(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1_000.0)
}

/// Three significant digits.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * digits).round() / digits
}

/// Mebibytes.
pub fn mib(bytes: u64) -> f64 {
    rounded(bytes as f64 / f64::from(1 << 20))
}

#[test]
fn quantiles_are_samples() {
    let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
    assert_eq!(quantile(&mut times, 0.5), Duration::from_millis(51));
    assert_eq!(quantile(&mut times, 0.95), Duration::from_millis(95));
    assert_eq!(quantile(&mut times, 1.0), Duration::from_millis(100));
    assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
}

#[test]
fn three_digits_are_enough() {
    assert_eq!(rounded(1234.5), 1230.0);
    assert_eq!(rounded(0.012_345), 0.0123);
    assert_eq!(rounded(0.0), 0.0);
}
