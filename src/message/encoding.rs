//! Which content codings a client takes (RFC 9110, section 12.5.3), and which of those on offer it
//! gets.

pub use crate::config::Encoding;

use super::{field::list_members, head::Fields, weight};

/// How much a client wants something, in thousandths; 0: not at all (RFC 9110, section 12.4.2).
type Weight = u16;

/// What a client says of the codings that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    brotli: Option<Weight>,
    zstd: Option<Weight>,
    gzip: Option<Weight>,
    identity: Option<Weight>,
    /// `*`: whatever has not been named.
    others: Option<Weight>,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Encoded(Encoding),
    /// As it is.
    Identity,
    /// It takes neither a coding on offer nor what has none. To be sent as it is (or refused with 406):
    /// section 12.5.3 leaves both open.
    Nothing,
}

impl Accepted {
    /// What a request says.
    pub fn of_request(fields: &Fields) -> Accepted {
        Accepted::of(fields.named(b"accept-encoding"))
    }

    /// Of the values of all lines of Accept-Encoding. Where there is none, any coding would be right,
    /// but clients that say nothing are those that know of none: they get what has none.
    pub fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Accepted {
        let mut accepted = Accepted::default();
        for member in lines.flat_map(list_members) {
            accepted.add(member);
        }
        accepted
    }

    /// One member. What can't be read is passed over: it asks for nothing that the client may not take.
    fn add(&mut self, member: &[u8]) {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let weight = match (parts.next(), parts.next()) {
            (None, _) => weight::MOST,
            (Some(parameter), None) => match weight::of(parameter) {
                Some(weight) => weight,
                None => return,
            },
            (Some(_), Some(_)) => return,
        };
        let Some(place) = self.place(coding) else {
            return;
        };
        // Of two words on one coding the lower counts: a client must never get what it said it doesn't
        // take.
        *place = Some(place.map_or(weight, |earlier| earlier.min(weight)));
    }

    fn place(&mut self, coding: &[u8]) -> Option<&mut Option<Weight>> {
        let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
        match coding.len() {
            1 if is(b"*") => Some(&mut self.others),
            2 if is(b"br") => Some(&mut self.brotli),
            4 if is(b"gzip") => Some(&mut self.gzip),
            4 if is(b"zstd") => Some(&mut self.zstd),
            // RFC 9110, section 8.4.1.3.
            6 if is(b"x-gzip") => Some(&mut self.gzip),
            8 if is(b"identity") => Some(&mut self.identity),
            _ => None,
        }
    }

