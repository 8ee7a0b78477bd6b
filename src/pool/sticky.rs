//! The cookie that keeps a client at its backend: what it says, and how it is believed. Pure.
//!
//! It names a backend, and a release, by numbers that mean nothing without the key: keyed hashes of
//! pool and address, and of the release's name. A tag over both is checked, in constant time, before
//! either is looked at. Nothing is kept of a client: whoever has the key, after a restart or on
//! another machine, reads the same.

use std::{collections::HashMap, fmt, ops::RangeInclusive, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use crate::pool::{members::Member, release::Release};

/// More are no rotation.
const MOST_KEYS: usize = 8;

/// Hex digits of a key: no less than the output of its hash (RFC 2104, section 3).
const DIGITS: RangeInclusive<usize> = 64..=256;

const EXPECTED: &str = "expected 64 hex digits or more, as `openssl rand -hex 32` makes them";

/// The keys of one file. The first signs; the others go on verifying what they have signed.
pub struct Keys {
    keys: Vec<hmac::Key>,
    /// Of each key, to tell whether another file holds the same.
    prints: Vec<hmac::Tag>,
}

impl Keys {
    /// One key a line, in hex digits; blank lines, and lines that begin with `#`, are passed over.
    ///
    /// # Errors
    /// What is wrong and what was expected; nothing of a key is repeated.
    pub fn parse(text: &str) -> Result<Keys, String> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut key = vec![0; line.len() / 2];
            let fits = DIGITS.contains(&line.len());
            if !fits || read_hex(line.as_bytes(), &mut key).is_none() {
                return Err(format!("line {} is no key: {EXPECTED}", number + 1));
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA256, &key));
        }
        match keys.len() {
            0 => Err(format!("holds no key: {EXPECTED}")),
            1..=MOST_KEYS => {
                let prints = keys.iter().map(|key| hmac::sign(key, b"print")).collect();
                Ok(Keys { keys, prints })
            }
            more => Err(format!("holds {more} keys: expected at most {MOST_KEYS}")),
        }
    }
}

/// The same keys in the same order.
impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        let prints = |keys: &Keys| -> Vec<Vec<u8>> {
            keys.prints.iter().map(|print| print.as_ref().to_vec()).collect()
        };
        prints(self) == prints(other)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.keys.len())
    }
}

/// A backend or a release, to whoever has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id([u8; 8]);

const NO_RELEASE: Id = Id([0; 8]);

/// Bytes of a cookie: two ids and the tag over them.
const BYTES: usize = 8 + 8 + TAG_BYTES;

/// Of the 32 that the hash gives: 128 bits can't be guessed.
const TAG_BYTES: usize = 16;

/// The cookies of one pool, as its members stand.
pub struct Sticky {
    keys: Arc<Keys>,
    /// A cookie of another pool says nothing here.
    pool: Arc<str>,
    /// What the ids of each key mean, in the order of the keys.
    books: Vec<Book>,
}

struct Book {
    backends: HashMap<Id, usize>,
    releases: HashMap<Id, Release>,
}

/// What a cookie says that one of the keys has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of the member that the client was at; `None`: it has left the pool.
    pub index: Option<usize>,
    /// What that one ran then; `None`: no release, or one that no member runs any more.
    pub release: Option<Release>,
    /// Signed by the key that signs now.
    pub current: bool,
}

impl Sticky {
    pub fn new(keys: Arc<Keys>, pool: Arc<str>, members: &[Member]) -> Sticky {
        let books = keys.keys.iter().map(|key| Book::of(key, &pool, members)).collect();
        Sticky { keys, pool, books }
    }

    /// Whether it was made with the very same keys.
    pub fn has_keys(&self, keys: &Arc<Keys>) -> bool {
        Arc::ptr_eq(&self.keys, keys)
    }

