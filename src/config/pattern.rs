//! Which files a rule is for: `*.html`, `/assets/**`, `/img/photo-?.jpg`. Pure.
//!
//! A pattern is held against a name byte by byte, and all that it may mean at once is one set of
//! bits: no name takes longer than its length times the pattern's, whatever stands in the two.

use std::{fmt, str::FromStr};

/// One bit each, and one for the end.
const MOST_TOKENS: usize = 127;

/// Files of a root, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    text: String,
    scope: Scope,
    tokens: Vec<Token>,
}

/// What a pattern is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// What stands behind the last slash: the pattern has none.
    LastName,
    /// The whole name, relative to the root.
    WholeName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`, and what follows it: the first byte of a character, but no slash, …
    First,
    /// … and the others that it may have in UTF-8.
    Rest,
    /// `*`: any run of bytes without a slash.
    Run,
    /// `**`: any run of bytes.
    DeepRun,
    /// The two tokens that follow, `**` and `/`, may be left out together: `**/` stands for no
    /// directory too.
    MaybeDirectories,
}

impl Pattern {
    /// Whether it is for the file of this name, relative to the root and without a slash in front.
    pub fn matches(&self, name: &[u8]) -> bool {
        let name = match self.scope {
            Scope::LastName => &name[memchr::memrchr(b'/', name).map_or(0, |slash| slash + 1)..],
            Scope::WholeName => name,
        };
        let mut reached = self.with_skipped(1);
        for &byte in name {
            if reached == 0 {
                return false;
            }
            reached = self.with_skipped(self.step(reached, byte));
        }
        reached >> self.tokens.len() & 1 == 1
    }

    /// What another byte makes of `reached`, whose bit n says that the first n tokens can stand for
    /// all that was read.
    fn step(&self, reached: u128, byte: u8) -> u128 {
        let mut next = 0;
        for at in bits(reached) {
            let (ahead, here) = (2 << at, 1 << at);
            next |= match self.tokens.get(at) {
                Some(Token::Byte(own)) if *own == byte => ahead,
                Some(Token::First) if byte != b'/' && !is_continuation(byte) => ahead,
                Some(Token::Rest) if is_continuation(byte) => here,
                Some(Token::Run) if byte != b'/' => here,
                Some(Token::DeepRun) => here,
                _ => 0,
            };
        }
        next
    }

    /// What may stand for nothing is passed.
    fn with_skipped(&self, reached: u128) -> u128 {
        let mut all = reached;
        // What is passed leads forward alone, so that each token is looked at once.
        for (at, token) in self.tokens.iter().enumerate() {
            if all >> at & 1 == 0 {
                continue;
            }
            match token {
                Token::Run | Token::DeepRun | Token::Rest => all |= 2 << at,
                Token::MaybeDirectories => all |= (2 | 8) << at,
                Token::Byte(_) | Token::First => {}
            }
        }
        all
    }
}

fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        set &= set.checked_sub(1)?;
        Some(lowest as usize)
    })
}

/// UTF-8: the second to last bytes of a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

impl FromStr for Pattern {
    type Err = String;

    /// With a slash in it, a pattern is held against the whole name, without one against the last.
    /// The error says what was expected.
    fn from_str(text: &str) -> Result<Pattern, String> {
        const EXPECTED: &str = r#"expected a pattern such as "*.html" or "/assets/**""#;
        let whole = text.strip_prefix('/').unwrap_or(text);
        if whole.is_empty() || text.chars().any(char::is_control) {
            return Err(EXPECTED.to_owned());
        }
        if whole.ends_with('/') {
            return Err(format!("{EXPECTED}: `{text}**` is all below `{text}`"));
        }
        if whole.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(format!("{EXPECTED}: no file has such a name"));
        }
        if whole.contains("***") {
            return Err(format!("{EXPECTED}: `**` is the longest run of stars"));
        }
        if let Some(sign) = whole.chars().find(|sign| "[]{}\\".contains(*sign)) {
            let others =
                "other than `*`, `**` and `?`, a pattern has no signs; write a rule for each";
            return Err(format!("{EXPECTED}: `{sign}` means nothing here: {others}"));
        }
        let tokens = tokens(whole);
        if tokens.len() > MOST_TOKENS {
            return Err(format!("{EXPECTED}: it is too long; {MOST_TOKENS} bytes are the limit"));
        }
        let scope = if text.contains('/') { Scope::WholeName } else { Scope::LastName };
        Ok(Pattern { text: text.to_owned(), scope, tokens })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'*', [b'*', after @ ..]) => {
                let starts = matches!(tokens.last(), None | Some(Token::Byte(b'/')));
                if starts && after.first() == Some(&b'/') {
                    tokens.push(Token::MaybeDirectories);
                }
                tokens.push(Token::DeepRun);
                rest = after;
            }
            (b'*', _) => tokens.push(Token::Run),
            (b'?', _) => tokens.extend([Token::First, Token::Rest]),
            _ => tokens.push(Token::Byte(first)),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn check(text: &str, yes: &[&str], no: &[&str]) {
        let pattern = pattern(text);
        for (names, expected) in [(yes, true), (no, false)] {
            for name in names {
                assert_eq!(pattern.matches(name.as_bytes()), expected, "{text}: {name}");
            }
        }
    }

    #[test]
    fn without_a_slash_the_last_name_counts() {
        check("*.html", &["a.html", "a/b/c.html", ".html"], &["a.htm", "a.html.gz", "a.html/b"]);
        check("robots.txt", &["robots.txt", "a/robots.txt"], &["robots.txt2", "xrobots.txt", "a"]);
        check("a*b*c", &["abc", "axbxc", "abcbc"], &["ab", "acb", "a/bc"]);
        check("*", &["a", "a/b", ""], &[]);
        check("**", &["a", "a/b"], &[]);
        check("v?.js", &["v1.js", "x/vé.js", "v€.js"], &["v.js", "v12.js", "v/.js", "véé.js"]);
        check("??", &["ab", "éé", "é€", "a/bc"], &["a", "é", "abc", "ééé"]);
    }

    #[test]
    fn with_a_slash_the_whole_name_counts() {
        check("/a.html", &["a.html"], &["b/a.html", "a.htm"]);
        check("a/b.js", &["a/b.js"], &["x/a/b.js", "b.js", "a/b.jsx"]);
        check("/assets/*", &["assets/a.js"], &["assets/a/b.js", "x/assets/a.js", "assets"]);
        check(
            "/assets/**",
            &["assets/a.js", "assets/a/b.js"],
            &["assets", "assetsx/a", "x/assets/a"],
        );
        check("/*/a.js", &["x/a.js"], &["a.js", "x/y/a.js"]);
        check("/**/a.js", &["a.js", "x/a.js", "x/y/a.js"], &["xa.js", "x/ya.js", "a.js/b"]);
        check("/x/**/a.js", &["x/a.js", "x/y/a.js", "x/y/z/a.js"], &["a.js", "xa.js", "x/ya.js"]);
        check("/x/**/*.js", &["x/a.js", "x/y/a.js"], &["a.js", "x/a.css"]);
        check("/**/x/**", &["x/a", "y/x/a", "y/z/x/a/b"], &["x", "yx/a", "y/xa"]);
        check("/x**y", &["xy", "x/y", "xa/by"], &["x", "y", "axy"]);
        check("/a/**b/c", &["a/b/c", "a/xb/c", "a/x/b/c"], &["a/x/c", "b/c"]);
    }

    #[test]
    fn what_is_no_pattern() {
        for (text, why) in [
            ("", "expected a pattern"),
            ("/", "expected a pattern"),
            ("/assets/", "`/assets/**`"),
            ("a//b", "no file"),
            ("//a", "no file"),
            ("../a", "no file"),
            ("/a/./b", "no file"),
            ("a***", "longest run"),
            ("*.{js,css}", "`{` means nothing"),
            ("[ab].js", "`[` means nothing"),
            ("a\\*", "`\\` means nothing"),
            ("a\n", "expected a pattern"),
        ] {
            let error = text.parse::<Pattern>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("a".repeat(MOST_TOKENS).parse::<Pattern>().is_ok());
        let long = "a".repeat(MOST_TOKENS + 1).parse::<Pattern>().unwrap_err();
        assert!(long.contains("too long"), "{long}");
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in ["*.html", "/assets/**", "a/b"] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    /// One name after the other of all that may be meant would take a lifetime here.
    #[test]
    fn no_pattern_takes_long() {
        let deep = pattern(&"**a".repeat(40));
        let flat = pattern(&"*a".repeat(60));
        let name = "a/".repeat(2_000) + "b";
        assert!(!deep.matches(name.as_bytes()));
        assert!(flat.matches("a".repeat(4_000).as_bytes()));
        assert!(!flat.matches(("a".repeat(4_000) + "b").as_bytes()));
    }

    /// The plain way, which looks at one reading after the other.
    fn matches_slowly(tokens: &[Token], name: &[u8]) -> bool {
        let Some((token, rest)) = tokens.split_first() else {
            return name.is_empty();
        };
        let longer = |takes: fn(u8) -> bool| {
            let first = name.first().is_some_and(|&byte| takes(byte));
            matches_slowly(rest, name) || (first && matches_slowly(tokens, &name[1..]))
        };
        match token {
            Token::Byte(own) => name.first() == Some(own) && matches_slowly(rest, &name[1..]),
            Token::First => {
                let takes =
                    name.first().is_some_and(|&byte| byte != b'/' && !is_continuation(byte));
                takes && matches_slowly(rest, &name[1..])
            }
            Token::Rest => longer(is_continuation),
            Token::Run => longer(|byte| byte != b'/'),
            Token::DeepRun => longer(|_| true),
            Token::MaybeDirectories => {
                matches_slowly(rest, name) || matches_slowly(&tokens[3..], name)
            }
        }
    }

    #[test]
    fn all_readings_at_once_are_each_of_them() {
        let mut random = fastrand::Rng::with_seed(6);
        let words = ["a", "b", "/", "*", "**", "**/", "?", "é"];
        let names = ["a", "b", "/", "ab", "é", "a/"];
        let (mut read, mut matched) = (0, 0);
        for _ in 0..30_000 {
            let text: String =
                (0..random.usize(1..7)).map(|_| words[random.usize(..words.len())]).collect();
            let Ok(pattern) = text.parse::<Pattern>() else {
                continue;
            };
            read += 1;
            let name: String =
                (0..random.usize(..6)).map(|_| names[random.usize(..names.len())]).collect();
            let held = match pattern.scope {
                Scope::LastName => name.rsplit('/').next().unwrap(),
                Scope::WholeName => &name,
            };
            let expected = matches_slowly(&pattern.tokens, held.as_bytes());
            assert_eq!(pattern.matches(name.as_bytes()), expected, "{text}: {name}");
            matched += usize::from(expected);
        }
        assert!(read > 5_000 && matched > 1_000, "{read} {matched}");
    }
}
