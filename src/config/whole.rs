//! What only the whole file can tell: names that lead nowhere, addresses bound twice, ties.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    diagnostic::{Diagnostic, Place},
    files::{self, WrittenFiles},
    listener::{self, A_WAIT, WrittenListener},
    model::{Action, Config, Metrics, Pool, Protocol},
    pool,
    reader::{Field, Findings, Table},
    resolver,
    route::{self, WrittenRoute},
    suggest, top,
};

/// Reads everything. What it returns is to be used only if nothing was found wrong.
pub(super) fn read(top: &Table<'_>) -> Config {
    let findings = top.findings();
    let listener_fields = named_tables(top, "listener", &listener::LISTENER);
    let mut listeners: Vec<WrittenListener> =
        listener_fields.iter().filter_map(listener::read).collect();
    let routes: Vec<WrittenRoute> = route_tables(top).iter().filter_map(route::read).collect();
    let pool_fields = named_tables(top, "pool", &pool::POOL);
    let files_fields = named_tables(top, "files", &files::FILES);
    let files: Vec<WrittenFiles> = files_fields.iter().filter_map(files::read).collect();
    let metrics = top::metrics(top);

    if listener_fields.is_empty() {
        let help = "expected at least one [listener.NAME] with its `bind`";
        findings.missing(Diagnostic::of_file("no listener: nothing would be served").help(help));
    }
    no_address_twice(findings, &listeners, metrics);
    choose_https_ports(findings, &mut listeners);
    listeners_of_routes(findings, &routes, &listener_fields, &listeners);
    pools_of_all(findings, &routes, &listeners, &files, &pool_fields);
    files_of_routes(findings, &routes, &files_fields);
    no_tie(findings, &routes);
    no_name_twice(findings, &routes);

    let mut config = Config {
        workers: top::workers(top),
        drain_timeout: top.duration("drain_timeout", A_WAIT, Duration::from_secs(30)),
        max_compressions: top::max_compressions(top),
        listeners: listeners.into_iter().map(|written| written.listener).collect(),
        routes: routes.iter().filter_map(|written| written.meant.clone()).collect(),
        pools: pool_fields.iter().filter_map(pool::read).collect(),
        files: files.into_iter().filter_map(|written| written.meant).collect(),
        resolver: resolver::read(top),
        access_log: top::access_log(top),
        metrics: metrics.map(|(bind, _)| Metrics { bind }),
        admin: top::admin(top),
    };
    fastcgi_to_fastcgi(findings, &routes, &config.pools);
    config.listeners.sort_by(|a, b| a.name.cmp(&b.name));
    config.pools.sort_by(|a, b| a.name.cmp(&b.name));
    config.files.sort_by(|a, b| a.name.cmp(&b.name));
    config
}

fn named_tables<'a>(
    top: &Table<'a>,
    key: &'static str,
    shape: &'static super::reader::Shape,
) -> Vec<Field<'a>> {
    top.field(key).map(|field| field.named(shape)).unwrap_or_default()
}

fn route_tables<'a>(top: &Table<'a>) -> Vec<Field<'a>> {
    let Some(field) = top.field("route") else {
        return Vec::new();
    };
    let expected = || "expected an array of tables: write [[route]], with two brackets".to_owned();
    field.judge(field.as_items().ok_or_else(expected)).unwrap_or_default()
}

/// An address with its port belongs to one owner; 0.0.0.0 and [::] own every address of theirs.
fn no_address_twice(
    findings: &Findings<'_>,
    listeners: &[WrittenListener],
    metrics: Option<(SocketAddr, Place)>,
) {
    let binds = listeners.iter().flat_map(|written| written.binds.iter().copied());
    let mut exact: HashMap<(IpAddr, u16), Place> = HashMap::new();
    let mut every: HashMap<(bool, u16), (SocketAddr, Place)> = HashMap::new();
    let mut some: HashMap<(bool, u16), (SocketAddr, Place)> = HashMap::new();
    for (bind, place) in binds.chain(metrics) {
        let address = bind.ip().to_canonical();
        let family = (address.is_ipv4(), bind.port());
        if let Some(first) = exact.insert((address, bind.port()), place) {
            let message = format!("{bind} is bound twice");
            let help = "remove one, or choose another port";
            findings.add(Diagnostic::at(place, message).beside(first, "the first").help(help));
            continue;
        }
        let (own, other) = match address.is_unspecified() {
            true => (&mut every, &some),
            false => (&mut some, &every),
        };
        own.entry(family).or_insert((bind, place));
        if let Some((taken, first)) = other.get(&family) {
            let message = format!("{bind} overlaps with {taken}");
            let help = "one would take the other's connections: remove one, or choose another port";
            findings.add(Diagnostic::at(place, message).beside(*first, "the other").help(help));
        }
    }
}

