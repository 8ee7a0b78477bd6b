//! Backends by name: what a name server says is followed, and its silence harms nobody.

use std::{fs, process::Command, sync::Arc};

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, Load, Mood, NameServer, Origin, Record, Says, Setup,
    TlsVersions, get, run, server_config, wait_until,
};

/// A pool of one name, at the port of the origins.
fn config(names: &NameServer, pool: &str) -> String {
    let resolver = names.resolver();
    format!(
        "workers = 1\n[listener.web]\nbind = [\"$web\"]\n[[route]]\npool = \"app\"\n\
         [pool.app]\n{pool}\n{resolver}"
    )
}

fn setup(names: &NameServer, pool: &str, origin: &Origin) -> Setup {
    Setup::of(&config(names, pool)).with("port", origin.address().port())
}

const APP: &str = "backends = [\"app.internal:$port\"]";

#[track_caller]
fn wait_for_backends(daemon: &Daemon, count: usize) {
    wait_until(DEADLINE, &format!("{count} backends"), || {
        daemon.metrics().values("equipoise_backend_up", "backend").len() == count
    });
}

#[track_caller]
fn wait_for_status(daemon: &Daemon, words: &str) -> String {
    let mut status = String::new();
    wait_until(DEADLINE, &format!("{words:?} in the status"), || {
        status = daemon.command(&["status"]).stdout;
        status.contains(words)
    });
    status
}

fn resolved(daemon: &Daemon) -> f64 {
    daemon.metric("equipoise_name_resolved", &[("name", "app.internal")])
}

#[test]
fn requests_follow_a_name_and_none_is_lost_by_curl() {
    let [a, b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let daemon = setup(&names, APP, &a).start();
    let url = format!("http://{}/", daemon.address("web"));
    let curl = || {
        let output = run(Command::new("curl").args(["-sS", "--fail", &url]));
        assert_eq!(output.code, 0, "{}", output.words());
        output.stdout
    };
    let load = Load::new().keep_alive(daemon.address("web"), 2);
    assert_eq!(curl(), "127.0.0.2");
    names.leads("app.internal", &["127.0.0.3"]);
    wait_until(DEADLINE, "requests to follow", || curl() == "127.0.0.3");
    let before = a.requests();
    for _ in 0..5 {
        assert_eq!(curl(), "127.0.0.3");
    }
    assert_eq!(a.requests(), before, "nothing goes where the name no longer leads");
    assert!(b.requests() > 0);
    load.stop().assert_flawless();
    let line = daemon.wait_for_log("app.internal: 127.0.0.3 added");
    assert!(line.contains("127.0.0.2 removed"), "{line}");
    wait_until(DEADLINE, "idle connections to close", || a.open_connections() == 0);
}

#[test]
fn an_address_that_stays_keeps_its_counts_and_connections() {
    let [a, _b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let daemon = setup(&names, APP, &a).start();
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "127.0.0.2");
    }
    names.leads("app.internal", &["127.0.0.3", "127.0.0.2"]);
    wait_for_backends(&daemon, 2);
    for _ in 0..4 {
        client.get("/");
    }
    let key = a.address().to_string();
    let labels = [("backend", key.as_str())];
    daemon.wait_for_metric("equipoise_backend_requests_total", &labels, 5.0);
    assert_eq!(a.connections(), 1, "the one from before is reused");
    daemon.reload();
    assert_eq!(daemon.metric("equipoise_backend_requests_total", &labels), 5.0);
    client.get("/");
    client.get("/");
    assert_eq!(a.connections(), 1, "over a reload, too");
}

#[test]
fn what_was_answered_last_serves_while_no_name_server_answers() {
    let [a] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let daemon = setup(&names, APP, &a).start();
    let load = Load::new().keep_alive(daemon.address("web"), 1);
    for (mood, trouble) in [
        (Mood::Silent, "no name server answers"),
        (Mood::Failing, "the name server says: Server Failure"),
    ] {
        names.is(mood);
        let status = wait_for_status(&daemon, trouble);
        assert!(status.contains("kept"), "{status}");
        assert_eq!(resolved(&daemon), 0.0);
        assert_eq!(daemon.metric("equipoise_name_addresses", &[]), 1.0);
        assert_eq!(get(daemon.address("web"), "/").text(), "127.0.0.2");
        // A reload asks again, and takes no for no answer.
        daemon.reload();
        assert_eq!(get(daemon.address("web"), "/").text(), "127.0.0.2");
        names.is(Mood::Well);
        wait_until(DEADLINE, "it to be answered", || resolved(&daemon) == 1.0);
    }
    load.stop().assert_flawless();
    let failed = [("name", "app.internal"), ("result", "failed")];
    assert!(daemon.metric("equipoise_name_lookups_total", &failed) >= 2.0);
    assert!(daemon.metric("equipoise_name_lookup_seconds_count", &[]) >= 4.0);
    daemon.wait_for_log("app.internal: answered again, as before");
}

