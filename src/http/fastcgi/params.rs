//! What a script is told of its request (RFC 3875, section 4.1), under the names that nginx gives it.
//! Pure.

use std::net::SocketAddr;

use crate::{
    http::{
        digits,
        refusal::{self, Refusal},
    },
    message::lent::Lent,
};

use super::{
    record::{self, HEADER, Kind, MOST_CONTENT},
    script::Script,
};

const SOFTWARE: &str = concat!("equipoise/", env!("CARGO_PKG_VERSION"));

/// What is told besides the head of the request.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub script: &'a Script,
    /// What the route takes from the front of the path: the script's name for clients has it (RFC 3875,
    /// section 4.1.13).
    pub removed: &'a [u8],
    pub root: &'a [u8],
    /// As the client wrote it, with its query.
    pub uri: &'a [u8],
    /// Of the client's request.
    pub protocol: &'a str,
    pub tls: bool,
    pub remote: SocketAddr,
    /// Where the client connected to, as far as that is known.
    pub server: Option<SocketAddr>,
    /// The listener's.
    pub port: u16,
    /// The host that was asked for, without its port; may be empty.
    pub host: &'a [u8],
    /// Of the configuration: in place of what is set here, or beside it.
    pub own: &'a [(String, String)],
}

/// Writes the parameters of a request whose head HTTP/1 would write so, and their end.
pub fn write(out: &mut Lent<u8>, head: &[u8], told: &Told<'_>) -> Result<(), Refusal> {
    let mut lines = lines(head);
    let first = lines.next().unwrap_or_default();
    let lines: Vec<(&[u8], &[u8])> = lines.filter_map(parted).collect();
    let value = |name: &[u8]| {
        let found = lines.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map_or(&b""[..], |(_, value)| value)
    };
    let mut params = Params::new(out, told.own);
    let script = told.script;
    params.set("SCRIPT_FILENAME", &[told.root, &script.name])?;
    params.set("SCRIPT_NAME", &[told.removed, &script.name])?;
    params.set("PATH_INFO", &[&script.info])?;
    params.set("DOCUMENT_URI", &[told.removed, &script.name, &script.info])?;
    params.set("DOCUMENT_ROOT", &[told.root])?;
    params.set("REQUEST_METHOD", &[method(first)])?;
    params.set("REQUEST_URI", &[told.uri])?;
    params.set("QUERY_STRING", &[query(first)])?;
    params.set("CONTENT_TYPE", &[value(b"content-type")])?;
    params.set("CONTENT_LENGTH", &[value(b"content-length")])?;
    connection(&mut params, told)?;
    for (place, (name, _)) in lines.iter().enumerate() {
        params.field(name, &lines, place)?;
    }
    for (name, value) in told.own {
        params.add(name.as_bytes(), &[value.as_bytes()])?;
    }
    params.end();
    Ok(())
}

fn connection(params: &mut Params<'_>, told: &Told<'_>) -> Result<(), Refusal> {
    let mut text = Vec::new();
    params.set("GATEWAY_INTERFACE", &[b"CGI/1.1"])?;
    params.set("SERVER_SOFTWARE", &[SOFTWARE.as_bytes()])?;
    params.set("SERVER_PROTOCOL", &[told.protocol.as_bytes()])?;
    params.set("REQUEST_SCHEME", &[if told.tls { b"https" } else { b"http" }])?;
    if told.tls {
        params.set("HTTPS", &[b"on"])?;
    }
    digits::address(&mut text, told.remote.ip().to_canonical());
    params.set("REMOTE_ADDR", &[&text])?;
    number(&mut text, told.remote.port());
    params.set("REMOTE_PORT", &[&text])?;
    text.clear();
    if let Some(server) = told.server {
        digits::address(&mut text, server.ip().to_canonical());
    }
    params.set("SERVER_ADDR", &[&text])?;
    params.set("SERVER_NAME", &[if told.host.is_empty() { &text } else { told.host }])?;
    number(&mut text, told.port);
    params.set("SERVER_PORT", &[&text])?;
    // Else PHP may refuse to run what no redirect led to (cgi.force_redirect).
    params.set("REDIRECT_STATUS", &[b"200"])
}

fn number(text: &mut Vec<u8>, number: u16) {
    text.clear();
    digits::number(text, number.into());
}

/// Without their ends, the first line included.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|&byte| byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn parted(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn method(first: &[u8]) -> &[u8] {
    first.split(|&byte| byte == b' ').next().unwrap_or_default()
}

/// Behind the first question mark, which no path holds.
fn query(first: &[u8]) -> &[u8] {
    let target = first.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    memchr::memchr(b'?', target).map_or(b"", |at| &target[at + 1..])
}

