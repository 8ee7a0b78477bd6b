//! Conditional requests (RFC 9110, section 13): whether a GET or HEAD is done, and whether its
//! ranges count. Pure.
//!
//! They are looked at only where the answer would be 200 without them (section 13.2.1). Lists are
//! read once, from the front; the limits of heads bound them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    message::{field::Name, head::Fields, method::Method},
    observe::dates,
};

/// An entity tag (RFC 9110, section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    pub strength: Strength,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

/// Whether the same validator means the same bytes (RFC 9110, section 8.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    Strong,
    Weak,
}

impl EntityTag<'_> {
    /// `"xyzzy"` or `W/"xyzzy"`.
    pub fn write(self, out: &mut Vec<u8>) {
        if self.strength == Strength::Weak {
            out.extend_from_slice(b"W/");
        }
        out.push(b'"');
        out.extend_from_slice(self.opaque);
        out.push(b'"');
    }

    fn matches(self, other: EntityTag<'_>, comparison: Comparison) -> bool {
        let strong = self.strength == Strength::Strong && other.strength == Strength::Strong;
        self.opaque == other.opaque && (strong || comparison == Comparison::Weak)
    }
}

/// RFC 9110, section 8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// For whoever goes on with bytes that it has: both must be strong.
    Strong,
    Weak,
}

/// By what one state of a file is told from another.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    pub tag: Option<EntityTag<'a>>,
    /// What Last-Modified says.
    pub modified: Option<SystemTime>,
}

/// What Last-Modified says of a file: whole seconds, none before 1970, and never later than the
/// answer itself (RFC 9110, section 8.8.2.1).
pub fn last_modified(modified: SystemTime, now: SystemTime) -> SystemTime {
    let since_epoch = modified.min(now).duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

/// What conditions look at. `now` is the time of the answer.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: Method,
    pub fields: &'a Fields,
    pub now: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// 200.
    Whole,
    /// What Range asks for counts: its value, not yet read.
    Ranges(&'a [u8]),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates what was asked for in the order of RFC 9110, section 13.2.2.
pub fn judge<'a>(asked: &Asked<'a>, validators: &Validators<'_>) -> Verdict<'a> {
    let Asked { fields, now, .. } = *asked;
    let modified = validators.modified.map(|modified| last_modified(modified, now));
    // A date in a field that stands twice, or that is none, is as if it were not there
    // (sections 13.1.3 and 13.1.4).
    let date = |name| dates::parse_http_date(fields.only(name)?, now);
    let later_than = |date: SystemTime| modified.map(|modified| modified > date);
    let unmodified_since = || date(Name::IfUnmodifiedSince).and_then(later_than) != Some(true);
    let modified_since = || date(Name::IfModifiedSince).and_then(later_than) != Some(false);

    let tags = |name, comparison| any_tag(fields.all(name), validators.tag, comparison);
    let goes_on = match fields.first(Name::IfMatch) {
        Some(_) => tags(Name::IfMatch, Comparison::Strong),
        None => unmodified_since(),
    };
    if !goes_on {
        return Verdict::PreconditionFailed;
    }
    let is_new = match fields.first(Name::IfNoneMatch) {
        Some(_) => !tags(Name::IfNoneMatch, Comparison::Weak),
        None => modified_since(),
    };
    if !is_new {
        return Verdict::NotModified;
    }
    match range(asked, validators.tag, modified) {
        Some(range) => Verdict::Ranges(range),
        None => Verdict::Whole,
    }
}

/// The value of Range, where it counts: on GET alone (RFC 9110, section 14.2), standing once, and with
/// an If-Range that is true.
fn range<'a>(
    asked: &Asked<'a>,
    own: Option<EntityTag<'_>>,
    modified: Option<SystemTime>,
) -> Option<&'a [u8]> {
    if asked.method != Method::Get {
        return None;
    }
    let range = asked.fields.only(Name::Range)?;
    if asked.fields.first(Name::IfRange).is_none() {
        return Some(range);
    }
    let condition = asked.fields.only(Name::IfRange)?;
    let holds = match only_tag(condition) {
        Some(tag) => own.is_some_and(|own| tag.matches(own, Comparison::Strong)),
        None => {
            let date = dates::parse_http_date(condition, asked.now);
            // Only when its second is over is a date a strong validator (sections 8.8.2.2 and 13.1.5).
            let is_over = |modified: SystemTime| modified + Duration::from_secs(1) <= asked.now;
            date.is_some() && date == modified && modified.is_some_and(is_over)
        }
    };
    holds.then_some(range)
}

