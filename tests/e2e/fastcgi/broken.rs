//! Servers that break off, say what is no FastCGI, or let their requests be taken by nobody.

use super::{answering, before_any};
use crate::harness::{
    Client, DEADLINE, End, Origin,
    fastcgi::{Asked, answer, end, stderr, stdout, written},
    get, request, wait_until,
};

const PAGE: &str = "Content-Type: text/plain\r\n\r\npage";

#[test]
fn what_is_no_answer_is_a_502_with_its_reason() {
    let half = &answer(PAGE)[..20];
    for (what, bytes, reason) in [
        ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "bad-response"),
        ("another request's", vec![1, 6, 0, 2, 0, 1, 0, 0, b'x'], "bad-response"),
        ("another version", vec![2, 6, 0, 1, 0, 1, 0, 0, b'x'], "bad-response"),
        ("a kind of ours", written(5, b"x", 0), "bad-response"),
        ("no head", end(0), "bad-response"),
        ("half a head", [stdout("A: b\n"), end(0)].concat(), "bad-response"),
        ("words", answer("no head at all\n\n"), "bad-response"),
        ("two statuses", answer("Status: 200\nStatus: 404\n\n"), "bad-response"),
        ("interim", answer("Status: 103\n\n"), "bad-response"),
        ("chunks", answer("Transfer-Encoding: chunked\n\n0\r\n\r\n"), "bad-response"),
        ("two lengths", answer("Content-Length: 1\nContent-Length: 1\n\nx"), "bad-response"),
        ("a bare CR", answer("A: b\rc\n\n"), "bad-response"),
        ("folding", answer("A: b\n c: d\n\n"), "bad-response"),
        ("endless", stdout(vec![b'a'; 65_000]).repeat(5), "bad-response"),
        ("nothing", vec![], "upstream-reset"),
        ("half a record", half.to_vec(), "upstream-reset"),
        ("only words", stderr("PHP Fatal error"), "upstream-reset"),
    ] {
        let origin = Origin::start(move |peer| {
            if Asked::read(peer).is_some() {
                peer.write(&bytes);
                peer.half_close();
                peer.hang();
            }
        });
        let daemon = before_any(&origin, "", "retry = { attempts = 1 }\nmax_idle = 1");
        let answer = get(daemon.address("web"), "/a.php");
        assert_eq!(answer.status, 502, "{what}");
        assert!(answer.text().contains(reason), "{what}: {}", answer.text());
        wait_until(DEADLINE, "its connection to be closed", || origin.open_connections() == 0);
    }
}

#[test]
fn answers_that_break_off_are_cut() {
    let head = "Content-Type: text/plain\r\n";
    for (what, bytes) in [
        ("the connection", stdout(format!("{head}\r\npart"))),
        ("short of its length", answer(format!("{head}Content-Length: 9\r\n\r\npart"))),
        ("in a record", stdout(format!("{head}\r\npart and more"))[..44].to_vec()),
        ("what is no record", [stdout(format!("{head}\r\npart")), vec![b'x'; 8]].concat()),
        ("not taken after all", [stdout(format!("{head}\r\npart")), end(1)].concat()),
    ] {
        let bytes = std::sync::Arc::new(bytes);
        let origin = Origin::start(move |peer| {
            if Asked::read(peer).is_some() {
                peer.write(bytes.as_slice());
            }
        });
        let daemon = before_any(&origin, "", "max_idle = 1\nretry = { attempts = 1 }");
        let mut client = Client::connect(daemon.address("web"));
        client.send(request("/a.php"));
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{what}");
        assert_ne!(answer.end, End::Clean, "{what}: {answer:?}");
        daemon.wait_for_metric(
            "equipoise_http_errors_total",
            &[("reason", "upstream-truncated")],
            1.0,
        );
    }
}

