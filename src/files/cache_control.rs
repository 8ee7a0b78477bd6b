//! What a file's Cache-Control says (RFC 9111, section 5.2; RFC 8246). Pure.

use crate::{config::pattern::Pattern, files::fingerprint};

/// As good as for ever: what changes gets another name.
const KEPT: &str = "public, max-age=31536000, immutable";

/// A site's rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The first that fits counts.
    patterns: Vec<(Pattern, String)>,
    fingerprints: Fingerprints,
}

/// Whether a fingerprint in a name is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprints {
    #[default]
    Believed,
    Ignored,
}

impl Rules {
    pub fn new(patterns: Vec<(Pattern, String)>, fingerprints: Fingerprints) -> Rules {
        Rules { patterns, fingerprints }
    }

    /// What is said of the file of this name, relative to the root: of the one that is served, not of
    /// the path that was asked for. Nothing, where no rule fits: then a cache asks as often as it
    /// thinks right (RFC 9111, section 4.2.2).
    pub fn of(&self, name: &[u8]) -> Option<&str> {
        if let Some((_, value)) = self.patterns.iter().find(|(pattern, _)| pattern.matches(name)) {
            return Some(value);
        }
        let kept = self.fingerprints == Fingerprints::Believed && fingerprint::has(name);
        kept.then_some(KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let patterns = [
            ("*.html", "no-cache"),
            ("/assets/app.*.js", "private"),
            ("/assets/**", "public, max-age=3600"),
        ];
        let patterns = patterns.map(|(of, value)| (of.parse().unwrap(), value.to_owned()));
        let believed = Rules::new(patterns.to_vec(), Fingerprints::Believed);
        let ignored = Rules::new(patterns.to_vec(), Fingerprints::Ignored);
        for (name, expected) in [
            ("index.html", Some("no-cache")),
            ("assets/help.html", Some("no-cache")),
            ("assets/app.3f2a9c1b.js", Some("private")),
            ("assets/style.css", Some("public, max-age=3600")),
            ("logo.svg", None),
        ] {
            assert_eq!(believed.of(name.as_bytes()), expected, "{name}");
            assert_eq!(ignored.of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(believed.of(b"logo.6ce24c58.svg"), Some(KEPT));
        assert_eq!(ignored.of(b"logo.6ce24c58.svg"), None);
    }
}
