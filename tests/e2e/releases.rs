//! One code base: what the backends of a pool say that they run, and where the traffic goes while
//! they run several releases.

use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::harness::{Client, DEADLINE, Daemon, Load, Origin, Peer, Setup, get, wait_until};

const RUNS: &str = "equipoise_backend_release_info";
const RELEASES: &str = "equipoise_pool_releases";

/// A server on which the test deploys releases. It answers every request with the one it runs.
struct Server {
    origin: Origin,
    release: Arc<Mutex<String>>,
}

impl Server {
    /// Names its release in a field of the answer to a probe; none where the name is empty.
    fn running(release: &str) -> Server {
        Server::answering_probes(release, |peer, release| match release {
            "" => peer.answer(200, "well"),
            name => peer.write(format!(
                "HTTP/1.1 200 OK\r\nX-Release: {name}\r\nContent-Length: 4\r\n\r\nwell"
            )),
        })
    }

    fn answering_probes(
        release: &str,
        answer: impl Fn(&mut Peer, &str) + Send + Sync + 'static,
    ) -> Server {
        let release = Arc::new(Mutex::new(release.to_owned()));
        let runs = Arc::clone(&release);
        let origin = Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                let release = lock(&runs).clone();
                match request.target.as_str() {
                    "/healthz" => answer(peer, &release),
                    _ => peer.answer(200, &release),
                }
            }
        });
        Server { origin, release }
    }

    fn deploy(&self, release: &str) {
        *lock(&self.release) = release.to_owned();
    }

    /// As a careful operator does it: nothing is sent there while it restarts.
    fn deploy_drained(&self, daemon: &Daemon, release: &str) {
        let backend = format!("app/{}", self.name());
        assert_eq!(daemon.command(&["drain", &backend]).code, 0);
        let in_flight = "equipoise_backend_in_flight";
        daemon.wait_for_metric(in_flight, &[("backend", &self.name())], 0.0);
        self.origin.stop();
        self.deploy(release);
        self.origin.restart();
        wait_until(DEADLINE, "the new release to be known", || {
            self.is_known_to_run(daemon, release)
        });
        assert_eq!(daemon.command(&["enable", &backend]).code, 0);
        daemon.wait_for_metric("equipoise_backend_up", &[("backend", &self.name())], 1.0);
    }

    /// Its name in the metrics.
    fn name(&self) -> String {
        self.origin.address().to_string()
    }

    fn is_known_to_run(&self, daemon: &Daemon, release: &str) -> bool {
        daemon.metrics().has(RUNS, &[("backend", &self.name()), ("release", release)])
    }
}

fn lock(release: &Mutex<String>) -> MutexGuard<'_, String> {
    release.lock().expect("no test panics with it")
}

/// A pool of three: `$a`, `$b`, `$c`.
fn config(pool: &str) -> String {
    format!(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$a", "$b", "$c"]
        {pool}
        "#
    )
}

/// A busy machine that delays a probe or two must not move the traffic.
const BY_HEADER: &str = r#"health = { path = "/healthz", interval = "300ms", rise = 1, fall = 10, release = { header = "x-release" } }"#;

fn start(pool: &str, servers: &[Server; 3]) -> Daemon {
    let [a, b, c] = servers.each_ref().map(|server| server.origin.address());
    Setup::of(&config(pool)).with("a", a).with("b", b).with("c", c).start()
}

