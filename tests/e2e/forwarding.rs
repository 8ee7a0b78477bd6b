//! What reaches the backend, what reaches the client, and what stays behind (HTTP.md, "Forward").

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::harness::{
    Client, DEADLINE, Daemon, End, ONE_BACKEND, Origin, Peer, Setup, free_port, get, request,
    wait_until, wait_until_still,
};

const MIB: usize = 1 << 20;

fn front(origin: &Origin) -> Daemon {
    Setup::of(ONE_BACKEND).with("origin", origin.address()).start()
}

/// Answers each request with its own body.
fn echo(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        let length = request.body.len();
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        peer.write(request.body);
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn fields_of_one_hop_stay_behind() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
                 Proxy-Connection: keep-alive\r\nUpgrade: other\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: other\r\n\
         Proxy-Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\nX-Stays: 1\r\n\r\n",
    );
    let answer = client.answer();
    let requests = origin.take_requests();
    for gone in ["X-Hop", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Proxy-Authorization"]
    {
        assert_eq!(requests[0].field(gone), None, "{gone} reached the backend");
        assert_eq!(answer.field(gone), None, "{gone} reached the client");
    }
    assert_eq!(requests[0].field("X-Stays"), Some("1"));
    assert_eq!(requests[0].field("Authorization"), Some("Basic YTpi"));
    assert_eq!(answer.field("X-Stays"), Some("1"));
}

#[test]
fn a_stranger_has_no_word_on_whom_it_forwards_for() {
    let origin = Origin::answering("ok");
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 10.1.2.3\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: other.example.com\r\nX-Forwarded-Port: 1\r\n\
         Forwarded: for=10.1.2.3;proto=https\r\nX-Request-Id: chosen-by-me\r\ntraceparent: 00-a-b-01\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let seen = &origin.take_requests()[0];
    let port = daemon.address("web").port().to_string();
    assert_eq!(seen.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(seen.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(seen.field("X-Forwarded-Host"), Some("www.example.com"));
    assert_eq!(seen.field("X-Forwarded-Port"), Some(port.as_str()));
    let forwarded = seen.field("Forwarded").expect("Forwarded is set");
    assert!(forwarded.contains("for=127.0.0.1"), "{forwarded}");
    assert!(!forwarded.contains("10.1.2.3") && !forwarded.contains("https"), "{forwarded}");
    let id = seen.field("X-Request-Id").expect("an id is made");
    assert!(!id.is_empty() && id != "chosen-by-me", "{id}");
    assert_eq!(seen.field("traceparent"), Some("00-a-b-01"));
    assert_eq!(seen.field("Via"), None);
}

#[test]
fn a_trusted_proxy_is_believed() {
    let origin = Origin::answering("ok");
    let config = ONE_BACKEND
        .replace("bind = [\"$web\"]", "bind = [\"$web\"]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let daemon = Setup::of(&config).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 10.1.2.3\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: other.example.com\r\n\
         Forwarded: for=10.1.2.3;proto=https\r\nX-Request-Id: chosen-by-me\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let seen = &origin.take_requests()[0];
    assert_eq!(seen.all("X-Forwarded-For").join(", "), "10.1.2.3, 127.0.0.1");
    assert_eq!(seen.field("X-Forwarded-Proto"), Some("https"));
    assert_eq!(seen.field("X-Forwarded-Host"), Some("other.example.com"));
    assert!(seen.all("Forwarded").join(", ").starts_with("for=10.1.2.3;proto=https"));
    assert_eq!(seen.field("X-Request-Id"), Some("chosen-by-me"));
}

#[test]
fn host_is_passed_on_or_set_a_pool_at_a_time() {
    let origin = Origin::answering("ok");
    let config = r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        pool = "passes"
        [[route]]
        path = "/set"
        pool = "sets"
        [pool.passes]
        backends = ["$origin"]
        [pool.sets]
        backends = ["$origin"]
        host_header = "inner.example.com"
    "#;
    let daemon = Setup::of(config).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/set").status, 200);
    let seen = origin.take_requests();
    assert_eq!(seen[0].field("Host"), Some("www.example.com"));
    assert_eq!(seen[1].field("Host"), Some("inner.example.com"));
    assert_eq!(seen[1].field("X-Forwarded-Host"), Some("www.example.com"));
}

#[test]
fn bodies_pass_both_ways_in_every_framing() {
    let origin = Origin::start(echo);
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    for length in [0, 1, 100, 16_384, 70_000, 3 * MIB] {
        let body = pattern(length);
        let head = format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send([head.as_bytes(), &body].concat());
        assert!(client.answer().body == body, "{length} bytes with a length");

        client.send("POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(50_000) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send([piece, b"\r\n"].concat());
        }
        client.send("0\r\n\r\n");
        assert!(client.answer().body == body, "{length} bytes in chunks");
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn answers_pass_in_every_framing() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target.as_str() {
                "/chunked" => peer.write(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                     5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n",
                ),
                "/until-close" => {
                    peer.write("HTTP/1.1 200 OK\r\n\r\nhello!");
                    return;
                }
                _ => peer.answer(200, "hello!"),
            }
        }
    });
    let daemon = front(&origin);
    for path in ["/length", "/chunked", "/until-close", "/length"] {
        let mut client = Client::connect(daemon.address("web"));
        let answer = client.get(path);
        assert_eq!((answer.text().as_str(), answer.end), ("hello!", End::Clean), "{path}");
        if path == "/chunked" {
            assert_eq!(answer.trailers, [("X-Sum".to_owned(), "6".to_owned())]);
        }
    }
}

#[test]
fn trailers_of_a_request_reach_the_backend() {
    let origin = Origin::answering("ok");
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let seen = &origin.take_requests()[0];
    assert_eq!(seen.trailers, [("X-Sum".to_owned(), "5".to_owned())]);
}

#[test]
fn an_answer_without_a_body_keeps_the_connection_in_step() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            match (request.method.as_str(), request.target.as_str()) {
                ("HEAD", _) => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
                (_, "/204") => peer.write("HTTP/1.1 204 No Content\r\n\r\n"),
                (_, "/304") => {
                    peer.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
                }
                _ => peer.answer(200, "whole"),
            }
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer_to("HEAD");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("1000")));
    assert_eq!(client.get("/204").status, 204);
    assert_eq!(client.get("/304").status, 304);
    assert_eq!(client.get("/").text(), "whole");
    assert_eq!(origin.connections(), 1, "the backend's connection was kept, too");
}

