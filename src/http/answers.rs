//! The answers that we give ourselves: errors, redirects, fixed texts. Pure.

use std::io::Write;

use crate::{
    config::{Redirect, Respond},
    files::accept::Form,
    http::{
        error_pages::Page,
        grpc,
        headers::{Inbound, end_response},
        refusal::{self, Refusal},
        variables::Values,
    },
};

/// An answer of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the log and the metrics say of it.
    pub status: u16,
    /// What stands in its head: another one where the client reads elsewhere what it came to.
    written: u16,
    content_type: String,
    /// Header lines that this answer alone has, each with its CRLF.
    lines: Vec<u8>,
    body: Vec<u8>,
}

/// Whoever comes back at once finds the same queue (RFC 9110, section 10.2.3).
const RETRY_AFTER: &str = "Retry-After: 5\r\n";

/// What files are asked by (RFC 9110, section 10.2.1).
const FILES_ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

impl Answer {
    /// The page of an error: its status, its reason and the id under which the log knows it.
    pub fn error(refusal: Refusal, request_id: &str) -> Answer {
        let status = refusal.status();
        let reason = refusal.reason.word();
        let detail = refusal.detail;
        let body = format!(
            "{status} {}\n\nreason: {reason}: {detail}\nrequest: {request_id}\n",
            phrase(status)
        );
        Answer::of_error(refusal, request_id, "text/plain; charset=utf-8", body.into_bytes())
    }

    /// The page that the operator wrote for an error.
    pub fn error_page(page: &Page, refusal: Refusal, request_id: &str) -> Answer {
        let body = page.fill(refusal, request_id);
        Answer::of_error(refusal, request_id, page.content_type(), body)
    }

    /// An error for a gRPC client, which reads no page.
    pub fn grpc_error(refusal: Refusal, request_id: &str) -> Answer {
        let mut answer = Answer::of_error(refusal, request_id, grpc::MEDIA_TYPE, Vec::new());
        answer.written = grpc::HTTP_STATUS;
        answer.lines.extend_from_slice(grpc::lines(refusal, request_id).as_bytes());
        answer
    }

