//! One wrong file a row: what is written below a file that is right, and what has to be told of it.
//! (The tables are kept from rustfmt, which would make eight lines of each row.)

#[cfg(test)]
mod files;
mod names;
mod routes;
#[cfg(test)]
mod secrets;

use std::path::Path;

use super::*;

/// Thirteen lines that are right; what a case adds begins at line 14.
const RIGHT: &str = "\
[listener.https]
bind = \"0.0.0.0:443\"
certificates = [{ cert = \"a.crt\", key = \"a.key\" }]

[listener.web]
bind = \"0.0.0.0:80\"

[[route]]
host = \"www.example.com\"
pool = \"app\"

[pool.app]
backends = [\"10.0.1.11:8080\"]
";

fn told(text: &str) -> String {
    match parse(text, Path::new("e.toml")) {
        Ok(config) => panic!("nothing was told of:\n{text}\n{config:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// Each row: lines added, `line:column`, a part of the message, a part of the help.
#[track_caller]
fn check(rows: &[(&str, &str, &str, &str)]) {
    assert!(parse(RIGHT, Path::new("e.toml")).is_ok());
    for (added, place, message, help) in rows {
        let told = told(&format!("{RIGHT}{added}"));
        let header = format!("e.toml:{place}: {message}");
        assert!(told.contains(&header), "expected `{header}` of:\n{added}\n\n{told}");
        assert!(told.contains(help), "expected `{help}` of:\n{added}\n\n{told}");
        let others = told.matches("e.toml:").count() - told.matches(": e.toml:").count();
        assert_eq!(others, 1, "more than one error of:\n{added}\n\n{told}");
    }
}

#[test]
#[rustfmt::skip]
fn keys_that_are_unknown_or_elsewhere() {
    check(&[
        ("balence = \"x\"", "14:1", "unknown key `balence` in [pool.NAME]", "did you mean `balance`?"),
        ("workers = 1", "14:1", "unknown key `workers`", "above the first [table]"),
        ("interval = \"1s\"", "14:1", "unknown key `interval`", "is a key of `health` of [pool.NAME]"),
        ("[filez.site]", "14:2", "unknown key `filez`", "did you mean `files`?"),
        ("[lisener.x]", "14:2", "unknown key `lisener`", "did you mean `listener`?"),
        ("health = { intervall = \"1s\" }", "14:12", "unknown key `intervall`", "`interval`?"),
        ("[frontend.x]", "14:2", "unknown key `frontend`", "did you mean `listener`?"),
    ]);
}

#[test]
#[rustfmt::skip]
fn values_of_the_wrong_kind() {
    check(&[
        ("balance = 1", "14:11", "1 is no value for `balance`", "in quotes"),
        ("balance = \"leastconn\"", "14:11", "`leastconn` is no value", "`least-connections`?"),
        ("max_idle = \"64\"", "14:12", "`64` is no value", "a number from 0 to 65536"),
        ("max_idle = -1", "14:12", "-1 is no value", "a number from 0 to 65536"),
        ("max_idle = 99999999999999999999999", "14:12", "9999", "a number from 0 to 65536"),
        ("timeouts = { connect = 2 }", "14:24", "2 is no value for `connect`", "\"250ms\""),
        ("timeouts = { connect = \"0s\" }", "14:24", "`0s` is no value", "from \"1ms\" to \"1d\""),
        ("max_requests = 0", "14:16", "0 is no value", "a number from 1 to 1000000"),
        ("queue = { timeout = 5 }", "14:21", "5 is no value for `timeout`", "\"250ms\""),
        ("breaker = { failures = \"0%\" }", "14:24", "`failures` of nothing", "above \"0%\""),
        ("breaker = { longest = \"5s\" }", "14:23", "a `longest` shorter than the first time", "at least \"10s\""),
        ("breaker = { window = \"1h\" }", "14:22", "`1h` is no value", "from \"100ms\" to \"10m\""),
        ("hedge = { percentile = 100 }", "14:24", "100 is no value for `percentile`", "from 50 to 99"),
        ("hedge = true", "14:9", "true is no value for `hedge`", "expected a table"),
        ("queue = 100", "14:9", "100 is no value for `queue`", "expected a table"),
        ("retry = { budget = \"120%\" }", "14:20", "`120%` is no value", "\"0%\" to \"100%\""),
        ("passive = { count_5xx = \"yes\" }", "14:25", "`yes` is no value", "true or false"),
        ("passive = 3", "14:11", "3 is no value for `passive`", "expected a table"),
        ("[route]\npool = \"app\"", "14:2", "duplicate key", "stands once"),
        ("[pool.b]\nbackends = [\"10.0.1.11:80\"]\n[[pool.b]]", "16:8", "duplicate key", "[["),
        ("[metrics]", "14:1", "`bind` is missing", "127.0.0.1:9180"),
        ("[access_log]\nto = \"\"", "15:6", "`` is no value for `to`", "path of a file"),
    ]);
}

#[test]
#[rustfmt::skip]
fn listeners_that_can_not_be() {
    check(&[
        ("[listener.x]", "14:1", "`bind` is missing", "bind = \"0.0.0.0:443\""),
        ("[listener.x]\nbind = []", "15:8", "`bind` is empty", ""),
        ("[listener.x]\nbind = \":81\"", "15:8", "`:81` is no value", "\"0.0.0.0:81\", \"[::]:81\""),
        ("[listener.x]\nbind = \"0.0.0.0\"", "15:8", "`0.0.0.0` is no", "the port is missing"),
        ("[listener.x]\nbind = \"0.0.0.0:80\"", "15:8", "0.0.0.0:80 is bound twice", "the first: e.toml:6:8"),
        ("[listener.x]\nbind = \"127.0.0.1:80\"", "15:8", "127.0.0.1:80 overlaps with 0.0.0.0:80", "e.toml:6:8"),
        ("[listener.x]\nbind = \"[::ffff:127.0.0.1]:80\"", "15:8", "[::ffff:127.0.0.1]:80 overlaps", ""),
        ("[metrics]\nbind = \"0.0.0.0:80\"", "15:8", "0.0.0.0:80 is bound twice", ""),
        ("[listener.\"a b\"]\nbind = \"0.0.0.0:81\"", "14:11", "`a b` is no name for a listener", "letters"),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\nmin_tls = \"1.2\"", "16:1", "`min_tls` on a listener without", ""),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\nhsts = \"1d\"", "16:1", "`hsts` on a listener without", ""),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\nredirect = \"http\"", "16:12", "`http` is no value", "https:8443"),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\ntrusted_proxies = [\"10.0.0.1/8\"]", "16:20", "`10.0.0.1/8`", "`10.0.0.0/8`?"),
        ("[listener.x]\nbind = \"0.0.0.0:81\"\nlimits = { max_body = 5 }", "16:23", "5 is no value", "\"10MiB\""),
    ]);
}

#[test]
#[rustfmt::skip]
fn tcp_that_can_not_be() {
    let tcp = "[listener.x]\nbind = \"0.0.0.0:81\"\ntcp = \"app\"\n";
    let row = |line: &str| format!("{tcp}{line}");
    let sni = |names: &str| row(&format!("sni = {names}"));
    check(&[
        (&row("redirect = \"https\""), "17:1", "`redirect` on a TCP listener, which relays bytes", "remove `redirect`"),
        (&row("hsts = \"1d\""), "17:1", "`hsts` on a TCP listener", "to serve HTTP"),
        (&row("trusted_proxies = []"), "17:1", "`trusted_proxies` on a TCP listener", ""),
        (&row("protocols = [\"h2\"]"), "17:1", "`protocols` on a TCP listener", ""),
        (&row("limits = { max_body = \"1MiB\" }"), "17:1", "`limits` on a TCP listener", ""),
        (&row("timeouts = { header = \"1s\", keep_alive = \"1s\" }"), "17:29", "`keep_alive` on a TCP listener", ""),
        (&row("[[route]]\nlistener = \"x\"\npool = \"app\""), "18:12", "listener `x` relays bytes, to which no route applies", "name another listener"),
        (&tcp.replace("\"app\"", "\"ap\""), "16:7", "there is no pool `ap`", "did you mean `app`?"),
        (&sni("{ \"a.com\" = \"ap\" }"), "17:19", "there is no pool `ap`", "did you mean `app`?"),
        (&sni("{}"), "17:7", "`sni` is empty", "db.example.com"),
        (&sni("\"a.com\""), "17:7", "`a.com` is no value for `sni`", "expected a table"),
        (&sni("{ \"a.com:443\" = \"app\" }"), "17:9", "`a.com:443` is no name for `sni`", "without a port"),
        (&sni("{ \"*\" = \"app\" }"), "17:9", "`*` is no name for `sni`", "write `tcp`"),
        (&sni("{ \"A.com\" = \"app\", \"a.com\" = \"app\" }"), "17:26", "`a.com` stands twice in `sni`", "the first: e.toml:17:9"),
        (&sni("{ \"a.com\" = \"app\" }\ncertificates = [{ cert = \"b\", key = \"c\" }]"), "18:1", "`certificates` beside `sni`", "without terminating"),
    ]);
}

#[test]
#[rustfmt::skip]
fn proxies_that_can_not_be() {
    let row = |value: &str| format!("[listener.x]\nbind = \"0.0.0.0:81\"\nproxy_protocol_from = {value}");
    check(&[
        (&row("[]"), "16:23", "`proxy_protocol_from` is empty", "10.0.0.0/8"),
        ("[pool.b]\nbackends = [\"a:1\"]\nproxy_protocol = \"v3\"", "16:18", "`v3`", "did you mean `v1`?"),
        ("[pool.b]\nbackends = [\"a:1\"]\nprotocol = \"h2\"\nproxy_protocol = \"v2\"", "17:1", "`proxy_protocol` beside protocol = \"h2\"", "X-Forwarded-For"),
        (&row("[\"10.0.0.1/8\"]"), "16:24", "`10.0.0.1/8`", "`10.0.0.0/8`?"),
    ]);
}

#[test]
fn a_listener_that_relays_is_led_to_by_no_redirect() {
    let relaying = RIGHT.replace("bind = \"0.0.0.0:443\"", "bind = \"0.0.0.0:443\"\ntcp = \"app\"");
    let redirecting =
        relaying.replace("bind = \"0.0.0.0:80\"", "bind = \"0.0.0.0:80\"\nredirect = \"https\"");
    let told = told(&redirecting);
    assert!(told.contains("`redirect = \"https\"` without a TLS listener"), "{told}");
    let config = parse(&relaying, Path::new("e.toml")).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!((&*config.listeners[0].name, tls.versions), ("https", None));
}

#[test]
#[rustfmt::skip]
fn tls_that_can_not_be() {
    let tls = "[listener.x]\nbind = \"0.0.0.0:444\"\n";
    let pair = "{ cert = \"b\", key = \"c\", default = true }";
    let row = |line: &str| format!("{tls}{line}");
    let two_defaults = row(&format!(
        "certificates = [{pair}, {}]",
        pair.replace("\"b\"", "\"d\"")
    ));
    let twice = row(&format!(
        "certificates = [{pair}, {}]",
        pair.replace(", default = true", "")
    ));
    let redirects = row(&format!("certificates = [{pair}]\nredirect = \"https\""));
    let preload = row(&format!(
        "certificates = [{pair}]\nhsts = {{ preload = true }}"
    ));
    let number = row(&format!("certificates = [{pair}]\nmin_tls = 1.2"));
    check(&[
        (&row("certificates = []"), "16:16", "a TLS listener without certificates", "a pair of files"),
        (&row("certificates = \"b\""), "16:16", "`b` is no value", "certificates = [{ cert"),
        (&row("certificates = [{ cert = \"b\" }]"), "16:17", "`key` is missing", ""),
        (&two_defaults, "16:95", "two default certificates", "the first: e.toml:16:52"),
        (&twice, "16:69", "the same certificate twice", ""),
        (&redirects, "16:1", "a listener that redirects to HTTPS", ""),
        (&preload, "17:8", "`preload` without", "include_subdomains"),
        (&number, "17:11", "1.2 is no value", "expected `1.2` or `1.3`, in quotes"),
    ]);
}

#[test]
fn redirects_to_https_that_lead_nowhere() {
    let none = "[listener.http]\nbind = \"0.0.0.0:80\"\nredirect = \"https\"\n";
    let told_of_none = told(none);
    assert!(told_of_none.contains("e.toml:3:12: `redirect = \"https\"` without a TLS listener"));
    let several = "[listener.a]\nbind = [\"0.0.0.0:8443\", \"0.0.0.0:9443\"]\ncertificates = [{ cert = \"a\", key = \"b\" }]\n";
    let told_of_several = told(&format!("{none}{several}"));
    assert!(told_of_several.contains("none of them 443"), "{told_of_several}");
    assert!(told_of_several.contains("\"https:8443\""), "{told_of_several}");
    let one = several.replace(", \"0.0.0.0:9443\"", "");
    let config = parse(&format!("{none}{one}"), Path::new("e.toml")).unwrap();
    assert_eq!(config.listeners[1].redirect_https, Some(8443));
}

#[test]
#[rustfmt::skip]
fn routes_that_can_not_be() {
    check(&[
        ("[[route]]", "14:1", "a route without an action", "expected one of pool"),
        ("[[route]]\npool = \"app\"\nredirect = \"/\"", "16:1", "a route with two actions, `pool` and `redirect`", "keep one"),
        ("[[route]]\npool = \"ap\"", "15:8", "there is no pool `ap`", "did you mean `app`?"),
        ("[[route]]\npool = \"app\"\nlistener = \"htps\"", "16:12", "there is no listener `htps`", "`https`?"),
        ("[[route]]\npool = \"app\"\nhost = \"WWW.example.com\"", "14:1", "a tie", "the other: e.toml:8:1"),
        ("[[route]]\npool = \"app\"\nname = \"www.example.com/\"", "16:8", "two routes are named", "e.toml:8:1"),
        ("[[route]]\npool = \"app\"\npath = \"/a\"\nexact = \"/b\"", "17:1", "a route with both `path` and `exact`", ""),
        ("[[route]]\npool = \"app\"\npath = \"a\"", "16:8", "`a` is no value for `path`", "begins with \"/\""),
        ("[[route]]\npool = \"app\"\npath = \"/a/../b\"", "16:8", "`/a/../b`", "`/../`"),
        ("[[route]]\npool = \"app\"\npath = \"/%41\"", "16:8", "`/%41`", "expected `A` as it is"),
        ("[[route]]\npool = \"app\"\npath = \"/a?b\"", "16:8", "`/a?b`", "query"),
        ("[[route]]\npool = \"app\"\nhost = \"a.com:80\"", "16:8", "`a.com:80` is no value for `host`", "without a port"),
        ("[[route]]\npool = \"app\"\nhost = \"*\"", "16:8", "`*`", "leave `host` out"),
        ("[[route]]\npool = \"app\"\nhost = \"a.*.com\"", "16:8", "`a.*.com`", "first label"),
        ("[[route]]\npool = \"app\"\nhost = \"exämple.com\"", "16:8", "`exämple.com`", "xn--"),
        ("[[route]]\nredirect = \"www.example.com\"", "15:12", "`www.example.com` is no", "a URL"),
        ("[[route]]\nredirect = { to = \"/\", status = 200 }", "15:33", "200 is no value", "308"),
        ("[[route]]\nrespond = { status = 204, body = \"x\" }", "15:22", "an answer with status 204 has no body", ""),
        ("[[route]]\nrespond = { status = 99 }", "15:22", "99 is no value", "from 200 to 599"),
    ]);
}

#[test]
fn a_route_of_a_listener_that_redirects() {
    let redirecting =
        RIGHT.replace("bind = \"0.0.0.0:80\"", "bind = \"0.0.0.0:80\"\nredirect = \"https\"");
    let told = told(&format!("{redirecting}[[route]]\npool = \"app\"\nlistener = \"web\""));
    assert!(
        told.contains("e.toml:17:12: listener `web` answers every request with a redirect"),
        "{told}"
    );
}

#[test]
#[rustfmt::skip]
fn client_certificates_that_can_not_be() {
    let tls = "[listener.x]\nbind = \"0.0.0.0:444\"\ncertificates = [{ cert = \"b\", key = \"b\" }]\n";
    let with = |asked: &str| format!("{tls}client_certificates = {asked}");
    check(&[
        (&with("true"), "17:23", "true is no value for `client_certificates`", "expected a table"),
        (&with("{}"), "17:23", "`ca` is missing", "ca = \"clients.pem\""),
        (&with("{ ca = \"a\", required = \"no\" }"), "17:46", "`no` is no value for `required`", "true or false"),
        (&with("{ ca = 5 }"), "17:30", "5 is no value for `ca`", ""),
        ("[listener.x]\nbind = \"0.0.0.0:444\"\nclient_certificates = { ca = \"a\" }", "16:1", "`client_certificates` on a listener without `certificates`", "add `certificates`"),
    ]);
}

#[test]
#[rustfmt::skip]
fn tls_to_backends_that_can_not_be() {
    check(&[
        ("tls = true", "14:7", "true is no value for `tls`", "tls = {} trusts the system's authorities"),
        ("tls = { cert = \"a.crt\" }", "14:16", "`cert` without `key`", "add the `key` that belongs to it"),
        ("tls = { key = \"a.key\" }", "14:15", "`key` without `cert`", "add the `cert` that belongs to it"),
        ("tls = { ca = \"ca\", verify = false }", "14:14", "`ca` beside `verify = false`", "remove `verify`"),
        ("tls = { name = \"app:8443\" }", "14:16", "`app:8443` is no value for `name`", "without a port"),
        ("tls = { name = \"*.internal\" }", "14:16", "`*.internal` is no value for `name`", "app.internal"),
        ("tls = { ca = \"\" }", "14:14", "`` is no value for `ca`", "the path of a PEM file"),
        ("tls = { min_tls = \"1.1\" }", "14:19", "`1.1` is no value for `min_tls`", "1.2"),
        ("tls = { sni = \"a\" }", "14:9", "unknown key `sni` in `tls` of [pool.NAME]", "did you mean `name`?"),
    ]);
}

#[test]
fn the_name_of_a_backend_is_written_or_the_host_that_is_set() {
    let name = |keys: &str| {
        let config = parse(&format!("{RIGHT}{keys}"), Path::new("/etc/e.toml")).unwrap();
        config.pools[0].tls.clone().unwrap().name
    };
    assert_eq!(name("tls = {}"), None);
    assert_eq!(name("tls = { name = \"App.Internal\" }").as_deref(), Some("app.internal"));
    assert_eq!(name("tls = { name = \"2001:db8::1\" }").as_deref(), Some("2001:db8::1"));
    assert_eq!(name("tls = { name = \"[2001:db8::1]\" }").as_deref(), Some("2001:db8::1"));
    assert_eq!(
        name("tls = {}\nhost_header = \"www.a.example:8443\"").as_deref(),
        Some("www.a.example")
    );
    assert_eq!(
        name("tls = {}\nhost_header = \"[2001:db8::1]:8443\"").as_deref(),
        Some("2001:db8::1")
    );
    let both = "tls = { name = \"b.example\" }\nhost_header = \"a.example\"";
    assert_eq!(name(both).as_deref(), Some("b.example"));
}

#[test]
#[rustfmt::skip]
fn pools_that_can_not_be() {
    check(&[
        ("[pool.x]", "14:1", "`backends` is missing", "backends = ["),
        ("[pool.x]\nbackends = []", "15:12", "a pool without backends", ""),
        ("[pool.x]\nbackends = [\"app1\"]", "15:13", "`app1` is no value", "the port is missing"),
        ("[pool.x]\nbackends = [\"http://10.0.0.1\"]", "15:13", "`http://10.0.0.1`", "without a scheme"),
        ("[pool.x]\nbackends = [\"10.0.0.1:1\", { address = \"10.0.0.1:1\" }]", "15:39", "10.0.0.1:1 is in this pool twice", "e.toml:15:13"),
        ("[pool.x]\nbackends = [{ address = \"10.0.0.1:1\", weight = 0 }]", "15:48", "0 is no value", "from 1 to 256"),
        ("[pool.x]\nbackends = [{ weight = 2 }]", "15:13", "`address` is missing", ""),
        ("on_skew = \"newest\"", "14:11", "`newest` is no value", "prefer-newest"),
        ("on_skew = \"prefer-newest\"\nhealth = {}", "14:11", "`on_skew` prefers a release, but no probe reads one", "X-Release"),
        ("pin = true\nhealth = { release = { header = \"X-Release\" } }", "14:7", "`pin` without a cookie that says what", "sticky = {"),
        ("pin = true\nsticky = { cookie = \"s\", secret_file = \"s\" }", "14:7", "`pin` to a release, but no probe reads one", "X-Release"),
        ("on_skew_min = 2", "14:15", "2 is no value for `on_skew_min`", "\"20%\""),
        ("host_header = \"a b\"", "14:15", "`a b` is no value", "www.example.com"),
    ]);
}

#[test]
#[rustfmt::skip]
fn probes_that_can_not_be() {
    check(&[
        ("health = true", "14:10", "true is no value", "expected a table"),
        ("health = { path = \"x\" }", "14:19", "`x` is no value", "begins with \"/\""),
        ("health = { type = \"tcp\", path = \"/\" }", "14:26", "`path` on a TCP probe", "remove `path`"),
        ("health = { method = \"HEAD\", text = \"x\" }", "14:29", "`text` on a HEAD probe", ""),
        ("health = { release = \"X-Release\" }", "14:22", "`X-Release` is no value for `release`", "expected a table"),
        ("health = { release = {} }", "14:22", "a `release` without `header` or `json`", "{ header = \"X-Release\" }"),
        ("health = { release = { header = \"a\", json = \"b\" } }", "14:38", "a `release` with both `header` and `json`", "expected one of"),
        ("health = { release = { header = \"X Release\" } }", "14:33", "`X Release` is no value for `header`", "name of a header"),
        ("health = { release = { json = \"a..b\" } }", "14:31", "`a..b` is no value for `json`", "\"build.version\""),
        ("health = { method = \"HEAD\", release = { json = \"a\" } }", "14:41", "`json` on a HEAD probe", "remove `json`"),
        ("health = { type = \"tcp\", release = { header = \"a\" } }", "14:26", "`release` on a TCP probe", "remove `release`"),
        ("health = { interval = \"1s\", timeout = \"2s\" }", "14:39", "a `timeout` longer than the interval of 1s", "at most \"1s\""),
        ("health = { status = 99 }", "14:21", "99 is no value", "\"200-399\""),
        ("health = { status = [200, \"400-300\"] }", "14:27", "`400-300` is no value", ""),
        ("health = { port = 70000 }", "14:19", "70000 is no value", "from 1 to 65535"),
        ("health = { jitter = \"90%\" }", "14:21", "`90%` is no value", "at most \"50%\""),
    ]);
}

#[test]
fn a_socket_path_too_long_for_the_kernel() {
    let path = "x".repeat(120);
    let added = format!("[admin]\nsocket = \"/{path}\"");
    check(&[(&added, "15:10", "a path of 121 bytes is too long for a unix socket", "107")]);
}

#[test]
fn a_file_without_a_listener() {
    let told = told("workers = 2\n");
    assert!(told.starts_with("e.toml: no listener"), "{told}");
}

#[test]
fn errors_of_the_grammar_and_of_the_meaning_together() {
    let told = told(
        "workers = x y\ndrain_timeout = 5\n[listener.a]\nbind = 0.0.0.0:80\n[pool.a]\nbackends = [\"a:0\"]\n",
    );
    for place in ["e.toml:1:", "e.toml:2:17: 5 is no value", "e.toml:4:", "e.toml:6:13: `a:0`"] {
        assert_eq!(told.matches(place).count(), 1, "{place} of:\n{told}");
    }
    assert_eq!(told.matches("e.toml:").count(), 4, "{told}");
}

#[test]
fn what_may_have_stood_in_a_broken_part_is_not_missed() {
    let told = told("[listener.a]\nbind = \"0.0.0.0:80\"\n[[route]]\npool = \"app\"\n[pool.app\n");
    assert!(!told.contains("no pool"), "{told}");
}

#[test]
fn addresses_as_other_programs_write_them() {
    let bind = |text: &str| told(&RIGHT.replacen("\"0.0.0.0:443\"", text, 1));
    for (written, help) in [
        ("\":443\"", r#"write "0.0.0.0:443", "[::]:443" or both"#),
        ("\"*:443\"", r#"write "0.0.0.0:443", "[::]:443" or both"#),
        ("\"::1:443\"", "IPv6 stands in brackets"),
        ("\"10.0.1.11\"", "the port is missing"),
        ("443", "expected an IP address and a port"),
    ] {
        let told = bind(written);
        assert!(told.contains(help), "{written}: {told}");
        assert_eq!(told.matches("e.toml:").count(), 1, "{told}");
    }
}

#[test]
fn a_table_that_was_not_understood_is_not_missed() {
    let without_pool = RIGHT.split("[pool.app]").next().unwrap_or_default();
    for (written, message) in [
        ("[upstream.app]\n", "e.toml:12:2: unknown key `upstream`\n"),
        ("[pool]\nbackends = [\"10.0.1.11:80\"]\n", "e.toml:12:2: [pool] without a name\n"),
    ] {
        let told = told(&format!("{without_pool}{written}"));
        assert!(told.starts_with(message), "{told}");
        assert_eq!(told.matches("e.toml:").count(), 1, "{told}");
    }
}

#[test]
fn a_backend_has_its_own_limit_or_the_one_of_its_pool() {
    let app = "backends = [\"10.0.1.11:80\", { address = \"10.0.1.12:80\", max_requests = 7 }]";
    let limits = |added: &str| -> Vec<Option<usize>> {
        let text = RIGHT.replace("backends = [\"10.0.1.11:8080\"]", app);
        let config = parse(&format!("{text}{added}"), Path::new("e.toml")).unwrap();
        config.pools[0].backends.iter().map(|backend| backend.max_requests).collect()
    };
    assert_eq!(limits(""), [None, Some(7)]);
    assert_eq!(limits("max_requests = 50"), [Some(50), Some(7)]);
}

#[test]
fn a_redirect_is_not_blamed_for_the_address_it_leads_to() {
    let wrong = RIGHT.replacen("0.0.0.0:443", "0.0.0.0", 1);
    let told = told(&wrong.replacen("80\"\n", "80\"\nredirect = \"https\"\n", 1));
    assert!(told.contains("e.toml:2:8: `0.0.0.0` is no value for `bind`"), "{told}");
    assert_eq!(told.matches("e.toml:").count(), 1, "{told}");
}

#[test]
fn an_array_that_is_never_closed_is_one_error() {
    let told = told("[pool.a]\nbackends = [\n\"10.0.1.11:80\",\nmax_idle = 5\n[pool.b]\nx = 1\n");
    assert!(told.contains("the array before it lacks its `]`"), "{told}");
    assert_eq!(told.matches("e.toml:").count(), 1, "{told}");
}

#[test]
fn what_stands_twice_is_shown_where_it_stands_first_and_brings_no_errors_of_its_own() {
    for (added, place, first) in [
        ("[pool.app] # again\nbackends = [\"10.0.1.12:80\"]\nmax_idel = 1", "14:", "12:1"),
        ("max_idle = 1\nmax_idle = 2", "15:1", "14:1"),
    ] {
        let told = told(&format!("{RIGHT}{added}"));
        assert!(told.starts_with(&format!("e.toml:{place}")), "{told}");
        assert!(told.contains(&format!("the first: e.toml:{first}")), "{told}");
        assert_eq!(told.matches("duplicate key").count(), 1, "{told}");
        assert_eq!(told.matches("e.toml:").count(), 2, "{told}");
    }
}

#[test]
fn another_language_is_told_once_that_this_is_toml() {
    for text in ["server {\n  listen 80;\n}\n", "listener:\n  web:\n    bind: 0.0.0.0:80\n"] {
        let told = told(text);
        assert_eq!(told.matches("this file is TOML").count(), 1, "{told}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.toml");
    let missing = load(&path).unwrap_err().to_string();
    assert!(missing.contains("there is no such file"), "{missing}");
    assert!(missing.contains("name yours with --config FILE"), "{missing}");
    std::fs::write(&path, b"a = 1\nb = \xff").unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("e.toml:2:5: this is no UTF-8"));
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("this is a directory"), "{error}");
}

#[test]
fn paths_start_at_the_folder_of_the_file() {
    let config = parse(RIGHT, Path::new("/etc/equipoise/e.toml")).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].cert, Path::new("/etc/equipoise/a.crt"));
}

#[test]
fn moving_a_line_is_no_change() {
    let moved = format!("\n\n# moved\n{RIGHT}");
    let before = parse(RIGHT, Path::new("e.toml")).unwrap();
    assert_eq!(before, parse(&moved, Path::new("e.toml")).unwrap());
}

#[test]
fn names_of_routes_are_made_of_what_they_match() {
    let routes = "[[route]]\npool = \"app\"\n\
        [[route]]\npool = \"app\"\npath = \"/a/\"\n\
        [[route]]\npool = \"app\"\nhost = \"*.EXAMPLE.org\"\nexact = \"/x\"\n\
        [[route]]\npool = \"app\"\nlistener = \"web\"\n";
    let config = parse(&format!("{RIGHT}{routes}"), Path::new("e.toml")).unwrap();
    let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_ref()).collect();
    assert_eq!(names, ["www.example.com/", "*", "*/a/", "*.example.org=/x", "web *"]);
}