    fn weight(&self, encoding: Encoding) -> Weight {
        let named = match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
        };
        named.or(self.others).unwrap_or(0)
    }

    /// Whether what has no coding may be sent: unless it is ruled out, by name or with all the rest.
    pub fn takes_identity(&self) -> bool {
        self.identity.or(self.others) != Some(0)
    }

    /// What of `offered`, which is in the server's order, the client gets: what it wants most, and the
    /// first of those that it wants alike. No coding only where it names that as what it wants more.
    pub fn choose(&self, offered: impl IntoIterator<Item = Encoding>) -> Choice {
        let mut best: Option<(Encoding, Weight)> = None;
        for encoding in offered {
            let weight = self.weight(encoding);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((encoding, weight));
            }
        }
        match best {
            Some((encoding, weight)) if weight >= self.identity.unwrap_or(0) => {
                Choice::Encoded(encoding)
            }
            Some(_) => Choice::Identity,
            None if self.takes_identity() => Choice::Identity,
            None => Choice::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding::*, *};

    const ALL: [Encoding; 3] = [Brotli, Zstd, Gzip];

    /// `lines` of Accept-Encoding, parted by `|`.
    #[track_caller]
    fn check(lines: &str, offered: &[Encoding], expected: Choice) {
        let accepted = Accepted::of(lines.split('|').map(str::as_bytes));
        assert_eq!(accepted.choose(offered.iter().copied()), expected, "{lines}");
    }

    #[test]
    fn what_real_clients_say() {
        let chrome = "gzip, deflate, br, zstd";
        check(chrome, &ALL, Choice::Encoded(Brotli));
        check(chrome, &[Zstd, Brotli, Gzip], Choice::Encoded(Zstd));
        check("gzip, deflate", &ALL, Choice::Encoded(Gzip));
        check("gzip, deflate", &[Brotli], Choice::Identity);
        check("deflate, gzip;q=1.0, *;q=0.5", &ALL, Choice::Encoded(Gzip));
        check("identity", &ALL, Choice::Identity);
        check("identity;q=1, *;q=0", &ALL, Choice::Identity);
    }

    #[test]
    fn a_client_that_says_nothing_gets_no_coding() {
        let silent = Accepted::of(std::iter::empty());
        assert_eq!(silent.choose(ALL), Choice::Identity);
        for nothing in ["", " , ,", "|"] {
            check(nothing, &ALL, Choice::Identity);
        }
    }

    #[test]
    fn the_highest_weight_wins_and_the_servers_order_where_they_are_alike() {
        check("br;q=0.5, gzip;q=0.8", &ALL, Choice::Encoded(Gzip));
        check("gzip;q=0.8, br;q=0.8", &ALL, Choice::Encoded(Brotli));
        check("gzip;q=0.001, br;q=0", &ALL, Choice::Encoded(Gzip));
        check("br;q=0.999, zstd", &ALL, Choice::Encoded(Zstd));
    }

    #[test]
    fn a_star_is_all_that_is_not_named() {
        check("*", &ALL, Choice::Encoded(Brotli));
        check("*;q=0.5, br;q=0", &ALL, Choice::Encoded(Zstd));
        check("*;q=0.5, gzip;q=0.4", &[Gzip, Zstd], Choice::Encoded(Zstd));
        check("gzip, *;q=0", &[Brotli, Gzip], Choice::Encoded(Gzip));
    }

    #[test]
    fn no_coding_is_taken_unless_it_is_ruled_out() {
        check("identity;q=0", &ALL, Choice::Nothing);
        check("*;q=0", &ALL, Choice::Nothing);
        check("*;q=0, identity;q=0.1", &ALL, Choice::Identity);
        check("br", &[], Choice::Identity);
        check("br, identity;q=0", &[], Choice::Nothing);
        check("identity;q=0, gzip", &ALL, Choice::Encoded(Gzip));
    }

    #[test]
    fn no_coding_is_preferred_only_where_the_client_says_so() {
        check("gzip;q=0.5, identity", &ALL, Choice::Identity);
        check("gzip;q=0.5, identity;q=0.5", &ALL, Choice::Encoded(Gzip));
        check("gzip;q=0.1, *;q=0.5", &[Gzip], Choice::Encoded(Gzip));
    }

    #[test]
    fn names_in_any_case_and_by_their_old_names() {
        check("GZip", &ALL, Choice::Encoded(Gzip));
        check("x-gzip;Q=0.3", &ALL, Choice::Encoded(Gzip));
        check("X-GZIP;q=0, br;q=0.1", &ALL, Choice::Encoded(Brotli));
        check("compress, deflate, x-br", &ALL, Choice::Identity);
    }

    #[test]
    fn several_lines_are_one_list() {
        check("gzip;q=0.5|br;q=0.7", &ALL, Choice::Encoded(Brotli));
        check("gzip||br;q=0.7", &ALL, Choice::Encoded(Gzip));
    }

    #[test]
    fn of_two_words_on_one_coding_the_lower_counts() {
        check("gzip;q=0, gzip", &ALL, Choice::Identity);
        check("gzip, x-gzip;q=0", &ALL, Choice::Identity);
        check("identity;q=0, identity", &ALL, Choice::Nothing);
    }

    #[test]
    fn what_cannot_be_read_asks_for_nothing() {
        for bad in ["gzip;q=2", "gzip;q", "gzip;", "gzip;level=9", "gzip;q=1;x", "gz ip", ";q=1"] {
            check(bad, &ALL, Choice::Identity);
        }
        check("gzip;q=bad, br;q=0.1", &ALL, Choice::Encoded(Brotli));
        check("identity;q=bad", &ALL, Choice::Identity);
        check("gzip ; q=0.5", &ALL, Choice::Encoded(Gzip));
    }

    #[test]
    fn a_request_is_read_in_all_its_lines() {
        let mut fields = Fields::default();
        assert_eq!(Accepted::of_request(&fields), Accepted::default());
        let head = b"Accept-Encoding:gzip\r\naccept-encoding:br\r\nX:zstd\r\n";
        fields.start(head);
        for (at, name, end) in [(0, 15, 22), (22, 37, 42), (42, 43, 50)] {
            use crate::message::{
                field::Name,
                head::{Line, Span},
            };
            fields.push(Line {
                known: Name::from_bytes(&head[at..name]),
                name: Span::new(at, name),
                value: Span::new(name + 1, end - 2),
                whole: Span::new(at, end),
            });
        }
        let expected = Accepted { gzip: Some(1000), brotli: Some(1000), ..Accepted::default() };
        assert_eq!(Accepted::of_request(&fields), expected);
    }
}