/// Parameters on their way into records. No pair lies across two of them: php-fpm reads each record
/// for itself.
struct Params<'a> {
    out: &'a mut Lent<u8>,
    /// Where the record begins that is being filled.
    start: usize,
    own: &'a [(String, String)],
}

impl<'a> Params<'a> {
    fn new(out: &'a mut Lent<u8>, own: &'a [(String, String)]) -> Params<'a> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        Params { out, start, own }
    }

    /// Unless the configuration says something else.
    fn set(&mut self, name: &str, value: &[&[u8]]) -> Result<(), Refusal> {
        if self.own.iter().any(|(own, _)| own == name) {
            return Ok(());
        }
        self.add(name.as_bytes(), value)
    }

    fn add(&mut self, name: &[u8], value: &[&[u8]]) -> Result<(), Refusal> {
        let length = value.iter().map(|part| part.len()).sum();
        self.make_room(name.len(), length)?;
        self.out.extend_from_slice(name);
        for part in value {
            self.out.extend_from_slice(part);
        }
        Ok(())
    }

    /// A header, with all that came under its name as one value.
    fn field(
        &mut self,
        name: &[u8],
        lines: &[(&[u8], &[u8])],
        place: usize,
    ) -> Result<(), Refusal> {
        let same = |(other, _): &&(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
        let told_apart = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let told_already =
            [&b"content-type"[..], b"content-length", b"transfer-encoding", b"proxy"]
                .iter()
                .any(|told| name.eq_ignore_ascii_case(told));
        // `A_B` and `A-B` would be one: what has no name of its own is not passed on.
        if !told_apart || told_already || lines[..place].iter().any(|line| same(&line)) {
            return Ok(());
        }
        let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
        let values = || lines[place..].iter().filter(same).map(|(_, value)| *value);
        let length = values().map(|value| value.len() + separator.len()).sum::<usize>();
        let length = length - separator.len();
        self.make_room("HTTP_".len() + name.len(), length)?;
        self.out.extend_from_slice(b"HTTP_");
        let spelled = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
        self.out.extend(name.iter().map(spelled));
        for (number, value) in values().enumerate() {
            if number > 0 {
                self.out.extend_from_slice(separator);
            }
            self.out.extend_from_slice(value);
        }
        Ok(())
    }

    /// Writes the lengths of a pair, in a new record where it does not fit into this one.
    fn make_room(&mut self, name: usize, value: usize) -> Result<(), Refusal> {
        let whole = length_bytes(name) + length_bytes(value) + name + value;
        if whole > MOST_CONTENT {
            return Err(refusal::PARAMETER_TOO_LONG);
        }
        if self.content() + whole > MOST_CONTENT {
            self.close();
            self.start = self.out.len();
            self.out.extend_from_slice(&[0; HEADER]);
        }
        push_length(self.out, name);
        push_length(self.out, value);
        Ok(())
    }

    fn content(&self) -> usize {
        self.out.len() - self.start - HEADER
    }

    fn close(&mut self) {
        let header = record::header(Kind::Params, self.content());
        self.out[self.start..self.start + HEADER].copy_from_slice(&header);
    }

    fn end(mut self) {
        self.close();
        self.out.extend_from_slice(&record::header(Kind::Params, 0));
    }
}

fn length_bytes(length: usize) -> usize {
    if length < 0x80 { 1 } else { 4 }
}

