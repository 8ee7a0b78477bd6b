//! Durations, sizes and shares as people write them: `"5s"`, `"10MiB"`, `"20%"`.
//!
//! What is written here is read back the same: `parse_duration(&duration_text(d)) == d`.

use std::time::Duration;

const MILLIS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const BYTES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

const A_DURATION: &str = r#"expected a duration such as "250ms", "5s", "1h30m" or "365d""#;
const A_SIZE: &str = r#"expected a size such as "4096B", "8KiB" or "10MiB""#;
const A_SHARE: &str = r#"expected a share from "0%" to "100%", such as "20%""#;

/// More would not be written back the same.
const MOST_DECIMALS: usize = 3;

/// Reads whole numbers with the units d, h, m, s and ms, each at most once, the larger first.
///
/// The error says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = MILLIS.as_slice();
    loop {
        let (number, after) = leading_digits(rest).ok_or(A_DURATION)?;
        let (unit, after) = leading_letters(after);
        if unit.is_empty() {
            return Err(format!("{A_DURATION}: `{number}` lacks its unit"));
        }
        let position = units.iter().position(|(name, _)| *name == unit);
        let position = position.ok_or(A_DURATION)?;
        total = scaled(number, units[position].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("{A_DURATION}: `{text}` is too long"))?;
        if after.is_empty() {
            return Ok(Duration::from_millis(total));
        }
        units = &units[position + 1..];
        rest = after;
    }
}

/// Reads a whole number of bytes with its unit; `KiB` is 1024, `kB` is 1000.
///
/// The error says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = leading_digits(text).ok_or(A_SIZE)?;
    if unit.is_empty() {
        return Err(format!("{A_SIZE}: `{number}` lacks its unit"));
    }
    let known = BYTES.iter().find(|(name, _)| *name == unit);
    let (_, factor) = known.ok_or(A_SIZE)?;
    scaled(number, *factor).ok_or_else(|| format!("{A_SIZE}: `{text}` is too large"))
}

/// Reads a percentage, with up to three decimals, into a share from 0 to 1.
///
/// The error says what was expected.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or(A_SHARE)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > MOST_DECIMALS {
        return Err(A_SHARE.to_owned());
    }
    let percent: f64 = number.parse().map_err(|_| A_SHARE)?;
    if percent > 100.0 {
        return Err(A_SHARE.to_owned());
    }
    Ok(percent / 100.0)
}

/// Writes a duration as people say it, to the millisecond: `1h30m`, `250ms`, `0s`.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in MILLIS {
        let count = rest / factor;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
        rest %= factor;
    }
    text
}

/// Writes a size in the largest unit that leaves nothing over: `10MiB`, `1500B`.
pub fn size_text(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match BYTES.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Writes a share from 0 to 1 as a percentage: `20%`, `12.5%`.
pub fn share_text(share: f64) -> String {
    let percent = (share * 100.0 * 1e6).round() / 1e6;
    format!("{percent}%")
}

fn scaled(number: &str, factor: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn leading_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    (!number.is_empty()).then_some((number, rest))
}

fn leading_letters(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, millis) in [
            ("5s", 5_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("365d", 365 * 86_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("1500ms", 1_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn durations_that_are_none() {
        let too_long = "99999999999999999999s";
        for text in [
            "",
            "5",
            "s",
            "5 s",
            " 5s",
            "5s ",
            "-5s",
            "+5s",
            "1.5s",
            "30m1h",
            "1s1s",
            "5S",
            "5x",
            "5sm",
            "5sé",
            "٥s",
            too_long,
            "999999999999d",
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains("expected a duration"), "{text}: {error}");
        }
    }

    #[test]
    fn a_duration_without_its_unit_is_told() {
        let error = parse_duration("30").unwrap_err();
        assert!(error.ends_with("`30` lacks its unit"), "{error}");
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("4096B", 4096),
            ("8KiB", 8192),
            ("10MiB", 10 << 20),
            ("1MB", 1_000_000),
            ("2kB", 2_000),
            ("3GiB", 3 << 30),
            ("0B", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_that_are_none() {
        let too_large = "99999999999999999999B";
        for text in
            ["", "5", "B", "5 B", "1.5MiB", "5mib", "5K", "-1B", "5MiB1B", too_large, "99999999TiB"]
        {
            let error = parse_size(text).expect_err(text);
            assert!(error.contains("expected a size"), "{text}: {error}");
        }
    }

    #[test]
    fn shares_are_percentages_up_to_100() {
        assert_eq!(parse_share("20%"), Ok(0.2));
        assert_eq!(parse_share("0%"), Ok(0.0));
        assert_eq!(parse_share("12.5%"), Ok(0.125));
        assert_eq!(parse_share("100%"), Ok(1.0));
        for text in
            ["", "%", "20", "101%", "-1%", "1e1%", "inf%", ".5%", "5.%", "1.2345%", "5 %", "NaN%"]
        {
            let error = parse_share(text).expect_err(text);
            assert!(error.contains("expected a share"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 5_400_000, 86_400_000, u64::MAX] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1_000, 1_024, 1_500, 10 << 20, u64::MAX] {
            assert_eq!(parse_size(&size_text(bytes)), Ok(bytes));
        }
        for share in [0.0, 0.07, 0.125, 0.29, 1.0] {
            assert_eq!(parse_share(&share_text(share)), Ok(share));
        }
    }

    #[test]
    fn the_shortest_form_is_written() {
        assert_eq!(duration_text(Duration::from_secs(5400)), "1h30m");
        assert_eq!(duration_text(Duration::from_micros(250_999)), "250ms");
        assert_eq!(size_text(100 << 20), "100MiB");
        assert_eq!(size_text(1_000_000), "1MB");
        assert_eq!(size_text(1_500), "1500B");
        assert_eq!(share_text(0.2), "20%");
    }

    #[test]
    fn any_text_is_read_or_refused() {
        let mut random = fastrand::Rng::with_seed(5);
        let pieces =
            ["0", "1", "999", "18446744073709551615", "ms", "s", "m", "h", "d", "KiB", "TiB"];
        let odd = ["", " ", ".", "%", "-", "+", "B", "é", "\0", "00", "99.999999"];
        for _ in 0..50_000 {
            let piece = |random: &mut fastrand::Rng| match random.bool() {
                true => pieces[random.usize(..pieces.len())],
                false => odd[random.usize(..odd.len())],
            };
            let text: String = (0..random.usize(..6)).map(|_| piece(&mut random)).collect();
            if let Ok(duration) = parse_duration(&text) {
                assert_eq!(parse_duration(&duration_text(duration)), Ok(duration), "{text}");
            }
            if let Ok(size) = parse_size(&text) {
                assert_eq!(parse_size(&size_text(size)), Ok(size), "{text}");
            }
            if let Ok(share) = parse_share(&text) {
                assert!((0.0..=1.0).contains(&share), "{text}");
            }
        }
    }
}