#[test]
fn every_cut_of_the_bytes_is_the_same_answer() {
    let whole = [
        stderr("a word\n"),
        stdout("Status: 201 Made\r\nA: b\r\n"),
        written(6, b"\r\nbo", 7),
        stdout("dy"),
        stdout(""),
        end(0),
    ]
    .concat();
    let length = whole.len();
    let origin = Origin::start(move |peer| {
        while let Some(asked) = Asked::read(peer) {
            let at: usize = asked.param("QUERY_STRING").and_then(|at| at.parse().ok()).unwrap_or(0);
            peer.write(&whole[..at]);
            peer.pause(std::time::Duration::from_millis(2));
            peer.write(&whole[at..]);
        }
    });
    let daemon = before_any(&origin, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    for at in 0..length {
        let answer = client.get(&format!("/a.php?{at}"));
        assert_eq!((answer.status, answer.text().as_str()), (201, "body"), "{at}");
        assert_eq!((answer.field("a"), &answer.end), (Some("b"), &End::Clean), "{at}");
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.violations(), [""; 0]);
}

#[test]
fn a_server_that_takes_no_more_is_passed_over() {
    let full = Origin::start(|peer| {
        if Asked::read(peer).is_some() {
            peer.write(end(2));
        }
    });
    let free = answering(PAGE);
    let backends = format!("backends = [\"{}\", \"{}\"]\n#", full.address(), free.address());
    let config = super::ONE_SERVER
        .replace("$route", ", check_script = false")
        .replace("$root", "/srv/app")
        .replace("$pool", "")
        .replace("backends = ", &backends);
    let daemon = crate::harness::Setup::of(&config).with("origin", full.address()).start();
    for _ in 0..4 {
        let mut client = Client::connect(daemon.address("web"));
        client.send("POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "page"));
    }
    assert!(full.connections() > 0);
}

#[test]
fn an_idle_connection_that_was_closed_costs_nothing() {
    let origin = Origin::start(|peer| {
        for _ in 0..2 {
            if Asked::read(peer).is_none() {
                return;
            }
            peer.write(answer(PAGE));
        }
        // The third is read, and left alone.
        let _ = Asked::read(peer);
    });
    let daemon = before_any(&origin, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..9 {
        let answer = client.get("/a.php");
        assert_eq!((answer.status, answer.text().as_str()), (200, "page"));
    }
    assert!(origin.connections() > 1);
}

#[test]
fn nothing_of_one_answer_is_in_the_next() {
    let origin = Origin::start(|peer| {
        while let Some(asked) = Asked::read(peer) {
            assert!(asked.keeps_connection);
            // More than was told, and more behind the end.
            let extra = match asked.param("QUERY_STRING") {
                Some("behind") => stdout("Status: 418\r\n\r\nevil"),
                _ => vec![],
            };
            let answer = answer("Content-Length: 4\r\n\r\npage and what is too much");
            peer.write([answer, extra].concat());
        }
    });
    let daemon = before_any(&origin, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    for query in ["", "behind", "", "behind", ""] {
        let answer = client.get(&format!("/a.php?{query}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "page"), "{query}");
    }
    for _ in 0..3 {
        client.send("HEAD /a.php HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer_to("HEAD");
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("4")));
    }
}

#[test]
fn what_goes_up_is_whole_and_in_records() {
    let origin = Origin::start(|peer| {
        while let Some(asked) = Asked::read(peer) {
            let sum: u64 = asked.body.iter().map(|byte| u64::from(*byte)).sum();
            let length = asked.param("CONTENT_LENGTH").unwrap_or_default().to_owned();
            peer.write(answer(format!("\n{length} {} {sum}", asked.body.len())));
        }
    });
    let daemon = before_any(&origin, "", "max_idle = 1");
    let mut client = Client::connect(daemon.address("web"));
    for length in [0, 1, 8_192, 8_193, 65_535, 65_536, 131_071, 3_000_000_u64] {
        let head = format!("POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let body: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
        client.send([head.as_bytes(), &body].concat());
        let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(client.answer().text(), format!("{length} {length} {sum}"));
    }
    assert_eq!(origin.violations(), [""; 0]);
}

#[test]
fn a_client_that_leaves_takes_its_script_along() {
    let origin = Origin::start(|peer| {
        if Asked::read(peer).is_some() {
            peer.hang();
        }
    });
    let daemon = before_any(&origin, "", "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/a.php"));
    wait_until(DEADLINE, "the request", || origin.open_connections() == 1);
    drop(client);
    wait_until(DEADLINE, "the connection to be closed", || origin.open_connections() == 0);
    daemon.wait_for_metric("equipoise_http_errors_total", &[("reason", "client-gone")], 1.0);
}

#[test]
fn nothing_is_upgraded_and_no_tunnel_is_dug() {
    let origin = answering(PAGE);
    let daemon = before_any(&origin, "", "");
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET /a.php HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "page");
    assert_eq!(origin.violations(), [""; 0]);
}