/// `redirect = "https"` leads to the port of the one TLS listener, or to 443 among several.
fn choose_https_ports(findings: &Findings<'_>, listeners: &mut [WrittenListener]) {
    let serves = |it: &&WrittenListener| it.listener.tls.is_some() && it.listener.tcp.is_none();
    let tls = || listeners.iter().filter(serves);
    let mut ports: Vec<u16> =
        tls().flat_map(|written| written.listener.bind.iter().map(SocketAddr::port)).collect();
    if ports.is_empty() && tls().next().is_some() {
        // That its `bind` can't be read is told already.
        return;
    }
    ports.sort_unstable();
    ports.dedup();
    let chosen = match ports.as_slice() {
        [only] => Ok(*only),
        several if several.contains(&443) => Ok(443),
        [] => Err((
            "`redirect = \"https\"` without a TLS listener to lead to",
            "add a listener with `certificates`, or name a port: redirect = \"https:443\""
                .to_owned(),
        )),
        [first, ..] => Err((
            "`redirect = \"https\"` with several ports to lead to and none of them 443",
            format!("name one: redirect = \"https:{first}\""),
        )),
    };
    for written in listeners {
        let Some(redirect) = written.redirect.as_ref().filter(|redirect| redirect.port.is_none())
        else {
            continue;
        };
        match &chosen {
            Ok(port) => written.listener.redirect_https = Some(*port),
            Err((message, help)) => {
                findings.missing(Diagnostic::at(redirect.place, *message).help(help.as_str()));
            }
        }
    }
}

