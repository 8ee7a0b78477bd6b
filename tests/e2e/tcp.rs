//! Listeners whose bytes are relayed: both ways and halfway, by name without terminating TLS, to who
//! is up, counted and logged.

mod backend_tls;
mod breaker;
mod clients;
mod ends;
mod hello;
mod limits;
mod names;
mod queue;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use crate::harness::{
    Authority, Broken, Client, DEADLINE, Daemon, Load, Origin, Setup, TlsVersions, client_config,
    free_port, get, run, wait_until,
};

const ENDED: &str = "equipoise_tcp_connections_total";
const REFUSED: &str = "equipoise_listener_connections_refused_total";
const IN_FLIGHT: &str = "equipoise_backend_in_flight";
/// Where `log_line` looks.
const LOG: &str = "[access_log]\nto = \"$dir/access.log\"\n";

/// A TCP listener with these keys before a pool with these.
fn config(listener: &str, pool: &str) -> String {
    format!(
        r#"
        workers = 2
        [listener.relay]
        bind = ["$relay"]
        tcp = "app"
        {listener}
        [pool.app]
        backends = ["$origin"]
        {pool}
        "#
    )
}

fn before(origin: &Origin) -> Daemon {
    Setup::of(&config("", "")).with("origin", origin.address()).start()
}

