//! The routes of `equipoise status`: which requests, what becomes of them, how many there were.

use super::columns;
use crate::control::protocol::{ActionStatus, RouteStatus};

const HEAD: [&str; 8] =
    ["route", "listener", "host", "path", "conditions", "action", "requests", "5xx"];

/// Nothing where there are none.
pub(super) fn table(routes: &[RouteStatus]) -> String {
    if routes.is_empty() {
        return String::new();
    }
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(routes.iter().map(row));
    format!("\nroutes\n{}", columns(rows))
}

fn row(route: &RouteStatus) -> [String; 8] {
    let every = |word: &str, all: &str| if word == all { "every" } else { word }.to_owned();
    let conditions = match route.conditions.as_slice() {
        [] => "none".to_owned(),
        some => some.join(" "),
    };
    [
        route.name.clone(),
        route.listener.clone().unwrap_or_else(|| "every".to_owned()),
        every(&route.host, "*"),
        every(&route.path, "/"),
        conditions,
        action(route),
        route.requests.to_string(),
        route.answered_5xx.to_string(),
    ]
}

/// `pool app, mirrored to canary`, `split app 95, canary 5`, `redirect 308 https://…`, `respond 503`.
fn action(route: &RouteStatus) -> String {
    let words = match &route.action {
        ActionStatus::Pool(pool) => format!("pool {pool}"),
        ActionStatus::Fastcgi(pool) => format!("fastcgi {pool}"),
        ActionStatus::Split(weights) => {
            let weight = |(pool, weight): (&String, &u32)| format!("{pool} {weight}");
            format!("split {}", weights.iter().map(weight).collect::<Vec<_>>().join(", "))
        }
        ActionStatus::Files(files) => format!("files {files}"),
        ActionStatus::Redirect { status, to } => format!("redirect {status} {to}"),
        ActionStatus::Respond { status } => format!("respond {status}"),
    };
    match &route.mirror {
        Some(pool) => format!("{words}, mirrored to {pool}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, host: &str, path: &str, action: ActionStatus) -> RouteStatus {
        RouteStatus {
            name: name.to_owned(),
            listener: None,
            host: host.to_owned(),
            path: path.to_owned(),
            conditions: Vec::new(),
            action,
            mirror: None,
            requests: 0,
            answered_5xx: 0,
        }
    }

    #[test]
    fn a_row_says_what_a_route_takes_and_does() {
        let app = || ActionStatus::Pool("app".to_owned());
        let weights = [("app".to_owned(), 95), ("canary".to_owned(), 5)].into();
        let redirect = ActionStatus::Redirect { status: 308, to: "https://{host}/".to_owned() };
        let routes = [
            RouteStatus {
                requests: 1234,
                answered_5xx: 7,
                mirror: Some("canary".to_owned()),
                ..route("shop", "www.example.com", "/", app())
            },
            RouteStatus {
                listener: Some("https".to_owned()),
                conditions: vec!["GET|HEAD".to_owned(), "header:x-a".to_owned()],
                ..route("api", "*.example.com", "/api/", ActionStatus::Split(weights))
            },
            route("old", "example.org", "/", redirect),
            route("robots", "*", "=/robots.txt", ActionStatus::Respond { status: 404 }),
        ];
        let expected = "
routes
  route   listener  host             path          conditions           action                        requests  5xx
  shop    every     www.example.com  every         none                 pool app, mirrored to canary  1234      7
  api     https     *.example.com    /api/         GET|HEAD header:x-a  split app 95, canary 5        0         0
  old     every     example.org      every         none                 redirect 308 https://{host}/  0         0
  robots  every     every            =/robots.txt  none                 respond 404                   0         0
";
        assert_eq!(table(&routes), expected);
        assert_eq!(table(&[]), "");
    }
}
