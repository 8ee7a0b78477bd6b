//! Whom we hold to be up: by probes, by what requests met, by an operator's word.

use std::{
    net::TcpListener,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::harness::{
    BINARY, Client, DEADLINE, Daemon, End, Load, Origin, Setup, free_port, get, request, wait_until,
};

const UP: &str = "equipoise_backend_up";

/// One pool with these keys.
fn config(pool: &str) -> String {
    format!(
        r#"
        workers = 1
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        {pool}
        "#
    )
}

fn is_up(daemon: &Daemon, origin: &Origin) -> bool {
    let backend = origin.address().to_string();
    daemon.metric(UP, &[("pool", "app"), ("backend", &backend)]) == 1.0
}

/// What a backend says to its probes, changed by the test.
#[derive(Clone)]
struct Mood(Arc<Mutex<MoodState>>);

struct MoodState {
    well: bool,
    /// Since the last turn.
    probes: usize,
}

impl Mood {
    fn well() -> Mood {
        Mood(Arc::new(Mutex::new(MoodState { well: true, probes: 0 })))
    }

    fn sick() -> Mood {
        let mood = Mood::well();
        mood.turn(false);
        mood
    }

    fn turn(&self, well: bool) {
        *self.state() = MoodState { well, probes: 0 };
    }

    /// Probes answered since the last turn.
    fn probes(&self) -> usize {
        self.state().probes
    }

    /// Answers `/healthz` by the mood, everything else by 200.
    fn origin(&self) -> Origin {
        let mood = self.clone();
        Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                if request.target != "/healthz" {
                    peer.answer(200, "served");
                } else if mood.probed() {
                    peer.answer(200, "all well");
                } else {
                    peer.answer(503, "sick");
                }
            }
        })
    }

    fn probed(&self) -> bool {
        let mut state = self.state();
        state.probes += 1;
        state.well
    }

    fn state(&self) -> MutexGuard<'_, MoodState> {
        self.0.lock().expect("no test panics with it")
    }
}

/// A probe as soon as may be, and one alone decides.
const QUICK: &str =
    "path = \"/healthz\", interval = \"50ms\", timeout = \"50ms\", rise = 1, fall = 1";
/// A patient one: a probe has an interval's time, and machines are busy.
const STEADY: &str = "path = \"/healthz\", interval = \"1s\", rise = 1, fall = 3";

#[test]
fn probes_decide_who_gets_traffic() {
    let mood = Mood::well();
    let origin = mood.origin();
    let keys = format!("backends = [\"$origin\"]\nhealth = {{ {STEADY} }}");
    let daemon = Setup::of(&config(&keys)).with("origin", origin.address()).start();
    let web = daemon.address("web");
    assert_eq!(get(web, "/").text(), "served");
    mood.turn(false);
    wait_until(DEADLINE, "the backend to go down", || get(web, "/").status == 503);
    assert!(!is_up(&daemon, &origin));
    mood.turn(true);
    wait_until(DEADLINE, "the backend to come back", || get(web, "/").status == 200);
    assert!(is_up(&daemon, &origin));
    assert!(mood.probes() > 0, "a probe turned it");
    let failed = daemon.metric("equipoise_backend_probes_total", &[("result", "failed")]);
    assert!(failed >= 3.0, "{failed} failed probes were counted");
}

#[test]
fn a_probe_is_as_it_was_configured() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.answer(204, "");
        }
    });
    let keys = "backends = [\"$origin\"]\nhealth = { path = \"/ping?deep\", host = \"probe.example.com\", \
                method = \"HEAD\", status = [\"200-204\", 418] }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    assert!(is_up(&daemon, &origin));
    let probe = &origin.take_requests()[0];
    assert_eq!((probe.method.as_str(), probe.target.as_str()), ("HEAD", "/ping?deep"));
    assert_eq!(probe.field("Host"), Some("probe.example.com"));
}

#[test]
fn the_expected_status_and_text_are_looked_at() {
    for (expected, up) in [
        ("status = 200", true),
        ("status = \"201-299\"", false),
        ("status = [500, \"200-203\"]", true),
        ("text = \"all well\"", true),
        ("text = \"all good\"", false),
    ] {
        let origin = Mood::well().origin();
        let keys = format!("backends = [\"$origin\"]\nhealth = {{ {STEADY}, {expected} }}");
        let daemon = Setup::of(&config(&keys)).with("origin", origin.address()).start();
        assert_eq!(is_up(&daemon, &origin), up, "{expected}");
    }
}

