//! Which of two forms of a listing a client would rather have (RFC 9110, section 12.5.1). Pure.

use crate::message::{field::list_members, head::Fields, weight};

/// The forms that a listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
}

impl Form {
    fn media_type(self) -> &'static [u8] {
        match self {
            Form::Html => b"text/html",
            Form::Json => b"application/json",
        }
    }

    /// A page, unless JSON is liked better: people type addresses, programs say what they read.
    pub fn of(request: &Fields) -> Form {
        let lines = || {
            let lines = request.lines().iter();
            let named =
                lines.filter(|line| request.bytes(line.name).eq_ignore_ascii_case(b"accept"));
            named.map(|line| request.value(line))
        };
        let weight = |form: Form| {
            let ranges = lines().flat_map(list_members);
            let fitting = ranges.filter_map(|range| fit(range, form.media_type()));
            // The most specific range counts.
            fitting.max().map_or(0, |(_, weight)| weight)
        };
        if weight(Form::Json) > weight(Form::Html) { Form::Json } else { Form::Html }
    }
}

/// How specific a media range is that a type falls in, and its weight in thousandths; the parameters of
/// neither type make a difference.
fn fit(range: &[u8], media_type: &[u8]) -> Option<(u8, u16)> {
    let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let named = parts.next()?;
    let kind = media_type.split(|&byte| byte == b'/').next()?;
    let specific = match named {
        b"*/*" => 0,
        _ if named.eq_ignore_ascii_case(media_type) => 2,
        [of @ .., b'/', b'*'] if of.eq_ignore_ascii_case(kind) => 1,
        _ => return None,
    };
    let weight = parts.find_map(weight::value);
    // One that can't be read counts as nothing.
    Some((specific, weight.map_or(weight::MOST, |weight| weight::thousandths(weight).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        field::Name,
        head::{Line, Span},
        lent::Lent,
    };

    /// The values of lines of Accept, parted by `|`.
    fn check(lines: &str, expected: Form) {
        let mut fields = Fields::of(Lent::default(), Lent::default());
        let bytes = format!("Accept{lines}");
        fields.start(bytes.as_bytes());
        let mut start = "Accept".len();
        for value in lines.split('|').filter(|_| !lines.is_empty()) {
            fields.push(Line {
                known: Name::Other,
                name: Span::new(0, "Accept".len()),
                value: Span::new(start, start + value.len()),
                whole: Span::new(start, start + value.len()),
            });
            start += value.len() + 1;
        }
        assert_eq!(Form::of(&fields), expected, "{lines}");
    }

    #[test]
    fn a_page_unless_json_is_liked_better() {
        for lines in [
            "",
            "*/*",
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "application/json, text/html",
            "application/json;q=0.9, text/*",
            "application/json;q=0, */*",
            "application/jsonp",
            "application/json;q=x",
            "image/png",
            "text/html|application/json",
        ] {
            check(lines, Form::Html);
        }
        for lines in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json, */*;q=0.5",
            "application/json, text/html;q=0.999",
            "application/json, text/html; Q=0.9",
            "text/html;q=0, */*",
            "application/*",
            "text/html;q=0.1|application/json",
            "*/*;q=0.1, application/json;q=0.2",
        ] {
            check(lines, Form::Json);
        }
    }
}
