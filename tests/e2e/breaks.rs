//! When something breaks: backends that die, stall, refuse, truncate or talk nonsense, and clients
//! that leave.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::harness::{
    Answer, Broken, Client, DEADLINE, Daemon, End, Load, Origin, OriginProcess, Peer, Setup,
    free_port, get, request, wait_until,
};

const ERRORS: &str = "equipoise_http_errors_total";
const REQUESTS: &str = "equipoise_backend_requests_total";
const UP: &str = "equipoise_backend_up";

/// A pool with these keys; `$origin` is its backend.
fn config(pool: &str) -> String {
    format!(
        r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "app"
        [pool.app]
        {pool}
        "#
    )
}

/// One backend that is never held to be down, and never asked twice.
fn single(keys: &str, origin: SocketAddr) -> Daemon {
    let keys = format!(
        "backends = [\"$origin\"]\npassive = {{ fall = 0 }}\nretry = {{ attempts = 1 }}\n{keys}"
    );
    Setup::of(&config(&keys)).with("origin", origin).start()
}

#[track_caller]
fn assert_reason(daemon: &Daemon, reason: &str) {
    wait_until(DEADLINE, &format!("{reason} to be counted"), || {
        daemon.metric(ERRORS, &[("reason", reason)]) == 1.0
    });
    assert_eq!(daemon.metric(ERRORS, &[]), 1.0, "nothing else is counted");
}

#[track_caller]
fn assert_fails(daemon: &Daemon, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.text().contains(reason), "{answer:?}");
    assert_reason(daemon, reason);
}

#[test]
fn no_request_is_lost_when_one_of_three_backends_is_killed() {
    let backends = ["a", "b", "c"].map(OriginProcess::answering);
    let daemon = three(&backends, "health = { interval = \"500ms\", type = \"tcp\" }");
    let web = daemon.address("web");
    let load = Load::new().keep_alive(web, 3).connection_a_request(web, 1);
    wait_until(DEADLINE, "each backend to answer", || {
        ["a", "b", "c"].iter().all(|body| load.tally().of(body) > 50)
    });
    backends[1].signal(Signal::KILL);
    let at_kill = load.tally().ok;
    wait_until(DEADLINE, "many more answers", || load.tally().ok > at_kill + 500);
    let dead = backends[1].address().to_string();
    wait_until(DEADLINE, "the dead one to be held down", || {
        daemon.metric(UP, &[("backend", &dead)]) == 0.0
    });
    load.stop().assert_flawless();
}

#[test]
fn a_stopped_backend_costs_its_timeouts_and_then_nothing() {
    const CLIENTS: usize = 3;
    let backends = ["a", "b", "c"].map(OriginProcess::answering);
    let keys = "timeouts = { first_byte = \"2s\" }\npassive = { fall = 2, retry_after = \"10m\" }";
    let daemon = three(&backends, keys);
    let web = daemon.address("web");
    let load = Load::new().keep_alive(web, CLIENTS);
    wait_until(DEADLINE, "each backend to answer", || {
        ["a", "b", "c"].iter().all(|body| load.tally().of(body) > 50)
    });
    backends[1].signal(Signal::STOP);
    let stopped = backends[1].address().to_string();
    let labels = [("backend", stopped.as_str())];
    wait_until(DEADLINE, "the stopped one to be held down", || daemon.metric(UP, &labels) == 0.0);
    wait_until(DEADLINE, "what it still had to be over", || {
        daemon.metric("equipoise_backend_in_flight", &labels) == 0.0
    });
    let requests = daemon.metric(REQUESTS, &labels);
    let at_down = load.tally().ok;
    wait_until(DEADLINE, "many more answers", || load.tally().ok > at_down + 500);
    assert_eq!(daemon.metric(REQUESTS, &labels), requests, "it gets no more traffic");
    // What it had when it stopped waits for the timeout, once for each client and try.
    let tally = load.stop();
    assert_eq!((tally.stale, tally.cut), (0, 0), "{tally:?}");
    assert!(tally.failed <= 2 * CLIENTS as u64, "{tally:?}");
    assert!(tally.words.iter().all(|words| words.contains("first-byte-timeout")), "{tally:?}");
}

fn three(backends: &[OriginProcess; 3], keys: &str) -> Daemon {
    let keys = format!("backends = [\"$a\", \"$b\", \"$c\"]\n{keys}");
    Setup::of(&config(&keys))
        .with("a", backends[0].address())
        .with("b", backends[1].address())
        .with("c", backends[2].address())
        .start()
}

