//! The release that a backend runs, as its probes read it. Pure.

use std::{fmt, str::FromStr, sync::Arc, time::Instant};

/// The longest name of a release: a SHA-256 in hex digits.
const LONGEST: usize = 64;

/// What may stand in a name besides letters and digits: the signs of versions, tags and times.
const SIGNS: &[u8] = b"._-+:/@~";

/// The name of a release: `1.4.2`, `v2.0.0-rc.1`, a commit.
///
/// It is a value that a backend sends and becomes a label of metrics and a word of the log: hence
/// the bounds on its length and its characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Release(Arc<str>);

impl Release {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a version, where it reads as one: `v1.10.0`, `2.0-rc.1`, `4711`.
    pub fn version(&self) -> Option<Version> {
        let text = self.0.strip_prefix(['v', 'V']).unwrap_or(&self.0);
        // What follows is no part of the order (semver 2.0.0, section 10).
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let number = |text: &str| match Identifier::of(text) {
            Identifier::Number(number) => Some(number),
            Identifier::Word(_) => None,
        };
        let mut numbers: Vec<u64> = numbers.split('.').map(number).collect::<Option<_>>()?;
        // 1.4 is 1.4.0.
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        let before = before.map(|before| before.split('.').map(Identifier::of).collect());
        Some(Version { numbers, stage: before.map_or(Stage::Released, Stage::Before) })
    }
}

/// Its order is that of semver 2.0.0, section 11, for any count of numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: Vec<u64>,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// `-rc.1`
    Before(Vec<Identifier>),
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Identifier {
    fn of(text: &str) -> Identifier {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map_or_else(|| Identifier::Word(text.to_owned()), Identifier::Number)
    }
}

impl FromStr for Release {
    /// What was expected.
    type Err = String;

    /// Blanks around it are no part of it.
    fn from_str(text: &str) -> Result<Release, String> {
        let name = text.trim_matches([' ', '\t']);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || SIGNS.contains(&byte);
        let valid = (1..=LONGEST).contains(&name.len()) && name.bytes().all(allowed);
        let signs = String::from_utf8_lossy(SIGNS);
        let expected = || format!("expected 1 to {LONGEST} letters, digits or {signs}");
        valid.then(|| Release(name.into())).ok_or_else(expected)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a probe that passed says of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// The pool's probes read none.
    NotAsked,
    /// Why, in words: `X-Release is missing`. The probe has passed all the same.
    Unread(String),
    Release(Release),
}

/// A release as one backend runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub release: Release,
    /// When it was seen to change to it. `None`: it ran it already when it was first asked.
    pub at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_give_them() {
        for name in ["1", "1.4.2", "v2.0.0-rc.1+build.5", "app/main@2f16c60", "2024-05-01T10:00"] {
            assert_eq!(name.parse::<Release>().unwrap().as_str(), name);
        }
        assert_eq!(" 1.4.2\t".parse::<Release>().unwrap().as_str(), "1.4.2");
        assert!("a".repeat(LONGEST).parse::<Release>().is_ok());
    }

    #[test]
    fn versions_in_their_order() {
        let version = |text: &str| text.parse::<Release>().unwrap().version().unwrap();
        let order = [
            "1",
            "1.4",
            "v1.4.1-alpha",
            "1.4.1-alpha.1",
            "1.4.1-beta.2",
            "1.4.1-beta.11",
            "1.4.1-rc.1",
            "1.4.1",
            "1.10",
            "2.0.0-1",
            "2.0.0-a",
            "V2",
            "20240501",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.4"), version("v1.4.0+build.7"));
        for none in ["2f16c60", "main", "1.x", "v", "1..2", "-1", "99999999999999999999"] {
            assert_eq!(none.parse::<Release>().unwrap().version(), None, "{none}");
        }
    }

    #[test]
    fn what_no_label_should_hold_is_no_name() {
        let long = "a".repeat(LONGEST + 1);
        for text in ["", " ", "1.4 2", "1.4\"2", "1\\4", "1\n4", "1.4.é", "{}", "\u{1b}[31m", &long]
        {
            let expected = text.parse::<Release>().unwrap_err();
            assert!(expected.contains("1 to 64 letters, digits or ._-+:/@~"), "{text:?}");
        }
    }
}