#[test]
fn a_name_that_does_not_resolve_keeps_nothing_from_starting_and_heals() {
    let [a] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    let pools = format!(
        "{APP}\n[[route]]\npath = \"/other\"\npool = \"other\"\n[pool.other]\nbackends = [\"$other\"]"
    );
    let other = Origin::answering("other");
    let daemon = setup(&names, &pools, &a).with("other", other.address()).start();
    assert_eq!(get(daemon.address("web"), "/other").text(), "other");
    assert_eq!(get(daemon.address("web"), "/").status, 503);
    let status = wait_for_status(&daemon, "unresolved");
    assert!(status.contains("no such name"), "{status}");
    assert_eq!((resolved(&daemon), daemon.metric("equipoise_name_addresses", &[])), (0.0, 0.0));
    assert!(!daemon.metrics().has("equipoise_name_answered_timestamp_seconds", &[]));
    let unresolved = |daemon: &Daemon| {
        daemon.log().iter().filter(|line| line.contains("app.internal: unresolved")).count()
    };
    names.leads("app.internal", &["127.0.0.2"]);
    wait_until(DEADLINE, "it to resolve", || get(daemon.address("web"), "/").status == 200);
    assert_eq!(unresolved(&daemon), 1, "it is told once: {:?}", daemon.log());
    assert!(daemon.metrics().has("equipoise_name_answered_timestamp_seconds", &[]));
}

#[test]
fn a_start_waits_no_longer_than_it_may_for_a_silent_name_server() {
    let [a] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    names.is(Mood::Silent);
    names.leads("app.internal", &["127.0.0.2"]);
    let text = config(&names, APP).replace("timeout = \"500ms\"", "timeout = \"60s\"");
    let text = format!("{text}start_wait = \"100ms\"\n");
    let daemon = Setup::of(&text).with("port", a.address().port()).start();
    assert_eq!(get(daemon.address("web"), "/").status, 503);
    daemon.wait_for_log("unresolved: no answer within the start_wait of 100ms");
}

#[test]
fn a_name_that_is_gone_goes_when_it_was_held_long_enough() {
    let [a] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let text = format!("{}hold = \"2s\"\n", config(&names, APP));
    let daemon = Setup::of(&text).with("port", a.address().port()).start();
    names.says("app.internal", Says::NoSuchName);
    let line = daemon.wait_for_log("app.internal: no such name; 127.0.0.2 kept for 2s");
    assert!(line.contains("WARN"), "{line}");
    daemon.wait_for_log("app.internal: unresolved: no such name; 127.0.0.2 removed");
    daemon.wait_for_log("pool app: no backend is up");
    assert_eq!(get(daemon.address("web"), "/").status, 503);
    names.says("app.internal", Says::Records(Vec::new()));
    wait_for_status(&daemon, "the name has no such record");
}

#[test]
fn all_addresses_of_both_families_are_backends_and_a_family_that_fails_is_kept() {
    let [_v4, _v6] = Origin::answering_at(["127.0.0.1", "::1"]);
    let names = NameServer::start();
    let alias = Record::Alias("real.internal".to_owned());
    let records = vec![alias, Record::address("127.0.0.1"), Record::address("::1")];
    names.says("app.internal", Says::Records(records));
    let daemon = setup(&names, APP, &_v4).start();
    let mut client = Client::connect(daemon.address("web"));
    let mut bodies: Vec<String> = (0..4).map(|_| client.get("/").text()).collect();
    bodies.sort();
    assert_eq!(bodies, ["127.0.0.1", "127.0.0.1", "::1", "::1"]);
    names.is(Mood::FailingIpv6);
    names.leads("app.internal", &["127.0.0.1", "127.0.0.4"]);
    wait_for_backends(&daemon, 3);
    names.is(Mood::Well);
    wait_for_backends(&daemon, 2);
}

fn service(priority: u16, weight: u16, origin: &Origin) -> Record {
    let target = format!("{}.internal", origin.address().port());
    Record::Service { priority, weight, port: origin.address().port(), target }
}