#[test]
fn each_release_is_shown_and_a_skew_is_told() {
    let servers = ["1.4.2"; 3].map(Server::running);
    let daemon = start(BY_HEADER, &servers);
    assert!(servers.iter().all(|server| server.is_known_to_run(&daemon, "1.4.2")));
    assert_eq!(daemon.metric(RELEASES, &[("pool", "app")]), 1.0);
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains("pool app, round-robin, 1 release\n"), "{status}");
    assert!(!daemon.log().iter().any(|line| line.contains("release")), "nothing is told of it");

    servers[1].deploy("1.5.0");
    daemon.wait_for_metric(RELEASES, &[("pool", "app")], 2.0);
    daemon.wait_for_log(&format!("pool app: {} runs 1.5.0, before 1.4.2", servers[1].name()));
    daemon.wait_for_log("pool app: 2 releases: 1.4.2 on 2, 1.5.0 on 1");
    assert!(servers[1].is_known_to_run(&daemon, "1.5.0"));
    assert!(!servers[1].is_known_to_run(&daemon, "1.4.2"), "the old one has left the page");
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains(": 1.4.2 on 2, 1.5.0 on 1\n"), "{status}");
    let row = status.lines().find(|line| line.contains(&servers[1].name()));
    assert!(row.is_some_and(|row| row.contains(" 1.5.0 ")), "{status}");

    servers[0].deploy("1.5.0");
    servers[2].deploy("1.5.0");
    daemon.wait_for_log("pool app: 1 release: 1.5.0 on 3");
    assert_eq!(daemon.metric(RELEASES, &[("pool", "app")]), 1.0);
}

#[test]
fn a_skew_is_only_reported_unless_told_otherwise() {
    let servers = ["1.4.2", "1.5.0", "1.4.2"].map(Server::running);
    let daemon = start(BY_HEADER, &servers);
    let mut answers: Vec<String> = [0; 3].map(|_| get(daemon.address("web"), "/").text()).to_vec();
    answers.sort();
    assert_eq!(answers, ["1.4.2", "1.4.2", "1.5.0"]);
}

#[test]
fn a_release_in_a_json_body_is_read() {
    let json = |release: &str| {
        Server::answering_probes(release, |peer, release| {
            let body = format!(r#"{{"ok":true,"build":{{"version":"{release}"}}}}"#);
            // In two pieces, so that one alone would not do.
            let (first, rest) = body.split_at(body.len() / 2);
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{first}", body.len()));
            peer.write(rest);
        })
    };
    let servers = ["1.4.2", "1.4.2", "1.5.0"].map(json);
    let keys = r#"health = { path = "/healthz", release = { json = "build.version" } }"#;
    let daemon = start(keys, &servers);
    assert_eq!(daemon.metric(RELEASES, &[]), 2.0, "{}", daemon.metrics_text());
    assert!(servers[2].is_known_to_run(&daemon, "1.5.0"));
}

#[test]
fn a_backend_that_names_no_release_stays_up_and_status_says_so() {
    let servers = ["1.4.2", "", "not a name"].map(Server::running);
    let daemon = start(BY_HEADER, &servers);
    assert_eq!(daemon.metric("equipoise_backend_up", &[]), 3.0);
    assert_eq!(daemon.metric(RELEASES, &[]), 1.0, "what is unknown is no skew");
    let metrics = daemon.metrics();
    assert_eq!(metrics.values(RUNS, "release").iter().filter(|name| name.is_empty()).count(), 2);
    let status = daemon.command(&["status"]).stdout;
    for (server, why) in [
        (&servers[1], "release unknown: x-release is missing"),
        (&servers[2], "release unknown: x-release is no name: expected 1 to 64 letters"),
    ] {
        let row = status.lines().find(|line| line.contains(&server.name())).expect("its row");
        assert!(row.contains(" up ") && row.contains(" unknown ") && row.contains(why), "{row}");
        daemon.wait_for_log(&format!("pool app: {} runs an unknown release", server.name()));
    }
    let answers = [0; 3].map(|_| get(daemon.address("web"), "/").status);
    assert_eq!(answers, [200; 3]);
}

#[test]
fn a_body_that_never_ends_is_no_failed_probe() {
    let hanging = |release: &str| {
        Server::answering_probes(release, |peer, _| {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"version\":");
            peer.hang();
        })
    };
    let servers = ["1.4.2"; 3].map(hanging);
    let keys =
        r#"health = { path = "/healthz", timeout = "500ms", release = { json = "version" } }"#;
    let daemon = start(keys, &servers);
    assert_eq!(daemon.metric("equipoise_backend_up", &[]), 3.0);
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains("release unknown: the body is no whole JSON"), "{status}");
}

