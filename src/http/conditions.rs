//! Whether a request meets what a route asks of it besides host and path. Pure.

use crate::{
    config::{Condition, Conditions, Wanted},
    message::{
        cookies,
        head::{Fields, Line},
        query,
    },
};

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a [u8],
    /// Without its `?`.
    pub query: &'a [u8],
    pub fields: &'a Fields,
    /// Forwarding fields of strangers count as absent: they are not passed on either.
    pub trusted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Unmet,
    /// All would be met, if it were sure which of its several values a key has: the backend might
    /// act on another than we do.
    Ambiguous,
}

/// Whether all hold. One that does not settles it, whatever the others are.
pub fn judge(conditions: &Conditions, asked: &Asked<'_>) -> Verdict {
    let method = |method: &String| method.as_bytes() == asked.method;
    if !conditions.methods.is_empty() && !conditions.methods.iter().any(method) {
        return Verdict::Unmet;
    }
    let headers = conditions.headers.iter().map(|condition| header(condition, asked));
    let query = conditions.query.iter().map(|condition| query_key(condition, asked));
    let cookies = conditions.cookies.iter().map(|condition| cookie(condition, asked));
    let mut whole = Verdict::Met;
    for verdict in headers.chain(query).chain(cookies) {
        match verdict {
            Verdict::Met => {}
            Verdict::Unmet => return Verdict::Unmet,
            Verdict::Ambiguous => whole = Verdict::Ambiguous,
        }
    }
    whole
}

fn header(condition: &Condition, asked: &Asked<'_>) -> Verdict {
    let counts = |line: &&Line| {
        let name = asked.fields.bytes(line.name);
        name.eq_ignore_ascii_case(condition.key.as_bytes()) && line.known.is_believed(asked.trusted)
    };
    let values = asked.fields.lines().iter().filter(counts).map(|line| asked.fields.value(line));
    compare(&condition.wanted, values, |value, wanted| value == wanted.as_bytes())
}

fn query_key(condition: &Condition, asked: &Asked<'_>) -> Verdict {
    let named = query::pairs(asked.query).filter(|(key, _)| query::means(key, &condition.key));
    compare(&condition.wanted, named.map(|(_, value)| value), query::means)
}

fn cookie(condition: &Condition, asked: &Asked<'_>) -> Verdict {
    let named = cookies::all(asked.fields).filter(|(name, _)| *name == condition.key.as_bytes());
    let values = named.map(|(_, value)| value);
    match compare(&condition.wanted, values, |value, wanted| value == wanted.as_bytes()) {
        // Browsers send two where paths or domains overlap: no reason to lock somebody out.
        Verdict::Ambiguous => Verdict::Unmet,
        verdict => verdict,
    }
}

