//! What is allowed, but worth a word from `equipoise check`.

mod cookies;
mod tcp_pool;

use super::model::{
    Action, Config, Files, Listener, Pool, Protocol, Queue, Route, Symlinks, Tcp, Trust,
};

/// One line each; none of them keeps a configuration from being served.
pub fn notes(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().flat_map(|listener| of_listener(config, listener));
    let pools = config.pools.iter().flat_map(|pool| of_pool(config, pool));
    let cookies = cookies::notes(config);
    let files = config.files.iter().flat_map(|files| of_files(config, files));
    let all = guarded(config).into_iter().chain(listeners).chain(pools);
    all.chain(files).chain(cookies).collect()
}

/// What a listener guards by client certificates is guarded on that listener alone.
fn guarded(config: &Config) -> Option<String> {
    let required = |listener: &Listener| {
        let clients = listener.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        clients.is_some_and(|clients| clients.required)
    };
    let routed = config.listeners.iter().filter(|listener| listener.tcp.is_none());
    let guarding = routed.clone().find(|listener| required(listener))?;
    let mut serving = routed.filter(|it| it.redirect_https.is_none());
    let open = serving.find(|listener| !required(listener))?;
    let route = config.routes.iter().find(|route| route.listener.is_none())?;
    let (guarding, open, route) = (&guarding.name, &open.name, &route.name);
    Some(format!(
        "route {route}: listener {guarding} serves it to clients with a certificate alone, but \
         listener {open} to everybody: name its `listener`"
    ))
}

fn of_listener(config: &Config, listener: &Listener) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(format!("listener {}: {text}", listener.name));
    let own = |name: &std::sync::Arc<str>| *name == listener.name;
    let routed = config.routes.iter().any(|route| route.listener.as_ref().is_none_or(own));
    if listener.redirect_https.is_none() && listener.tcp.is_none() && !routed {
        note("no route takes its requests: each is answered 404");
    }
    match &listener.tls {
        None if listener.tcp.is_none() && listener.bind.iter().any(|bind| bind.port() == 443) => {
            note("port 443 without `certificates`: plain HTTP");
        }
        Some(tls) if !tls.certificates.iter().any(|certificate| certificate.default) => {
            note("no default certificate: a handshake for another name is refused");
        }
        None | Some(_) => {}
    }
    if listener.trusted_proxies.iter().any(|network| network.prefix == 0) {
        note("`trusted_proxies` holds every address: anyone can claim to be any client");
    }
    let proxies = listener.proxy_protocol_from.iter().flatten();
    if proxies.into_iter().any(|network| network.prefix == 0) {
        note("`proxy_protocol_from` holds every address: anyone can claim to be any client");
    }
    notes
}

fn of_files(config: &Config, files: &Files) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(format!("files {}: {text}", files.name));
    let leads_here = |route: &Route| route.action == Action::Files(files.name.clone());
    if !config.routes.iter().any(leads_here) {
        note("no route leads to it");
    }
    if files.symlinks == Symlinks::Follow {
        note("`symlinks = \"follow\"`: whoever may write below the root may have any file served");
    }
    notes
}