#[test]
fn a_tcp_probe_needs_a_listener_and_no_more() {
    let origin = Origin::answering("served");
    let keys = "backends = [\"$origin\"]\nhealth = { type = \"tcp\", interval = \"1s\", rise = 1, fall = 1 }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    assert!(is_up(&daemon, &origin));
    origin.stop();
    wait_until(DEADLINE, "the backend to go down", || !is_up(&daemon, &origin));
    origin.restart();
    wait_until(DEADLINE, "the backend to come back", || is_up(&daemon, &origin));
    assert_eq!(get(daemon.address("web"), "/").text(), "served");
}

#[test]
fn another_port_may_be_probed() {
    let origin = Origin::answering("served");
    let mood = Mood::well();
    let probed = mood.origin();
    let keys = "backends = [\"$origin\"]\nhealth = { path = \"/healthz\", interval = \"1s\", port = $port }";
    let setup = Setup::of(&config(keys)).with("origin", origin.address());
    let daemon = setup.with("port", probed.address().port()).start();
    assert!(is_up(&daemon, &origin));
    assert_eq!(origin.requests(), 0);
    mood.turn(false);
    wait_until(DEADLINE, "the backend to go down", || !is_up(&daemon, &origin));
}

#[test]
fn fewer_failures_than_fall_change_nothing() {
    // Two bad probes, then a good one, over and over.
    let probes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&probes);
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target != "/healthz" {
                peer.answer(200, "served");
                continue;
            }
            let number = counter.fetch_add(1, Ordering::SeqCst);
            peer.answer(if number.is_multiple_of(3) { 200 } else { 503 }, "");
        }
    });
    // One good probe that a busy machine delays is no fall yet.
    let keys = "backends = [\"$origin\"]\n\
                health = { path = \"/healthz\", interval = \"500ms\", fall = 6 }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    let load = Load::new().keep_alive(daemon.address("web"), 1);
    wait_until(DEADLINE, "many probes", || probes.load(Ordering::SeqCst) > 14);
    load.stop().assert_flawless();
}

#[test]
fn it_takes_rise_probes_to_come_back() {
    let mood = Mood::sick();
    let origin = mood.origin();
    let keys = "backends = [\"$origin\"]\nhealth = { path = \"/healthz\", interval = \"500ms\", rise = 5, fall = 1 }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    let web = daemon.address("web");
    assert_eq!(get(web, "/").status, 503);
    mood.turn(true);
    wait_until(DEADLINE, "the backend to come back", || get(web, "/").status == 200);
    let good = mood.probes();
    assert!(good >= 5, "up after {good} probes");
}

#[test]
fn errors_in_a_row_turn_a_backend_down() {
    let sick = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.answer(500, "sick");
        }
    });
    let well = Origin::answering("well");
    let keys = "backends = [\"$sick\", \"$well\"]\npassive = { fall = 3, count_5xx = true, retry_after = \"1h\" }";
    let setup = Setup::of(&config(keys)).with("sick", sick.address());
    let daemon = setup.with("well", well.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    let answers: Vec<u16> = (0..6).map(|_| client.get("/").status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 500).count(), 3, "{answers:?}");
    wait_until(DEADLINE, "the sick one to go down", || !is_up(&daemon, &sick));
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "well");
    }
}

#[test]
fn one_client_that_provokes_errors_takes_no_backend_from_the_others() {
    let sick = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.answer(500, "sick");
        }
    });
    let keys = "backends = [\"$sick\"]\nretry = { attempts = 1 }";
    let daemon = Setup::of(&config(keys)).with("sick", sick.address()).start();
    for _ in 0..20 {
        assert_eq!(get(daemon.address("web"), "/").status, 500);
    }
    assert!(is_up(&daemon, &sick));
}

