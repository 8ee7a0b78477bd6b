//! What a pool does for its backends it does for those that speak FastCGI.

use std::time::Duration;

use super::{ONE_SERVER, answering, before_any};
use crate::harness::{
    Client, DEADLINE, Daemon, Origin, Setup,
    fastcgi::{Asked, answer, stderr, stdout},
    get, request, wait_until, wait_until_still,
};

/// A daemon before two servers.
fn before_two(one: &Origin, two: &Origin, pool: &str) -> Daemon {
    let config = ONE_SERVER
        .replace("$route", ", check_script = false")
        .replace("$root", "/srv/app")
        .replace("$pool", pool)
        .replace("[\"$origin\"]", "[\"$one\", \"$two\"]");
    Setup::of(&config).with("one", one.address()).with("two", two.address()).start()
}

#[test]
fn requests_are_balanced_and_tried_again() {
    let dying = Origin::start(|peer| drop(Asked::read(peer)));
    let well = answering("\nwell");
    let daemon = before_two(&dying, &well, "");
    for _ in 0..6 {
        assert_eq!(get(daemon.address("web"), "/a.php").text(), "well");
    }
    assert!(daemon.metric("equipoise_pool_retries_total", &[]) >= 3.0);
    // What may have been acted on is not asked for again.
    let outcomes: Vec<u16> = (0..6)
        .map(|_| {
            let mut client = Client::connect(daemon.address("web"));
            client.send("POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
            client.answer().status
        })
        .collect();
    assert!(outcomes.contains(&200) && outcomes.contains(&502), "{outcomes:?}");
}

#[test]
fn a_late_answer_is_asked_for_elsewhere() {
    let slow = Origin::start(|peer| {
        while let Some(asked) = Asked::read(peer) {
            if asked.param("QUERY_STRING") == Some("slow") {
                return peer.hang();
            }
            peer.write(answer("\npage"));
            if !asked.keeps_connection {
                return;
            }
        }
    });
    let quick = answering("\npage");
    let daemon = before_two(&slow, &quick, "hedge = { min_requests = 10, at_least = \"10ms\" }");
    let door = daemon.address("web");
    for _ in 0..60 {
        assert_eq!(get(door, "/a.php").text(), "page");
    }
    for _ in 0..4 {
        assert_eq!(get(door, "/a.php?slow").text(), "page");
    }
    assert!(daemon.metric("equipoise_pool_hedges_won_total", &[]) >= 1.0);
}

#[test]
fn what_is_beyond_the_limit_waits() {
    let origin = Origin::start(|peer| {
        if Asked::read(peer).is_some() {
            peer.pause(Duration::from_millis(200));
            peer.write(answer("\npage"));
        }
    });
    let daemon = before_any(&origin, "", "max_requests = 1");
    let door = daemon.address("web");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(door)).collect();
    for client in &mut clients {
        client.send(request("/a.php"));
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "page");
    }
    assert_eq!(origin.connections(), 3);
    daemon.wait_for_metric("equipoise_pool_queue_seconds_count", &[("pool", "php")], 2.0);
}

#[test]
fn a_script_that_says_nothing_has_its_time() {
    let origin = Origin::start(|peer| {
        let silent = Asked::read(peer).is_some_and(|it| it.param("QUERY_STRING") == Some("silent"));
        if !silent {
            peer.write(stdout("Content-Type: text/plain\n\npart"));
        }
        // What it complains of is no answer.
        while peer.try_write(&stderr("still busy\n")) {
            peer.pause(Duration::from_millis(50));
        }
    });
    let pool = "timeouts = { first_byte = \"500ms\", idle = \"500ms\" }\nretry = { attempts = 1 }";
    let daemon = before_any(&origin, "", pool);
    let answer = get(daemon.address("web"), "/a.php?silent");
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("first-byte-timeout"));
    let answer = get(daemon.address("web"), "/a.php");
    assert_eq!((answer.status, answer.text().as_str()), (200, "part"));
    assert_ne!(answer.end, crate::harness::End::Clean);
    daemon.wait_for_metric(
        "equipoise_http_errors_total",
        &[("reason", "response-idle-timeout")],
        1.0,
    );
    wait_until(DEADLINE, "the connections to be closed", || origin.open_connections() == 0);
}