#[test]
fn a_mad_backend_does_not_fill_the_metrics() {
    let probes = AtomicUsize::new(0);
    let mad = Server::answering_probes("mad", move |peer, _| {
        let name = probes.fetch_add(1, Ordering::SeqCst);
        peer.write(format!("HTTP/1.1 200 OK\r\nX-Release: n{name}\r\nContent-Length: 0\r\n\r\n"));
    });
    let servers = [mad, Server::running("1.4.2"), Server::running("1.4.2")];
    let keys = BY_HEADER.replace("300ms", "50ms");
    let daemon = start(&keys, &servers);
    wait_until(DEADLINE, "it to be seen through", || servers[0].is_known_to_run(&daemon, ""));
    let asked = servers[0].origin.requests();
    wait_until(DEADLINE, "some more probes", || {
        let names = daemon.metrics().values(RUNS, "release").len();
        assert_eq!(names, 3, "a series a backend");
        assert!(servers[0].is_known_to_run(&daemon, ""), "no new name is shown");
        servers[0].origin.requests() > asked + 10
    });
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains("pool app, round-robin, 1 release\n"), "{status}");
    daemon.wait_for_log("runs an unknown release: it changes too often");
}

#[test]
fn a_reload_keeps_what_is_known() {
    let servers = ["1.4.2", "1.5.0", "1.4.2"].map(Server::running);
    let keys = BY_HEADER.replace("300ms", "1h");
    let mut daemon = start(&keys, &servers);
    assert_eq!(daemon.metric(RELEASES, &[]), 2.0);
    daemon.rewrite(&config(&format!("max_idle = 3\n{keys}")));
    daemon.reload();
    assert_eq!(daemon.metric(RELEASES, &[]), 2.0);
    assert!(servers[1].is_known_to_run(&daemon, "1.5.0"));
    daemon.rewrite(&config("health = { path = \"/healthz\", interval = \"1h\" }"));
    daemon.reload();
    assert!(!daemon.metrics().has(RELEASES, &[]), "nobody asks any more");
    assert!(!daemon.metrics().has(RUNS, &[]));
}

const PREFERRED: &str = "equipoise_pool_preferred_release_info";

/// Four servers of a release, under a pool with these keys.
fn four(keys: &str) -> ([Server; 4], Daemon) {
    let (servers, daemon) = four_in(keys, |_| ());
    wait_until(DEADLINE, "what they run to be known", || keeps_to(&daemon, "1.4.2"));
    (servers, daemon)
}

fn four_in(keys: &str, prepare: impl FnOnce(&Setup)) -> ([Server; 4], Daemon) {
    let servers = ["1.4.2"; 4].map(Server::running);
    let config = config(&format!("{BY_HEADER}\n{keys}")).replace("\"$c\"", "\"$c\", \"$d\"");
    let mut setup = Setup::of(&config);
    for (name, server) in ["a", "b", "c", "d"].into_iter().zip(&servers) {
        setup = setup.with(name, server.origin.address());
    }
    prepare(&setup);
    (servers, setup.start())
}

fn keeps_to(daemon: &Daemon, release: &str) -> bool {
    daemon.metrics().has(PREFERRED, &[("pool", "app"), ("release", release)])
}

/// What twenty requests in a row are answered by; a worker that has seen a snapshot has seen it for
/// all of them.
fn answered_by(daemon: &Daemon) -> Vec<String> {
    let mut client = Client::connect(daemon.address("web"));
    let mut releases: Vec<String> = (0..20).map(|_| client.get("/").text()).collect();
    releases.sort();
    releases.dedup();
    releases
}

#[track_caller]
fn wait_until_answered_by(daemon: &Daemon, releases: &[&str]) {
    wait_until(DEADLINE, "the traffic to move", || answered_by(daemon) == releases);
}