    fn of_error(refusal: Refusal, request_id: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let mut lines = format!("X-Request-Id: {request_id}\r\nCache-Control: no-store\r\n");
        if matches!(refusal, refusal::QUEUE_FULL | refusal::QUEUE_TIMEOUT | refusal::DISK_BUSY) {
            lines.push_str(RETRY_AFTER);
        }
        if refusal == refusal::METHOD_NOT_ALLOWED {
            lines.push_str(FILES_ALLOW);
        }
        if refusal == refusal::CONNECT {
            lines.push_str("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
        }
        let (status, content_type) = (refusal.status(), content_type.to_owned());
        Answer { status, written: status, content_type, lines: lines.into_bytes(), body }
    }

    pub fn redirect(status: u16, location: &[u8]) -> Answer {
        let mut lines = b"Location: ".to_vec();
        lines.extend_from_slice(location);
        lines.extend_from_slice(b"\r\n");
        let body = format!("{status} {}\n", phrase(status)).into_bytes();
        let content_type = "text/plain; charset=utf-8".to_owned();
        Answer { status, written: status, content_type, lines, body }
    }

    /// What may be asked of files.
    pub fn files_options() -> Answer {
        let content_type = String::new();
        let lines = FILES_ALLOW.as_bytes().to_vec();
        Answer { status: 204, written: 204, content_type, lines, body: Vec::new() }
    }

    /// What a directory holds: it may be another thing the next time, and another form for others.
    pub fn listing(form: Form, text: String) -> Answer {
        let content_type = match form {
            Form::Html => "text/html; charset=utf-8",
            Form::Json => "application/json",
        };
        let lines =
            b"Cache-Control: no-cache\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n";
        let (content_type, lines, body) =
            (content_type.to_owned(), lines.to_vec(), text.into_bytes());
        Answer { status: 200, written: 200, content_type, lines, body }
    }

    /// The same with another header line.
    pub fn with_line(mut self, name: &str, value: &[u8]) -> Answer {
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        self
    }

    pub fn of_redirect(redirect: &Redirect, values: &Values<'_>) -> Answer {
        Answer::redirect(redirect.status, &values.location(&redirect.to))
    }

    pub fn of_respond(respond: &Respond) -> Answer {
        Answer {
            status: respond.status,
            written: respond.status,
            content_type: respond.content_type.clone(),
            lines: Vec::new(),
            body: respond.body.clone().into_bytes(),
        }
    }

    /// Bytes of the body as it is sent.
    pub fn body_length(&self, head_only: bool) -> u64 {
        if head_only || self.has_no_body() { 0 } else { self.body.len() as u64 }
    }

    /// The whole answer; `head_only` where the request was HEAD.
    pub fn write(&self, out: &mut Vec<u8>, head_only: bool, inbound: &Inbound<'_>) {
        let status = self.written;
        write!(out, "HTTP/1.1 {status} {}\r\n", phrase(status)).expect("a Vec takes every byte");
        if !self.has_no_body() {
            write!(
                out,
                "Content-Type: {}\r\nContent-Length: {}\r\n",
                self.content_type,
                self.body.len()
            )
            .expect("a Vec takes every byte");
        }
        out.extend_from_slice(&self.lines);
        if let Some(changes) = &inbound.changes {
            changes.write_unless(out, |name| self.says(name));
        }
        end_response(out, inbound);
        if !head_only && !self.has_no_body() {
            out.extend_from_slice(&self.body);
        }
    }

    /// Whether this answer itself has a field of that name, which makes it what it is.
    fn says(&self, name: &[u8]) -> bool {
        let mut lines = self.lines.split(|&byte| byte == b'\n');
        let of_name = |line: &[u8]| {
            let begin = line.split_at_checked(name.len());
            begin.is_some_and(|(begin, rest)| {
                begin.eq_ignore_ascii_case(name) && rest.first() == Some(&b':')
            })
        };
        let typed = !self.has_no_body() && name.eq_ignore_ascii_case(b"content-type");
        typed || lines.any(of_name)
    }

    /// RFC 9110, section 6.4.1.
    fn has_no_body(&self) -> bool {
        matches!(self.written, 204 | 304)
    }
}

/// The reason phrase of a status that we send (RFC 9110, section 15; RFC 6585).
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // Only a fixed answer can have another status; a phrase may be empty (RFC 9112, section 4).
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        http::{h1::body::Framing, headers::Connection},
        observe::dates::http_date,
    };

    fn written(answer: &Answer, head_only: bool) -> String {
        let inbound = Inbound {
            framing: Framing::Length(0),
            connection: Connection::Close,
            hsts: Some("max-age=9"),
            date: Some(http_date(SystemTime::UNIX_EPOCH)),
            changes: None,
            set_cookie: None,
        };
        let mut out = Vec::new();
        answer.write(&mut out, head_only, &inbound);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_error_says_its_reason_and_its_request() {
        let answer = Answer::error(refusal::NO_BACKEND, "abc");
        let text = written(&answer, false);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(head.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(head.ends_with("Strict-Transport-Security: max-age=9\r\nConnection: close"));
        assert!(body.contains("reason: no-backend: ") && body.contains("request: abc\n"), "{body}");
        assert!(written(&answer, true).ends_with("\r\n\r\n"), "HEAD has no body");
    }

    #[test]
    fn a_grpc_client_is_told_in_the_head_alone() {
        let answer = Answer::grpc_error(refusal::NO_BACKEND, "abc");
        assert_eq!(answer.status, 503, "as the log and the metrics say it");
        let text = written(&answer, false);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n";
        assert!(text.starts_with(head) && text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.contains("\r\ngrpc-status: 14\r\ngrpc-message: 503 no-backend: "), "{text}");
        assert!(answer.says(b"Grpc-Status") && answer.says(b"content-type"));
    }

    #[test]
    fn a_method_that_is_not_served_names_those_that_are() {
        assert!(written(&Answer::error(refusal::CONNECT, "a"), false).contains("\r\nAllow: GET"));
    }

    #[test]
    fn an_answer_says_what_makes_it_what_it_is() {
        let says = |answer: &Answer, name: &str| answer.says(name.as_bytes());
        let error = Answer::error(refusal::NO_BACKEND, "abc");
        for name in ["content-TYPE", "Cache-Control", "x-request-id"] {
            assert!(says(&error, name), "{name}");
        }
        for name in ["Cache", "no-store", "X-Request-Id:", ""] {
            assert!(!says(&error, name), "{name}");
        }
        assert!(says(&Answer::redirect(301, b"/"), "location"));
        assert!(!says(&Answer::redirect(301, b"/"), "Cache-Control"));
    }

    #[test]
    fn a_status_without_a_body_has_no_length_either() {
        let respond = Respond { status: 204, body: "x".into(), content_type: "text/plain".into() };
        let text = written(&Answer::of_respond(&respond), false);
        assert!(!text.contains("Content-") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