#[test]
fn an_expectation_goes_end_to_end() {
    let origin = Origin::start(|peer| {
        while let Some(mut request) = peer.head() {
            if request.field("Expect") == Some("100-continue") {
                peer.write("HTTP/1.1 100 Continue\r\n\r\n");
            }
            if !peer.body(&mut request) {
                return;
            }
            peer.answer(200, &String::from_utf8_lossy(&request.body));
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..2 {
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(client.answer().status, 100);
        client.send("hello");
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn an_expectation_is_met_where_100_and_the_answer_come_in_one_read() {
    let origin = Origin::start(|peer| {
        while let Some(mut request) = peer.head() {
            peer.write(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            );
            if !peer.body(&mut request) {
                return;
            }
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn an_expectation_may_be_declined() {
    let origin = Origin::start(|peer| {
        if peer.head().is_some() {
            peer.answer(401, "who are you");
            peer.hang();
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (401, "who are you"));
}

#[test]
fn early_hints_pass() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            peer.write(HINTS);
            if request.target == "/two" {
                peer.write(HINTS);
            }
            peer.answer(200, "ok");
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    for (path, hints) in [("/one", 1), ("/two", 2)] {
        client.send(request(path));
        for _ in 0..hints {
            let answer = client.answer();
            assert_eq!(answer.status, 103);
            assert_eq!(answer.field("Link"), Some("</a.css>; rel=preload"));
        }
        assert_eq!(client.answer().text(), "ok");
    }
}

#[test]
fn an_answer_that_comes_before_the_upload_is_done_is_passed_on() {
    let origin = Origin::start(|peer| {
        if peer.head().is_some() {
            peer.answer(413, "too much");
            peer.hang();
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    client.send(pattern(65_536));
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
}

#[test]
fn requests_sent_in_one_write_are_answered_in_order() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            peer.answer(200, &request.target);
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.answer().text(), path);
    }
    assert!(client.sees_close());
    assert_eq!(origin.take_requests()[1].body, b"hello");
}

#[test]
fn an_old_client_gets_what_it_can_read() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            );
        }
    });
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("Transfer-Encoding"), None);
    assert_eq!((answer.text().as_str(), answer.end), ("hello", End::Clean));
    assert!(client.sees_close());
}

#[test]
fn an_old_client_may_keep_its_connection() {
    let origin = Origin::answering("hello");
    let daemon = front(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.field("Connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    assert!(client.sees_close());
}

#[test]
fn a_slow_client_holds_the_backend_back() {
    const TOTAL: usize = 256 * MIB;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::start(move |peer| {
        let piece = pattern(65_536);
        if peer.request().is_none() {
            return;
        }
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n"));
        for _ in 0..TOTAL / piece.len() {
            if !peer.try_write(&piece) {
                return;
            }
            counter.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    });
    let daemon = front(&origin);
    let before = daemon.resident_bytes();
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    assert_eq!(client.answer_head().status, 200);
    let blocked_at =
        wait_until_still("the backend to be held back", || sent.load(Ordering::SeqCst));
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(blocked_at < (TOTAL / 4) as u64, "{blocked_at} bytes went to a client that reads none");
    assert!(grown < 16 * MIB as u64, "the daemon holds {grown} bytes for one slow client");
    let piece = pattern(65_536);
    for _ in 0..TOTAL / piece.len() {
        assert!(client.take(piece.len()) == Ok(piece.clone()), "the body arrives whole");
    }
}

#[test]
fn a_slow_backend_holds_the_client_back() {
    const TOTAL: usize = 96 * MIB;
    let reads = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&reads);
    let origin = Origin::start(move |peer| {
        let Some(mut request) = peer.head() else {
            return;
        };
        wait_until(DEADLINE, "the test to open the gate", || gate.load(Ordering::SeqCst));
        if peer.body(&mut request) {
            peer.answer(200, &request.body.len().to_string());
        }
    });
    let daemon = front(&origin);
    let before = daemon.resident_bytes();
    let sent = Arc::new(AtomicU64::new(0));
    let (counter, address) = (Arc::clone(&sent), daemon.address("web"));
    let upload = thread::spawn(move || {
        let piece = pattern(65_536);
        let mut client = Client::connect(address);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {TOTAL}\r\n\r\n"));
        for _ in 0..TOTAL / piece.len() {
            client.send(&piece);
            counter.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        client.answer().text()
    });
    let blocked_at = wait_until_still("the client to be held back", || sent.load(Ordering::SeqCst));
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(
        blocked_at < (TOTAL / 2) as u64,
        "{blocked_at} bytes went to a backend that reads none"
    );
    assert!(grown < 16 * MIB as u64, "the daemon holds {grown} bytes for one slow backend");
    reads.store(true, Ordering::SeqCst);
    assert_eq!(upload.join().expect("the upload ends"), TOTAL.to_string());
}

#[test]
fn ipv6_is_served_and_told_in_brackets() {
    let origin = Origin::answering("six");
    let port = free_port();
    let config = format!(
        r#"
        [listener.web]
        bind = ["$web", "[::1]:{port}"]
        [[route]]
        pool = "app"
        [pool.app]
        backends = ["$origin"]
        "#
    );
    let daemon = Setup::of(&config).with("origin", origin.address()).start();
    let six = format!("[::1]:{port}").parse().expect("an address");
    let mut client = Client::connect(six);
    client.send(format!("GET / HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n"));
    assert_eq!(client.answer().text(), "six");
    let request = origin.take_requests().pop().expect("a request");
    assert_eq!(request.field("X-Forwarded-For"), Some("::1"));
    let forwarded = format!("for=\"[::1]\";host=\"[::1]:{port}\";proto=http");
    assert_eq!(request.field("Forwarded"), Some(forwarded.as_str()));
    assert_eq!(get(daemon.address("web"), "/").text(), "six", "IPv4 beside it");
}

#[test]
fn an_answer_without_a_date_gets_one() {
    for given in ["", "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"] {
        let origin = Origin::start(move |peer| {
            while peer.request().is_some() {
                peer.write(format!("HTTP/1.1 200 OK\r\n{given}Content-Length: 2\r\n\r\nok"));
            }
        });
        let daemon = front(&origin);
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/"));
        let answer = client.answer();
        let date = answer.field("Date").expect("one date");
        assert!(date.ends_with(" GMT"), "{date}");
        assert_eq!(date.contains(" 1970 "), !given.is_empty(), "what is there is kept: {date}");
    }
}
