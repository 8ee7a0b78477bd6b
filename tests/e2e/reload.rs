//! A reload loses nothing, changes what it says it changes, and keeps what stays.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::harness::{
    Authority, Client, DEADLINE, Daemon, End, Load, Origin, Setup, TlsVersions, client_config,
    equipoise, free_port, get, request, wait_until,
};

const RELOADS: &str = "equipoise_reloads_total";

/// One pool with these backends.
fn config(backends: &str) -> String {
    format!(
        r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = [{backends}]
        "#
    )
}

#[test]
fn fifty_reloads_under_load_lose_nothing() {
    const COUNT: usize = 50;
    const PIECE: usize = 64 << 10;
    // What the download has of its body: a piece a reload.
    let permits = Arc::new(AtomicUsize::new(0));
    let gate = Arc::clone(&permits);
    let download = Origin::start(move |peer| {
        if peer.request().is_none() {
            return;
        }
        let length = COUNT * PIECE;
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        for piece in 0..COUNT {
            wait_until(DEADLINE, "the next reload", || gate.load(Ordering::SeqCst) > piece);
            peer.write(vec![b'a'; PIECE]);
        }
    });
    let origins = ["a", "b", "c"].map(Origin::answering);
    let config = |backends: &str| {
        config(backends)
            + r#"
            [[route]]
            path = "/download"
            pool = "download"
            [pool.download]
            backends = ["$download"]
            [listener.tls]
            bind = ["$tls"]
            certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key", default = true }]
            "#
    };
    let configs = [
        config(r#""$a", "$b""#),
        config(r#""$a", "$b", "$c""#),
        config(r#"{ address = "$a", weight = 3 }, "$c""#),
    ];
    let authority = Authority::new();
    let setup = Setup::of(&configs[0])
        .with("a", origins[0].address())
        .with("b", origins[1].address())
        .with("c", origins[2].address())
        .with("download", download.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let mut daemon = setup.start();

    let trust = client_config(&authority, TlsVersions::All);
    let mut slow = Client::connect(daemon.address("web"));
    slow.send(request("/download"));
    assert_eq!(slow.answer_head().status, 200);
    let load = Load::new()
        .keep_alive(daemon.address("web"), 2)
        .connection_a_request(daemon.address("web"), 1)
        .tls(daemon.address("tls"), &trust, 1);
    for number in 1..=COUNT {
        daemon.rewrite(&configs[number % configs.len()]);
        if number % 2 == 0 {
            daemon.reload();
        } else {
            daemon.hang_up();
        }
        permits.store(number, Ordering::SeqCst);
        assert!(slow.take(PIECE) == Ok(vec![b'a'; PIECE]), "the download goes on");
        let answered = load.tally().ok;
        wait_until(DEADLINE, "requests between reloads", || load.tally().ok > answered + 5);
    }
    load.stop().assert_flawless();
    assert_eq!(daemon.metric(RELOADS, &[("result", "applied")]), COUNT as f64);
    assert_eq!(daemon.metric(RELOADS, &[("result", "refused")]), 0.0);
    drop(slow);
    wait_until(DEADLINE, "old generations to be gone", || {
        daemon.metric("equipoise_generations_alive", &[]) == 1.0
    });
}

#[test]
fn an_address_of_ours_that_is_in_the_way_is_named() {
    let origin = Origin::answering("still here");
    let setup = Setup::of(&config(r#""$origin""#)).with("origin", origin.address());
    let mut daemon = setup.start();
    let web = daemon.address("web");
    let everywhere = config(r#""$origin""#).replace("$web", &format!("0.0.0.0:{}", web.port()));
    daemon.rewrite(&everywhere);
    let refused = daemon.command(&["reload"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.words().contains(&format!("remove {web} by one reload")), "{refused:?}");
    assert_eq!(get(web, "/").text(), "still here");
    // From a listener to [metrics], and from [metrics] to all addresses.
    let pools = config(r#""$origin""#);
    let metrics = daemon.address("metrics");
    let moved = |bind: &str| format!("{pools}[metrics]\nbind = \"{bind}\"\n");
    let to_metrics = moved(&web.to_string()).replace("$web", "$other");
    let to_all = moved(&format!("0.0.0.0:{}", metrics.port()));
    let to_listener = moved("$other").replace("$web", &metrics.to_string());
    for (text, ours) in [(to_metrics, web), (to_all, metrics), (to_listener, metrics)] {
        daemon.rewrite(&text);
        let refused = daemon.command(&["reload"]);
        assert_eq!(refused.code, 4, "{refused:?}");
        assert!(refused.words().contains(&format!("remove {ours} by one reload")), "{refused:?}");
    }
}

#[test]
fn a_refused_reload_leaves_nothing_on_the_disk() {
    let origin = Origin::answering("ok");
    let setup = Setup::of(&config(r#""$origin""#)).with("origin", origin.address());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let socket = setup.dir().join("admin.sock");
    let mut daemon = setup.start();
    daemon.rewrite(&format!(
        "{}[access_log]\nto = \"access.log\"\n[admin]\nsocket = \"new/er/b.sock\"\n",
        config(r#""$origin""#).replace("$web", &taken)
    ));
    let socket = socket.to_str().expect("a path in UTF-8");
    let refused = equipoise(&["reload", "--socket", socket]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let left = |name: &str| daemon.dir().join(name).exists();
    assert!(!left("access.log") && !left("new") && left("admin.sock"));
}

#[test]
fn a_refused_reload_changes_nothing_and_says_why() {
    let origin = Origin::answering("still here");
    let good = config(r#""$origin""#);
    let mut daemon = Setup::of(&good).with("origin", origin.address()).start();
    let mut kept = Client::connect(daemon.address("web"));
    assert_eq!(kept.get("/").text(), "still here");
    let generation = daemon.metric("equipoise_generation", &[]);
    daemon.rewrite(&config(r#""$origin", "127.0.0.1:99999""#).replace("backends", "bakends"));
    let refused = daemon.command(&["reload"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let words = refused.words();
    assert!(words.contains("bakends") && words.contains("backends"), "{words}");
    assert!(words.contains("equipoise.toml:7:"), "file and line: {words}");
    daemon.hang_up();
    daemon.wait_for_log("bakends");
    assert_eq!(kept.get("/").text(), "still here");
    assert_eq!(get(daemon.address("web"), "/").text(), "still here");
    assert_eq!(daemon.metric("equipoise_generation", &[]), generation);
    assert_eq!(daemon.metric(RELOADS, &[("result", "refused")]), 2.0);
    assert_eq!(daemon.metric("equipoise_last_reload_successful", &[]), 0.0);
    daemon.rewrite(&good);
    daemon.reload();
    assert_eq!(daemon.metric("equipoise_last_reload_successful", &[]), 1.0);
}

#[test]
fn a_reload_that_cannot_bind_is_refused_whole() {
    let origin = Origin::answering("still here");
    let mut daemon = Setup::of(&config(r#""$origin""#)).with("origin", origin.address()).start();
    // The origin's own port is taken; the other change of the same file must not come either.
    let taken = config(r#""$origin""#).replace("\"$web\"", "\"$web\", \"$origin\", \"$free\"");
    daemon.rewrite(&taken);
    let refused = daemon.command(&["reload"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.words().contains(&origin.address().to_string()), "{refused:?}");
    assert!(Client::try_connect(daemon.address("free")).is_err());
    assert_eq!(get(daemon.address("web"), "/").text(), "still here");
}

#[test]
fn listeners_come_and_go() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&release);
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/hold" {
                wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            }
            peer.answer(200, "ok");
        }
    });
    let one = config(r#""$origin""#);
    let two = format!("{one}\n[listener.more]\nbind = [\"$more\"]\n");
    let mut daemon = Setup::of(&one).with("origin", origin.address()).start();
    daemon.rewrite(&two);
    daemon.reload();
    let more = daemon.address("more");
    assert_eq!(get(more, "/").text(), "ok");
    let mut held = Client::connect(more);
    held.send(request("/hold"));
    wait_until(DEADLINE, "the request to be under way", || origin.requests() == 2);
    daemon.rewrite(&one);
    daemon.reload();
    wait_until(DEADLINE, "the listener to be gone", || Client::try_connect(more).is_err());
    release.store(true, Ordering::SeqCst);
    let answer = held.answer();
    assert_eq!(answer.text(), "ok", "what was under way is finished");
    assert!(held.sees_close());
    assert_eq!(get(daemon.address("web"), "/").text(), "ok");
}

#[test]
fn a_removed_backend_finishes_what_it_has() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&release);
    let old = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target == "/hold" {
                wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            }
            peer.answer(200, "old");
        }
    });
    let new = Origin::answering("new");
    let setup = Setup::of(&config(r#""$old""#)).with("old", old.address());
    let mut daemon = setup.with("new", new.address()).start();
    let mut held = Client::connect(daemon.address("web"));
    held.send(request("/hold"));
    wait_until(DEADLINE, "the request to be under way", || old.requests() == 1);
    assert_eq!(get(daemon.address("web"), "/").text(), "old");
    daemon.rewrite(&config(r#""$new""#));
    daemon.reload();
    for _ in 0..5 {
        assert_eq!(get(daemon.address("web"), "/").text(), "new");
    }
    wait_until(DEADLINE, "its idle connections to close", || old.open_connections() == 1);
    release.store(true, Ordering::SeqCst);
    assert_eq!(held.answer().text(), "old");
    assert_eq!(held.get("/").text(), "new", "on the connection that was there before");
    wait_until(DEADLINE, "its last connection to close", || old.open_connections() == 0);
}

#[test]
fn a_reload_that_leaves_no_backend_up_says_so() {
    let origin = Origin::answering("ok");
    let text = |backends: &str| format!("{}\nhealth = {{}}\n", config(backends));
    let mut daemon = Setup::of(&text(r#""$origin""#)).with("origin", origin.address()).start();
    daemon.rewrite(&text(&format!("\"127.0.0.1:{}\"", free_port())));
    daemon.reload();
    daemon.wait_for_log("pool app: no backend is up");
}

#[test]
fn the_difference_is_told_in_words() {
    let origins = ["a", "b"].map(Origin::answering);
    let setup = Setup::of(&config(r#""$a""#)).with("a", origins[0].address());
    let mut daemon = setup.with("b", origins[1].address()).start();
    daemon.rewrite(&config(r#"{ address = "$b", weight = 3 }"#));
    let told = daemon.command(&["reload"]);
    assert_eq!(told.code, 0, "{told:?}");
    for (origin, change) in origins.iter().zip(["removed", "added"]) {
        let words = format!("pool app: {} {change}", origin.address());
        assert!(told.words().contains(&words), "{words} is not in {told:?}");
        daemon.wait_for_log(&words);
    }
    assert!(!told.words().contains("will close"), "no client notices it: {told:?}");
}

#[test]
fn a_reload_says_how_many_connections_will_close() {
    let listener = |keys: &str| {
        format!(
            "[listener.web]\nbind = [\"$web\"]\n{keys}\n[[route]]\nrespond = {{ status = 204 }}\n"
        )
    };
    let more = "[listener.more]\nbind = [\"$more\"]";
    let mut daemon = Setup::of(&listener(more)).start();
    let clients = ["web", "more", "more"].map(|name| {
        let mut client = Client::connect(daemon.address(name));
        assert_eq!(client.get("/").status, 204);
        client
    });
    daemon.rewrite(&listener(""));
    let told = daemon.command(&["reload"]);
    let words = "listener more removed; 2 connections will close";
    assert!(told.words().contains(words), "{words} is not in {told:?}");
    daemon.wait_for_log(words);
    let [mut stays, first, second] = clients;
    assert!([first, second].iter_mut().all(Client::sees_close));
    assert_eq!(stays.get("/").status, 204);
}

#[test]
fn an_old_generation_lives_as_long_as_its_requests_and_no_longer() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&release);
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            if request.target != "/long" {
                peer.answer(200, "ok");
                continue;
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.write("hello");
        }
    });
    let mut daemon = Setup::of(&config(r#""$origin""#)).with("origin", origin.address()).start();
    let mut idle = [0; 4].map(|_| Client::connect(daemon.address("web")));
    assert!(idle.iter_mut().all(|client| client.get("/").text() == "ok"));
    let mut long = Client::connect(daemon.address("web"));
    long.send(request("/long"));
    assert_eq!(long.answer_head().status, 200);
    for number in 1..=10 {
        daemon.rewrite(&format!("drain_timeout = \"{number}m\"\n{}", config(r#""$origin""#)));
        daemon.reload();
    }
    let alive = |expected: f64| {
        wait_until(DEADLINE, &format!("{expected} generations"), || {
            daemon.metric("equipoise_generations_alive", &[]) == expected
        });
    };
    // That which serves, and that of the download; idle connections hold none.
    alive(2.0);
    release.store(true, Ordering::SeqCst);
    assert_eq!(long.take(10), Ok(b"hellohello".to_vec()));
    alive(1.0);
    assert!(idle.iter_mut().all(|client| client.get("/").text() == "ok"));
}

#[test]
fn a_reload_that_hangs_holds_up_neither_service_nor_end() {
    let origin = Origin::answering("ok");
    let mut daemon = Setup::of(&config(r#""$origin""#)).with("origin", origin.address()).start();
    // The file becomes one that nobody finishes reading, as on a file server that is gone.
    let path = daemon.dir().join("equipoise.toml");
    fs::remove_file(&path).expect("the test's folder is writable");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("the test's folder is writable");
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::HUP);
    assert_eq!(get(daemon.address("web"), "/").text(), "ok");
    assert_eq!(daemon.probe("/readyz"), Some(200));
    let socket = daemon.dir().join("admin.sock");
    let socket = socket.to_str().expect("a path in UTF-8");
    wait_until(DEADLINE, "the status to tell", || {
        let status = equipoise(&["status", "--socket", socket]).stdout;
        status.contains("a reload has been under way for ")
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_kept_connection_sees_the_new_configuration() {
    let answering = |body: &str| {
        format!(
            "[listener.web]\nbind = [\"$web\"]\n[[route]]\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        )
    };
    let mut daemon = Setup::of(&answering("first")).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").text(), "first");
    daemon.rewrite(&answering("second"));
    daemon.reload();
    assert_eq!(client.get("/").text(), "second");
}

#[test]
fn counters_and_connections_of_a_backend_that_stays_are_kept() {
    let origins = ["a", "b"].map(Origin::answering);
    let config = |backends| format!("workers = 1\n{}", config(backends));
    let setup = Setup::of(&config(r#""$a""#)).with("a", origins[0].address());
    let mut daemon = setup.with("b", origins[1].address()).start();
    for _ in 0..5 {
        assert_eq!(get(daemon.address("web"), "/").text(), "a");
    }
    let backend = origins[0].address().to_string();
    let requests = |daemon: &Daemon| {
        daemon.metric("equipoise_backend_requests_total", &[("backend", &backend)])
    };
    assert_eq!(requests(&daemon), 5.0);
    daemon.rewrite(&config(r#"{ address = "$a", weight = 2 }, "$b""#));
    daemon.reload();
    assert_eq!(requests(&daemon), 5.0);
    for _ in 0..6 {
        get(daemon.address("web"), "/");
    }
    assert_eq!(requests(&daemon), 9.0, "two thirds of six more");
    assert_eq!(origins[0].connections(), 1, "its idle connection was used again");
}

#[test]
fn what_cannot_change_in_a_running_process_is_refused() {
    let origin = Origin::answering("ok");
    let config = |workers| format!("workers = {workers}\n{}", config(r#""$origin""#));
    let mut daemon = Setup::of(&config(1)).with("origin", origin.address()).start();
    daemon.rewrite(&config(2));
    let told = daemon.command(&["reload"]);
    assert!(told.words().contains("workers"), "{told:?}");
    assert_eq!(get(daemon.address("web"), "/").text(), "ok");
}

#[test]
fn many_signals_at_once_are_one_or_more_reloads_and_no_harm() {
    let origin = Origin::answering("ok");
    let daemon = Setup::of(&config(r#""$origin""#)).with("origin", origin.address()).start();
    let load = Load::new().keep_alive(daemon.address("web"), 1);
    for _ in 0..50 {
        daemon.signal(Signal::HUP);
    }
    let commands: Vec<i32> = thread::scope(|scope| {
        let reload = |_| scope.spawn(|| daemon.command(&["reload"]).code);
        let running: Vec<_> = (0..4).map(reload).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(commands, [0; 4]);
    load.stop().assert_flawless();
}

#[test]
fn a_response_under_way_is_finished_by_the_configuration_it_began_with() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            // The rest comes when the daemon has been reloaded, and the test has asked elsewhere.
            peer.pause(DEADLINE);
        }
    });
    let other = Origin::answering("other");
    let setup = Setup::of(&config(r#""$origin""#)).with("origin", origin.address());
    let mut daemon = setup.with("other", other.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    let head = client.answer_head();
    assert_eq!((head.status, head.end), (200, End::Clean));
    assert_eq!(client.take(5), Ok(b"hello".to_vec()));
    daemon.rewrite(&config(r#""$other""#));
    daemon.reload();
    assert_eq!(get(daemon.address("web"), "/").text(), "other");
    assert_eq!(origin.open_connections(), 1, "it is not cut");
}