    /// `None`: nothing that we have said.
    pub fn read(&self, value: &[u8]) -> Option<Seen> {
        let mut bytes = [0; BYTES];
        read_hex(value, &mut bytes)?;
        let (ids, tag) = bytes.split_at(BYTES - TAG_BYTES);
        let signed = |key| {
            let expected = self.tag(key, ids);
            verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], tag).is_ok()
        };
        let number = self.keys.keys.iter().position(signed)?;
        let (backend, release) = ids.split_at(8);
        let id = |bytes: &[u8]| Some(Id(bytes.try_into().ok()?));
        let book = &self.books[number];
        Some(Seen {
            index: book.backends.get(&id(backend)?).copied(),
            release: book.releases.get(&id(release)?).cloned(),
            current: number == 0,
        })
    }

    /// The cookie's value for a client that `member` answers.
    pub fn write(&self, member: &Member, release: Option<&Release>) -> String {
        let key = &self.keys.keys[0];
        let backend = id_of_backend(key, &self.pool, member);
        let release = release.map_or(NO_RELEASE, |release| id_of_release(key, release));
        let ids = [backend.0, release.0].concat();
        let tag = self.tag(key, &ids);
        let digits = ids.iter().chain(&tag.as_ref()[..TAG_BYTES]);
        digits.map(|byte| format!("{byte:02x}")).collect()
    }

    fn tag(&self, key: &hmac::Key, ids: &[u8]) -> hmac::Tag {
        signed(key, &[b"cookie", self.pool.as_bytes(), ids])
    }
}

impl Book {
    fn of(key: &hmac::Key, pool: &str, members: &[Member]) -> Book {
        let backends = members.iter().enumerate();
        let releases = members.iter().filter_map(|member| Some(&member.deployed.as_ref()?.release));
        Book {
            backends: backends.map(|(at, member)| (id_of_backend(key, pool, member), at)).collect(),
            releases: releases.map(|it| (id_of_release(key, it), it.clone())).collect(),
        }
    }
}

fn id_of_backend(key: &hmac::Key, pool: &str, member: &Member) -> Id {
    let address = member.backend.address().to_string();
    id(&signed(key, &[b"backend", pool.as_bytes(), address.as_bytes()]))
}

fn id_of_release(key: &hmac::Key, release: &Release) -> Id {
    id(&signed(key, &[b"release", release.as_str().as_bytes()]))
}

fn id(tag: &hmac::Tag) -> Id {
    let mut id = [0; 8];
    id.copy_from_slice(&tag.as_ref()[..8]);
    Id(id)
}

/// The first part says what is signed. None but the last holds a NUL, so that no two lists of parts
/// are signed alike.
fn signed(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
        context.update(&[0]);
    }
    context.sign()
}