#[test]
fn services_tell_ports_weights_and_backups() {
    let [heavy, light, backup] = ["heavy", "light", "backup"].map(Origin::answering);
    let names = NameServer::start();
    for origin in [&heavy, &light, &backup] {
        names.leads(&format!("{}.internal", origin.address().port()), &["127.0.0.1"]);
    }
    let all = vec![service(10, 3, &heavy), service(10, 1, &light), service(20, 1, &backup)];
    names.says("_http._tcp.app.internal", Says::Records(all));
    let pool = "backends = [\"srv:_http._tcp.app.internal\"]";
    let daemon = setup(&names, pool, &heavy).start();
    let mut client = Client::connect(daemon.address("web"));
    let mut count = |body: &str| (0..8).filter(|_| client.get("/").text() == body).count();
    assert_eq!((count("heavy"), count("light"), count("backup")), (6, 2, 0));
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains("(srv:_http._tcp.app.internal)"), "{status}");
    assert!(status.contains("1 backup"), "{status}");
    let left = vec![service(20, 1, &backup)];
    names.says("_http._tcp.app.internal", Says::Records(left));
    wait_for_backends(&daemon, 1);
    assert_eq!(count("backup"), 8, "the lowest that is left is the first");
    let turned = vec![service(0, 2, &heavy), service(0, 2, &light)];
    names.says("_http._tcp.app.internal", Says::Records(turned));
    wait_for_backends(&daemon, 2);
    assert_eq!((count("heavy"), count("light")), (4, 4));
}

#[test]
fn of_too_many_services_the_first_to_be_asked_serve() {
    let mut origins = [Origin::answering("a"), Origin::answering("b")];
    // What matters is the priority: the lower port is not the better one.
    origins.sort_by_key(|origin| origin.address().port());
    let [backup, primary] = origins;
    let names = NameServer::start();
    for origin in [&backup, &primary] {
        names.leads(&format!("{}.internal", origin.address().port()), &["127.0.0.1"]);
    }
    let both = vec![service(20, 1, &backup), service(10, 1, &primary)];
    names.says("_http._tcp.app.internal", Says::Records(both));
    let pool = "backends = [\"srv:_http._tcp.app.internal\"]";
    let text = format!("{}max_addresses = 1\n", config(&names, pool));
    let daemon = Setup::of(&text).start();
    get(daemon.address("web"), "/");
    assert_eq!((backup.requests(), primary.requests()), (0, 1));
    daemon.wait_for_log("2 addresses were answered: 1 are used");
}

