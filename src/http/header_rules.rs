//! What a route changes about the fields of requests and answers on their way. Pure.

use crate::{
    config::{self, Template},
    http::variables::Values,
    message::head::{Fields, Line},
};

/// Compiled once for each snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// What came under these names goes.
    dropped: Vec<String>,
    /// What is written, in this order.
    lines: Vec<(String, Template)>,
}

impl HeaderRules {
    /// `None` where nothing is changed, so that a head costs no more than a look.
    pub fn new(config: &config::HeaderRules) -> Option<HeaderRules> {
        let set = config.set.iter().map(|(name, _)| name);
        let dropped = set.chain(&config.remove).cloned().collect();
        let lines = config.set.iter().chain(&config.add).cloned().collect();
        (!config.is_empty()).then_some(HeaderRules { dropped, lines })
    }

    /// Also by another spelling that a backend may take for the same: else a client could send
    /// `X_User` where we set `X-User`.
    fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| reads_alike(dropped.as_bytes(), name))
    }
}

/// What a route changes in the head of one message.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    pub rules: &'a HeaderRules,
    pub values: Values<'a>,
}

impl Changes<'_> {
    /// Whether a line of the head goes.
    pub fn drops(&self, fields: &Fields, line: &Line) -> bool {
        self.rules.drops(fields.bytes(line.name))
    }

    /// Whether a line of that name goes.
    pub fn drops_name(&self, name: &[u8]) -> bool {
        self.rules.drops(name)
    }

    /// Appends the lines that a route adds.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_unless(out, |_| false);
    }

    /// As `write`, without those of some names.
    pub fn write_unless(&self, out: &mut Vec<u8>, not: impl Fn(&[u8]) -> bool) {
        for (name, value) in &self.rules.lines {
            if not(name.as_bytes()) {
                continue;
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            self.values.fill(value, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn reads_alike(one: &[u8], other: &[u8]) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().zip(other).all(|(&a, &b)| plain(a) == plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_change_is_no_rule() {
        assert_eq!(HeaderRules::new(&config::HeaderRules::default()), None);
    }

    #[test]
    fn names_that_a_backend_may_take_for_the_same_go() {
        let remove = vec!["X-User".to_owned()];
        let rules =
            HeaderRules::new(&config::HeaderRules { remove, ..Default::default() }).unwrap();
        for (name, dropped) in
            [("x-user", true), ("X_USER", true), ("X-Users", false), ("XUser", false), ("", false)]
        {
            assert_eq!(rules.drops(name.as_bytes()), dropped, "{name}");
        }
    }
}