/// Says "hello", hears all that it is told until it is told no more, and says that back.
fn parrot() -> Origin {
    Origin::start(|peer| {
        peer.write("hello ");
        let heard = peer.rest();
        peer.write(heard);
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the listener takes connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

/// What comes back when this was said and no more will be.
fn said(address: SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(words).expect("a connection that takes it");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("a clean end");
    heard
}

#[test]
fn either_may_speak_first_and_either_half_may_end_first() {
    let origin = parrot();
    let daemon = before(&origin);
    let long = vec![b'x'; 3 << 20];
    let heard = said(daemon.address("relay"), &long);
    assert!(heard.starts_with(b"hello x") && heard.len() == long.len() + 6);
    let labels = [("listener", "relay"), ("pool", "app")];
    let closed = [labels[0], labels[1], ("ended", "client-closed")];
    daemon.wait_for_metric(ENDED, &closed, 1.0);
    let (received, sent) = (long.len() as f64, long.len() as f64 + 6.0);
    assert_eq!(daemon.metric("equipoise_tcp_received_bytes_total", &labels), received);
    assert_eq!(daemon.metric("equipoise_tcp_sent_bytes_total", &labels), sent);
    let of_backend = "equipoise_backend_relayed_bytes_total";
    assert_eq!(daemon.metric(of_backend, &[("direction", "to")]), received);
    assert_eq!(daemon.metric(of_backend, &[("direction", "from")]), sent);
    let listener = [("listener", "relay")];
    assert_eq!(daemon.metric("equipoise_listener_sent_bytes_total", &listener), sent);
    assert_eq!(daemon.metric("equipoise_listener_connections_open", &listener), 0.0);
}

#[test]
fn a_backend_that_ends_first_still_hears_the_client() {
    let origin = Origin::start(|peer| {
        peer.write("bye");
        peer.half_close();
        assert_eq!(peer.rest(), b"thanks");
    });
    let daemon = before(&origin);
    let mut stream = connect(daemon.address("relay"));
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("a clean end of one half");
    assert_eq!(heard, b"bye");
    stream.write_all(b"thanks").expect("the other half is open");
    drop(stream);
    daemon.wait_for_metric(ENDED, &[("ended", "backend-closed")], 1.0);
}

#[test]
fn bytes_are_counted_while_they_pass() {
    let origin = Origin::start(|peer| peer.hang());
    let daemon = before(&origin);
    let mut stream = connect(daemon.address("relay"));
    stream.write_all(&[b'x'; 1000]).expect("a connection that takes it");
    daemon.wait_for_metric("equipoise_tcp_received_bytes_total", &[("pool", "app")], 1000.0);
    assert_eq!(daemon.metric("equipoise_backend_in_flight", &[("pool", "app")]), 1.0);
    drop(stream);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[("pool", "app")], 0.0);
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let origin = Origin::start(|peer| {
        if peer.rest() == b"stay" {
            return;
        }
        peer.reset();
    });
    let daemon = before(&origin);
    let mut stream = connect(daemon.address("relay"));
    stream.write_all(b"go").expect("a connection that takes it");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let error = stream.read_to_end(&mut Vec::new()).expect_err("no clean end");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    daemon.wait_for_metric(ENDED, &[("ended", "upstream-truncated")], 1.0);

    let mut stream = connect(daemon.address("relay"));
    stream.write_all(b"stay").expect("a connection that takes it");
    wait_until(DEADLINE, "the backend to hear it", || origin.received_bytes() == 6);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
    daemon.wait_for_metric(ENDED, &[("ended", "client-gone")], 1.0);
    wait_until(DEADLINE, "the backend's connection to end", || origin.open_connections() == 0);
}

#[test]
fn a_slow_reader_holds_the_sender_back() {
    let origin = Origin::start(|peer| while peer.try_write(&[b'x'; 1 << 16]) {});
    let daemon = before(&origin);
    let mut client = Client::connect_with_small_buffer(daemon.address("relay"));
    client.set_patience(DEADLINE);
    let sent = || daemon.metric("equipoise_tcp_sent_bytes_total", &[]) as u64;
    let held = crate::harness::wait_until_still("the sender to be held back", sent);
    assert!(held < 64 << 20, "{held} bytes are on their way");
    assert_eq!(client.take(1 << 20).map(|bytes| bytes.len()), Ok(1 << 20));
}

#[test]
fn idle_relays_hold_little_memory() {
    const COUNT: u64 = 400;
    let origin = Origin::start(|peer| {
        peer.write(vec![b'x'; 300_000]);
        peer.hang();
    });
    let daemon = before(&origin);
    let client = || {
        let mut client = Client::connect(daemon.address("relay"));
        assert_eq!(client.take(300_000).map(|bytes| bytes.len()), Ok(300_000));
        client
    };
    let _first: Vec<Client> = (0..50).map(|_| client()).collect();
    let before = daemon.resident_bytes();
    let _more: Vec<Client> = (0..COUNT).map(|_| client()).collect();
    let each = daemon.resident_bytes().saturating_sub(before) / COUNT;
    assert!(each < 12 << 10, "{each} bytes for each");
}

#[test]
fn another_backend_is_tried_before_anything_was_said() {
    let origin = parrot();
    let dead = format!("127.0.0.1:{}", free_port());
    let pool = "backends = [\"$dead\", \"$origin\"]\npassive = { fall = 2, retry_after = \"1h\" }";
    let config = config("", "").replace("backends = [\"$origin\"]", pool);
    let setup = Setup::of(&config).with("origin", origin.address()).with("dead", &dead);
    let daemon = setup.start();
    for _ in 0..10 {
        assert_eq!(said(daemon.address("relay"), b"you"), b"hello you");
    }
    let down = [("backend", dead.as_str())];
    daemon.wait_for_metric("equipoise_backend_up", &down, 0.0);
    assert!(daemon.metric("equipoise_pool_retries_total", &[]) >= 2.0);
    assert!(daemon.metric("equipoise_backend_connect_failures_total", &down) >= 2.0);
    assert_eq!(daemon.metric(ENDED, &[("ended", "client-closed")]), 10.0);
}

#[test]
fn without_a_backend_the_connection_ends() {
    let origin = parrot();
    let setup = Setup::of(&config("", "health = { type = \"tcp\", interval = \"50ms\" }"));
    let daemon = setup.with("origin", origin.address()).start();
    assert_eq!(said(daemon.address("relay"), b"you"), b"hello you");
    origin.stop();
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "app")], 0.0);
    let mut stream = connect(daemon.address("relay"));
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    daemon.wait_for_metric(ENDED, &[("ended", "no-backend")], 1.0);
    origin.restart();
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "app")], 1.0);
    assert_eq!(said(daemon.address("relay"), b"you"), b"hello you");
}