/// Section 3.4: four bytes where one does not do.
fn push_length(out: &mut Vec<u8>, length: usize) {
    let long = u32::try_from(length).expect("it fits in a record") | 0x8000_0000;
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => out.extend_from_slice(&long.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        Script { name: b"/a/x.php".to_vec(), info: b"/in fo".to_vec() }
    }

    fn told<'a>(script: &'a Script, own: &'a [(String, String)]) -> Told<'a> {
        Told {
            script,
            removed: b"",
            root: b"/srv",
            uri: b"/a/x.php/in%20fo?q=1",
            protocol: "HTTP/1.1",
            tls: true,
            remote: "192.0.2.7:5000".parse().unwrap(),
            server: "[::ffff:192.0.2.1]:443".parse().ok(),
            port: 443,
            host: b"www.example.com",
            own,
        }
    }

    /// The pairs of each record, read as php-fpm does: each record for itself.
    fn read(bytes: &[u8]) -> Vec<Vec<(String, String)>> {
        let mut records = Vec::new();
        let mut rest = bytes;
        while let [1, 4, 0, 1, high, low, 0, 0, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (mut content, next) = after.split_at(length);
            rest = next;
            let mut pairs = Vec::new();
            while !content.is_empty() {
                let name = length_of(&mut content);
                let value = length_of(&mut content);
                let (name, after) = content.split_at(name);
                let (value, after) = after.split_at(value);
                content = after;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                pairs.push((text(name), text(value)));
            }
            records.push(pairs);
        }
        assert!(rest.is_empty());
        assert_eq!(records.pop(), Some(vec![]), "an empty record ends them");
        records
    }

    fn length_of(content: &mut &[u8]) -> usize {
        match *content {
            [short @ ..0x80, rest @ ..] => {
                *content = rest;
                (*short).into()
            }
            [a, b, c, d, rest @ ..] => {
                *content = rest;
                u32::from_be_bytes([*a & 0x7f, *b, *c, *d]) as usize
            }
            _ => panic!("no length"),
        }
    }

    fn pairs(head: &str, own: &[(String, String)]) -> Vec<(String, String)> {
        let mut out = Lent::default();
        let script = script();
        let head = format!("{}\r\n\r\n", head.replace('|', "\r\n"));
        write(&mut out, head.as_bytes(), &told(&script, own)).unwrap();
        let names: Vec<_> = read(&out).concat();
        for (place, (name, _)) in names.iter().enumerate() {
            assert!(names[..place].iter().all(|(other, _)| other != name), "{name} twice");
        }
        names
    }

    fn value(pairs: &[(String, String)], name: &str) -> Option<String> {
        pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn what_nginx_sets() {
        let head = "POST /a/x.php/in%20fo?q=1 HTTP/1.1|Host: h|Content-Type: t/u|Content-Length: 5";
        let found: Vec<String> =
            pairs(head, &[]).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let version = format!("SERVER_SOFTWARE={SOFTWARE}");
        let expected = [
            "SCRIPT_FILENAME=/srv/a/x.php",
            "SCRIPT_NAME=/a/x.php",
            "PATH_INFO=/in fo",
            "DOCUMENT_URI=/a/x.php/in fo",
            "DOCUMENT_ROOT=/srv",
            "REQUEST_METHOD=POST",
            "REQUEST_URI=/a/x.php/in%20fo?q=1",
            "QUERY_STRING=q=1",
            "CONTENT_TYPE=t/u",
            "CONTENT_LENGTH=5",
            "GATEWAY_INTERFACE=CGI/1.1",
            &version,
            "SERVER_PROTOCOL=HTTP/1.1",
            "REQUEST_SCHEME=https",
            "HTTPS=on",
            "REMOTE_ADDR=192.0.2.7",
            "REMOTE_PORT=5000",
            "SERVER_ADDR=192.0.2.1",
            "SERVER_NAME=www.example.com",
            "SERVER_PORT=443",
            "REDIRECT_STATUS=200",
            "HTTP_HOST=h",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn headers_have_names_of_their_own() {
        let head = "GET / HTTP/1.1|X-A: 1|x-b: 2|X_A: evil|x-a: 3|Proxy: evil|Cookie: a=b|X.A: evil|\
                    Cookie: c=d|Empty:|Transfer-Encoding: chunked";
        let pairs = pairs(head, &[]);
        let http = pairs.iter().filter(|(name, _)| name.starts_with("HTTP_"));
        let http: Vec<String> = http.map(|(name, value)| format!("{name}={value}")).collect();
        let expected = ["HTTP_X_A=1, 3", "HTTP_X_B=2", "HTTP_COOKIE=a=b; c=d", "HTTP_EMPTY="];
        assert_eq!(http, expected);
        assert_eq!(value(&pairs, "CONTENT_LENGTH").as_deref(), Some(""));
        assert_eq!(value(&pairs, "QUERY_STRING").as_deref(), Some(""));
    }

    #[test]
    fn the_configuration_has_the_last_word() {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let own = [own("SERVER_NAME", "own"), own("APP_ENV", "prod")];
        let pairs = pairs("GET / HTTP/1.1", &own);
        assert_eq!(value(&pairs, "SERVER_NAME").as_deref(), Some("own"));
        assert_eq!(value(&pairs, "APP_ENV").as_deref(), Some("prod"));
    }

    #[test]
    fn no_pair_lies_across_two_records() {
        let mut head = "GET / HTTP/1.1\r\n".to_owned();
        for number in 0..40 {
            head += &format!("X-{number}: {}\r\n", "y".repeat(number * 150));
        }
        let (script, mut out) = (script(), Lent::default());
        write(&mut out, head.as_bytes(), &told(&script, &[])).unwrap();
        let records = read(&out);
        assert_eq!(records.len(), 2);
        assert_eq!(records.concat().len(), 22 - 1 + 40);
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "y".repeat(MOST_CONTENT));
        let refused = write(&mut out, long.as_bytes(), &told(&script, &[]));
        assert_eq!(refused, Err(refusal::PARAMETER_TOO_LONG));
    }
}