#[test]
fn a_deployment_moves_the_traffic_once_when_half_of_the_servers_can_take_it() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"");
    let load = Load::new().keep_alive(daemon.address("web"), 3);
    let load = load.connection_a_request(daemon.address("web"), 1);
    servers[0].deploy_drained(&daemon, "1.5.0");
    assert!(keeps_to(&daemon, "1.4.2"), "one of four would be overrun");
    assert_eq!(answered_by(&daemon), ["1.4.2"]);
    assert_eq!(load.tally().of("1.5.0"), 0, "nobody has met it yet");
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains(": 1.4.2 on 3, 1.5.0 on 1; traffic keeps to 1.4.2\n"), "{status}");

    servers[1].deploy_drained(&daemon, "1.5.0");
    daemon.wait_for_log("pool app: traffic keeps to 1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    // Requests that were under way when it moved are answered by now.
    let asked = load.tally().ok;
    wait_until(DEADLINE, "each client to ask again", || load.tally().ok > asked + 20);
    let old = load.tally().of("1.4.2");
    servers[2].deploy_drained(&daemon, "1.5.0");
    servers[3].deploy_drained(&daemon, "1.5.0");
    assert_eq!(answered_by(&daemon), ["1.5.0"]);
    let tally = load.stop();
    assert_eq!(tally.of("1.4.2"), old, "nobody was sent back");
    tally.assert_flawless();
    let moves = daemon.log().iter().filter(|line| line.contains("traffic")).count();
    assert_eq!(moves, 1, "{:?}", daemon.log());
}

#[test]
fn a_rollback_is_followed_as_a_deployment_is() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"");
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    servers[0].deploy("1.4.2");
    wait_until_answered_by(&daemon, &["1.4.2"]);
    assert!(servers[1].is_known_to_run(&daemon, "1.5.0"), "which is left idle");
}

#[test]
fn other_releases_are_used_before_an_outage() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"\non_skew_min = \"25%\"");
    servers[0].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    servers[0].origin.stop();
    wait_until_answered_by(&daemon, &["1.4.2"]);
    servers[0].origin.restart();
    wait_until_answered_by(&daemon, &["1.5.0"]);
}

#[test]
fn a_server_that_goes_up_and_down_does_not_move_the_traffic_for_ever() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"");
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    let up = |value| {
        let backend = servers[0].name();
        daemon.wait_for_metric("equipoise_backend_up", &[("backend", &backend)], value);
    };
    for back_at in ["1.5.0", "1.4.2"] {
        servers[0].origin.stop();
        wait_until_answered_by(&daemon, &["1.4.2"]);
        up(0.0);
        servers[0].origin.restart();
        up(1.0);
        wait_until_answered_by(&daemon, &[back_at]);
    }
    daemon.wait_for_log("traffic keeps to 1.4.2: 1.5.0 could not bear it time and again");
    servers[2].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
}

#[test]
fn while_no_release_can_bear_the_traffic_all_are_used() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"\non_skew_min = \"75%\"");
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.4.2", "1.5.0"]);
    daemon.wait_for_log("no release has 75% of the weight up: traffic goes to all");
    assert!(keeps_to(&daemon, ""));
    servers[2].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
}

#[test]
fn the_majority_has_the_traffic_and_keeps_it_at_a_tie() {
    let (servers, daemon) = four("on_skew = \"prefer-majority\"");
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until(DEADLINE, "the tie", || {
        servers.iter().all(|server| {
            let release = lock(&server.release).clone();
            server.is_known_to_run(&daemon, &release)
        })
    });
    assert!(keeps_to(&daemon, "1.4.2"));
    assert_eq!(answered_by(&daemon), ["1.4.2"]);
    servers[2].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    servers[2].deploy("1.4.2");
    wait_until(DEADLINE, "the tie", || servers[2].is_known_to_run(&daemon, "1.4.2"));
    assert_eq!(answered_by(&daemon), ["1.5.0"], "who has the traffic keeps it");
}

#[test]
fn a_backend_of_an_unknown_release_is_not_left_out() {
    let (servers, daemon) = four("on_skew = \"prefer-newest\"");
    servers[3].deploy("");
    wait_until(DEADLINE, "it to be unknown", || servers[3].is_known_to_run(&daemon, ""));
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["", "1.5.0"]);
}