#[test]
fn who_finds_all_full_waits_for_a_place() {
    let origin = parrot();
    let pool = "max_requests = 1\nqueue = { max = 1, timeout = \"20s\" }";
    let daemon = Setup::of(&config("", pool)).with("origin", origin.address()).start();
    let first = connect(daemon.address("relay"));
    daemon.wait_for_metric("equipoise_backend_in_flight", &[("pool", "app")], 1.0);
    let mut second = connect(daemon.address("relay"));
    second.write_all(b"you").expect("a connection that takes it");
    second.shutdown(Shutdown::Write).expect("a half that can be closed");
    wait_until(DEADLINE, "the second to wait", || {
        daemon.command(&["status"]).stdout.contains("1 request waiting")
    });
    let mut third = connect(daemon.address("relay"));
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "the queue is full");
    daemon.wait_for_metric(ENDED, &[("ended", "queue-full")], 1.0);
    drop(first);
    let mut heard = String::new();
    second.read_to_string(&mut heard).expect("its turn");
    assert_eq!(heard, "hello you");
}

#[test]
fn one_source_stays_with_one_backend() {
    let (a, b) = (Origin::answering("a"), Origin::answering("b"));
    let config = config("", "balance = \"consistent-hash\"")
        .replace("backends = [\"$origin\"]", "backends = [\"$a\", \"$b\"]");
    let daemon = Setup::of(&config).with("a", a.address()).with("b", b.address()).start();
    let first = get(daemon.address("relay"), "/").text();
    for _ in 0..10 {
        assert_eq!(get(daemon.address("relay"), "/").text(), first);
    }
}

#[test]
fn connections_over_the_limits_are_held_to_them() {
    let origin = parrot();
    let setup = Setup::of(&config("max_connections_per_source = 1", ""));
    let daemon = setup.with("origin", origin.address()).start();
    let _first = connect(daemon.address("relay"));
    daemon.wait_for_metric("equipoise_backend_in_flight", &[("pool", "app")], 1.0);
    let mut second = connect(daemon.address("relay"));
    assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(daemon.metric(REFUSED, &[("reason", "source-limit")]), 1.0);
}

#[test]
fn tls_is_terminated_and_both_ends_are_told() {
    let authority = Authority::new();
    let origin = parrot();
    let certificates = r#"certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key" }]"#;
    let log = "[access_log]\nto = \"$dir/access.log\"";
    let setup =
        Setup::of(&format!("{}\n{log}", config(certificates, ""))).with("origin", origin.address());
    authority.issue(&["www.example.com"]).write(setup.dir(), "www");
    let daemon = setup.start();
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let trust = client_config(&authority, versions);
        let mut client =
            Client::tls(daemon.address("relay"), &trust, "www.example.com").expect("TLS");
        client.send("you");
        client.close_notify();
        assert_eq!(client.rest(), Ok(b"hello you".to_vec()), "with a close_notify at its end");
    }
    let line = log_line(&daemon);
    for (key, value) in [
        ("protocol", "TCP"),
        ("host", "www.example.com"),
        ("listener", "relay"),
        ("pool", "app"),
        ("ended", "client-closed"),
        ("backend", &origin.address().to_string()),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(
        (&line["tls"], &line["bytes_in"], &line["bytes_out"]),
        (&true.into(), &3.into(), &9.into())
    );
    assert!(line.get("reason").is_none() && line.get("status").is_none(), "{line}");
}

fn log_line(daemon: &Daemon) -> serde_json::Value {
    log_line_with(daemon, "")
}