#[test]
fn a_refused_connection_is_502_and_then_503_once_the_backend_is_down() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let keys = "backends = [\"$origin\"]\nretry = { attempts = 1 }\npassive = { fall = 1 }";
    let daemon = Setup::of(&config(keys)).with("origin", nobody).start();
    let refused = get(daemon.address("web"), "/");
    assert_fails(&daemon, &refused, 502, "connect-failed");
    wait_until(DEADLINE, "the backend to be held down", || daemon.metric(UP, &[]) == 0.0);
    let down = get(daemon.address("web"), "/");
    assert_eq!(down.status, 503);
    assert!(down.text().contains("no-backend"), "{down:?}");
}

#[test]
fn a_backend_that_does_not_accept_is_504() {
    let full = FullListener::new();
    let daemon = single("timeouts = { connect = \"300ms\" }", full.address);
    let answer = get(daemon.address("web"), "/");
    assert_fails(&daemon, &answer, 504, "connect-timeout");
}

/// A listener whose queue is full: the kernel drops what else comes.
struct FullListener {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl FullListener {
    fn new() -> FullListener {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("a free port");
        listener.listen(0).expect("a bound socket");
        let address = listener.local_addr().expect("bound").as_socket();
        let address = address.expect("an IPv4 address");
        let queued = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            let _ = socket.connect(&address.into());
            socket
        });
        let queued = queued.collect();
        wait_until(DEADLINE, "the queue to be full", || {
            TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err()
        });
        FullListener { address, _listener: listener, _queued: queued }
    }
}

#[test]
fn a_backend_that_does_not_begin_to_answer_is_504() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let daemon = single("timeouts = { first_byte = \"300ms\" }", origin.address());
    let answer = get(daemon.address("web"), "/");
    assert_fails(&daemon, &answer, 504, "first-byte-timeout");
    wait_until(DEADLINE, "its connection to close", || origin.open_connections() == 0);
}

#[test]
fn an_exchange_that_takes_too_long_as_a_whole_is_504() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let daemon = single("timeouts = { whole = \"300ms\" }", origin.address());
    let answer = get(daemon.address("web"), "/");
    assert_fails(&daemon, &answer, 504, "request-timeout");
}

#[test]
fn an_answer_in_drips_ends_with_the_whole_exchange() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            while peer.try_write(b"a") {
                peer.pause(Duration::from_millis(20));
            }
        }
    });
    let daemon = single("timeouts = { whole = \"2s\", idle = \"10s\" }", origin.address());
    let answer = get(daemon.address("web"), "/");
    assert_eq!(answer.status, 200);
    assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    assert_reason(&daemon, "request-timeout");
    wait_until(DEADLINE, "its connection to close", || origin.open_connections() == 0);
}

#[test]
fn an_answer_that_stands_still_is_cut() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            peer.hang();
        }
    });
    let daemon = single("timeouts = { idle = \"300ms\" }", origin.address());
    let answer = get(daemon.address("web"), "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    assert_reason(&daemon, "response-idle-timeout");
}

/// How an answer breaks off, after "hello" was sent of it.
struct BreakOff(&'static str, &'static str, fn(&mut Peer));

const TRUNCATIONS: &[BreakOff] = &[
    BreakOff("short of its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |_| {}),
    BreakOff(
        "without the last chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        |_| {},
    ),
    BreakOff(
        "within a chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
        |_| {},
    ),
    BreakOff(
        "without the end of its trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        |_| {},
    ),
    BreakOff("by a reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |peer| {
        peer.reset()
    }),
    BreakOff("by a half-close", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", |peer| {
        peer.half_close();
        peer.hang();
    }),
];

#[test]
fn a_truncated_answer_never_ends_cleanly() {
    for BreakOff(how, bytes, ends) in TRUNCATIONS {
        let origin = Origin::start(move |peer| {
            if peer.request().is_some() {
                peer.write(bytes);
                ends(peer);
            }
        });
        let daemon = single("", origin.address());
        // Kept alive: nothing but the break tells the client that the answer has ended.
        let answer = Client::connect(daemon.address("web")).get("/");
        assert_eq!(answer.status, 200, "{how}");
        assert!(
            matches!(answer.end, End::Cut(Broken::Truncated | Broken::Reset)),
            "{how}: {answer:?}"
        );
        assert_reason(&daemon, "upstream-truncated");
    }
}

