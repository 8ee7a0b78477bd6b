//! Which requests go to which action. Pure: a request's host, path and what else routes look at in,
//! a route out.
//!
//! The most specific host decides first (exact, then the longest wildcard, then any), within it the
//! path (exact, then the longest prefix), within that the conditions: the more a route has, the
//! earlier it is asked, and one that has none takes all that is left. Where a host has no route for
//! the path, or none whose conditions are met, the next less specific path and then host is asked, so
//! that `host = "www…", path = "/assets/"` beside a route that takes all does what it says.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Conditions, HostMatch, PathMatch, Redirect, Respond, RouteBounds},
    http::{
        compression::Compression,
        conditions::{self, Asked, Verdict},
        error_pages::ErrorPages,
        fastcgi::serve::Scripts,
        header_rules::HeaderRules,
        mirror::Mirror,
        rewrite::Rewrite,
        split::Split,
    },
    observe::metrics::RouteMetrics,
};

/// One route, as a listener holds it.
pub struct Route {
    pub name: Arc<str>,
    pub target: Target,
    pub rules: Rules,
    pub metrics: Arc<RouteMetrics>,
}

/// What a route does to what it takes, besides sending it somewhere.
#[derive(Default)]
pub struct Rules {
    pub rewrite: Option<Rewrite>,
    pub request_headers: Option<HeaderRules>,
    pub response_headers: Option<HeaderRules>,
    pub bounds: RouteBounds,
    pub error_pages: ErrorPages,
    pub mirror: Option<Mirror>,
    pub compression: Option<Compression>,
}

/// What becomes of a request.
pub enum Target {
    /// An index into `Serving::pools`.
    Pool(usize),
    Scripts(Scripts),
    Split(Split),
    /// An index into `Serving::directories`, and into `Serving::pools` for what is not there.
    Files {
        index: usize,
        otherwise: Option<usize>,
    },
    Redirect(Redirect),
    Respond(Respond),
}

/// All routes of one listener.
#[derive(Default)]
pub struct Router {
    exact: HashMap<String, Paths>,
    /// Longest suffix first.
    wildcards: Vec<(String, Paths)>,
    any: Paths,
}

/// The routes of one host.
#[derive(Default)]
struct Paths {
    exact: HashMap<String, Choice>,
    prefixes: HashMap<String, Choice>,
    /// The distinct lengths of the prefixes, longest first: one look-up each finds the longest,
    /// however many prefixes there are.
    lengths: Vec<usize>,
}

/// The routes of one host and path.
#[derive(Default)]
struct Choice {
    /// Those with the most conditions first.
    conditional: Vec<Conditional>,
    unconditional: Option<Arc<Route>>,
}

struct Conditional {
    conditions: Conditions,
    route: Arc<Route>,
}

/// A request that has two values under one key, of which a route takes the one and not the other:
/// it has no route that the backend would be sure to agree to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Router {
    /// The last of two routes for the same host, path and number of conditions is asked first; the
    /// config refuses such ties, so that this only lets a route that names its listener win over one
    /// that names none.
    pub fn add(
        &mut self,
        host: &HostMatch,
        path: &PathMatch,
        conditions: &Conditions,
        route: Arc<Route>,
    ) {
        let paths = match host {
            HostMatch::Any => &mut self.any,
            HostMatch::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostMatch::Wildcard(suffix) => wildcard(&mut self.wildcards, suffix),
        };
        paths.of(path).add(conditions, route);
    }

    /// `host` without a port, in lower case; `path` normalised (`message::path`).
    pub fn find(
        &self,
        host: &str,
        path: &str,
        asked: &Asked<'_>,
    ) -> Result<Option<&Arc<Route>>, Ambiguous> {
        let found = self.exact.get(host).and_then(|paths| paths.find(path, asked));
        let found = found.or_else(|| {
            let mut hosts = self
                .wildcards
                .iter()
                .filter(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()));
            hosts.find_map(|(_, paths)| paths.find(path, asked))
        });
        found.or_else(|| self.any.find(path, asked)).transpose()
    }
}