/// The first line of the access log in which this stands.
#[track_caller]
fn log_line_with(daemon: &Daemon, words: &str) -> serde_json::Value {
    let file = daemon.dir().join("access.log");
    let mut found = None;
    wait_until(DEADLINE, &format!("a line with {words:?} in the access log"), || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        found = whole.find(|line| line.contains(words)).map(str::to_owned);
        found.is_some()
    });
    serde_json::from_str(&found.expect("found above")).expect("JSON")
}

/// Until the daemon closes, of which way soever, having said nothing.
#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    let read = stream.read(&mut [0]);
    let closed = match &read {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    };
    assert!(closed, "{read:?}");
}

/// Two origins that terminate TLS themselves: daemons of ours.
struct Named {
    daemons: [Daemon; 2],
    authority: Authority,
}

impl Named {
    fn new() -> Named {
        let authority = Authority::new();
        let daemons = ["a", "b"].map(|name| {
            let setup = Setup::of(&format!(
                r#"
                workers = 1
                [listener.tls]
                bind = ["$tls"]
                certificates = [{{ cert = "$dir/c.crt", key = "$dir/c.key", default = true }}]
                [[route]]
                respond = {{ status = 200, body = "{name}" }}
                "#
            ));
            let names = [format!("{name}.example.com"), format!("*.{name}.example.com")];
            authority.issue(&[&names[0], &names[1]]).write(setup.dir(), "c");
            setup.start()
        });
        Named { daemons, authority }
    }

    /// A daemon that leads to them by their names.
    fn front(&self, rest: &str) -> Daemon {
        let [a, b] = &self.daemons;
        Setup::of(&format!(
            r#"
            [listener.passed]
            bind = ["$passed"]
            timeouts = {{ header = "500ms" }}
            sni = {{ "a.example.com" = "a", "*.a.example.com" = "a", "B.example.com" = "b" }}
            {rest}
            [pool.a]
            backends = ["$a"]
            [pool.b]
            backends = ["$b"]
            [pool.rest]
            backends = ["$rest"]
            "#
        ))
        .with("a", a.address("tls"))
        .with("b", b.address("tls"))
        .with("rest", parrot_forever())
        .start()
    }

    fn ask(&self, daemon: &Daemon, name: &str) -> Result<String, String> {
        let trust = client_config(&self.authority, TlsVersions::All);
        let mut client = Client::tls(daemon.address("passed"), &trust, name)
            .map_err(|error| error.to_string())?;
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        Ok(client.answer().text())
    }
}

/// The address of an origin that is not stopped before the test's end.
fn parrot_forever() -> SocketAddr {
    Box::leak(Box::new(parrot())).address()
}