/// Fills all of `into`, or nothing is read.
fn read_hex(digits: &[u8], into: &mut [u8]) -> Option<()> {
    if digits.len() != into.len() * 2 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in into.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::metrics::Metrics,
        pool::{
            backend::{Backend, Key, Verdict},
            release::Deployed,
        },
    };

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER: &str = "FF0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn member(port: u16, release: Option<&str>) -> Member {
        let key = Key { pool: "app".into(), address: ([10, 0, 1, 11], port).into() };
        let metrics = Metrics::new(1).backend("app", &key.address.to_string());
        let release = release.map(|name| Deployed { release: name.parse().unwrap(), at: None });
        Member {
            backend: Backend::new(key, Arc::default(), metrics),
            name: None,
            weight: 1,
            ramp: None,
            backup: false,
            max_requests: None,
            verdict: Verdict::Up,
            unjudged: false,
            breaker: None,
            deployed: release,
        }
    }

    fn sticky(keys: &str, pool: &str, members: &[Member]) -> Sticky {
        Sticky::new(Arc::new(Keys::parse(keys).unwrap()), pool.into(), members)
    }

    #[test]
    fn a_cookie_names_its_backend_wherever_that_stands() {
        let [a, b, c] = [1, 2, 3].map(|port| member(port, None));
        let value = sticky(ONE, "app", &[a.clone(), b.clone()]).write(&b, None);
        assert_eq!(value.len(), 64);
        let seen = |members: &[Member]| sticky(ONE, "app", members).read(value.as_bytes());
        let at = |index| Some(Seen { index, release: None, current: true });
        assert_eq!(seen(&[a.clone(), b.clone()]), at(Some(1)));
        assert_eq!(seen(&[b, c.clone(), a.clone()]), at(Some(0)));
        assert_eq!(seen(&[a, c]), at(None), "it has left the pool");
    }

    #[test]
    fn a_cookie_says_which_release_was_seen() {
        let members = [member(1, Some("1.0")), member(2, Some("2.0"))];
        let sticky = sticky(ONE, "app", &members);
        let release: Release = "2.0".parse().unwrap();
        let value = sticky.write(&members[0], Some(&release));
        assert_eq!(sticky.read(value.as_bytes()).unwrap().release, Some(release));
        let gone: Release = "0.9".parse().unwrap();
        let value = sticky.write(&members[0], Some(&gone));
        let seen = sticky.read(value.as_bytes()).unwrap();
        assert_eq!((seen.index, seen.release), (Some(0), None));
    }

    #[test]
    fn nothing_is_believed_that_was_not_signed_here() {
        let members = [member(1, None), member(2, None)];
        let ours = sticky(ONE, "app", &members);
        let value = ours.write(&members[1], None);
        for at in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(ours.read(&forged), None, "digit {at}");
        }
        for forged in ["", "0", &value[2..], &format!("{value}00"), &"g".repeat(64)] {
            assert_eq!(ours.read(forged.as_bytes()), None, "{forged}");
        }
        assert_eq!(sticky(OTHER, "app", &members).read(value.as_bytes()), None);
        assert_eq!(sticky(ONE, "api", &members).read(value.as_bytes()), None);
    }

    #[test]
    fn any_bytes_are_refused_quietly() {
        let ours = sticky(ONE, "app", &[member(1, None)]);
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..70)).map(|_| random.u8(..)).collect();
            assert_eq!(ours.read(&bytes), None);
        }
    }

    #[test]
    fn an_old_key_verifies_and_the_first_signs() {
        let members = [member(1, None), member(2, None)];
        let old = sticky(ONE, "app", &members).write(&members[1], None);
        let rotated = sticky(&format!("{OTHER}\n{ONE}"), "app", &members);
        let seen = rotated.read(old.as_bytes()).unwrap();
        assert_eq!((seen.index, seen.current), (Some(1), false));
        let new = rotated.write(&members[1], None);
        assert!(rotated.read(new.as_bytes()).unwrap().current);
        assert!(sticky(OTHER, "app", &members).read(new.as_bytes()).unwrap().current);
    }

    #[test]
    fn no_version_forgets_what_another_signed() {
        let members = [member(8080, None)];
        let expected = "552fc35ded0f61000000000000000000f14cbba0c6e5900b0d09aeacd2e73375";
        assert_eq!(sticky(ONE, "app", &members).write(&members[0], None), expected);
    }

    #[test]
    fn files_of_keys() {
        let keys = Keys::parse(&format!("# made 2026-01-01\n\n  {OTHER}\r\n{ONE}\n")).unwrap();
        assert_eq!(keys.keys.len(), 2);
        assert_eq!(keys, Keys::parse(&format!("{OTHER}\n{ONE}")).unwrap());
        assert_ne!(keys, Keys::parse(&format!("{ONE}\n{OTHER}")).unwrap());
        assert_ne!(keys, Keys::parse(OTHER).unwrap());
        for (text, expected) in [
            ("", "holds no key: expected 64 hex digits"),
            ("# nothing\n", "holds no key"),
            ("secret", "line 1 is no key"),
            (&ONE[2..], "line 1 is no key"),
            (&format!("{ONE}0"), "line 1 is no key"),
            (&format!("{ONE}\n{}", ONE.replace('0', "x")), "line 2 is no key"),
            (&format!("{ONE}\n").repeat(9), "holds 9 keys: expected at most 8"),
            (&"0".repeat(258), "line 1 is no key"),
        ] {
            let error = Keys::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("0203"), "nothing of a key is repeated: {error}");
        }
    }
}