/// Whether a tag of the lists matches, or `*` stands for any (RFC 9110, sections 13.1.1 and 13.1.2):
/// for what is there, it does. Lists that break the grammar name nothing: then a client that would
/// change or skip something is refused, and one that would save something gets it all.
fn any_tag<'v>(
    lists: impl Iterator<Item = &'v [u8]>,
    own: Option<EntityTag<'_>>,
    comparison: Comparison,
) -> bool {
    let mut found = false;
    let mut lists = lists.peekable();
    while let Some(list) = lists.next() {
        if list == b"*" {
            // It stands alone.
            return !found && lists.peek().is_none();
        }
        let mut rest = list;
        while let Some(start) = rest.iter().position(|byte| !b", \t".contains(byte)) {
            let Some((tag, after)) = leading_tag(&rest[start..]) else {
                return false;
            };
            found |= own.is_some_and(|own| tag.matches(own, comparison));
            rest = after.trim_ascii_start();
            if !rest.is_empty() && rest[0] != b',' {
                return false;
            }
        }
    }
    found
}

fn only_tag(value: &[u8]) -> Option<EntityTag<'_>> {
    let (tag, rest) = leading_tag(value)?;
    rest.is_empty().then_some(tag)
}

/// A tag, which may have commas in it, and what follows it.
fn leading_tag(text: &[u8]) -> Option<(EntityTag<'_>, &[u8])> {
    let (strength, text) = match text.strip_prefix(b"W/") {
        Some(text) => (Strength::Weak, text),
        None => (Strength::Strong, text),
    };
    let text = text.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', text)?;
    let (opaque, rest) = (&text[..end], &text[end + 1..]);
    let valid = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    opaque.iter().all(valid).then_some((EntityTag { strength, opaque }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        head::{Line, Span},
        lent::Lent,
    };

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const MODIFIED_SECONDS: u64 = 784_111_777;

    const STRONG: &[u8] = b"\"v1\"";
    const WEAK: &[u8] = b"W/\"v1\"";

    /// Lines parted by `|`; `{m}`, `{e}` and `{l}` are the date of Last-Modified, the second before
    /// and the one after.
    fn fields(lines: &str) -> Fields {
        let lines = lines.replace("{m}", MODIFIED).replace("{e}", EARLIER).replace("{l}", LATER);
        let mut fields = Fields::of(Lent::default(), Lent::default());
        fields.start(lines.as_bytes());
        let mut start = 0;
        for line in lines.split('|').filter(|line| !line.is_empty()) {
            let colon = line.find(": ").expect("a name and a value");
            let end = start + line.len();
            fields.push(Line {
                known: Name::from_bytes(&line.as_bytes()[..colon]),
                name: Span::new(start, start + colon),
                value: Span::new(start + colon + 2, end),
                whole: Span::new(start, end),
            });
            start = end + 1;
        }
        fields
    }

    struct State {
        method: Method,
        tag: Option<&'static [u8]>,
        /// Since 1970.
        modified: Option<Duration>,
        now: Duration,
    }

    const STATE: State = State {
        method: Method::Get,
        tag: Some(STRONG),
        modified: Some(Duration::from_millis(MODIFIED_SECONDS * 1000 + 700)),
        now: Duration::from_secs(MODIFIED_SECONDS + 86_400),
    };

    fn text(verdict: Verdict<'_>) -> String {
        match verdict {
            Verdict::Whole => "200".to_owned(),
            Verdict::Ranges(range) => format!("206 {}", String::from_utf8_lossy(range)),
            Verdict::NotModified => "304".to_owned(),
            Verdict::PreconditionFailed => "412".to_owned(),
        }
    }

    #[track_caller]
    fn check(state: &State, rows: &[(&str, &str)]) {
        for (lines, expected) in rows {
            let fields = fields(lines);
            let now = UNIX_EPOCH + state.now;
            let validators = Validators {
                tag: state.tag.map(|tag| only_tag(tag).expect("a tag")),
                modified: state.modified.map(|modified| UNIX_EPOCH + modified),
            };
            let asked = Asked { method: state.method, fields: &fields, now };
            assert_eq!(text(judge(&asked, &validators)), *expected, "{lines}");
        }
    }

    #[test]
    fn nothing_asked() {
        check(&STATE, &[("", "200"), ("Host: a|Accept: */*", "200")]);
    }

    #[test]
    fn if_match_compares_strongly() {
        let rows = &[
            ("If-Match: \"v1\"", "200"),
            ("If-Match: *", "200"),
            ("If-Match: \"v0\", \"v1\"", "200"),
            ("If-Match: ,, \"v0\" ,\t\"v1\",", "200"),
            ("If-Match: \"v0\"|If-Match: \"v1\"", "200"),
            ("If-Match: \"v0\"", "412"),
            ("If-Match: \"V1\"", "412"),
            ("If-Match: W/\"v1\"", "412"),
            ("If-Match: v1", "412"),
            ("If-Match: \"v1\" \"v0\"", "412"),
            ("If-Match: \"v1\"x", "412"),
            ("If-Match: \"v1\", v0", "412"),
            ("If-Match: \"v1", "412"),
            ("If-Match: \"v1\", *", "412"),
            ("If-Match: *|If-Match: \"v1\"", "412"),
            ("If-Match: \"v1\"|If-Match: *", "412"),
            ("If-Match: ", "412"),
            ("If-Match: w/\"v1\"", "412"),
        ];
        check(&STATE, rows);
        check(&State { method: Method::Head, ..STATE }, rows);
        let weak = State { tag: Some(WEAK), ..STATE };
        check(&weak, &[("If-Match: W/\"v1\"", "412"), ("If-Match: *", "200")]);
        let none = State { tag: None, ..STATE };
        check(&none, &[("If-Match: \"v1\"", "412"), ("If-Match: *", "200")]);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let rows = &[
            ("If-None-Match: \"v1\"", "304"),
            ("If-None-Match: W/\"v1\"", "304"),
            ("If-None-Match: *", "304"),
            ("If-None-Match: \"v0\", W/\"v1\", \"v2\"", "304"),
            ("If-None-Match: \"v0\",\"v1\"", "304"),
            ("If-None-Match: \"v0\"|If-None-Match: \"v1\"", "304"),
            ("If-None-Match: \"v0\"", "200"),
            ("If-None-Match: \"v0,v1\"", "200"),
            ("If-None-Match: v1", "200"),
            ("If-None-Match: \"v1\", x", "200"),
            ("If-None-Match: \"v 1\", \"v1\"", "200"),
            ("If-None-Match: ", "200"),
        ];
        check(&STATE, rows);
        check(&State { tag: Some(WEAK), ..STATE }, rows);
        check(&State { method: Method::Head, ..STATE }, rows);
        let comma = State { tag: Some(b"\"a,b\""), ..STATE };
        check(&comma, &[("If-None-Match: \"x\",\"a,b\"", "304"), ("If-None-Match: \"a\"", "200")]);
        let bytes = State { tag: Some(b"\"\xff\""), ..STATE };
        check(&bytes, &[("If-None-Match: \"v1\"", "200")]);
    }

    #[test]
    fn if_modified_since() {
        let rows = &[
            ("If-Modified-Since: {e}", "200"),
            ("If-Modified-Since: {m}", "304"),
            ("If-Modified-Since: {l}", "304"),
            ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "304"),
            ("If-Modified-Since: Sun Nov  6 08:49:37 1994", "304"),
            ("If-Modified-Since: Sun Nov  6 08:49:36 1994", "200"),
            // After the server's own time: the RFC has no exception for it.
            ("If-Modified-Since: Wed, 01 Jan 2098 00:00:00 GMT", "304"),
            ("If-Modified-Since: yesterday", "200"),
            ("If-Modified-Since: ", "200"),
            ("If-Modified-Since: {m}|If-Modified-Since: {m}", "200"),
            ("If-Modified-Since: {m}, {m}", "200"),
        ];
        check(&STATE, rows);
        check(&State { method: Method::Head, ..STATE }, rows);
        check(&State { modified: None, ..STATE }, &[("If-Modified-Since: {l}", "200")]);
    }

    #[test]
    fn if_unmodified_since() {
        check(
            &STATE,
            &[
                ("If-Unmodified-Since: {e}", "412"),
                ("If-Unmodified-Since: {m}", "200"),
                ("If-Unmodified-Since: {l}", "200"),
                ("If-Unmodified-Since: Sun Nov  6 08:49:36 1994", "412"),
                ("If-Unmodified-Since: yesterday", "200"),
                ("If-Unmodified-Since: {e}|If-Unmodified-Since: {e}", "200"),
            ],
        );
        check(&State { modified: None, ..STATE }, &[("If-Unmodified-Since: {e}", "200")]);
    }

    #[test]
    fn the_order_of_section_13_2_2() {
        check(
            &STATE,
            &[
                // If-Match stands in place of If-Unmodified-Since, …
                ("If-Match: \"v1\"|If-Unmodified-Since: {e}", "200"),
                ("If-Match: \"v0\"|If-Unmodified-Since: {l}", "412"),
                // … If-None-Match in place of If-Modified-Since, …
                ("If-None-Match: \"v0\"|If-Modified-Since: {m}", "200"),
                ("If-None-Match: \"v1\"|If-Modified-Since: {e}", "304"),
                ("If-None-Match: x|If-Modified-Since: {m}", "200"),
                // … and the first two come before them, and all before Range.
                ("If-None-Match: \"v1\"|If-Match: \"v0\"", "412"),
                ("If-None-Match: \"v1\"|If-Match: \"v1\"", "304"),
                ("If-Modified-Since: {m}|If-Unmodified-Since: {e}", "412"),
                ("If-Modified-Since: {m}|If-Unmodified-Since: {m}", "304"),
                ("Range: bytes=0-|If-None-Match: \"v1\"|If-Range: \"v1\"", "304"),
                ("Range: bytes=0-|If-Match: \"v0\"|If-Range: \"v1\"", "412"),
                ("Range: bytes=0-|If-None-Match: \"v0\"|If-Range: \"v1\"", "206 bytes=0-"),
            ],
        );
    }

    #[test]
    fn ranges_count_on_get_and_once() {
        check(
            &STATE,
            &[
                ("Range: bytes=0-4", "206 bytes=0-4"),
                ("Range: lines=0-4", "206 lines=0-4"),
                ("Range: bytes=0-4|Range: bytes=5-", "200"),
                ("If-Range: \"v1\"", "200"),
            ],
        );
        check(&State { method: Method::Head, ..STATE }, &[("Range: bytes=0-4", "200")]);
    }

    #[test]
    fn if_range_is_strong() {
        let range = |condition: &str| format!("Range: bytes=0-|If-Range: {condition}");
        let check = |state: &State, condition: &str, expected: &str| {
            check(state, &[(&range(condition), expected)]);
        };
        check(&STATE, "\"v1\"", "206 bytes=0-");
        check(&STATE, "{m}", "206 bytes=0-");
        check(&STATE, "Sun Nov  6 08:49:37 1994", "206 bytes=0-");
        for other in
            ["\"v0\"", "W/\"v1\"", "*", "v1", "", "\"v1\", \"v2\"", "{e}", "{l}", "yesterday"]
        {
            check(&STATE, other, "200");
        }
        check(&STATE, "\"v1\"|If-Range: \"v1\"", "200");
        check(&State { tag: Some(WEAK), ..STATE }, "W/\"v1\"", "200");
        check(&State { tag: Some(WEAK), ..STATE }, "\"v1\"", "200");
        check(&State { tag: None, ..STATE }, "\"v1\"", "200");
        check(&State { modified: None, ..STATE }, "{m}", "200");
        let same_second = Duration::from_millis(MODIFIED_SECONDS * 1000 + 900);
        check(&State { now: same_second, ..STATE }, "{m}", "200");
        let next_second = Duration::from_secs(MODIFIED_SECONDS + 1);
        check(&State { now: next_second, ..STATE }, "{m}", "206 bytes=0-");
    }

    #[test]
    fn nothing_is_modified_later_than_now() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(last_modified(at(1_700), at(9_000)), at(1_000));
        assert_eq!(last_modified(at(9_500), at(7_200)), at(7_000));
        assert_eq!(last_modified(UNIX_EPOCH - Duration::from_millis(1), at(7_200)), UNIX_EPOCH);
        let ahead = State { modified: Some(STATE.now * 2), ..STATE };
        check(&ahead, &[("If-Modified-Since: {l}", "200")]);
    }

    #[test]
    fn no_list_panics() {
        let mut random = fastrand::Rng::with_seed(2);
        let words = ["*", "\"", "W/", "\"v1\"", ",", " ", "v", "\t", "{m}", "bytes=", "0-"];
        let names = ["If-Match", "If-None-Match", "If-Range", "Range", "If-Modified-Since"];
        let own = Some(EntityTag { strength: Strength::Strong, opaque: b"v1" });
        for _ in 0..20_000 {
            let mut lines = String::new();
            for _ in 0..random.usize(1..4) {
                let words = (0..random.usize(..6)).map(|_| words[random.usize(..words.len())]);
                let value = words.collect::<String>();
                lines.push_str(&format!("{}: {value}|", names[random.usize(..names.len())]));
            }
            let fields = fields(&lines);
            let asked = Asked { method: Method::Get, fields: &fields, now: UNIX_EPOCH };
            judge(&asked, &Validators { tag: own, modified: Some(UNIX_EPOCH) });
        }
    }
}
