//! Sticky pools whose cookies get into each other's way: a browser keeps one of a name for a host.

use crate::config::model::{Config, HostMatch, PathMatch, Pool, Route};

/// A note for each two of them that the clients of one host meet.
pub(super) fn notes(config: &Config) -> Vec<String> {
    let pools: Vec<(&Pool, &str)> = config
        .pools
        .iter()
        .filter_map(|pool| Some((pool, pool.sticky.as_ref()?.cookie.as_str())))
        .collect();
    let mut notes = Vec::new();
    for (at, (first, cookie)) in pools.iter().enumerate() {
        for (second, _) in pools[at + 1..].iter().filter(|(_, other)| other == cookie) {
            notes.extend(meeting(config, first, second).map(|routes| {
                let (first, second) = (&first.name, &second.name);
                format!(
                    "pools {first} and {second}: both are `sticky` by the cookie {cookie}, and \
                     {routes} to both: each overwrites the other's, so that no client stays; name \
                     one of the cookies otherwise"
                )
            }));
        }
    }
    notes
}

/// Where clients of one host meet both pools. A split keeps who has the cookie of either, and so do
/// others between the same two.
fn meeting(config: &Config, first: &Pool, second: &Pool) -> Option<String> {
    let leads = |route: &Route, pool: &Pool| route.action.pools().contains(&&pool.name);
    let leading = |pool: &Pool| -> Vec<&Route> {
        config.routes.iter().filter(|route| leads(route, pool)).collect()
    };
    let keeps = |route: &Route| leads(route, first) && leads(route, second);
    let (to_first, to_second) = (leading(first), leading(second));
    let pairs = to_first.iter().flat_map(|one| to_second.iter().map(move |other| (*one, *other)));
    let mut apart = pairs.filter(|(one, other)| !(keeps(one) && keeps(other)));
    let (one, other) = apart.find(|(one, other)| meet(config, one, other))?;
    Some(format!("routes {} and {} lead the clients of one host", one.name, other.name))
}

/// Whether one host's clients may come to both routes of a listener.
fn meet(config: &Config, one: &Route, other: &Route) -> bool {
    if one.listener.is_some() && other.listener.is_some() && one.listener != other.listener {
        return false;
    }
    one.host == other.host || falls_to(config, one, other) || falls_to(config, other, one)
}

/// Whether what the routes of a host leave comes to a route of a wider one.
fn falls_to(config: &Config, narrow: &Route, wide: &Route) -> bool {
    let covers = match (&wide.host, &narrow.host) {
        (HostMatch::Any, HostMatch::Exact(_) | HostMatch::Wildcard(_)) => true,
        (HostMatch::Wildcard(end), HostMatch::Exact(host) | HostMatch::Wildcard(host)) => {
            host.len() > end.len() && host.ends_with(end.as_str())
        }
        (HostMatch::Any, HostMatch::Any) | (HostMatch::Exact(_), _) => false,
        (HostMatch::Wildcard(_), HostMatch::Any) => false,
    };
    let takes_all = |route: &Route| {
        let every_path = matches!(&route.path, PathMatch::Prefix(path) if path == "/");
        route.host == narrow.host && every_path && route.conditions.is_empty()
    };
    covers && !config.routes.iter().any(takes_all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const POOLS: &str = r#"
[listener.http]
bind = "0.0.0.0:80"
[pool.app]
backends = ["10.0.1.11:80"]
sticky = { cookie = "srv", secret_file = "a" }
[pool.canary]
backends = ["10.0.1.12:80"]
sticky = { cookie = "srv", secret_file = "a" }
[pool.other]
backends = ["10.0.1.13:80"]
sticky = { cookie = "own", secret_file = "a" }
[pool.plain]
backends = ["10.0.1.14:80"]
"#;

    /// `routes`: one a line, without its head.
    fn check(routes: &str, expected: Option<&str>) {
        let routes: String = routes
            .lines()
            .map(|line| format!("[[route]]\n{}\n", line.replace("; ", "\n")))
            .collect();
        let config = crate::config::parse(&format!("{POOLS}{routes}"), Path::new("e.toml"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let expected = expected.map(|routes| {
            format!(
                "pools app and canary: both are `sticky` by the cookie srv, and {routes} to both: \
                 each overwrites the other's, so that no client stays; name one of the cookies \
                 otherwise"
            )
        });
        assert_eq!(notes(&config), Vec::from_iter(expected), "{routes}");
    }

    #[test]
    fn a_split_keeps_its_clients_by_one_cookie() {
        let split = "name = \"one\"; split = { app = 9, canary = 1 }";
        check(split, None);
        check(&format!("{split}\npath = \"/a\"; split = {{ app = 1, canary = 1 }}"), None);
        let apart = Some("routes one and two lead the clients of one host");
        check(&format!("{split}\nname = \"two\"; path = \"/a\"; pool = \"canary\""), apart);
        check("split = { app = 9, other = 1, plain = 1 }", None);
    }

    #[test]
    fn routes_of_one_host() {
        let lead = Some("routes one and two lead the clients of one host");
        check(
            "name = \"one\"; pool = \"app\"\nname = \"two\"; path = \"/a\"; pool = \"canary\"",
            lead,
        );
        check("name = \"one\"; pool = \"app\"\npath = \"/a\"; pool = \"other\"", None);
        check("host = \"a.com\"; pool = \"app\"\nhost = \"b.com\"; pool = \"canary\"", None);
    }

    #[test]
    fn what_the_routes_of_a_host_leave() {
        let lead = Some("routes one and two lead the clients of one host");
        let one = |host: &str, rest: &str| {
            format!("name = \"one\"; host = \"{host}\"; pool = \"app\"{rest}\n")
        };
        let two = |host: &str| format!("name = \"two\"{host}; pool = \"canary\"");
        let (path, wildcard) = ("; path = \"/a\"", "; host = \"*.a.com\"");
        check(&(one("w.a.com", path) + &two("")), lead);
        check(&(one("w.a.com", "; methods = [\"GET\"]") + &two(wildcard)), lead);
        check(&(one("*.b.a.com", path) + &two(wildcard)), lead);
        check(&(one("w.a.com", "") + &two("")), None);
        check(&(one("w.b.com", path) + &two(wildcard)), None);
    }
}