#[test]
fn a_reload_to_another_name_server_asks_it_at_once() {
    let [a, _b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let [one, other] = [NameServer::start(), NameServer::start()];
    one.leads("app.internal", &["127.0.0.2"]);
    other.leads("app.internal", &["127.0.0.3"]);
    let long =
        |names: &NameServer| format!("{}min_ttl = \"1h\"\nmax_ttl = \"1h\"\n", config(names, APP));
    let mut daemon = Setup::of(&long(&one)).with("port", a.address().port()).start();
    assert_eq!(get(daemon.address("web"), "/").text(), "127.0.0.2");
    daemon.rewrite(&long(&other));
    daemon.reload();
    wait_until(DEADLINE, "requests to follow", || {
        get(daemon.address("web"), "/").text() == "127.0.0.3"
    });
}

#[test]
fn an_answer_too_large_for_udp_comes_over_tcp_and_is_bounded() {
    let [a] = Origin::answering_at(["127.0.1.200"]);
    let names = NameServer::start();
    let many: Vec<String> = (1..=200).map(|last| format!("127.0.1.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    names.leads("app.internal", &["127.0.1.200"]);
    let text = format!("{}max_addresses = 10\n", config(&names, APP));
    let daemon = Setup::of(&text).with("port", a.address().port()).start();
    names.leads("app.internal", &many);
    wait_for_backends(&daemon, 10);
    assert!(names.by_tcp() > 0, "it was asked for over TCP");
    daemon.wait_for_log("app.internal: 200 addresses were answered: 10 are used");
    let used = daemon.metrics();
    let used = used.values("equipoise_backend_up", "backend");
    assert!(used.contains(&a.address().to_string().as_str()), "who was in use stays: {used:?}");
}

#[test]
fn a_reload_to_a_name_has_its_backends_at_once() {
    let [a, b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.3"]);
    let mut daemon = setup(&names, "backends = [\"127.0.0.2:$port\"]", &a).start();
    let load = Load::new().keep_alive(daemon.address("web"), 2);
    wait_until(DEADLINE, "traffic", || a.requests() > 0);
    daemon.rewrite(&config(&names, APP));
    let output = daemon.command(&["reload"]);
    assert!(output.stdout.contains("app.internal: resolved: 127.0.0.3"), "{}", output.words());
    wait_until(DEADLINE, "traffic at the other", || b.requests() > 0);
    load.stop().assert_flawless();
    let check = daemon.command(&["check"]);
    assert!(check.stdout.contains("1 name, not looked up"), "{}", check.words());
}

#[test]
fn an_operator_drains_a_name_with_all_that_it_leads_to() {
    let [a] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let daemon = setup(&names, APP, &a).start();
    let port = a.address().port();
    let (name, one) = (format!("app/app.internal:{port}"), format!("app/127.0.0.3:{port}"));
    let weight = daemon.command(&["weight", &name, "3"]);
    assert_eq!(weight.code, 4, "{}", weight.words());
    let help = format!("now these are app/127.0.0.2:{port}");
    assert!(weight.words().contains(&help), "{}", weight.words());
    let drain = daemon.command(&["drain", &name]);
    assert!(drain.stdout.contains("127.0.0.2"), "{}", drain.words());
    names.leads("app.internal", &["127.0.0.2", "127.0.0.3"]);
    wait_for_backends(&daemon, 2);
    assert_eq!(daemon.metric("equipoise_backend_draining", &[]), 2.0);
    daemon.reload();
    assert_eq!(daemon.metric("equipoise_backend_draining", &[]), 2.0);
    wait_for_status(&daemon, "resolved, draining");
    assert_eq!(daemon.command(&["enable", &one]).code, 0);
    assert_eq!(daemon.metric("equipoise_backend_draining", &[]), 1.0);
    assert_eq!(daemon.command(&["enable", &name]).code, 0);
    assert_eq!(daemon.metric("equipoise_backend_draining", &[]), 0.0);
    assert_eq!(daemon.command(&["drain", &one]).code, 0);
    names.leads("app.internal", &["127.0.0.2"]);
    wait_for_backends(&daemon, 1);
    names.leads("app.internal", &["127.0.0.2", "127.0.0.3"]);
    wait_for_backends(&daemon, 2);
    assert_eq!(daemon.metric("equipoise_backend_draining", &[]), 1.0, "it comes back as it went");
    let unknown = daemon.command(&["drain", "app/other.internal:80"]);
    assert_eq!(unknown.code, 4, "{}", unknown.words());
}

#[test]
fn probes_follow_a_name_and_ask_for_it() {
    let [a, b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let pool = format!("{APP}\nhealth = {{ interval = \"50ms\" }}");
    let daemon = setup(&names, &pool, &a).start();
    let up = |daemon: &Daemon| daemon.metric("equipoise_backend_up", &[]);
    assert_eq!(up(&daemon), 1.0, "ready is who was probed");
    names.leads("app.internal", &["127.0.0.2", "127.0.0.3"]);
    wait_until(DEADLINE, "the new one to be up", || up(&daemon) == 2.0);
    let asked = b.take_requests();
    let host = format!("app.internal:{}", b.address().port());
    assert!(asked.iter().all(|request| request.field("host") == Some(&host)), "{asked:?}");
    names.leads("app.internal", &["127.0.0.2"]);
    wait_for_backends(&daemon, 1);
    wait_until(DEADLINE, "probes to end", || b.open_connections() == 0);
}

#[test]
fn a_certificate_must_be_of_the_name_that_is_looked_up() {
    let authority = Authority::new();
    let pair = authority.issue(&["app.internal"]);
    let script = |peer: &mut crate::harness::Peer| {
        while peer.request().is_some() {
            peer.answer(200, "over TLS");
        }
    };
    let origin = Origin::tls(server_config(&pair, None, TlsVersions::All), script);
    let names = NameServer::start();
    for name in ["app.internal", "other.internal"] {
        names.leads(name, &["127.0.0.1"]);
    }
    for (name, status) in [("app.internal", 200), ("other.internal", 502)] {
        let pool = format!("backends = [\"{name}:$port\"]\ntls = {{ ca = \"$dir/ca.pem\" }}");
        let setup = setup(&names, &pool, &origin);
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        let daemon = Arc::new(setup.start());
        assert_eq!(get(daemon.address("web"), "/").status, status, "{name}");
    }
}

#[test]
fn the_hosts_file_comes_first() {
    let origin = Origin::answering("here");
    let names = NameServer::start();
    let pool = "backends = [\"localhost:$port\"]";
    let text = format!("{}family = \"ipv4\"\n", config(&names, pool));
    let daemon = Setup::of(&text).with("port", origin.address().port()).start();
    assert_eq!(get(daemon.address("web"), "/").text(), "here");
    assert_eq!(names.by_udp(), 0, "no name server was asked");
}