fn wildcard<'a>(list: &'a mut Vec<(String, Paths)>, suffix: &str) -> &'a mut Paths {
    let place =
        list.partition_point(|(other, _)| (other.len(), other.as_str()) > (suffix.len(), suffix));
    if list.get(place).is_none_or(|(other, _)| other != suffix) {
        list.insert(place, (suffix.to_owned(), Paths::default()));
    }
    &mut list[place].1
}

/// A route, or why there is surely none.
type Found<'a> = Result<&'a Arc<Route>, Ambiguous>;

impl Paths {
    fn of(&mut self, path: &PathMatch) -> &mut Choice {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix(path) => {
                let place = self.lengths.partition_point(|&length| length > path.len());
                if self.lengths.get(place) != Some(&path.len()) {
                    self.lengths.insert(place, path.len());
                }
                self.prefixes.entry(path.clone()).or_default()
            }
        }
    }

    fn find(&self, path: &str, asked: &Asked<'_>) -> Option<Found<'_>> {
        let exact = self.exact.get(path).and_then(|choice| choice.find(asked));
        exact.or_else(|| {
            let fits = self.lengths.iter().filter(|&&length| ends_a_segment(path, length));
            let mut choices = fits.filter_map(|&length| self.prefixes.get(&path[..length]));
            choices.find_map(|choice| choice.find(asked))
        })
    }
}

impl Choice {
    fn add(&mut self, conditions: &Conditions, route: Arc<Route>) {
        if conditions.is_empty() {
            self.unconditional = Some(route);
            return;
        }
        let more = |other: &Conditional| other.conditions.count() > conditions.count();
        let place = self.conditional.partition_point(more);
        self.conditional.insert(place, Conditional { conditions: conditions.clone(), route });
    }