#[test]
fn a_success_between_errors_starts_the_count_again() {
    let count = AtomicUsize::new(0);
    let moody = Origin::start(move |peer| {
        while peer.request().is_some() {
            let number = count.fetch_add(1, Ordering::SeqCst);
            peer.answer(if number % 3 == 2 { 200 } else { 500 }, "");
        }
    });
    let keys = "backends = [\"$moody\"]\npassive = { fall = 3, count_5xx = true }";
    let daemon = Setup::of(&config(keys)).with("moody", moody.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..30 {
        assert_ne!(client.get("/").status, 503);
    }
    assert!(is_up(&daemon, &moody));
}

#[test]
fn refused_connections_turn_a_backend_down_and_time_gives_it_another_try() {
    let origin = Origin::answering("served");
    origin.stop();
    let keys = "backends = [\"$origin\"]\nretry = { attempts = 1 }\npassive = { fall = 2, retry_after = \"300ms\" }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    let web = daemon.address("web");
    assert_eq!((get(web, "/").status, get(web, "/").status), (502, 502));
    wait_until(DEADLINE, "the backend to go down", || !is_up(&daemon, &origin));
    origin.restart();
    wait_until(DEADLINE, "the backend to come back", || get(web, "/").status == 200);
}

#[test]
fn passive_failures_turn_a_backend_down_before_its_next_probe() {
    // Its probes are fine, and an hour apart.
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            peer.answer(if request.target == "/healthz" { 200 } else { 500 }, "");
        }
    });
    let keys = "backends = [\"$origin\"]\nhealth = { path = \"/healthz\", interval = \"1h\" }\n\
                passive = { fall = 2, count_5xx = true }";
    let daemon = Setup::of(&config(keys)).with("origin", origin.address()).start();
    let web = daemon.address("web");
    assert_eq!((get(web, "/").status, get(web, "/").status), (500, 500));
    wait_until(DEADLINE, "the backend to go down", || get(web, "/").status == 503);
    let status = daemon.command(&["status"]).stdout;
    let why = "is down: 2 requests in a row failed; probes bring it back";
    assert!(status.contains(why), "{status}");
}

/// A backend that answers no probe before the gate is open.
fn gated() -> (Arc<AtomicBool>, Origin) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/healthz" {
                wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            }
            peer.answer(200, "served");
        }
    });
    (open, origin)
}

/// Nobody but the probe is answered before the gate opens.
const GATED: &str = "backends = [\"$origin\"]\nhealth = { path = \"/healthz\", interval = \"1h\", timeout = \"1m\", rise = 5 }\nqueue = { timeout = \"1m\" }";

#[test]
fn a_new_backend_waits_for_its_first_probe_and_requests_for_it() {
    let (open, origin) = gated();
    let daemon = Setup::of(&config(GATED)).with("origin", origin.address()).start_unready();
    let web = daemon.address("web");
    wait_until(DEADLINE, "the listener", || Client::try_connect(web).is_ok());
    let mut client = Client::connect(web);
    client.send(request("/"));
    wait_until(DEADLINE, "the probe", || origin.received_bytes() > 0);
    assert_eq!(daemon.probe("/readyz"), Some(503));
    assert_eq!(origin.connections(), 1, "the probe's");
    open.store(true, Ordering::SeqCst);
    // The first alone decides, whatever `rise` says.
    wait_until(DEADLINE, "the first probe to be in", || daemon.is_ready());
    assert_eq!(client.answer().text(), "served");
    assert_eq!(get(web, "/").text(), "served");
}

#[test]
fn a_reload_that_exchanges_all_backends_loses_no_request() {
    let well = Mood::well().origin();
    let (open, new) = gated();
    let config = |backend: &str| config(&GATED.replace("$origin", backend));
    let setup = Setup::of(&config("$well")).with("well", well.address());
    let mut daemon = setup.with("new", new.address()).start();
    let load = Load::new().keep_alive(daemon.address("web"), 4);
    wait_until(DEADLINE, "traffic", || well.requests() > 100);
    daemon.rewrite(&config("$new"));
    daemon.reload();
    wait_until(DEADLINE, "the probe", || new.received_bytes() > 0);
    assert_eq!(new.connections(), 1, "the probe's");
    open.store(true, Ordering::SeqCst);
    wait_until(DEADLINE, "traffic at the new one", || new.requests() > 100);
    load.stop().assert_flawless();
    assert_eq!(daemon.metric("equipoise_pool_no_backend_total", &[("pool", "app")]), 0.0);
}

