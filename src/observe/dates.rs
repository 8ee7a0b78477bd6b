//! The three ways in which a moment is written here: in HTTP, in JSON, in the common log format.
//! All are UTC, of fixed length, and pure. What lies before 1970 is written as its first moment,
//! what lies after 9999 as its last.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The text of a moment: ASCII of fixed length, made without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp<const N: usize>([u8; N]);

impl<const N: usize> Stamp<N> {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a stamp is made of ASCII alone")
    }
}

impl<const N: usize> fmt::Display for Stamp<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Stamp<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// `Mon, 23 Nov 2026 04:32:50 GMT`: IMF-fixdate (RFC 9110, 5.6.7).
pub fn http_date(time: SystemTime) -> Stamp<29> {
    let civil = Civil::of(time);
    let mut text = *b"www, dd mmm yyyy hh:mm:ss GMT";
    text[..3].copy_from_slice(WEEKDAYS[civil.weekday]);
    two_digits(&mut text[5..7], civil.day);
    text[8..11].copy_from_slice(MONTHS[civil.month as usize - 1]);
    four_digits(&mut text[12..16], civil.year);
    clock(&mut text[17..25], &civil);
    Stamp(text)
}

/// `2026-11-23T04:32:50.123Z` (RFC 3339, 5.6).
pub fn rfc3339(time: SystemTime) -> Stamp<24> {
    let civil = Civil::of(time);
    let mut text = *b"yyyy-mm-ddThh:mm:ss.mmmZ";
    four_digits(&mut text[..4], civil.year);
    two_digits(&mut text[5..7], civil.month);
    two_digits(&mut text[8..10], civil.day);
    clock(&mut text[11..19], &civil);
    text[20] = digit(civil.millisecond / 100);
    two_digits(&mut text[21..23], civil.millisecond % 100);
    Stamp(text)
}

/// `[23/Nov/2026:04:32:50 +0000]`: as Apache's `%t`.
pub fn common_log(time: SystemTime) -> Stamp<28> {
    let civil = Civil::of(time);
    let mut text = *b"[dd/mmm/yyyy:hh:mm:ss +0000]";
    two_digits(&mut text[1..3], civil.day);
    text[4..7].copy_from_slice(MONTHS[civil.month as usize - 1]);
    four_digits(&mut text[8..12], civil.year);
    clock(&mut text[13..21], &civil);
    Stamp(text)
}

const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// 9999-12-31T23:59:59.999Z, as a distance from 1970: later years have five digits.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// A moment on the Gregorian calendar, in UTC.
struct Civil {
    year: u32,
    /// 1 to 12.
    month: u32,
    /// 1 to 31.
    day: u32,
    /// 0 is Monday.
    weekday: usize,
    hour: u32,
    minute: u32,
    second: u32,
    millisecond: u32,
}

impl Civil {
    fn of(time: SystemTime) -> Civil {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
        let seconds = since_epoch.as_secs();
        let days = (seconds / 86_400) as u32;
        let second_of_day = (seconds % 86_400) as u32;
        let (year, month, day) = date(days);
        Civil {
            year,
            month,
            day,
            weekday: (days as usize + 3) % 7,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            millisecond: since_epoch.subsec_millis(),
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01. Years are counted from March, so
/// that the leap day is the last of its year, and in eras of 400 years, which are all alike.
fn date(days_since_1970: u32) -> (u32, u32, u32) {
    const DAYS_OF_ERA: u32 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0: u32 = 719_468;
    let days = days_since_1970 + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    (year, month, day)
}

fn clock(text: &mut [u8], civil: &Civil) {
    two_digits(&mut text[..2], civil.hour);
    two_digits(&mut text[3..5], civil.minute);
    two_digits(&mut text[6..8], civil.second);
}

fn four_digits(text: &mut [u8], value: u32) {
    two_digits(&mut text[..2], value / 100);
    two_digits(&mut text[2..], value % 100);
}

fn two_digits(text: &mut [u8], value: u32) {
    text[0] = digit(value / 10);
    text[1] = digit(value % 10);
}

fn digit(value: u32) -> u8 {
    b'0' + value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn http_dates() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_795_408_370, "Mon, 23 Nov 2026 04:32:50 GMT"),
        ];
        for (seconds, text) in cases {
            assert_eq!(http_date(at(seconds)).as_str(), text);
        }
    }

    #[test]
    fn rfc3339_has_milliseconds() {
        let time = at(1_795_408_370) + Duration::from_micros(123_999);
        assert_eq!(rfc3339(time).as_str(), "2026-11-23T04:32:50.123Z");
        assert_eq!(rfc3339(at(946_684_799)).as_str(), "1999-12-31T23:59:59.000Z");
    }

    #[test]
    fn common_log_is_apaches() {
        assert_eq!(common_log(at(1_795_408_370)).as_str(), "[23/Nov/2026:04:32:50 +0000]");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = date(0);
        for days in 1..100_000 {
            let (year, month, day) = date(days);
            let next_day = (year, month, day) == (previous.0, previous.1, previous.2 + 1);
            let next_month = (year, month, day) == (previous.0, previous.1 + 1, 1);
            let next_year = (year, month, day) == (previous.0 + 1, 1, 1) && previous.1 == 12;
            assert!(next_day || next_month || next_year, "{previous:?} then {:?}", date(days));
            previous = (year, month, day);
        }
    }

    #[test]
    fn moments_out_of_range_are_held_to_it() {
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_secs(5)).as_str(),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(rfc3339(at(1 << 60)).as_str(), "9999-12-31T23:59:59.999Z");
    }
}