#[test]
fn a_reload_turns_the_preference_on_and_off() {
    let servers = ["1.5.0", "1.5.0", "1.4.2"].map(Server::running);
    let keys = BY_HEADER.replace("300ms", "1h");
    let mut daemon = start(&keys, &servers);
    assert_eq!(answered_by(&daemon), ["1.4.2", "1.5.0"]);
    daemon.rewrite(&config(&format!("on_skew = \"prefer-newest\"\n{keys}")));
    daemon.reload();
    assert_eq!(answered_by(&daemon), ["1.5.0"], "the higher version, of what ran before");
    daemon.rewrite(&config(&keys));
    daemon.reload();
    assert_eq!(answered_by(&daemon), ["1.4.2", "1.5.0"]);
}

/// Asks as a browser does, which sends back the cookie that it was given last.
struct Browser<'a> {
    daemon: &'a Daemon,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(daemon: &'a Daemon) -> Browser<'a> {
        Browser { daemon, cookie: None }
    }

    /// The release that answered.
    fn meets(&mut self) -> String {
        let cookie = self.cookie.iter().map(|cookie| format!("Cookie: {cookie}\r\n"));
        let cookie: String = cookie.collect();
        let mut client = Client::connect(self.daemon.address("web"));
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{cookie}\r\n"));
        let answer = client.answer();
        if let Some(set) = answer.field("Set-Cookie") {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        answer.text()
    }
}

/// Four servers in a pool whose clients are pinned.
fn pinned(keys: &str) -> ([Server; 4], Daemon) {
    let sticky = "sticky = { cookie = \"srv\", secret_file = \"key\" }\npin = true\n";
    four_in(&format!("{sticky}{keys}"), |setup| {
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        fs::write(setup.dir().join("key"), key).expect("the test's folder is writable");
    })
}

#[test]
fn who_has_met_the_new_release_is_not_sent_back() {
    let (servers, daemon) = pinned("");
    let mut browsers: Vec<Browser<'_>> = (0..8).map(|_| Browser::new(&daemon)).collect();
    assert!(browsers.iter_mut().all(|browser| browser.meets() == "1.4.2"));
    let before: Vec<Option<String>> = browsers.iter().map(|it| it.cookie.clone()).collect();
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    // Each stays where it was, and half of them meet the new one there.
    wait_until(DEADLINE, "their cookies to say so", || {
        browsers.iter_mut().for_each(|browser| drop(browser.meets()));
        let others = browsers.iter().zip(&before).filter(|(it, before)| it.cookie != **before);
        others.count() == 4
    });
    let met: Vec<String> = browsers.iter_mut().map(Browser::meets).collect();
    assert_eq!(met.iter().filter(|release| *release == "1.5.0").count(), 4, "{met:?}");
    servers[0].origin.stop();
    wait_until(DEADLINE, "it to be down", || {
        get(daemon.address("web"), "/");
        let backend = servers[0].name();
        daemon.metric("equipoise_backend_up", &[("backend", &backend)]) == 0.0
    });
    for (browser, met) in browsers.iter_mut().zip(&met) {
        for _ in 0..3 {
            let now = browser.meets();
            assert!(now == "1.5.0" || met == "1.4.2", "met {met}, then {now}");
        }
    }
    servers[1].origin.stop();
    wait_until_answered_by(&daemon, &["1.4.2"]);
    assert!(browsers.iter_mut().all(|browser| browser.meets() == "1.4.2"), "before an outage");
    servers[1].origin.restart();
    wait_until_answered_by(&daemon, &["1.4.2", "1.5.0"]);
    for (browser, met) in browsers.iter_mut().zip(&met) {
        assert!(met == "1.4.2" || browser.meets() == "1.5.0", "the cookie still knows");
    }
}

#[test]
fn who_is_pinned_follows_a_rollback_and_stays() {
    let (servers, daemon) = pinned("on_skew = \"prefer-newest\"");
    let mut browser = Browser::new(&daemon);
    assert_eq!(browser.meets(), "1.4.2");
    servers[0].deploy("1.5.0");
    servers[1].deploy("1.5.0");
    wait_until_answered_by(&daemon, &["1.5.0"]);
    assert_eq!(browser.meets(), "1.5.0");
    servers[0].deploy("1.4.2");
    wait_until_answered_by(&daemon, &["1.4.2"]);
    assert_eq!(browser.meets(), "1.4.2", "it is the newer deployment");
    assert_eq!(browser.meets(), "1.4.2");
}