#[test]
fn who_waits_for_a_first_probe_is_told_when_it_fails_or_takes_too_long() {
    let sick = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.answer(503, "sick");
        }
    });
    let (_closed, silent) = gated();
    for (origin, queue) in [(&sick, "1m"), (&silent, "300ms")] {
        let keys = GATED.replace("timeout = \"1m\" }", &format!("timeout = \"{queue}\" }}"));
        let setup = Setup::of(&config(&keys)).with("origin", origin.address());
        let daemon = setup.start_unready();
        let web = daemon.address("web");
        wait_until(DEADLINE, "the listener", || Client::try_connect(web).is_ok());
        let answer = get(web, "/");
        assert_eq!((answer.status, answer.text().contains("no-backend")), (503, true));
    }
}

#[test]
fn bytes_that_are_relayed_wait_for_a_first_probe_too() {
    let (open, origin) = gated();
    let relaying =
        format!("workers = 1\n[listener.web]\nbind = \"$web\"\ntcp = \"app\"\n[pool.app]\n{GATED}");
    let daemon = Setup::of(&relaying).with("origin", origin.address()).start_unready();
    let web = daemon.address("web");
    wait_until(DEADLINE, "the listener", || Client::try_connect(web).is_ok());
    let mut client = Client::connect(web);
    client.send(request("/"));
    wait_until(DEADLINE, "the probe", || origin.received_bytes() > 0);
    open.store(true, Ordering::SeqCst);
    assert_eq!(client.answer().text(), "served");
}

#[test]
fn a_backend_that_a_reload_adds_waits_too_and_nobody_waits_for_it() {
    let well = Mood::well().origin();
    let (open, new) = gated();
    let config = |backends: &str| {
        config(&format!(
            "backends = [{backends}]\nhealth = {{ path = \"/healthz\", interval = \"1h\", timeout = \"1m\" }}"
        ))
    };
    let setup = Setup::of(&config("\"$well\"")).with("well", well.address());
    let mut daemon = setup.with("new", new.address()).start();
    daemon.rewrite(&config("\"$well\", \"$new\""));
    daemon.reload();
    assert!(daemon.is_ready(), "who serves goes on serving");
    wait_until(DEADLINE, "its first probe to be asked", || new.received_bytes() > 0);
    for _ in 0..10 {
        assert_eq!(get(daemon.address("web"), "/").status, 200);
    }
    assert_eq!(new.requests(), 1, "the probe alone");
    open.store(true, Ordering::SeqCst);
    wait_until(DEADLINE, "the first probe to be in", || is_up(&daemon, &new));
    let asked = |_| get(daemon.address("web"), "/").status;
    assert_eq!([0; 4].map(asked), [200; 4]);
    assert_eq!(new.requests(), 3, "its half of four");
}

#[test]
fn a_new_backend_is_assumed_up_if_told_so() {
    let (_closed, origin) = gated();
    let keys = "backends = [\"$origin\"]\nhealth = { path = \"/healthz\", interval = \"1h\", timeout = \"1m\", start = \"assume-up\" }";
    let setup = Setup::of(&config(keys)).with("origin", origin.address());
    let daemon = setup.start_unready();
    let web = daemon.address("web");
    wait_until(DEADLINE, "the listener", || Client::try_connect(web).is_ok());
    assert_eq!(get(web, "/").text(), "served");
}

#[test]
fn a_verdict_survives_a_reload() {
    // After its first probe each changes its mind, and the next is an hour away.
    let (well, sick) = (Mood::well(), Mood::sick());
    let origins = [well.origin(), sick.origin()];
    let keys =
        "backends = [\"$well\", \"$sick\"]\nhealth = { path = \"/healthz\", interval = \"1h\" }";
    let setup = Setup::of(&config(keys)).with("well", origins[0].address());
    let mut daemon = setup.with("sick", origins[1].address()).start();
    well.turn(false);
    sick.turn(true);
    let changed = "max_idle = 7\nbackends = [\"$sick\", { address = \"$well\", weight = 2 }]\n\
                   health = { path = \"/healthz\", interval = \"1h\" }";
    daemon.rewrite(&config(changed));
    daemon.reload();
    assert!(is_up(&daemon, &origins[0]));
    assert!(!is_up(&daemon, &origins[1]));
    assert!(daemon.is_ready(), "nobody waits for a first probe");
    assert_eq!((well.probes(), sick.probes()), (0, 0), "nobody is probed again");
    for _ in 0..10 {
        assert_eq!(get(daemon.address("web"), "/").status, 200);
    }
}