fn compare<'v>(
    wanted: &Wanted,
    values: impl Iterator<Item = &'v [u8]>,
    is: impl Fn(&[u8], &str) -> bool,
) -> Verdict {
    let Wanted::Is(text) = wanted else {
        let present = values.count() > 0;
        let met = present == (*wanted == Wanted::Present);
        return if met { Verdict::Met } else { Verdict::Unmet };
    };
    let (mut same, mut other) = (false, false);
    for value in values {
        match is(value, text) {
            true => same = true,
            false => other = true,
        }
    }
    match (same, other) {
        (true, false) => Verdict::Met,
        (true, true) => Verdict::Ambiguous,
        (false, _) => Verdict::Unmet,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config, http::h1::parse, message::head::Request};

    fn conditions(route: &str) -> Conditions {
        let text = format!(
            "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\nrespond = {{ status = 200 }}\n{route}"
        );
        let config = config::parse(&text, Path::new("e.toml"));
        config.unwrap_or_else(|errors| panic!("{errors}")).routes[0].conditions.clone()
    }

    /// `head` is a target and header lines, parted by `|`.
    fn check(route: &str, head: &str, trusted: bool, expected: Verdict) {
        let mut request = Request::default();
        let (target, lines) = head.split_once('|').unwrap_or((head, ""));
        let lines = lines.replace('|', "\r\n");
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n");
        parse::request(text.replace("\r\n\r\n\r\n", "\r\n\r\n").as_bytes(), &mut request).unwrap();
        let query = target.split_once('?').map_or("", |(_, query)| query).as_bytes();
        let asked = Asked { method: b"GET", query, fields: &request.fields, trusted };
        assert_eq!(judge(&conditions(route), &asked), expected, "{route}: {head}");
    }

    #[track_caller]
    fn check_all(rows: &[(&str, &str, Verdict)]) {
        rows.iter().for_each(|(route, head, expected)| check(route, head, false, *expected));
    }

    use Verdict::{Ambiguous, Met, Unmet};

    #[test]
    fn methods_and_several_conditions() {
        check_all(&[
            ("", "/", Met),
            ("methods = [\"GET\", \"PUT\"]", "/", Met),
            ("methods = \"HEAD\"", "/", Unmet),
            ("methods = \"GET\"\nheaders = { a = \"1\" }", "/|A: 1", Met),
            ("methods = \"GET\"\nheaders = { a = \"1\" }", "/|A: 2", Unmet),
            ("headers = { a = true, b = true }", "/|A: 2", Unmet),
            ("headers = { a = \"1\" }\nquery = { b = \"2\" }", "/?b=2|A: 1|A: 3", Ambiguous),
            ("headers = { a = \"1\" }\nquery = { b = \"2\" }", "/?b=3|A: 1|A: 3", Unmet),
        ]);
    }

    #[test]
    fn headers() {
        check_all(&[
            ("headers = { X-A = \"b\" }", "/|x-a: b", Met),
            ("headers = { X-A = \"b\" }", "/|x-a: B", Unmet),
            ("headers = { X-A = \"b\" }", "/|x-a: b|X-A: b", Met),
            ("headers = { X-A = \"b\" }", "/|x-a: c|X-A: d", Unmet),
            ("headers = { X-A = \"b\" }", "/|x-a: c|X-A: b", Ambiguous),
            ("headers = { X-A = \"b\" }", "/|x-a: b, b", Unmet),
            ("headers = { X-A = \"\" }", "/|x-a:", Met),
            ("headers = { X-A = true }", "/|x-a:", Met),
            ("headers = { X-A = true }", "/|x-b: 1", Unmet),
            ("headers = { X-A = false }", "/|x-b: 1", Met),
            ("headers = { X-A = false }", "/|x-a: 1|x-a: 2", Unmet),
        ]);
    }

    #[test]
    fn forwarding_fields_count_from_trusted_proxies_alone() {
        let route = "headers = { X-Forwarded-Proto = \"https\" }";
        check(route, "/|X-Forwarded-Proto: https", true, Met);
        check(route, "/|X-Forwarded-Proto: https", false, Unmet);
    }

    #[test]
    fn query() {
        check_all(&[
            ("query = { \"a b\" = \"c d\" }", "/?x&a+b=c%20d", Met),
            ("query = { a = \"1\" }", "/?A=1", Unmet),
            ("query = { a = \"1\" }", "/", Unmet),
            ("query = { a = \"\" }", "/?a", Met),
            ("query = { a = true }", "/?%61=x", Met),
            ("query = { a = false }", "/?b=a", Met),
            ("query = { a = false }", "/?a", Unmet),
            ("query = { a = \"1\" }", "/?a=1&a=2", Ambiguous),
            ("query = { a = \"1\" }", "/?a=1&a=%31", Met),
        ]);
    }

    #[test]
    fn cookies() {
        check_all(&[
            ("cookies = { c = \"1\" }", "/|Cookie: a=2; c=1", Met),
            ("cookies = { c = \"1\" }", "/|Cookie: a=2|Cookie: c=1", Met),
            ("cookies = { c = \"1\" }", "/|Cookie: C=1", Unmet),
            ("cookies = { c = \"1\" }", "/|Cookie: c=1; c=2", Unmet),
            ("cookies = { c = true }", "/|Cookie: c=1; c=2", Met),
            ("cookies = { c = false }", "/|Cookie: cc=1", Met),
            ("cookies = { c = \"\\\"1\\\"\" }", "/|Cookie: c=\"1\"", Met),
        ]);
    }
}
