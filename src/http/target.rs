//! What a request is for: its host, its path, and what of its target is forwarded (RFC 9112,
//! sections 3.2 and 3.3). Pure.

use crate::{
    http::refusal::{self, Refusal},
    message::{
        authority,
        field::Name,
        head::{Request, Version},
        method::Method,
    },
};

/// A request's target, read strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Empty where an HTTP/1.0 request names none.
    pub authority: &'a [u8],
    /// Without the query.
    pub path: &'a str,
    /// In origin or asterisk form, as it is forwarded.
    pub forwarded: Forwarded<'a>,
}

/// The target's bytes, as they came but for what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded<'a> {
    AsItCame(&'a [u8]),
    /// What a route made of the path, and the query as it came.
    Rewritten {
        prefix: &'a str,
        left: &'a str,
        query: &'a [u8],
    },
    /// An absolute form without a path: the slash that it lacks, then its query.
    Root {
        query: &'a [u8],
    },
}

impl<'a> Target<'a> {
    /// With its `?`; empty where there is none.
    pub fn query(&self) -> &'a [u8] {
        match self.forwarded {
            Forwarded::AsItCame(target) => &target[self.path.len()..],
            Forwarded::Rewritten { query, .. } | Forwarded::Root { query } => query,
        }
    }
}

impl Forwarded<'_> {
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Forwarded::AsItCame(target) => out.extend_from_slice(target),
            Forwarded::Rewritten { prefix, left, query } => {
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(left.as_bytes());
                out.extend_from_slice(query);
            }
            Forwarded::Root { query } => {
                out.push(b'/');
                out.extend_from_slice(query);
            }
        }
    }
}

/// Reads the target and holds it against Host.
pub fn read(request: &Request) -> Result<Target<'_>, Refusal> {
    if request.method == Method::Connect {
        return Err(refusal::CONNECT);
    }
    let host = host(request)?;
    let target = request.target_bytes();
    match target {
        b"*" if request.method == Method::Options => Ok(asterisk(host.unwrap_or_default())),
        b"*" => Err(refusal::ASTERISK),
        [b'/', ..] => origin(host.unwrap_or_default(), target),
        _ => absolute(request.method, target, host),
    }
}

fn asterisk(authority: &[u8]) -> Target<'_> {
    Target { authority, path: "*", forwarded: Forwarded::AsItCame(b"*") }
}

fn host(request: &Request) -> Result<Option<&[u8]>, Refusal> {
    let mut values = request.fields.all(Name::Host);
    let host = values.next();
    if values.next().is_some() {
        return Err(refusal::SEVERAL_HOSTS);
    }
    match host {
        Some(host) if authority::is_valid(host) => Ok(Some(host)),
        Some(_) => Err(refusal::BAD_HOST),
        None if request.version == Version::Http10 => Ok(None),
        None => Err(refusal::NO_HOST),
    }
}

fn origin<'a>(authority: &'a [u8], target: &'a [u8]) -> Result<Target<'a>, Refusal> {
    let path = path_of(target)?;
    Ok(Target { authority, path, forwarded: Forwarded::AsItCame(target) })
}

fn path_of(target: &[u8]) -> Result<&str, Refusal> {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    std::str::from_utf8(&target[..end]).map_err(|_| refusal::BAD_TARGET)
}

fn absolute<'a>(
    method: Method,
    target: &'a [u8],
    host: Option<&'a [u8]>,
) -> Result<Target<'a>, Refusal> {
    let rest = without_scheme(target).ok_or(refusal::BAD_TARGET)?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !authority::is_valid(authority) {
        return Err(refusal::BAD_HOST);
    }
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err(refusal::HOST_DIFFERS);
    }
    if rest.is_empty() && method == Method::Options {
        // It asks for the server as a whole (RFC 9112, section 3.2.4).
        return Ok(asterisk(authority));
    }
    if rest.first() == Some(&b'/') {
        return origin(authority, rest);
    }
    Ok(Target { authority, path: "/", forwarded: Forwarded::Root { query: rest } })
}

/// Schemes are read in any case (RFC 3986, section 3.1).
fn without_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;

    fn check(head: &str, expected: Result<(&str, &str, &str), Refusal>) {
        let mut request = Request::default();
        let head = format!("{}\r\n\r\n", head.replace('|', "\r\n"));
        parse::request(head.as_bytes(), &mut request).unwrap();
        let found = read(&request).map(|target| {
            let mut forwarded = Vec::new();
            target.forwarded.write(&mut forwarded);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(target.authority), target.path.to_owned(), text(&forwarded))
        });
        let expected = expected.map(|(a, p, f)| (a.to_owned(), p.to_owned(), f.to_owned()));
        assert_eq!(found, expected, "{head:?}");
    }

    #[test]
    fn the_forms_of_a_target() {
        check("GET /a?b=/c HTTP/1.1|Host: x", Ok(("x", "/a", "/a?b=/c")));
        check("GET http://X/a?b HTTP/1.1|Host: x", Ok(("X", "/a", "/a?b")));
        check("GET HTTPS://x?b HTTP/1.1|Host: x", Ok(("x", "/", "/?b")));
        check("GET http://x HTTP/1.1|Host: x", Ok(("x", "/", "/")));
        check("GET http://x:80/ HTTP/1.0", Ok(("x:80", "/", "/")));
        check("OPTIONS * HTTP/1.1|Host: x", Ok(("x", "*", "*")));
        check("OPTIONS http://x HTTP/1.1|Host: x", Ok(("x", "*", "*")));
        check("OPTIONS http://x/ HTTP/1.1|Host: x", Ok(("x", "/", "/")));
        check("OPTIONS http://x?b HTTP/1.1|Host: x", Ok(("x", "/", "/?b")));
        check("GET / HTTP/1.0", Ok(("", "/", "/")));
    }

    #[test]
    fn queries() {
        for (target, query) in
            [("/a?b=/c?", "?b=/c?"), ("/a", ""), ("/a?", "?"), ("http://x?b", "?b"), ("*", "")]
        {
            let mut request = Request::default();
            let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            parse::request(head.as_bytes(), &mut request).unwrap();
            assert_eq!(read(&request).unwrap().query(), query.as_bytes(), "{target}");
        }
    }

    #[test]
    fn what_is_refused() {
        check("GET / HTTP/1.1", Err(refusal::NO_HOST));
        check("GET / HTTP/1.1|Host: x|Host: x", Err(refusal::SEVERAL_HOSTS));
        check("GET / HTTP/1.1|Host: x/y", Err(refusal::BAD_HOST));
        check("GET / HTTP/1.1|Host:", Err(refusal::BAD_HOST));
        check("GET http://y/ HTTP/1.1|Host: x", Err(refusal::HOST_DIFFERS));
        check("GET http://x:80/ HTTP/1.1|Host: x", Err(refusal::HOST_DIFFERS));
        check("GET http://u@x/ HTTP/1.1|Host: x", Err(refusal::BAD_HOST));
        check("GET http:///a HTTP/1.1|Host: x", Err(refusal::BAD_HOST));
        check("GET ftp://x/ HTTP/1.1|Host: x", Err(refusal::BAD_TARGET));
        check("GET a HTTP/1.1|Host: x", Err(refusal::BAD_TARGET));
        check("GET * HTTP/1.1|Host: x", Err(refusal::ASTERISK));
        check("CONNECT x:443 HTTP/1.1|Host: x:443", Err(refusal::CONNECT));
    }
}