#[test]
fn resets_in_a_row_turn_a_backend_down() {
    let bad = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.reset();
        }
    });
    let good = Origin::answering("good");
    let keys = "backends = [\"$bad\", \"$good\"]\npassive = { fall = 2, retry_after = \"10m\" }";
    let setup = Setup::of(&config(keys)).with("bad", bad.address());
    let daemon = setup.with("good", good.address()).start();
    for _ in 0..6 {
        assert_eq!(get(daemon.address("web"), "/").text(), "good", "a reset is retried elsewhere");
    }
    wait_until(DEADLINE, "the bad one to be held down", || !is_up(&daemon, &bad));
    let tried = bad.requests();
    assert_eq!(get(daemon.address("web"), "/").text(), "good");
    assert_eq!(bad.requests(), tried);
}

/// Asks until the backend is held down, whatever becomes of the answers.
#[track_caller]
fn ask_until_down(daemon: &Daemon, origin: &Origin) {
    wait_until(DEADLINE, "it to be held down", || {
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
        let _ = client.try_answer();
        !is_up(daemon, origin)
    });
}

#[test]
fn answers_that_break_off_in_a_row_turn_a_backend_down() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ] {
        let bad = Origin::start(move |peer| {
            if peer.request().is_some() {
                peer.write(answer);
            }
        });
        let keys = "backends = [\"$bad\"]\npassive = { fall = 3, retry_after = \"10m\" }";
        let daemon = Setup::of(&config(keys)).with("bad", bad.address()).start();
        ask_until_down(&daemon, &bad);
        daemon.wait_for_log("3 requests in a row failed");
    }
}

#[test]
fn a_whole_answer_between_those_that_break_off_starts_the_count_again() {
    let count = AtomicUsize::new(0);
    let moody = Origin::start(move |peer| {
        if peer.request().is_some() {
            let length = if count.fetch_add(1, Ordering::SeqCst) % 3 == 2 { 2 } else { 100 };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}");
            peer.write(format!("{head}\r\nConnection: close\r\n\r\nok"));
        }
    });
    let keys = "backends = [\"$moody\"]\npassive = { fall = 3 }";
    let daemon = Setup::of(&config(keys)).with("moody", moody.address()).start();
    for number in 0..30 {
        let answer = get(daemon.address("web"), "/");
        assert_eq!(answer.end == End::Clean, number % 3 == 2, "{number}: {answer:?}");
    }
    assert!(is_up(&daemon, &moody));
}

#[test]
fn an_operator_drains_a_backend_and_enables_it_again() {
    let origins = ["a", "b"].map(Origin::answering);
    let setup = Setup::of(&config("backends = [\"$a\", \"$b\"]")).with("a", origins[0].address());
    let daemon = setup.with("b", origins[1].address()).start();
    let backend = format!("app/{}", origins[0].address());
    let drained = daemon.command(&["drain", &backend]);
    assert_eq!(drained.code, 0, "{drained:?}");
    for _ in 0..10 {
        assert_eq!(get(daemon.address("web"), "/").text(), "b");
    }
    assert!(daemon.command(&["status"]).stdout.contains("draining"));
    daemon.reload();
    assert_eq!(get(daemon.address("web"), "/").text(), "b", "a reload keeps an operator's word");
    assert_eq!(daemon.command(&["enable", &backend]).code, 0);
    let answers: Vec<String> = (0..4).map(|_| get(daemon.address("web"), "/").text()).collect();
    assert!(answers.contains(&"a".to_owned()), "{answers:?}");
    let nobody = format!("app/127.0.0.1:{}", free_port());
    assert_eq!(daemon.command(&["drain", &nobody]).code, 4);
    assert_eq!(daemon.command(&["drain", "app"]).code, 2, "no backend is named");
}

