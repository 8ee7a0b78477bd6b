//! What a request is known by in logs, error pages and at its backend. Pure.

use std::ops::Deref;

use crate::{
    http::digits,
    message::{field::Name, head::Fields},
};

/// The longest id that is taken over.
const LONGEST: usize = 128;

/// The id of a request.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// By a trusted proxy.
    Sent(String),
    /// By us; kept where it is, as each request has one.
    Made([u8; 32]),
}

impl RequestId {
    /// What a trusted proxy sent, if it is an id, else a new one.
    pub fn of(fields: &Fields, trusted: bool, random: u128) -> RequestId {
        let sent = fields.first(Name::XRequestId).filter(|_| trusted);
        match sent.map(std::str::from_utf8) {
            Some(Ok(id)) if is_request_id(id) => RequestId::Sent(id.to_owned()),
            _ => RequestId::Made(digits::hexadecimal(random)),
        }
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            RequestId::Sent(id) => id,
            RequestId::Made(digits) => std::str::from_utf8(digits).expect("digits are ASCII"),
        }
    }
}

fn is_request_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::h1::parse, message::head::Request};

    #[test]
    fn ids_are_made_unless_a_trusted_proxy_sent_a_good_one() {
        let fields = |value: &str| {
            let mut request = Request::default();
            let head = format!("GET / HTTP/1.1\r\nX-Request-Id: {value}\r\n\r\n");
            parse::request(head.as_bytes(), &mut request).unwrap();
            request.fields
        };
        let made = format!("{:032x}", 5);
        assert_eq!(*RequestId::of(&fields("abc-1"), true, 5), *"abc-1");
        assert_eq!(*RequestId::of(&fields("abc-1"), false, 5), *made);
        assert_eq!(*RequestId::of(&fields("a b"), true, 5), *made);
        assert_eq!(*RequestId::of(&fields(&"a".repeat(LONGEST + 1)), true, 5), *made);
    }
}