fn listeners_of_routes(
    findings: &Findings<'_>,
    routes: &[WrittenRoute],
    written: &[Field<'_>],
    listeners: &[WrittenListener],
) {
    let names: HashSet<&str> = written.iter().map(|field| field.key).collect();
    let redirecting = listeners.iter().filter(|written| written.redirect.is_some());
    let redirecting: HashSet<&str> =
        redirecting.map(|written| written.listener.name.as_ref()).collect();
    let relaying = listeners.iter().filter(|written| written.listener.tcp.is_some());
    let relaying: HashSet<&str> = relaying.map(|written| written.listener.name.as_ref()).collect();
    for (name, place) in routes.iter().filter_map(|route| route.listener.as_ref()) {
        if relaying.contains(name.as_ref()) {
            let message = format!("listener `{name}` relays bytes, to which no route applies");
            let help = "name another listener, or remove its `tcp` and `sni`";
            findings.add(Diagnostic::at(*place, message).help(help));
        } else if redirecting.contains(name.as_ref()) {
            let message = format!("listener `{name}` answers every request with a redirect");
            let help = "name another listener, or remove its `redirect`";
            findings.add(Diagnostic::at(*place, message).help(help));
        } else if !names.contains(name.as_ref()) {
            findings.missing(unknown("listener", name, *place, &names));
        }
    }
}

fn pools_of_all(
    findings: &Findings<'_>,
    routes: &[WrittenRoute],
    listeners: &[WrittenListener],
    files: &[WrittenFiles],
    written: &[Field<'_>],
) {
    let names: HashSet<&str> = written.iter().map(|field| field.key).collect();
    let of_routes = routes.iter().flat_map(|route| &route.pools);
    let of_listeners = listeners.iter().flat_map(|listener| &listener.pools);
    let of_files = files.iter().flat_map(|files| &files.pool);
    for (name, place) in of_routes.chain(of_listeners).chain(of_files) {
        if !names.contains(name.as_ref()) {
            findings.missing(unknown("pool", name, *place, &names));
        }
    }
}

/// Scripts are run by pools that speak FastCGI, which are asked for nothing else.
fn fastcgi_to_fastcgi(findings: &Findings<'_>, routes: &[WrittenRoute], pools: &[Pool]) {
    for route in routes {
        let Some(action) = route.meant.as_ref().map(|meant| &meant.action) else {
            continue;
        };
        let scripts = matches!(action, Action::Fastcgi(_));
        let named = |(name, _): &&(Arc<str>, Place)| !scripts || action.pools().contains(&name);
        for (name, place) in route.pools.iter().filter(named) {
            let Some(pool) = pools.iter().find(|pool| pool.name == *name) else {
                continue;
            };
            let speaks = pool.protocol == Protocol::Fastcgi;
            let (message, help) = match (scripts, speaks) {
                (true, true) | (false, false) => continue,
                (true, false) => (
                    format!("pool `{name}` does not speak FastCGI"),
                    format!("add protocol = \"fastcgi\" to [pool.{name}]"),
                ),
                (false, true) => (
                    format!("pool `{name}` speaks FastCGI, which takes scripts to run"),
                    format!("write fastcgi = {{ pool = \"{name}\", root = \"/srv/app/public\" }}"),
                ),
            };
            findings.add(Diagnostic::at(*place, message).help(help));
        }
    }
}

fn files_of_routes(findings: &Findings<'_>, routes: &[WrittenRoute], written: &[Field<'_>]) {
    let names: HashSet<&str> = written.iter().map(|field| field.key).collect();
    for (name, place) in routes.iter().filter_map(|route| route.files.as_ref()) {
        if !names.contains(name.as_ref()) {
            findings.missing(unknown("files", name, *place, &names));
        }
    }
}

fn unknown(what: &str, name: &str, place: Place, known: &HashSet<&str>) -> Diagnostic {
    let mut known: Vec<&str> = known.iter().copied().collect();
    known.sort_unstable();
    let help = match known.as_slice() {
        [] => format!("add [{what}.{name}]"),
        known => suggest::did_you_mean(name, known.iter().copied()),
    };
    let message = match what {
        "files" => format!("there are no files `{name}`"),
        what => format!("there is no {what} `{name}`"),
    };
    Diagnostic::at(place, message).help(help)
}

/// Two routes that could both take a request, and neither before the other.
fn no_tie(findings: &Findings<'_>, routes: &[WrittenRoute]) {
    let mut before: HashMap<_, Vec<&WrittenRoute>> = HashMap::new();
    for route in routes {
        let Some(key) = route.key() else {
            continue;
        };
        let rivals = before.entry(key).or_default();
        if let Some(earlier) = rivals.iter().find(|rival| rival.ties_with(route)) {
            let message = "a tie: another route takes the same requests";
            let help = match route.has_conditions() {
                false => {
                    "change `host`, `path` or `listener` of one; the order of routes means nothing"
                }
                true => {
                    "both have as many conditions, and a request can meet all of them: let them \
                     want different values of one key, or give one a condition more"
                }
            };
            let tie = Diagnostic::at(route.place, message).beside(earlier.place, "the other");
            findings.add(tie.help(help));
        }
        rivals.push(route);
    }
}

/// The names of routes are labels of metrics and have to differ. Names made by default do, but
/// for a tie, which is told already, and for routes that differ in the values of conditions alone.
fn no_name_twice(findings: &Findings<'_>, routes: &[WrittenRoute]) {
    let mut first: HashMap<_, &WrittenRoute> = HashMap::new();
    for route in routes.iter().filter(|route| route.name.is_none()) {
        let Some(label) = route.label() else {
            continue;
        };
        let earlier = *first.entry(label.clone()).or_insert(route);
        if !std::ptr::eq(earlier, route) && !earlier.ties_with(route) {
            let message = format!("two routes would be named `{label}`");
            let help = "values are left out of it, since they may be secret: give each a `name`, \
                        its label in metrics and logs";
            let diagnostic =
                Diagnostic::at(route.place, message).beside(earlier.place, "the other");
            findings.add(diagnostic.help(help));
        }
    }
    let mut first: HashMap<_, Place> =
        first.into_iter().map(|(label, route)| (label, route.place)).collect();
    for (name, place) in routes.iter().filter_map(|route| route.name.as_ref()) {
        if let Some(earlier) = first.insert(name.clone(), *place) {
            let message = format!("two routes are named `{name}`");
            let diagnostic = Diagnostic::at(*place, message).beside(earlier, "the other");
            findings.add(
                diagnostic.help("give one another `name`: it is their label in metrics and logs"),
            );
        }
    }
}
