//! What of a head is passed on, and what we set in it (RFC 9110, section 7.6; RFC 7239). Pure.

use std::net::IpAddr;

use crate::{
    http::{digits, h1::body::Framing, header_rules::Changes, target::Target},
    message::{
        authority,
        field::{Name, list_members},
        head::{Fields, Line, Request, Response},
    },
    net::tls::ClientCertificate,
    observe::dates::Stamp,
};

/// Who sent a request, and through which door.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub address: IpAddr,
    /// A trusted proxy: its word on whom it forwards for is kept.
    pub trusted: bool,
    pub tls: bool,
    /// Of the listener.
    pub port: u16,
}

/// What a client showed of who it is, where it was asked.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    NotAsked,
    Nothing,
    Verified(&'a ClientCertificate),
}

/// What a backend is told that the client did not say.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    pub target: &'a Target<'a>,
    /// The value of Host.
    pub host: &'a [u8],
    pub framing: Framing,
    /// The backend speaks HTTP/2, where TE may say that trailers are taken, and nothing else.
    pub takes_trailers: bool,
    /// The protocols that the request asks to go on with.
    pub upgrade: Option<&'a [u8]>,
    pub expects_continue: bool,
    pub sender: Sender,
    pub certificate: Shown<'a>,
    pub request_id: &'a str,
    /// What the route changes.
    pub changes: Option<Changes<'a>>,
}