#[test]
fn the_name_leads_and_tls_is_not_terminated() {
    let named = Named::new();
    let front = named.front("");
    for (name, body) in [
        ("a.example.com", "a"),
        ("A.EXAMPLE.com", "a"),
        ("x.a.example.com", "a"),
        ("b.example.com", "b"),
    ] {
        assert_eq!(named.ask(&front, name), Ok(body.to_owned()), "{name}");
    }
    let unknown = named.ask(&front, "c.example.com").expect_err("refused");
    assert!(unknown.contains("UnrecognisedName"), "{unknown}");
    let mut plain = connect(front.address("passed"));
    plain.write_all(b"SSH-2.0-x\r\n").expect("a connection that takes it");
    assert!(matches!(plain.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(front.metric(REFUSED, &[("reason", "unknown-name")]), 2.0);
}

#[test]
fn other_names_and_what_is_no_tls_go_to_the_rest() {
    let named = Named::new();
    let front = named.front("tcp = \"rest\"");
    assert_eq!(named.ask(&front, "b.example.com"), Ok("b".to_owned()));
    assert_eq!(said(front.address("passed"), b"SSH"), b"hello SSH", "nothing of it is lost");
    assert!(named.ask(&front, "c.example.com").is_err(), "the rest speaks no TLS");
    front.wait_for_metric(ENDED, &[("pool", "rest")], 2.0);
}

#[test]
fn a_hello_that_is_malformed_or_late_is_refused() {
    let named = Named::new();
    let front = named.front("tcp = \"rest\"");
    let mut malformed = connect(front.address("passed"));
    malformed.write_all(b"\x16\x03\x01\x00\x04\x02\0\0\0").expect("a connection that takes it");
    assert!(matches!(malformed.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(front.metric(REFUSED, &[("reason", "bad-hello")]), 1.0);
    let mut late = connect(front.address("passed"));
    late.write_all(b"\x16\x03").expect("a connection that takes it");
    assert!(matches!(late.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(front.metric(REFUSED, &[("reason", "hello-timeout")]), 1.0);
}

#[test]
fn another_client_is_led_by_its_name_by_curl_and_openssl() {
    let named = Named::new();
    let front = named.front("");
    let root = front.dir().join("root.crt");
    std::fs::write(&root, named.authority.pem()).expect("a writable folder");
    let port = front.address("passed").port();
    let output = run(Command::new("curl")
        .args(["-sS", "--cacert"])
        .arg(&root)
        .args(["--resolve", &format!("b.example.com:{port}:127.0.0.1")])
        .arg(format!("https://b.example.com:{port}/")));
    assert_eq!((output.code, output.stdout.as_str()), (0, "b"), "{output:?}");
    for version in ["-tls1_2", "-tls1_3"] {
        let output = run(Command::new("openssl")
            .args(["s_client", version, "-connect", &format!("127.0.0.1:{port}")])
            .args(["-servername", "x.a.example.com", "-verify_return_error", "-CAfile"])
            .arg(&root));
        assert_eq!(output.code, 0, "{output:?}");
    }
}

#[test]
fn a_reload_leads_new_connections_elsewhere_and_lets_the_old_go_on() {
    let (old, new) = (parrot(), parrot());
    let pools = "[pool.new]\nbackends = [\"$new\"]";
    let first = format!("{}\n{pools}", config("", ""));
    let setup = Setup::of(&first).with("origin", old.address()).with("new", new.address());
    let mut daemon = setup.start();
    let mut kept = connect(daemon.address("relay"));
    kept.read_exact(&mut [0; 6]).expect("hello");
    daemon.rewrite(&first.replace("tcp = \"app\"", "tcp = \"new\""));
    daemon.reload();
    assert_eq!(said(daemon.address("relay"), b"you"), b"hello you");
    assert_eq!((old.connections(), new.connections()), (1, 1));
    // A relay is of no configuration: none is kept in memory for it.
    daemon.wait_for_metric("equipoise_generations_alive", &[], 1.0);
    daemon.rewrite(&first.replace("$relay", "$elsewhere"));
    let told = daemon.command(&["reload"]);
    assert!(told.words().contains("bind") && !told.words().contains("1 connection"), "{told:?}");
    kept.write_all(b"still here").expect("its listener has gone, and it goes on");
    kept.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = String::new();
    kept.read_to_string(&mut heard).expect("a clean end");
    assert_eq!(heard, "still here");
}

#[test]
fn an_address_turns_from_http_to_tcp_and_back() {
    let origin = Origin::answering("ok");
    let tcp = config("", "");
    let http = format!("{}\n[[route]]\npool = \"app\"", tcp.replace("tcp = \"app\"", ""));
    let mut daemon = Setup::of(&http).with("origin", origin.address()).start();
    let address = daemon.address("relay");
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "ok");
    daemon.rewrite(&tcp);
    let words = daemon.command(&["reload"]).words();
    assert!(words.contains("HTTP -> TCP; 1 connection will close"), "{words}");
    assert!(kept.sees_close(), "it was promised HTTP");
    assert_eq!(get(address, "/").text(), "ok");
    let seen = origin.take_requests().pop().expect("a request");
    assert_eq!(seen.field("X-Forwarded-For"), None, "bytes are passed on as they are");
    daemon.rewrite(&http);
    daemon.reload();
    // A reload is answered before the last worker has followed it.
    daemon.wait_for_metric("equipoise_generations_alive", &[], 1.0);
    assert_eq!(get(address, "/").text(), "ok");
    let seen = origin.take_requests().pop().expect("a request");
    assert_eq!(seen.field("X-Forwarded-For"), Some("127.0.0.1"));
}

#[test]
fn reloads_lose_no_connection() {
    let origin = Origin::answering("ok");
    let daemon = before(&origin);
    let load = Load::new().connection_a_request(daemon.address("relay"), 4);
    for _ in 0..10 {
        let answered = load.tally().ok;
        daemon.reload();
        wait_until(DEADLINE, "more requests", || load.tally().ok > answered + 20);
    }
    load.stop().assert_flawless();
}

#[test]
fn a_relay_has_the_drain_to_end_in() {
    let origin = parrot();
    let mut daemon = before(&origin);
    let mut stream = connect(daemon.address("relay"));
    stream.read_exact(&mut [0; 6]).expect("hello");
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("draining");
    stream.write_all(b"last words").expect("it goes on");
    stream.shutdown(Shutdown::Write).expect("a half that can be closed");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("a clean end");
    assert_eq!((heard.as_str(), daemon.wait_exit()), ("last words", 0));
}

#[test]
fn the_drain_deadline_resets_what_is_left() {
    let origin = Origin::start(|peer| peer.hang());
    let log = "[access_log]\nto = \"$dir/access.log\"";
    let config = format!("drain_timeout = \"300ms\"\n{}\n{log}", config("", ""));
    let mut daemon = Setup::of(&config).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("relay"));
    client.send("hello");
    wait_until(DEADLINE, "the backend to hear it", || origin.received_bytes() == 5);
    daemon.signal(Signal::TERM);
    daemon.wait_exit();
    assert_eq!(client.rest(), Err(Broken::Reset), "no clean end");
    let line = log_line(&daemon);
    assert_eq!(
        (&line["reason"], &line["bytes_in"]),
        (&"drain-timeout".into(), &5.into()),
        "{line}"
    );
    assert_eq!((&line["pool"], &line["attempts"]), (&"app".into(), &1.into()), "{line}");
}

#[test]
fn a_wait_for_a_place_that_the_drain_deadline_ends_has_its_line() {
    let origin = Origin::start(|peer| peer.hang());
    let log = "[access_log]\nto = \"$dir/access.log\"";
    let config = config("", "max_requests = 1\nqueue = { max = 2, timeout = \"10m\" }");
    let config = format!("drain_timeout = \"300ms\"\n{config}\n{log}");
    let mut daemon = Setup::of(&config).with("origin", origin.address()).start();
    let relay = daemon.address("relay");
    let _first = connect(relay);
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 1.0);
    let _second = connect(relay);
    daemon.wait_for_metric("equipoise_pool_queue_length", &[], 1.0);
    daemon.signal(Signal::TERM);
    daemon.wait_exit();
    let log = std::fs::read_to_string(daemon.dir().join("access.log")).expect("the log");
    let cut = |attempts: &str| {
        let line = log.lines().find(|line| line.contains(attempts)).expect("its line");
        line.contains("\"reason\":\"drain-timeout\"")
    };
    assert!(cut("\"attempts\":0") && cut("\"attempts\":1"), "{log}");
}

#[test]
fn status_says_what_a_listener_is() {
    let origin = parrot();
    let daemon = before(&origin);
    let status = daemon.command(&["status"]).stdout;
    let listener = status.lines().find(|line| line.contains("relay")).expect("the listener");
    assert!(listener.contains(" tcp "), "{status}");
    daemon.wait_for_log("listening on tcp 127.0.0.1:");
}