#[test]
fn a_probe_that_takes_too_long_has_failed() {
    let origin = Origin::start(|peer| {
        peer.request();
        peer.hang();
    });
    let keys = format!("backends = [\"$origin\"]\nhealth = {{ {QUICK} }}");
    let daemon = Setup::of(&config(&keys)).with("origin", origin.address()).start();
    assert!(!is_up(&daemon, &origin));
    wait_until(DEADLINE, "more probes than one", || origin.connections() > 3);
    wait_until(DEADLINE, "their connections to close", || origin.open_connections() <= 1);
}

/// Speaks HTTP/2 with prior knowledge, and nothing else.
const H2_BACKEND: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    protocols = ["h2"]
    [[route]]
    respond = { status = 200, body = "served over HTTP/2" }
    response_headers = { set = { X-Release = "1.4.2" } }
    [[route]]
    exact = "/sick"
    respond = { status = 503, body = "sick" }
"#;

#[test]
fn a_backend_that_speaks_http2_is_asked_in_http2() {
    let backend = Setup::of(H2_BACKEND).start();
    for (probe, up) in [
        ("path = \"/healthz\"", true),
        ("path = \"/healthz\", method = \"HEAD\"", true),
        ("path = \"/healthz\", text = \"over HTTP/2\"", true),
        ("path = \"/healthz\", text = \"over HTTP/3\"", false),
        ("path = \"/healthz\", release = { header = \"X-Release\" }", true),
        ("path = \"/sick\"", false),
    ] {
        let keys = format!(
            "backends = [\"$backend\"]\nprotocol = \"h2\"\nhealth = {{ {probe}, fall = 1 }}"
        );
        let setup = Setup::of(&config(&keys)).with("backend", backend.address("web"));
        let daemon = setup.start();
        assert_eq!(daemon.metric(UP, &[]) == 1.0, up, "{probe}");
        let answer = get(daemon.address("web"), "/");
        assert_eq!(answer.status == 200, up, "{probe}: {answer:?}");
        let known = daemon.metrics().has("equipoise_backend_release_info", &[("release", "1.4.2")]);
        assert_eq!(known, probe.contains("release"));
    }
}

#[test]
fn another_port_of_a_backend_that_speaks_http2_is_asked_in_http1() {
    let backend = Setup::of(H2_BACKEND).start();
    let probed = Mood::well().origin();
    let keys = "backends = [\"$backend\"]\nprotocol = \"h2\"\nhealth = { path = \"/healthz\", port = $port }";
    let setup = Setup::of(&config(keys)).with("backend", backend.address("web"));
    let daemon = setup.with("port", probed.address().port()).start();
    assert_eq!(get(daemon.address("web"), "/").text(), "served over HTTP/2");
    assert_eq!(probed.violations(), Vec::<String>::new());
}

#[test]
fn silent_backends_of_one_pool_keep_no_other_from_being_probed() {
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    // More than may be probed at once, whatever the limit of open files is in a container.
    let backends: Vec<String> = (0..300)
        .map(|number| format!("\"127.1.{}.{}:{port}\"", number / 200, 1 + number % 200))
        .collect();
    let origin = Origin::answering("fine");
    let daemon = Setup::of(&format!(
        "workers = 1\n[listener.web]\nbind = [\"$web\"]\n[[route]]\npool = \"app\"\n\
         [[route]]\npath = \"/silent\"\npool = \"silent\"\n\
         [pool.silent]\nbackends = [{}]\n\
         health = {{ interval = \"2s\", timeout = \"2s\", start = \"assume-up\" }}\n\
         [pool.app]\nbackends = [\"$origin\"]\nhealth = {{ interval = \"500ms\" }}\n",
        backends.join(", ")
    ));
    let limit = "ulimit -n 1024; exec \"$@\"";
    let daemon = daemon.with("origin", origin.address());
    let daemon =
        daemon.spawn_as(Command::new("sh").args(["-c", limit, "sh", BINARY, "run", "--config"]));
    daemon.wait_for_log("pool silent: probes begin later than every 2s");
    let before = origin.requests();
    wait_until(DEADLINE, "probes of the other pool", || origin.requests() > before + 10);
}
