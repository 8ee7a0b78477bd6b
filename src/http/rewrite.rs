//! What is forwarded in place of a path whose prefix a route takes away or replaces. Pure.
//!
//! What is left of the path is forwarded byte for byte as it came, as long as that means what
//! routing saw. Where the prefix was spelled in another way (`/%61pi/x`, `/api/../api/x`), what is
//! left is taken from the path as routing read it; and where the two would leave a backend that
//! decodes slashes with something that no route was looked up for, the request is refused.

use std::borrow::Cow;

use crate::{
    config::PathMatch,
    http::{
        refusal::{self, Refusal},
        target::{Forwarded, Target},
    },
    message::path::{self, Reading},
};

/// One route's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What goes, up to a slash or the path's end.
    from: String,
    /// What comes in its place where nothing is left of the path.
    to: String,
}

impl Rewrite {
    pub fn new(path: &PathMatch, to: &str) -> Rewrite {
        let from = match path {
            PathMatch::Prefix(path) => path.strip_suffix('/').unwrap_or(path),
            PathMatch::Exact(path) => path,
        };
        Rewrite { from: from.to_owned(), to: to.to_owned() }
    }

    /// What a backend gets of a target for which routing read `reading` and found this route.
    pub fn apply<'t>(
        &'t self,
        target: &Target<'t>,
        reading: &'t Reading<'t>,
    ) -> Result<Forwarded<'t>, Refusal> {
        let left = self.left(target.path, reading).ok_or(refusal::AMBIGUOUS_REWRITE)?;
        let prefix = match (self.parent(), left) {
            (_, "") => &self.to,
            ("", _) => "/",
            (parent, _) => parent,
        };
        Ok(Forwarded::Rewritten { prefix, left, query: target.query() })
    }

    /// What comes in front of what is left, which begins with a slash unless this is empty.
    fn parent(&self) -> &str {
        self.to.strip_suffix('/').unwrap_or(&self.to)
    }

    /// The prefix that is taken away, without a slash at its end; empty where another comes in its place.
    pub fn removed(&self) -> &str {
        if self.parent().is_empty() { &self.from } else { "" }
    }

    /// What is left without the prefix, as far as all readers agree on it.
    fn left<'t>(&self, raw: &'t str, reading: &'t Reading<'t>) -> Option<&'t str> {
        let plain = self.cut(&reading.path)?;
        if matches!(reading.path, Cow::Borrowed(_)) {
            return Some(plain);
        }
        let mut others = [plain; path::OTHERS];
        for (kind, other) in others.iter_mut().enumerate() {
            *other = self.cut(reading.other(kind))?;
        }
        let agrees = |left: &&str| {
            let same =
                |again: &str, meant| self.trimmed(without_slash(again)) == without_slash(meant);
            path::read(&format!("/{}", without_slash(left))).is_ok_and(|again| {
                let mut others = others.iter().enumerate();
                same(&again.path, plain)
                    && others.all(|(kind, meant)| same(again.other(kind), meant))
            })
        };
        self.cut(raw).filter(agrees).or_else(|| Some(plain).filter(agrees))
    }

    /// A path behind the prefix: empty, or with the slash in front that the parent lacks.
    fn cut<'p>(&self, path: &'p str) -> Option<&'p str> {
        let left = path.strip_prefix(self.from.as_str())?;
        (left.is_empty() || left.starts_with('/')).then(|| self.trimmed(left))
    }

    /// `//host/x` is an authority to whoever takes a target for a relative URL: where nothing stands
    /// in place of the prefix, what is left has one slash in front, and that is the parent's.
    fn trimmed<'p>(&self, left: &'p str) -> &'p str {
        if self.parent().is_empty() { left.trim_start_matches(['/', '\\']) } else { left }
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::h1::parse, http::target, message::head::Request};

    /// What is forwarded of a target, if its path is the route's at all.
    fn rewritten(rewrite: &Rewrite, raw: &str) -> Option<Result<String, Refusal>> {
        let mut request = Request::default();
        let head = format!("GET {raw} HTTP/1.1\r\nHost: x\r\n\r\n");
        parse::request(head.as_bytes(), &mut request).ok()?;
        let target = target::read(&request).ok()?;
        let reading = path::read(target.path).ok()?;
        let routed = |path: &str| rewrite.cut(path).is_some();
        if !routed(&reading.path) || !reading.others().iter().all(|path| routed(path)) {
            return None;
        }
        Some(rewrite.apply(&target, &reading).map(|forwarded| {
            let mut out = Vec::new();
            forwarded.write(&mut out);
            String::from_utf8(out).unwrap()
        }))
    }

    #[track_caller]
    fn check(path: &str, to: &str, rows: &[(&str, Result<&str, Refusal>)]) {
        let path = match path.strip_prefix('=') {
            Some(path) => PathMatch::Exact(path.to_owned()),
            None => PathMatch::Prefix(path.to_owned()),
        };
        let rewrite = Rewrite::new(&path, to);
        for (raw, expected) in rows {
            let found = rewritten(&rewrite, raw).expect("the path is the route's");
            assert_eq!(found, expected.map(str::to_owned), "{raw}");
        }
    }

    const REFUSED: Result<&str, Refusal> = Err(refusal::AMBIGUOUS_REWRITE);

    #[test]
    fn a_prefix_is_taken_away() {
        for path in ["/api", "/api/"] {
            check(
                path,
                "/",
                &[
                    ("/api/", Ok("/")),
                    ("/api/x?y=/api/", Ok("/x?y=/api/")),
                    ("/api/api/", Ok("/api/")),
                    ("/api/a%20b/%c3", Ok("/a%20b/%c3")),
                    ("http://x/api/x?y", Ok("/x?y")),
                ],
            );
        }
        check("/api", "/", &[("/api", Ok("/")), ("/api?x", Ok("/?x"))]);
    }

    #[test]
    fn a_prefix_is_replaced() {
        let rows = [("/api/x", Ok("/v2/x")), ("/api/", Ok("/v2/")), ("/api//x", Ok("/v2//x"))];
        check("/api", "/v2", &rows);
        check("/api", "/v2/", &rows);
        check("/api", "/v2", &[("/api?x", Ok("/v2?x"))]);
        check("/api", "/v2/", &[("/api?x", Ok("/v2/?x"))]);
        check(
            "/",
            "/v2",
            &[("/", Ok("/v2/")), ("/a/b", Ok("/v2/a/b")), ("http://x?y", Ok("/v2/?y"))],
        );
        check("=/old", "/new", &[("/old?x", Ok("/new?x")), ("/%6fld", Ok("/new"))]);
        check("=/old/", "/", &[("/old/", Ok("/"))]);
    }

    #[test]
    fn another_spelling_of_the_prefix_forwards_what_routing_saw() {
        check(
            "/api",
            "/",
            &[
                ("/%61pi/x", Ok("/x")),
                ("/%61pi/%7ex/a%20b", Ok("/~x/a%20b")),
                ("/a/../api/x", Ok("/x")),
                ("/api/../api/x", Ok("/x")),
                ("/api/x/../../api/y", Ok("/y")),
                ("/./api/x", Ok("/x")),
                ("/api/.", Ok("/.")),
                ("/api/x/../y", Ok("/x/../y")),
                ("/api/%2e%2e/api", Ok("/")),
            ],
        );
    }

    #[test]
    fn no_authority_comes_of_a_prefix_that_goes() {
        check(
            "/api",
            "/",
            &[
                ("/api//evil.example/x", Ok("/evil.example/x")),
                ("/api/\\evil.example", Ok("/evil.example")),
                ("/api///", Ok("/")),
                ("/api/x//y", Ok("/x//y")),
            ],
        );
    }

    #[test]
    fn hidden_slashes_that_climb_out_of_what_is_left_are_refused() {
        check(
            "/api",
            "/",
            &[
                ("/api/x%2fy", Ok("/x%2fy")),
                ("/api/x%2f..%2fy", Ok("/x%2f..%2fy")),
                ("/api/..%2fapi/y", REFUSED),
                ("/api/..%5capi%5cy", REFUSED),
                ("/%61pi/..%2fapi/y", REFUSED),
            ],
        );
    }

    /// Whatever is forwarded reads, in all ways, as the route's prefix replaced in what was routed.
    #[test]
    fn no_path_comes_through_that_routing_did_not_see() {
        let mut random = fastrand::Rng::with_seed(11);
        let alphabet =
            ["/", "/", "/api", "/%61pi", "a", "%2f", "%2F", "%5c", "\\", "..", ".", "%2e", "/.."];
        let rules = [("/api", "/"), ("/api", "/v2"), ("/api/", "/v2/"), ("/", "/v2")];
        let rules = rules.map(|(path, to)| Rewrite::new(&PathMatch::Prefix(path.to_owned()), to));
        let mut forwarded = 0;
        for _ in 0..50_000 {
            let words = (0..random.usize(1..9)).map(|_| alphabet[random.usize(..alphabet.len())]);
            let raw = format!("/{}", words.collect::<String>());
            for rule in &rules {
                let Some(Ok(path)) = rewritten(rule, &raw) else {
                    continue;
                };
                let (seen, again) = (path::read(&raw).unwrap(), path::read(&path).unwrap());
                let meant = |path: &str| {
                    let left = rule.cut(path).unwrap();
                    let to = rule.to.strip_suffix('/').unwrap_or(&rule.to);
                    match (to, left) {
                        (_, "") => rule.to.clone(),
                        ("", left) => format!("/{}", left.trim_start_matches(['/', '\\'])),
                        (to, left) => format!("{to}{left}"),
                    }
                };
                assert_eq!(again.path, meant(&seen.path), "{raw} -> {path}");
                for kind in 0..path::OTHERS {
                    let (again, meant) = (again.other(kind), meant(seen.other(kind)));
                    let (again, meant) =
                        (again.trim_start_matches('/'), meant.trim_start_matches('/'));
                    assert_eq!(again, meant, "{raw} -> {path}");
                }
                forwarded += 1;
            }
        }
        assert!(forwarded > 10_000, "{forwarded}");
    }
}