    fn find(&self, asked: &Asked<'_>) -> Option<Found<'_>> {
        for Conditional { conditions, route } in &self.conditional {
            match conditions::judge(conditions, asked) {
                Verdict::Met => return Some(Ok(route)),
                Verdict::Ambiguous => return Some(Err(Ambiguous)),
                Verdict::Unmet => {}
            }
        }
        self.unconditional.as_ref().map(Ok)
    }
}

/// Whether `path` may be cut after `length` bytes for a prefix of whole segments.
fn ends_a_segment(path: &str, length: usize) -> bool {
    let bytes = path.as_bytes();
    match bytes.get(length) {
        None => bytes.len() == length,
        Some(b'/') => path.is_char_boundary(length),
        Some(_) => length > 0 && bytes[length - 1] == b'/',
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config, http::h1::parse, message::head::Request, observe::metrics::Metrics};

    /// Routes as `host path keys` (`=` before an exact path), each named by its own text.
    fn router(routes: &[&str]) -> Router {
        let mut text = "[listener.web]\nbind = \"0.0.0.0:80\"\n".to_owned();
        for route in routes {
            let mut words = route.splitn(3, ' ');
            let (host, path) = (words.next().unwrap(), words.next().unwrap());
            text += &format!("[[route]]\nname = '{route}'\nrespond = {{ status = 200 }}\n");
            match host {
                "*" => {}
                host => text += &format!("host = '{host}'\n"),
            }
            match path.strip_prefix('=') {
                Some(path) => text += &format!("exact = '{path}'\n"),
                None => text += &format!("path = '{path}'\n"),
            }
            text += &format!("{}\n", words.next().unwrap_or_default());
        }
        let config = config::parse(&text, Path::new("e.toml"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let metrics = Metrics::new(1);
        let mut router = Router::default();
        for matches in &config.routes {
            let (name, metrics) = (matches.name.clone(), metrics.route(&matches.name));
            let route =
                Arc::new(Route { name, target: Target::Pool(0), rules: Rules::default(), metrics });
            router.add(&matches.host, &matches.path, &matches.conditions, route);
        }
        router
    }

    fn check(routes: &[&str], host: &str, path: &str, expected: Option<&str>) {
        check_head(routes, host, path, "", Ok(expected));
    }

    /// `lines` of the head, parted by `|`.
    fn check_head(
        routes: &[&str],
        host: &str,
        path: &str,
        lines: &str,
        expected: Result<Option<&str>, Ambiguous>,
    ) {
        let router = router(routes);
        let mut request = Request::default();
        let lines: String = lines.split('|').map(|line| format!("{line}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", lines.trim_start());
        parse::request(head.as_bytes(), &mut request).unwrap();
        let asked = Asked { method: b"GET", query: b"", fields: &request.fields, trusted: false };
        let found = router.find(host, path, &asked).map(|found| found.map(|route| &*route.name));
        assert_eq!(found, expected, "{host}{path} {lines}");
    }

    #[test]
    fn the_longest_path_wins() {
        let routes = ["* /", "* /api", "* /api/v2/", "* =/api/v2/ping"];
        check(&routes, "a", "/", Some("* /"));
        check(&routes, "a", "/api", Some("* /api"));
        check(&routes, "a", "/api/", Some("* /api"));
        check(&routes, "a", "/api/v2/x", Some("* /api/v2/"));
        check(&routes, "a", "/api/v2/ping", Some("* =/api/v2/ping"));
        check(&routes, "a", "/api/v2/ping/", Some("* /api/v2/"));
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        check(&["* /api"], "a", "/apis", None);
        check(&["* /api"], "a", "/api", Some("* /api"));
        check(&["* /api/"], "a", "/api", None);
        check(&["* /api/"], "a", "/api/x", Some("* /api/"));
        check(&["* /"], "a", "/é", Some("* /"));
    }

    #[test]
    fn the_most_specific_host_is_asked_first_and_the_next_where_it_has_no_path() {
        let routes = ["www.a.org /assets", "*.a.org /", "*.www.a.org /", "* /", "* /x"];
        check(&routes, "www.a.org", "/assets/1", Some("www.a.org /assets"));
        check(&routes, "www.a.org", "/x", Some("*.a.org /"));
        check(&routes, "b.www.a.org", "/x", Some("*.www.a.org /"));
        check(&routes, "a.org", "/x/y", Some("* /x"));
        check(&routes, "", "/", Some("* /"));
    }

    #[test]
    fn no_route_is_none() {
        check(&["www.a.org /"], "b.org", "/", None);
    }

    const A: &str = "* / headers = { a = true }";
    const A_AND_B: &str = "* / headers = { a = true, b = \"1\" }";
    const DEEP_C: &str = "* /deep headers = { c = \"1\" }";
    const HOST_C: &str = "a.org /deep cookies = { c = true }";

    #[test]
    fn the_most_conditions_are_asked_first_and_none_last() {
        let routes = ["* /", A, A_AND_B];
        for (lines, expected) in
            [("", "* /"), ("B: 1", "* /"), ("A: 1", A), ("A: 1|B: 2", A), ("A: 1|B: 1", A_AND_B)]
        {
            check_head(&routes, "a", "/", lines, Ok(Some(expected)));
        }
    }

    #[test]
    fn unmet_conditions_lead_to_the_next_less_specific_path_and_host() {
        let routes = [A, DEEP_C, HOST_C];
        for (lines, expected) in [
            ("C: 1|Cookie: c=1", Some(HOST_C)),
            ("C: 1|A: 1", Some(DEEP_C)),
            ("A: 1", Some(A)),
            ("C: 2", None),
        ] {
            check_head(&routes, "a.org", "/deep/x", lines, Ok(expected));
        }
    }

    #[test]
    fn two_values_of_which_a_route_takes_one_are_ambiguous_where_that_route_is_asked() {
        let routes = ["* /", DEEP_C];
        check_head(&routes, "a", "/deep", "C: 1|C: 2", Err(Ambiguous));
        check_head(&routes, "a", "/deep", "C: 3|C: 2", Ok(Some("* /")));
        check_head(&routes, "a", "/", "C: 1|C: 2", Ok(Some("* /")));
    }
}