#[test]
fn an_upload_waits_for_a_server_that_does_not_read() {
    let origin = Origin::start(|peer| peer.pause(DEADLINE));
    let daemon = before_any(&origin, "", "");
    let before = daemon.resident_bytes();
    let mut client = Client::connect(daemon.address("web"));
    let length = 90 << 20;
    client.send(format!("POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.set_patience(Duration::from_secs(2));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while client.try_send([b'x'; 1 << 16]).is_ok() && sent < length {
                sent += 1 << 16;
            }
            sent
        });
        wait_until_still("memory", || daemon.resident_bytes() >> 20);
        assert!(daemon.resident_bytes() < before + (8 << 20));
        drop(daemon);
        assert!(sending.join().expect("it ends") < length);
    });
}

#[test]
fn words_without_end_fill_neither_the_log_nor_memory() {
    let origin = Origin::start(|peer| {
        if Asked::read(peer).is_some() {
            let line = "x".repeat(60_000);
            for _ in 0..200 {
                peer.write(stderr(&line));
            }
            peer.write(stderr("\nshort\n".repeat(2_000)));
            peer.write(answer("\npage"));
        }
    });
    let daemon = before_any(&origin, "", "");
    let before = daemon.resident_bytes();
    assert_eq!(get(daemon.address("web"), "/a.php").text(), "page");
    assert!(daemon.resident_bytes() < before + (8 << 20));
    daemon.wait_for_metric("equipoise_backend_stderr_lines_total", &[("pool", "php")], 2_001.0);
    let quoted: Vec<String> =
        daemon.log().into_iter().filter(|line| line.contains("stderr: ")).collect();
    assert!((1..=30).contains(&quoted.len()), "{}", quoted.len());
    assert!(quoted.iter().all(|line| line.len() < 3_000));
}

#[test]
fn bodies_over_the_limit_and_clients_that_stop() {
    let origin = answering("\npage");
    let daemon = before_any(&origin, "}\nlimits = { max_body = \"1KiB\" ", "");
    let door = daemon.address("web");
    for framing in ["Content-Length: 1025\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n401\r\n"] {
        let mut client = Client::connect(door);
        client.send(format!("POST /a.php HTTP/1.1\r\nHost: a\r\n{framing}"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (413, true), "{framing}");
    }
    for broken in ["x\r\n", "1\r\nab", "0\r\nContent-Length: 1\r\n\r\n"] {
        let mut client = Client::connect(door);
        let head = "POST /a.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{broken}"));
        assert_eq!(client.answer().status, 400, "{broken}");
    }
    assert_eq!(origin.requests() + origin.connections(), 0, "nothing of it went to a script");
}

#[test]
fn clients_are_kept_at_their_server_by_a_cookie() {
    let (one, two) = (answering("\none"), answering("\ntwo"));
    let setup = Setup::of("");
    let secret = setup.dir().join("secret");
    std::fs::write(&secret, "ab".repeat(32)).expect("a writable folder");
    let keys = format!("sticky = {{ cookie = \"srv\", secret_file = \"{}\" }}", secret.display());
    let daemon = before_two(&one, &two, &keys);
    let first = get(daemon.address("web"), "/a.php");
    let cookie = first.field("set-cookie").and_then(|it| it.split(';').next()).expect("a cookie");
    for _ in 0..5 {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("GET /a.php HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
        assert_eq!(client.answer().text(), first.text());
    }
}

#[test]
fn a_connection_that_spoke_http_is_not_told_of_scripts() {
    let origin = Origin::start(|peer| {
        if peer.number == 0 {
            while peer.request().is_some() {
                peer.answer(200, "page");
            }
        } else if Asked::read(peer).is_some() {
            peer.write(answer("\nscript"));
        }
    });
    let mut daemon =
        Setup::of(crate::harness::ONE_BACKEND).with("origin", origin.address()).start();
    let door = daemon.address("web");
    assert_eq!(get(door, "/a.php").text(), "page");
    let config = ONE_SERVER
        .replace("$route", ", check_script = false")
        .replace("$root", "/srv/app")
        .replace("$pool", "max_idle = 1")
        .replace("php", "app");
    daemon.rewrite(&config.replace("/srv/app", "/srv/php"));
    daemon.reload();
    assert_eq!(get(door, "/a.php").text(), "script");
    assert_eq!((origin.connections(), origin.violations()), (2, vec![]));
}