/// Writes the head of a request to a backend.
pub fn write_request(out: &mut Vec<u8>, request: &Request, outbound: &Outbound<'_>) {
    out.extend_from_slice(request.method_bytes());
    out.push(b' ');
    outbound.target.forwarded.write(out);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(outbound.host);
    out.extend_from_slice(b"\r\n");
    let named = NamedByConnection::of(&request.fields);
    request.fields.copy_kept(out, |line| {
        let dropped = match line.known {
            // CGI programs take Proxy for the setting of that name (httpoxy).
            Name::Host | Name::ContentLength | Name::Disguised | Name::Proxy => true,
            Name::ClientCertificate => true,
            Name::Expect => !outbound.expects_continue,
            known if known.is_forwarding() => !is_kept_as_is(known, outbound.sender.trusted),
            known => known.is_hop_by_hop(),
        };
        !dropped
            && !named.has(&request.fields, line)
            && !outbound.changes.is_some_and(|it| it.drops(&request.fields, line))
    });
    if let Some(changes) = &outbound.changes {
        changes.write(out);
    }
    write_framing(out, outbound.framing);
    if outbound.takes_trailers && takes_trailers(&request.fields) {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    if let Some(protocols) = outbound.upgrade {
        copied(out, "Connection", b"upgrade");
        copied(out, "Upgrade", protocols);
    }
    write_forwarding(out, &request.fields, outbound);
    write_shown(out, outbound.certificate);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110, section 10.1.4.
fn takes_trailers(fields: &Fields) -> bool {
    let mut members = fields.all(Name::Te).flat_map(list_members);
    members.any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Fields of a trusted proxy that pass untouched; the rest we write anew, with what was kept.
fn is_kept_as_is(known: Name, trusted: bool) -> bool {
    trusted && known == Name::XRealIp
}

fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => numbered(out, "Content-Length", length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::UntilClose => {}
    }
}

fn write_forwarding(out: &mut Vec<u8>, fields: &Fields, outbound: &Outbound<'_>) {
    let Sender { address, trusted, tls, port } = outbound.sender;
    // A proxy adds its own line behind those that came: it is trusted, and they may be the client's.
    let kept = |name: Name| fields.last(name).filter(|value| trusted && !value.is_empty());
    let proto = if tls { "https" } else { "http" };

    out.extend_from_slice(b"X-Forwarded-For: ");
    write_kept_list(out, fields, Name::XForwardedFor, trusted);
    digits::address(out, address);
    out.extend_from_slice(b"\r\n");
    match kept(Name::XForwardedProto) {
        Some(value) => copied(out, "X-Forwarded-Proto", value),
        None => copied(out, "X-Forwarded-Proto", proto.as_bytes()),
    }
    let host = outbound.target.authority;
    match kept(Name::XForwardedHost) {
        Some(value) => copied(out, "X-Forwarded-Host", value),
        None if host.is_empty() => {}
        None => copied(out, "X-Forwarded-Host", host),
    }
    match kept(Name::XForwardedPort) {
        Some(value) => copied(out, "X-Forwarded-Port", value),
        None => numbered(out, "X-Forwarded-Port", port.into()),
    }
    out.extend_from_slice(b"Forwarded: ");
    write_kept_list(out, fields, Name::Forwarded, trusted);
    write_forwarded_element(out, address, host, proto);
    copied(out, "X-Request-Id", outbound.request_id.as_bytes());
}

/// Both values are visible ASCII.
fn write_shown(out: &mut Vec<u8>, shown: Shown<'_>) {
    match shown {
        Shown::NotAsked => {}
        Shown::Nothing => copied(out, "X-Client-Cert-Verify", b"none"),
        Shown::Verified(certificate) => {
            copied(out, "X-Client-Cert-Verify", b"verified");
            copied(out, "X-Client-Cert-Subject", certificate.subject.as_bytes());
            copied(out, "X-Client-Cert-Fingerprint", certificate.fingerprint.as_bytes());
        }
    }
}

/// What a trusted proxy said in a list, for us to add to.
fn write_kept_list(out: &mut Vec<u8>, fields: &Fields, name: Name, trusted: bool) {
    for value in fields.all(name).filter(|value| trusted && !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}

/// RFC 7239, section 4. A value with a colon or a bracket is quoted.
fn write_forwarded_element(out: &mut Vec<u8>, address: IpAddr, host: &[u8], proto: &str) {
    match address {
        IpAddr::V4(_) => {
            out.extend_from_slice(b"for=");
            digits::address(out, address);
        }
        IpAddr::V6(_) => {
            out.extend_from_slice(b"for=\"[");
            digits::address(out, address);
            out.extend_from_slice(b"]\"");
        }
    }
    if !host.is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(proto.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// How an answer goes to the client.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// How the body is framed on the client's side.
    pub framing: Framing,
    pub connection: Connection,
    /// The value of Strict-Transport-Security.
    pub hsts: Option<&'a str>,
    /// The value of Date, for an answer that has none yet (RFC 9110, section 6.6.1).
    pub date: Option<Stamp<29>>,
    /// What the route changes.
    pub changes: Option<Changes<'a>>,
    /// The value of one more Set-Cookie.
    pub set_cookie: Option<&'a str>,
}

impl Inbound<'_> {
    /// A head on which nothing follows, and to which nothing is added.
    pub fn bare() -> Self {
        Inbound {
            framing: Framing::Empty,
            connection: Connection::Open,
            hsts: None,
            date: None,
            changes: None,
            set_cookie: None,
        }
    }
}

/// What the client is told of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// HTTP/1.1: it stays open, which goes without saying.
    Open,
    /// HTTP/1.0: it stays open, which has to be said.
    KeepAlive,
    Close,
}

/// Writes the head of a backend's answer to a client.
pub fn write_response(out: &mut Vec<u8>, response: &Response, inbound: &Inbound<'_>) {
    write_changed(out, response, inbound, |_| true, |_, _| {});
}

/// The same without the lines that are not to be kept, and with more of them; `more` is told which of
/// those that came would have been passed on.
pub fn write_changed(
    out: &mut Vec<u8>,
    response: &Response,
    inbound: &Inbound<'_>,
    keeps: impl Fn(&Line) -> bool,
    more: impl FnOnce(&mut Vec<u8>, &dyn Fn(&Line) -> bool),
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    digits::number(out, response.status.into());
    out.push(b' ');
    out.extend_from_slice(response.fields.bytes(response.reason).trim_ascii_start());
    out.extend_from_slice(b"\r\n");
    let named = NamedByConnection::of(&response.fields);
    // Where there may be no body, a length says what a GET would have brought (RFC 9110, section
    // 8.6); with 1xx and 204 it may not stand at all.
    let no_length =
        matches!(response.status, 100..=199 | 204) || inbound.framing == Framing::Chunked;
    let is_kept = |line: &Line| {
        let dropped = match line.known {
            Name::ContentLength => no_length,
            Name::StrictTransportSecurity => inbound.hsts.is_some(),
            known => known.is_hop_by_hop(),
        };
        !dropped
            && !named.has(&response.fields, line)
            && !inbound.changes.is_some_and(|it| it.drops(&response.fields, line))
    };
    response.fields.copy_kept(out, |line| is_kept(line) && keeps(line));
    if let Some(changes) = &inbound.changes {
        changes.write(out);
    }
    more(out, &is_kept);
    if inbound.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    end_response(out, inbound);
}

/// Writes what ends every head that goes to a client, our own answers' included.
pub fn end_response(out: &mut Vec<u8>, inbound: &Inbound<'_>) {
    if let Some(date) = &inbound.date {
        copied(out, "Date", date.as_bytes());
    }
    if let Some(cookie) = inbound.set_cookie {
        copied(out, "Set-Cookie", cookie.as_bytes());
    }
    if let Some(hsts) = inbound.hsts {
        copied(out, "Strict-Transport-Security", hsts.as_bytes());
    }
    match inbound.connection {
        Connection::Open => {}
        Connection::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields that Connection names, which go no further.
struct NamedByConnection {
    /// Whether it names more than `close` and `keep-alive`: nearly never.
    any: bool,
}

impl NamedByConnection {
    fn of(fields: &Fields) -> NamedByConnection {
        let mut members = fields.all(Name::Connection).flat_map(list_members);
        let usual = |member: &[u8]| {
            member.eq_ignore_ascii_case(b"close") || member.eq_ignore_ascii_case(b"keep-alive")
        };
        NamedByConnection { any: members.any(|member| !usual(member)) }
    }

    fn has(&self, fields: &Fields, line: &Line) -> bool {
        // What frames a message is never taken away by a name in a list.
        if !self.any || line.known == Name::ContentLength {
            return false;
        }
        let name = fields.bytes(line.name);
        let mut members = fields.all(Name::Connection).flat_map(list_members);
        members.any(|member| member.eq_ignore_ascii_case(name))
    }
}

/// Where a redirect to HTTPS leads: the same host and target, on `port`.
pub fn https_location(target: &Target<'_>, port: u16) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(authority::without_port(target.authority));
    if port != 443 {
        location.push(b':');
        digits::number(&mut location, port.into());
    }
    match target.path {
        "*" => location.push(b'/'),
        _ => target.forwarded.write(&mut location),
    }
    location
}

fn numbered(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    digits::number(out, value);
    out.extend_from_slice(b"\r\n");
}

fn copied(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{h1::parse, target};

    const SENDER: Sender = Sender {
        address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        trusted: false,
        tls: true,
        port: 443,
    };

    /// The header lines that a backend gets, but for those that we always set.
    fn sent(head: &str, sender: Sender) -> String {
        let mut request = Request::default();
        parse::request(format!("{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes(), &mut request)
            .unwrap();
        let target = target::read(&request).unwrap();
        let outbound = Outbound {
            target: &target,
            host: target.authority,
            framing: Framing::Empty,
            takes_trailers: false,
            upgrade: None,
            expects_continue: false,
            sender,
            certificate: Shown::NotAsked,
            request_id: "id",
            changes: None,
        };
        let mut out = Vec::new();
        write_request(&mut out, &request, &outbound);
        String::from_utf8(out).unwrap().trim_end().replace("\r\n", "|")
    }

    const SET: &str = "X-Forwarded-For: 192.0.2.7|X-Forwarded-Proto: https|X-Forwarded-Host: x|\
                       X-Forwarded-Port: 443|Forwarded: for=192.0.2.7;host=\"x\";proto=https|\
                       X-Request-Id: id";

    #[test]
    fn fields_of_one_hop_stay_here() {
        let head = "GET /?a HTTP/1.1|Host: x|Connection: close, My-Own|My-Own: 1|Keep-Alive: 5|\
                    A: b|TE: trailers|Proxy: evil|Upgrade: h2c|Proxy-Authorization: c|Expect: 100-continue|D: e";
        assert_eq!(sent(head, SENDER), format!("GET /?a HTTP/1.1|Host: x|A: b|D: e|{SET}"));
    }

    #[test]
    fn forwarding_fields_of_strangers_go() {
        let head = "GET / HTTP/1.1|Host: x|X-Forwarded-For: 1.1.1.1|Forwarded: for=1.1.1.1|\
                    X-Real-IP: 1.1.1.1|X_Forwarded_For: 1.1.1.1|X-Request-Id: z";
        assert_eq!(sent(head, SENDER), format!("GET / HTTP/1.1|Host: x|{SET}"));
    }

    #[test]
    fn a_trusted_proxy_is_added_to() {
        let head = "GET / HTTP/1.1|Host: x|X-Forwarded-For: 1.1.1.1|X-Forwarded-For: 2.2.2.2|\
                    X-Forwarded-Proto: http|X-Forwarded-Host: y|X-Forwarded-Port: 80|Forwarded: for=1.1.1.1";
        let trusted = Sender { trusted: true, ..SENDER };
        assert_eq!(
            sent(head, trusted),
            "GET / HTTP/1.1|Host: x|X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7|\
             X-Forwarded-Proto: http|X-Forwarded-Host: y|X-Forwarded-Port: 80|\
             Forwarded: for=1.1.1.1, for=192.0.2.7;host=\"x\";proto=https|X-Request-Id: id"
        );
    }

    #[test]
    fn the_last_line_is_the_trusted_proxys_own() {
        for (lines, expected) in [
            ("X-Forwarded-Proto: https|X-Forwarded-Proto: http", "X-Forwarded-Proto: http|"),
            ("X-Forwarded-Host: evil|X-Forwarded-Host: y", "X-Forwarded-Host: y|"),
            ("X-Forwarded-Port: 1|X-Forwarded-Port: 80", "X-Forwarded-Port: 80|"),
        ] {
            let head = format!("GET / HTTP/1.1|Host: x|{lines}");
            let seen = sent(&head, Sender { trusted: true, ..SENDER });
            assert!(seen.contains(expected), "{seen}");
        }
    }

    #[test]
    fn nobody_says_but_we_whom_we_have_verified() {
        let head = "GET / HTTP/1.1|Host: x|X-Client-Cert-Verify: verified|Client-Cert: :x:|\
                    x-client-cert-subject: CN=a|X_Client_Cert_Verify: verified|Client-Cert-Chain: :x:|\
                    X-Client-Cert-Fingerprint: 00|client_cert: :x:";
        for trusted in [false, true] {
            assert_eq!(
                sent(head, Sender { trusted, ..SENDER }),
                format!("GET / HTTP/1.1|Host: x|{SET}")
            );
        }
        let shown = |shown| {
            let mut out = Vec::new();
            write_shown(&mut out, shown);
            String::from_utf8(out).unwrap().replace("\r\n", "|")
        };
        let certificate =
            ClientCertificate { subject: r"CN=a\0D\0A".to_owned(), fingerprint: "ab".to_owned() };
        assert_eq!(shown(Shown::Nothing), "X-Client-Cert-Verify: none|");
        assert_eq!(
            shown(Shown::Verified(&certificate)),
            r"X-Client-Cert-Verify: verified|X-Client-Cert-Subject: CN=a\0D\0A|X-Client-Cert-Fingerprint: ab|"
        );
    }

    fn answered(head: &str, inbound: Inbound<'_>) -> String {
        let mut response = Response::default();
        parse::response(format!("{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes(), &mut response)
            .unwrap();
        let mut out = Vec::new();
        write_response(&mut out, &response, &inbound);
        String::from_utf8(out).unwrap().trim_end().replace("\r\n", "|")
    }

    #[test]
    fn an_answer_keeps_its_fields_but_those_of_the_hop() {
        let inbound = Inbound {
            framing: Framing::Length(3),
            connection: Connection::Open,
            hsts: None,
            date: None,
            changes: None,
            set_cookie: None,
        };
        let head = "HTTP/1.1 200 OK|Server: s|Content-Length: 3|Connection: keep-alive, x|X: y|Keep-Alive: 5";
        assert_eq!(answered(head, inbound), "HTTP/1.1 200 OK|Server: s|Content-Length: 3");
        let inbound = Inbound {
            framing: Framing::Chunked,
            connection: Connection::Close,
            hsts: Some("max-age=1"),
            date: None,
            changes: None,
            set_cookie: None,
        };
        let head = "HTTP/1.0 200|Strict-Transport-Security: none";
        assert_eq!(
            answered(head, inbound),
            "HTTP/1.1 200 |Transfer-Encoding: chunked|Strict-Transport-Security: max-age=1|Connection: close"
        );
    }

    #[test]
    fn a_length_stands_where_it_may() {
        let inbound = Inbound {
            framing: Framing::Empty,
            connection: Connection::Open,
            hsts: None,
            date: None,
            changes: None,
            set_cookie: None,
        };
        assert_eq!(
            answered("HTTP/1.1 304 N|Content-Length: 3", inbound),
            "HTTP/1.1 304 N|Content-Length: 3"
        );
        assert_eq!(answered("HTTP/1.1 204 N|Content-Length: 0", inbound), "HTTP/1.1 204 N");
    }
}