#[test]
fn a_broken_chunk_from_the_backend_cuts_the_answer() {
    for chunk in ["x\r\nhello\r\n", "5\r\nhello!\r\n", "+5\r\nhello\r\n", "5\nhello\n"] {
        let origin = Origin::start(move |peer| {
            if peer.request().is_some() {
                peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
                peer.write(chunk);
                peer.write("0\r\n\r\n");
                peer.hang();
            }
        });
        let daemon = single("", origin.address());
        // Head and body may come in one read, and then the answer can still be refused.
        let answer = Client::connect(daemon.address("web")).get("/");
        let refused = answer.status == 502;
        assert!(refused || matches!(answer.end, End::Cut(_)), "{chunk:?}: {answer:?}");
        assert_reason(&daemon, "bad-response");
        wait_until(DEADLINE, "its connection to close", || origin.open_connections() == 0);
    }
}

#[rustfmt::skip]
const MALFORMED: &[(&str, &str)] = &[
    ("no HTTP", "hello\r\n\r\n"),
    ("another protocol", "ICY 200 OK\r\n\r\n"),
    ("a version that we don't speak", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a version in lower case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("no status", "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of two digits", "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"),
    ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status out of range", "HTTP/1.1 000 Null\r\nContent-Length: 0\r\n\r\n"),
    ("both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"),
    ("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("a hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a bare LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ("a bare LF after a field", "HTTP/1.1 200 OK\r\nFoo: bar\nContent-Length: 5\r\n\r\nhello"),
    ("a bare CR in a value", "HTTP/1.1 200 OK\r\nFoo: b\rr\r\nContent-Length: 5\r\n\r\nhello"),
    ("a NUL in a value", "HTTP/1.1 200 OK\r\nFoo: b\0r\r\nContent-Length: 5\r\n\r\nhello"),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nFoo : bar\r\nContent-Length: 5\r\n\r\nhello"),
    ("no colon", "HTTP/1.1 200 OK\r\nFoo\r\nContent-Length: 5\r\n\r\nhello"),
    ("an empty name", "HTTP/1.1 200 OK\r\n: bar\r\nContent-Length: 5\r\n\r\nhello"),
    ("a folded value", "HTTP/1.1 200 OK\r\nFoo: bar\r\n baz\r\nContent-Length: 5\r\n\r\nhello"),
    ("a space before the first field", "HTTP/1.1 200 OK\r\n Foo: bar\r\nContent-Length: 5\r\n\r\nhello"),
    ("an upgrade that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n"),
];

#[test]
fn a_malformed_answer_is_502_and_its_connection_is_closed() {
    let long = format!("HTTP/1.1 200 OK\r\nFoo: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "Foo: bar\r\n".repeat(2_000));
    let made = [("a head that is too long", long.as_str()), ("too many fields", many.as_str())];
    for (name, bytes) in MALFORMED.iter().chain(&made) {
        let bytes = (*bytes).to_owned();
        let origin = Origin::start(move |peer| {
            if peer.request().is_some() {
                peer.write(&bytes);
                peer.hang();
            }
        });
        let daemon = single("", origin.address());
        let answer = get(daemon.address("web"), "/");
        assert_eq!(answer.status, 502, "{name}: {answer:?}");
        assert_fails(&daemon, &answer, 502, "bad-response");
        wait_until(DEADLINE, &format!("{name}: its connection to close"), || {
            origin.open_connections() == 0
        });
    }
}

#[test]
fn a_backend_that_closes_before_it_answers_is_502() {
    for resets in [false, true] {
        let origin = Origin::start(move |peer| {
            if peer.request().is_some() && resets {
                peer.reset();
            }
        });
        let daemon = single("", origin.address());
        let answer = get(daemon.address("web"), "/");
        assert_fails(&daemon, &answer, 502, "upstream-reset");
    }
}

#[test]
fn an_idle_connection_that_the_backend_closed_costs_no_request() {
    // Each connection is good for one request, and no answer says so.
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.answer(200, "ok");
        }
    });
    let daemon = single("", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    for method in ["GET", "POST", "GET", "PATCH", "DELETE", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(client.answer().status, 200, "{method}");
        let address = origin.address();
        wait_until(DEADLINE, "the close to reach the daemon", || !is_established_to(address));
    }
}

/// Whether any socket of this machine has an open connection to the address. A close that was made
/// is not yet one that has arrived: the kernel carries it when it has time.
fn is_established_to(address: SocketAddr) -> bool {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells its sockets");
    let port = format!(":{:04X}", address.port());
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2].ends_with(&port) && fields[3] == ESTABLISHED
    })
}