fn of_pool(config: &Config, pool: &Pool) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(format!("pool {}: {text}", pool.name));
    let leads_here = |action: &Action| action.pools().contains(&&pool.name);
    let mirrored = |route: &Route| route.mirror.as_ref().is_some_and(|it| it.pool == pool.name);
    let led = |route: &Route| leads_here(&route.action) || mirrored(route);
    let behind = |files: &Files| files.otherwise.pool() == Some(&pool.name);
    let routed = config.routes.iter().any(led) || config.files.iter().any(behind);
    let relaying = |listener: &&Listener| {
        listener.tcp.iter().flat_map(Tcp::pools).any(|name| *name == pool.name)
    };
    let mut relaying = config.listeners.iter().filter(relaying).peekable();
    match (routed, relaying.peek()) {
        (false, None) => note("no route leads to it"),
        (false, Some(_)) => tcp_pool::notes(pool).iter().for_each(|text| note(text)),
        (true, _) => {}
    }
    // What clients say by TLS, and is not terminated here, is TLS all the way.
    let is_passed_tls = !routed && relaying.any(|listener| listener.tls.is_none());
    match &pool.tls {
        Some(tls) if tls.trust == Trust::Anyone => {
            note("`verify = false`: whoever answers at its addresses is taken for the backend");
        }
        None if !is_passed_tls && pool.backends.iter().any(|it| it.address.port() == Some(443)) => {
            note("port 443 without `tls`: plain connections; `tls = {}` adds TLS");
        }
        None | Some(_) => {}
    }
    match (&pool.health, pool.passive.fall) {
        (Some(_), _) => {}
        (None, 0) if pool.breaker.is_none() => {
            note("no `health` and `passive` turned off: not watched at all")
        }
        (None, _) => note("no `health`: watched passively only; `health = {}` adds probes"),
    }
    if pool.queue != Queue::default() && pool.backends.iter().all(|it| it.max_requests.is_none()) {
        note("`queue` without `max_requests`: no request ever waits");
    }
    let held = pool.max_idle * config.workers;
    if pool.protocol == Protocol::Fastcgi && held > 0 {
        note(&format!(
            "`max_idle` keeps up to {held} processes of each FastCGI server from serving others: its \
             pm.max_children must be more"
        ));
    }
    if pool.hedge.is_some() && (pool.retry.attempts == 1 || pool.sticky.is_some()) {
        note("`hedge` in a pool that is sticky or has one attempt: no second try is ever made");
    }
    if pool.backends.iter().all(|backend| backend.backup) {
        note("every backend is a `backup`: they serve as if none were");
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let config = crate::config::parse(text, Path::new("e.toml")).unwrap();
        assert_eq!(notes(&config), expected);
    }

    const LISTENER: &str = "[listener.http]\nbind = \"0.0.0.0:80\"\n[[route]]\npool = \"app\"\n";

    #[test]
    fn nothing_to_say_of_a_pool_with_probes() {
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:80\"]\nhealth = {}";
        check(&format!("{LISTENER}{pool}"), &[]);
    }

    #[test]
    fn a_pool_without_probes() {
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:80\"]\n";
        let note = "pool app: no `health`: watched passively only; `health = {}` adds probes";
        check(&format!("{LISTENER}{pool}"), &[note]);
        let note = "pool app: no `health` and `passive` turned off: not watched at all";
        check(&format!("{LISTENER}{pool}passive = {{ fall = 0 }}"), &[note]);
    }

    #[test]
    fn a_second_try_that_is_never_made() {
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:80\"]\nhealth = {}\nhedge = {}\n";
        check(&format!("{LISTENER}{pool}"), &[]);
        let note = "pool app: `hedge` in a pool that is sticky or has one attempt: \
                    no second try is ever made";
        check(&format!("{LISTENER}{pool}retry = {{ attempts = 1 }}"), &[note]);
    }

    #[test]
    fn idle_connections_that_hold_processes() {
        let route = "workers = 4\n[listener.http]\nbind = \"0.0.0.0:80\"\n[[route]]\n\
                     fastcgi = { pool = \"php\", root = \"/srv\" }\n[pool.php]\n\
                     protocol = \"fastcgi\"\nbackends = [\"10.0.1.11:9000\"]\n\
                     health = { path = \"/ping\" }\n";
        check(route, &[]);
        let note = "pool php: `max_idle` keeps up to 8 processes of each FastCGI server from serving \
                    others: its pm.max_children must be more";
        check(&format!("{route}max_idle = 2"), &[note]);
    }

    #[test]
    fn a_queue_that_nobody_joins() {
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:80\"]\nhealth = {}\nqueue = { max = 5 }\n";
        let note = "pool app: `queue` without `max_requests`: no request ever waits";
        check(&format!("{LISTENER}{pool}"), &[note]);
        check(&format!("{LISTENER}{pool}max_requests = 50"), &[]);
    }

    #[test]
    fn a_pool_that_trusts_anyone_or_speaks_plainly_where_tls_is_meant() {
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:443\"]\nhealth = {}\n";
        let note = "pool app: port 443 without `tls`: plain connections; `tls = {}` adds TLS";
        check(&format!("{LISTENER}{pool}"), &[note]);
        check(&format!("{LISTENER}{pool}tls = {{}}"), &[]);
        let note =
            "pool app: `verify = false`: whoever answers at its addresses is taken for the backend";
        check(&format!("{LISTENER}{pool}tls = {{ verify = false }}"), &[note]);
    }

    #[test]
    fn a_pool_and_a_listener_that_nothing_leads_to() {
        check(
            "[listener.http]\nbind = \"0.0.0.0:443\"\ntrusted_proxies = \"0.0.0.0/0\"\n\
             [pool.app]\nbackends = [{ address = \"10.0.1.11:80\", backup = true }]\nhealth = {}",
            &[
                "listener http: no route takes its requests: each is answered 404",
                "listener http: port 443 without `certificates`: plain HTTP",
                "listener http: `trusted_proxies` holds every address: anyone can claim to be any client",
                "pool app: no route leads to it",
                "pool app: every backend is a `backup`: they serve as if none were",
            ],
        );
    }

    #[test]
    fn a_route_that_is_guarded_on_one_listener_alone() {
        let tls = "[listener.api]\nbind = \"0.0.0.0:443\"\n\
                   certificates = [{ cert = \"a\", key = \"b\", default = true }]\n";
        let open = "[listener.http]\nbind = \"0.0.0.0:80\"\n";
        let route = "[[route]]\nrespond = { status = 200 }\n";
        let asked = "client_certificates = { ca = \"c\" }\n";
        let note = "route *: listener api serves it to clients with a certificate alone, but \
                    listener http to everybody: name its `listener`";
        check(&format!("{tls}{asked}{open}{route}"), &[note]);
        check(&format!("{tls}{asked}{open}redirect = \"https\"\n{route}"), &[]);
        check(&format!("{tls}{asked}{route}"), &[]);
        check(&format!("{tls}{open}{route}"), &[]);
    }

    #[test]
    fn a_pool_that_tls_is_passed_on_to() {
        let listener = "[listener.passed]\nbind = \"0.0.0.0:443\"\nsni = { \"a.com\" = \"app\" }\n";
        let pool = "[pool.app]\nbackends = [\"10.0.1.11:443\"]\nhealth = { type = \"tcp\" }";
        check(&format!("{listener}{pool}"), &[]);
    }

    #[test]
    fn a_tls_listener_without_a_default() {
        let tls = "[listener.https]\nbind = \"0.0.0.0:443\"\n\
                   certificates = [{ cert = \"a\", key = \"b\" }]\n\
                   [[route]]\nrespond = { status = 200 }";
        let note =
            "listener https: no default certificate: a handshake for another name is refused";
        check(tls, &[note]);
    }
}
