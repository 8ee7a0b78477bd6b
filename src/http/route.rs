//! Which requests go to which action. Pure: a host and a path in, a route out.
//!
//! The most specific host decides first (exact, then the longest wildcard, then any), within it the
//! path (exact, then the longest prefix). Where a host has no route for the path, the next less
//! specific host is asked, so that `host = "www…", path = "/assets/"` beside a route that takes all
//! does what it says.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{HostMatch, PathMatch, Redirect, Respond},
    observe::metrics::RouteMetrics,
};

/// One route, as a listener holds it.
pub struct Route {
    pub name: Arc<str>,
    pub target: Target,
    pub metrics: Arc<RouteMetrics>,
}

/// What becomes of a request.
pub enum Target {
    /// An index into `Serving::pools`.
    Pool(usize),
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
    exact: HashMap<String, Arc<Route>>,
    prefixes: HashMap<String, Arc<Route>>,
    /// The distinct lengths of the prefixes, longest first: one look-up each finds the longest,
    /// however many prefixes there are.
    lengths: Vec<usize>,
}

impl Router {
    /// The last of two routes for the same host and path is kept; the config refuses such ties, so
    /// that this only lets a route that names its listener win over one that names none.
    pub fn add(&mut self, host: &HostMatch, path: &PathMatch, route: Arc<Route>) {
        let paths = match host {
            HostMatch::Any => &mut self.any,
            HostMatch::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostMatch::Wildcard(suffix) => wildcard(&mut self.wildcards, suffix),
        };
        paths.add(path, route);
    }

    /// `host` without a port, in lower case; `path` normalised (`message::path`).
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(path));
        exact
            .or_else(|| {
                let mut hosts = self.wildcards.iter().filter(|(suffix, _)| {
                    host.len() > suffix.len() && host.ends_with(suffix.as_str())
                });
                hosts.find_map(|(_, paths)| paths.find(path))
            })
            .or_else(|| self.any.find(path))
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

impl Paths {
    fn add(&mut self, path: &PathMatch, route: Arc<Route>) {
        match path {
            PathMatch::Exact(path) => {
                self.exact.insert(path.clone(), route);
            }
            PathMatch::Prefix(path) => {
                self.prefixes.insert(path.clone(), route);
                let place = self.lengths.partition_point(|&length| length > path.len());
                if self.lengths.get(place) != Some(&path.len()) {
                    self.lengths.insert(place, path.len());
                }
            }
        }
    }

    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if let Some(route) = self.exact.get(path) {
            return Some(route);
        }
        let fits = self.lengths.iter().filter(|&&length| ends_a_segment(path, length));
        fits.copied().find_map(|length| self.prefixes.get(&path[..length]))
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
    use super::*;
    use crate::{config, observe::metrics::Metrics};

    /// Routes as `host path` (`=` before an exact path), each named by its own text.
    fn router(routes: &[&str]) -> Router {
        let metrics = Metrics::new(1);
        let mut router = Router::default();
        for text in routes {
            let (host, path) = text.split_once(' ').unwrap();
            let host = match host.strip_prefix('*') {
                Some("") => config::HostMatch::Any,
                Some(suffix) => config::HostMatch::Wildcard(suffix.to_owned()),
                None => config::HostMatch::Exact(host.to_owned()),
            };
            let path = match path.strip_prefix('=') {
                Some(path) => config::PathMatch::Exact(path.to_owned()),
                None => config::PathMatch::Prefix(path.to_owned()),
            };
            let route = Route {
                name: (*text).into(),
                target: Target::Pool(0),
                metrics: metrics.route(text),
            };
            router.add(&host, &path, Arc::new(route));
        }
        router
    }

    fn check(routes: &[&str], host: &str, path: &str, expected: Option<&str>) {
        let router = router(routes);
        let found = router.find(host, path).map(|route| &*route.name);
        assert_eq!(found, expected, "{host}{path}");
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
}