#[test]
fn a_reused_connection_that_closes_under_a_request_is_no_failure_of_the_request() {
    // The backend's close crosses our next request: it is reset without having been read.
    let origin = Origin::start(|peer| {
        let Some(_) = peer.request() else { return };
        peer.answer(200, "ok");
        if peer.number % 2 == 0 {
            peer.pause(DEADLINE);
            peer.reset();
        } else {
            peer.hang();
        }
    });
    let keys = "backends = [\"$origin\"]\npassive = { fall = 0 }";
    let setup =
        Setup::of(&config(&format!("{keys}\nretry = {{ attempts = 2, budget = \"100%\" }}")));
    let daemon = setup.with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_request_whose_body_went_out_is_not_sent_twice() {
    let origins = [0, 1].map(|_| {
        Origin::start(|peer| {
            peer.request();
            peer.reset();
        })
    });
    let keys = "backends = [\"$a\", \"$b\"]\npassive = { fall = 0 }\nretry = { attempts = 3, budget = \"100%\" }";
    let setup = Setup::of(&config(keys)).with("a", origins[0].address());
    let daemon = setup.with("b", origins[1].address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_fails(&daemon, &answer, 502, "upstream-reset");
    assert_eq!(origins.iter().map(Origin::requests).sum::<usize>(), 1);
}

#[test]
fn an_idempotent_request_goes_to_another_backend() {
    let bad = Origin::start(|peer| {
        peer.request();
        peer.reset();
    });
    let good = Origin::answering("good");
    let keys = "backends = [\"$a\", \"$b\"]\npassive = { fall = 0 }\nretry = { budget = \"100%\" }";
    let setup = Setup::of(&config(keys)).with("a", bad.address());
    let daemon = setup.with("b", good.address()).start();
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        for _ in 0..4 {
            let mut client = Client::connect(daemon.address("web"));
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.answer().text(), "good", "{method}");
        }
    }
    assert!(bad.requests() > 0, "the bad one was asked first at times");
    assert!(daemon.metric("equipoise_pool_retries_total", &[("pool", "app")]) > 0.0);
}

#[test]
fn an_error_of_the_backend_is_its_answer() {
    let origins = ["a", "b"].map(|body| {
        Origin::start(move |peer| {
            while peer.request().is_some() {
                peer.answer(500, body);
            }
        })
    });
    let keys = "backends = [\"$a\", \"$b\"]\npassive = { fall = 0 }";
    let setup = Setup::of(&config(keys)).with("a", origins[0].address());
    let daemon = setup.with("b", origins[1].address()).start();
    assert_eq!(get(daemon.address("web"), "/").status, 500);
    assert_eq!(origins.iter().map(Origin::requests).sum::<usize>(), 1);
    assert_eq!(daemon.metric(ERRORS, &[]), 0.0);
}

#[test]
fn retries_stay_within_their_budget() {
    const ASKED: usize = 200;
    let origins = [0, 1, 2].map(|_| {
        Origin::start(|peer| {
            peer.request();
            peer.reset();
        })
    });
    let keys = "backends = [\"$a\", \"$b\", \"$c\"]\npassive = { fall = 0 }\nretry = { attempts = 3, budget = \"10%\" }";
    let daemon = Setup::of(&config(keys))
        .with("a", origins[0].address())
        .with("b", origins[1].address())
        .with("c", origins[2].address())
        .start();
    for _ in 0..ASKED {
        assert_eq!(get(daemon.address("web"), "/").status, 502);
    }
    let tries: usize = origins.iter().map(Origin::requests).sum();
    // Without a budget it would be three times as many. What two hundred requests earn is there from
    // the start, for each worker.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let most = ASKED + ASKED / 10 + workers * 200 / 10;
    assert!(tries <= most, "{tries} tries for {ASKED} requests, {most} at most");
    assert!(daemon.metric("equipoise_pool_retries_refused_total", &[]) > 0.0);
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.hang();
        }
    });
    let daemon = single("", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    wait_until(DEADLINE, "the backend to be asked", || origin.requests() == 1);
    drop(client);
    wait_until(DEADLINE, "the exchange to be cancelled", || origin.open_connections() == 0);
    assert_reason(&daemon, "client-gone");
}

#[test]
fn a_client_that_leaves_within_its_answer_is_noticed() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while peer.try_write(b"5\r\nhello\r\n") {
                peer.pause(Duration::from_millis(5));
            }
        }
    });
    let daemon = single("", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    assert_eq!(client.answer_head().status, 200);
    drop(client);
    wait_until(DEADLINE, "the exchange to be cancelled", || origin.open_connections() == 0);
    assert_reason(&daemon, "client-gone");
}

