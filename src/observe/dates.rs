//! The three ways in which a moment is written here: in HTTP, in JSON, in the common log format;
//! and the three in which HTTP lets others write one. All are UTC and pure. What we write is of fixed
//! length: what lies before 1970 as its first moment, what lies after 9999 as its last.

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

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, and what older senders write: `Sunday, 06-Nov-94 08:49:37
/// GMT` and `Sun Nov  6 08:49:37 1994` (RFC 9110, section 5.6.7). Days that no calendar has are
/// none; whether the day of the week is that of the date is not looked at. `now` settles the century
/// of a year of two digits.
pub fn parse_http_date(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    imf_fixdate(text).or_else(|| asctime(text)).or_else(|| rfc850(text, now))?.time()
}

fn imf_fixdate(text: &[u8]) -> Option<Written<'_>> {
    let [a, b, c, b',', b' ', rest @ ..] = text else {
        return None;
    };
    let [d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', rest @ ..] = rest else {
        return None;
    };
    let clock = rest.strip_suffix(b" GMT")?;
    is_weekday(&[*a, *b, *c]).then_some(())?;
    let year = number(&[*y1, *y2, *y3, *y4])?;
    Some(Written { year, month: [*m1, *m2, *m3], day: number(&[*d1, *d2])?, clock })
}

fn asctime(text: &[u8]) -> Option<Written<'_>> {
    let [a, b, c, b' ', m1, m2, m3, b' ', d1, d2, b' ', rest @ ..] = text else {
        return None;
    };
    let (clock, [b' ', year @ ..]) = rest.split_at_checked(8)? else {
        return None;
    };
    is_weekday(&[*a, *b, *c]).then_some(())?;
    let day = if *d1 == b' ' { number(&[*d2])? } else { number(&[*d1, *d2])? };
    let year = <&[u8; 4]>::try_from(year).ok()?;
    Some(Written { year: number(year)?, month: [*m1, *m2, *m3], day, clock })
}

fn rfc850(text: &[u8], now: SystemTime) -> Option<Written<'_>> {
    let comma = memchr::memchr(b',', text)?;
    LONG_WEEKDAYS.contains(&&text[..comma]).then_some(())?;
    let [b',', b' ', rest @ ..] = &text[comma..] else {
        return None;
    };
    let [d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', rest @ ..] = rest else {
        return None;
    };
    let clock = rest.strip_suffix(b" GMT")?;
    let this_year = Civil::of(now).year;
    let year = this_year - this_year % 100 + number(&[*y1, *y2])?;
    // More than 50 years ahead is the past.
    let year = if year > this_year + 50 { year - 100 } else { year };
    Some(Written { year, month: [*m1, *m2, *m3], day: number(&[*d1, *d2])?, clock })
}

/// A date's parts, not yet held against the calendar.
struct Written<'a> {
    year: u32,
    month: [u8; 3],
    day: u32,
    /// `08:49:37`.
    clock: &'a [u8],
}

impl Written<'_> {
    fn time(&self) -> Option<SystemTime> {
        let month = 1 + MONTHS.iter().position(|month| **month == self.month)? as u32;
        let [h1, h2, b':', m1, m2, b':', s1, s2] = *self.clock else {
            return None;
        };
        let (hour, minute) = (number(&[h1, h2])?, number(&[m1, m2])?);
        let second = number(&[s1, s2])?;
        let days = day_number(self.year, month, self.day);
        // A day too many would be one of the next month. The 60th second is a leap second.
        let next = if month == 12 { (self.year + 1, 1) } else { (self.year, month + 1) };
        let exists = self.day >= 1 && days < day_number(next.0, next.1, 1);
        (exists && hour < 24 && minute < 60 && second <= 60).then_some(())?;
        let second_of_day = i64::from(hour * 3_600 + minute * 60 + second);
        let seconds = days * 86_400 + second_of_day;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        }
    }
}

fn is_weekday(name: &[u8; 3]) -> bool {
    WEEKDAYS.contains(&name)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
    })
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

const LONG_WEEKDAYS: [&[u8]; 7] =
    [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];

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

const DAYS_OF_ERA: u32 = 146_097;
const DAYS_FROM_MARCH_OF_YEAR_0: u32 = 719_468;

/// Year, month and day of a number of days since 1970-01-01. Years are counted from March, so
/// that the leap day is the last of its year, and in eras of 400 years, which are all alike.
fn date(days_since_1970: u32) -> (u32, u32, u32) {
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

/// How many days after 1970-01-01 a day is: `date` the other way round, and before 1970 too.
fn day_number(year: u32, month: u32, day: u32) -> i64 {
    // The last months of the year before, to which January and February belong; an era more, so
    // that the year 0 has one.
    let year = year + 400 - u32::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = i64::from(era * DAYS_OF_ERA + day_of_era) - 1;
    days - i64::from(DAYS_OF_ERA + DAYS_FROM_MARCH_OF_YEAR_0)
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
    fn the_three_forms_of_others() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
        ] {
            let time = parse_http_date(text.as_bytes(), at(1_795_408_370));
            assert_eq!(time, Some(at(784_111_777)), "{text}");
        }
        let year = |now, text: &str| {
            let time = parse_http_date(text.as_bytes(), at(now)).unwrap();
            http_date(time).as_str()[12..16].to_owned()
        };
        let in_2026 = 1_795_408_370;
        assert_eq!(year(in_2026, "Friday, 01-Jan-76 00:00:00 GMT"), "2076");
        assert_eq!(year(in_2026, "Friday, 01-Jan-77 00:00:00 GMT"), "1977");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for days in (0..2_932_896).step_by(13) {
            let time = at(days * 86_400 + days % 86_400);
            assert_eq!(parse_http_date(http_date(time).as_bytes(), UNIX_EPOCH), Some(time));
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(parse_http_date(b"Wed, 31 Dec 1969 23:59:59 GMT", UNIX_EPOCH), Some(before));
        let first = UNIX_EPOCH - Duration::from_secs(62_167_219_200);
        assert_eq!(parse_http_date(b"Sat, 01 Jan 0000 00:00:00 GMT", UNIX_EPOCH), Some(first));
        let leap = parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT", UNIX_EPOCH);
        assert_eq!(leap, Some(at(1_483_228_800)));
    }

    #[test]
    fn dates_that_are_none() {
        for text in [
            "",
            "0",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 23:60:00 GMT",
            "Sun, 06 Nov 1994 23:59:61 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 1995 08:49:37 GMT",
            "Thu, 29 Feb 1900 08:49:37 GMT",
            "Sun, 32 Dec 1994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes(), UNIX_EPOCH), None, "{text}");
        }
    }

    #[test]
    fn no_date_panics() {
        let mut random = fastrand::Rng::with_seed(3);
        let forms: [&[u8]; 3] = [
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ];
        for _ in 0..50_000 {
            let mut text = forms[random.usize(..forms.len())].to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..text.len());
                text[at] = b"0123456789 :,-\xff"[random.usize(..15)];
            }
            text.truncate(random.usize(text.len() - 3..=text.len()));
            parse_http_date(&text, at(random.u64(..1 << 40)));
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
