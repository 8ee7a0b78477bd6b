//! What the variables of a template stand for in one request. Pure.

use std::io::Write;

use crate::{
    config::{Piece, Template, Variable},
    http::{headers::Sender, target::Target},
    message::{authority, field::Name, head::Fields},
};

/// One request, as templates see it. Every value has been read strictly: none has a control
/// character or a space.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub sender: Sender,
    /// As the client wrote it, whatever a route made of it.
    pub target: Target<'a>,
    pub fields: &'a Fields,
    pub request_id: &'a str,
}

impl Values<'_> {
    /// Appends the template, filled in.
    pub fn fill(&self, template: &Template, out: &mut Vec<u8>) {
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => self.write(*variable, out),
            }
        }
    }

    /// The value of Location. What leads to a path of this host must not lead to another: `//x` and
    /// `/\x` are hosts to a browser, so that of several slashes in front one is left.
    pub fn location(&self, to: &Template) -> Vec<u8> {
        let mut location = Vec::new();
        self.fill(to, &mut location);
        let elsewhere = matches!(to.pieces(), [Piece::Text(text), ..] if text.starts_with("//"));
        let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
        if !elsewhere && location.first() == Some(&b'/') {
            let slashes = location.iter().take_while(|byte| is_slash(byte)).count();
            location.drain(1..slashes);
        }
        location
    }

    fn write(&self, variable: Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::Scheme => out.extend_from_slice(self.scheme().as_bytes()),
            Variable::Host => out.extend_from_slice(authority::without_port(self.target.authority)),
            Variable::Port => write(out, format_args!("{}", self.port())),
            Variable::Path if self.target.path == "*" => out.push(b'/'),
            Variable::Path => out.extend_from_slice(self.target.path.as_bytes()),
            Variable::Query => out.extend_from_slice(self.target.query()),
            Variable::RequestId => out.extend_from_slice(self.request_id.as_bytes()),
            Variable::Client => write(out, format_args!("{}", self.sender.address)),
        }
    }

    /// What the client spoke, to us or to the trusted proxy in front of us.
    fn scheme(&self) -> &'static str {
        match self.told(Name::XForwardedProto) {
            Some(b"https") => "https",
            Some(b"http") => "http",
            _ if self.sender.tls => "https",
            _ => "http",
        }
    }

    fn port(&self) -> u16 {
        let told = self.told(Name::XForwardedPort);
        let digits = told.filter(|value| value.iter().all(u8::is_ascii_digit));
        let port = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        port.unwrap_or(self.sender.port)
    }

    /// In its own line, which stands behind those that it was sent.
    fn told(&self, name: Name) -> Option<&[u8]> {
        self.fields.last(name).filter(|_| self.sender.trusted)
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::{http::h1::parse, http::target, message::head::Request};

    const STRANGER: Sender =
        Sender { address: IpAddr::V6(Ipv6Addr::LOCALHOST), trusted: false, tls: true, port: 8443 };

    /// `head` is a target and header lines, parted by `|`.
    fn with<T>(head: &str, sender: Sender, take: impl FnOnce(&Values<'_>) -> T) -> T {
        let (target, lines) = head.split_once('|').unwrap_or((head, "Accept: */*"));
        let lines = lines.replace('|', "\r\n");
        let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: x.org:81\r\n{lines}\r\n\r\n");
        let mut request = Request::default();
        parse::request(head.as_bytes(), &mut request).unwrap();
        let target = target::read(&request).unwrap();
        take(&Values { sender, target, fields: &request.fields, request_id: "id" })
    }

    fn filled(template: &str, head: &str, sender: Sender) -> String {
        let template = Template::parse(template).unwrap();
        let mut out = Vec::new();
        with(head, sender, |values| values.fill(&template, &mut out));
        String::from_utf8(out).unwrap()
    }

    fn location(to: &str, head: &str) -> String {
        let to = Template::parse(to).unwrap();
        String::from_utf8(with(head, STRANGER, |values| values.location(&to))).unwrap()
    }

    #[test]
    fn every_variable() {
        let all = "{scheme} {host} {port} {path} {query} {request_id} {client}";
        assert_eq!(
            filled(all, "/a/../%62?c=d", STRANGER),
            "https x.org 8443 /a/../%62 ?c=d id ::1"
        );
        assert_eq!(filled("{path}{query}", "http://x.org:81?y", STRANGER), "/?y");
        assert_eq!(filled("[{path}{query}]", "*", STRANGER), "[/]");
        assert_eq!(filled("a{{b}}", "/", STRANGER), "a{b}");
    }

    #[test]
    fn a_trusted_proxy_says_what_its_client_spoke() {
        let head = "/|X-Forwarded-Proto: http|X-Forwarded-Port: 80";
        let trusted = Sender { trusted: true, ..STRANGER };
        assert_eq!(filled("{scheme} {port}", head, trusted), "http 80");
        assert_eq!(filled("{scheme} {port}", head, STRANGER), "https 8443");
        let forged = "/|X-Forwarded-Proto: https|X-Forwarded-Port: 1|X-Forwarded-Proto: http|X-Forwarded-Port: 80";
        assert_eq!(filled("{scheme} {port}", forged, trusted), "http 80");
        let nonsense = "/|X-Forwarded-Proto: javascript|X-Forwarded-Port: +80";
        assert_eq!(filled("{scheme} {port}", nonsense, trusted), "https 8443");
    }

    #[test]
    fn no_path_leads_to_another_host() {
        for (to, target, expected) in [
            ("{path}", "//evil.example/%2e%2e", "/evil.example/%2e%2e"),
            ("{path}", "/\\evil.example", "/evil.example"),
            ("{path}", "/\\/\\evil.example", "/evil.example"),
            ("/{path}", "/x", "/x"),
            ("/{query}{path}", "/x", "/x"),
            ("{path}{query}", "//?//x", "/?//x"),
            ("/new{path}", "//x", "/new//x"),
            ("https://a.example{path}", "//evil.example", "https://a.example//evil.example"),
            ("//cdn.example{path}", "/x", "//cdn.example/x"),
            ("https://{host}{path}{query}", "*", "https://x.org/"),
        ] {
            assert_eq!(location(to, target), expected, "{to} of {target}");
        }
    }
}