#[test]
fn a_client_that_leaves_within_its_upload_is_noticed() {
    let origin = Origin::answering("ok");
    let daemon = single("", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'a'; 50_000]);
    wait_until(DEADLINE, "the backend to get some of it", || origin.received_bytes() > 0);
    drop(client);
    wait_until(DEADLINE, "the exchange to be cancelled", || origin.open_connections() == 0);
    assert_eq!(origin.requests(), 0, "a part is no request");
    assert_reason(&daemon, "client-gone");
}

#[test]
fn a_backend_that_never_gets_beyond_interim_answers_is_502() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
            while peer.try_write(many.as_bytes()) {}
        }
    });
    let daemon = single("", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    for _ in 0..100 {
        assert_eq!(client.answer().status, 103);
    }
    let answer = client.answer();
    assert_fails(&daemon, &answer, 502, "bad-response");
    wait_until(DEADLINE, "its connection to close", || origin.open_connections() == 0);
}

/// Backends of this pool are down after one failure, for longer than a test.
const FRAGILE: &str = "backends = [\"$origin\"]\npassive = { fall = 1, retry_after = \"10m\" }";

fn fragile(keys: &str, origin: SocketAddr) -> Daemon {
    Setup::of(&config(&format!("{FRAGILE}\n{keys}"))).with("origin", origin).start()
}

#[test]
fn an_idle_connection_that_the_backend_closed_is_no_failure_of_the_backend() {
    // Its close crosses the second request of each connection.
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.answer(200, "ok");
            peer.request();
        }
    });
    let daemon = fragile("retry = { budget = \"100%\" }", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(daemon.metric(UP, &[]), 1.0);
}

#[test]
fn a_client_that_leaves_while_its_backend_is_reached_takes_its_request_along() {
    let full = FullListener::new();
    let daemon = single("timeouts = { connect = \"1m\" }", full.address);
    let in_flight = || daemon.metric("equipoise_backend_in_flight", &[]);
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    wait_until(DEADLINE, "the backend to be tried", || in_flight() == 1.0);
    drop(client);
    wait_until(DEADLINE, "the try to be given up", || in_flight() == 0.0);
    assert_reason(&daemon, "client-gone");
}

#[test]
fn clients_that_are_too_slow_as_a_whole_turn_no_backend_down() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target == "/endless" {
                peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                while peer.try_write(b"5\r\nhello\r\n") {}
            }
            peer.answer(200, "ok");
        }
    });
    let daemon = fragile("timeouts = { whole = \"300ms\" }", origin.address());
    let web = daemon.address("web");
    // Too long to be read whole before a backend is asked, and short enough for it.
    for length in [100_000, 100] {
        let mut client = Client::connect(web);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nx"));
        let answer = client.answer();
        assert_eq!(answer.status, 504, "{answer:?}");
        assert!(answer.text().contains("request-timeout"), "{answer:?}");
        assert_eq!(get(web, "/").status, 200, "after {length} bytes");
    }
    let mut reader = Client::connect_with_small_buffer(web);
    reader.send(request("/endless"));
    wait_until(DEADLINE, "the answer to be cut", || {
        daemon.metric(ERRORS, &[("reason", "request-timeout")]) == 3.0
    });
    assert_eq!(get(web, "/").status, 200, "after a slow reader");
}

#[test]
fn an_answer_that_began_early_waits_for_the_rest_of_its_request() {
    let origin = Origin::start(|peer| {
        let Some(mut request) = peer.head() else { return };
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
        if peer.body(&mut request) {
            peer.write("4\r\nlate\r\n0\r\n\r\n");
        }
        peer.hang();
    });
    let daemon = fragile("timeouts = { idle = \"500ms\" }", origin.address());
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    // Each step comes in time, all of them together do not.
    for step in 1..=10 {
        client.send(vec![b'a'; 10_000]);
        client.set_patience(Duration::from_millis(100));
        if step == 1 {
            client.set_patience(DEADLINE);
            assert_eq!(client.answer_head().status, 200);
            assert_eq!(client.take(10).as_deref(), Ok(&b"5\r\nearly\r\n"[..]));
        } else if step < 10 {
            assert_eq!(client.take(1), Err(Broken::TimedOut), "step {step}");
        }
    }
    client.set_patience(DEADLINE);
    assert_eq!(client.take(14).as_deref(), Ok(&b"4\r\nlate\r\n0\r\n\r\n"[..]));

    // One that keeps the rest to itself is cut, and the backend is not to blame.
    let mut client = Client::connect(daemon.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    assert!(matches!(client.answer().end, End::Cut(_)));
    assert_reason(&daemon, "client-stalled");
    assert_eq!(daemon.metric(UP, &[]), 1.0);
}
