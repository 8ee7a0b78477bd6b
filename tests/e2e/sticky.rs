//! A client that is kept at its backend by a cookie.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::harness::{
    Answer, Authority, Client, DEADLINE, Daemon, Origin, Setup, TlsVersions, client_config, run,
    wait_until,
};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Three backends; which one is next is not to be foreseen.
const CONFIG: &str = r#"
    workers = 2
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    balance = "random-two-choices"
    backends = ["$a", "$b", "$c"]
    sticky = { cookie = "srv", secret_file = "key" }
    health = { type = "tcp", interval = "100ms", rise = 1, fall = 1 }
"#;

fn origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::answering)
}

fn setup(config: &str, origins: &[Origin; 3]) -> Setup {
    let setup = Setup::of(config);
    fs::write(setup.dir().join("key"), KEY).unwrap();
    setup
        .with("a", origins[0].address())
        .with("b", origins[1].address())
        .with("c", origins[2].address())
}

/// One request on a connection of its own, with this Cookie line or none.
fn ask(web: SocketAddr, cookie: &str) -> Answer {
    let mut client = Client::connect(web);
    let line = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n"));
    client.answer()
}

/// What a browser sends back of what it was given.
#[track_caller]
fn given(answer: &Answer) -> String {
    let cookies = answer.all("set-cookie");
    assert_eq!(cookies.len(), 1, "{answer:?}");
    cookies[0].split(';').next().unwrap().to_owned()
}

/// A client that was let in: who answered it, and its cookie.
fn let_in(daemon: &Daemon) -> (String, String) {
    let answer = ask(daemon.address("web"), "");
    (answer.text(), given(&answer))
}

#[track_caller]
fn stays(daemon: &Daemon, cookie: &str, body: &str) {
    for _ in 0..12 {
        let answer = ask(daemon.address("web"), &format!("theme=dark; {cookie}; basket=17"));
        assert_eq!(answer.text(), body);
        assert_eq!(answer.field("set-cookie"), None, "it says so already");
    }
}

#[test]
fn a_client_stays_where_it_was_over_reload_and_restart() {
    let origins = origins();
    let mut daemon = setup(CONFIG, &origins).start();
    let (body, cookie) = let_in(&daemon);
    stays(&daemon, &cookie, &body);
    daemon.rewrite(&CONFIG.replace("[\"$a\", \"$b\", \"$c\"]", "[\"$c\", \"$b\", \"$a\"]"));
    daemon.reload();
    stays(&daemon, &cookie, &body);
    drop(daemon);
    let daemon = setup(CONFIG, &origins).start();
    stays(&daemon, &cookie, &body);
    let picks = "equipoise_pool_picks_total";
    daemon.wait_for_metric(picks, &[("by", "cookie")], 12.0);
    let_in(&daemon);
    daemon.wait_for_metric(picks, &[("by", "no-cookie")], 1.0);
}

#[test]
fn a_browser_is_kept_by_curl() {
    is_kept(CONFIG, "--http1.1");
}

#[test]
fn a_browser_is_kept_over_http2_by_curl() {
    is_kept(CONFIG, "--http2-prior-knowledge");
}

#[track_caller]
fn is_kept(config: &str, version: &str) {
    let origins = origins();
    let daemon = setup(config, &origins).start();
    let jar = daemon.dir().join("jar").display().to_string();
    let url = format!("http://{}/", daemon.address("web"));
    let get = || {
        let output = run(Command::new("curl").args(["-sS", version, "-b", &jar, "-c", &jar, &url]));
        assert_eq!(output.code, 0, "{}", output.words());
        output.stdout
    };
    let first = get();
    for _ in 0..12 {
        assert_eq!(get(), first);
    }
    let jar = fs::read_to_string(&jar).unwrap();
    assert!(jar.contains("#HttpOnly_127.0.0.1") && jar.contains("\tsrv\t"), "{jar}");
}

#[test]
fn what_we_have_not_signed_is_replaced() {
    let origins = origins();
    let daemon = setup(CONFIG, &origins).start();
    let (_, cookie) = let_in(&daemon);
    let forged =
        format!("{}{}", &cookie[..cookie.len() - 1], if cookie.ends_with('0') { 1 } else { 0 });
    for refused in [forged.as_str(), "srv=a", "srv=", "srv"] {
        let answer = ask(daemon.address("web"), refused);
        assert_eq!(answer.status, 200);
        assert!(given(&answer).starts_with("srv="));
    }
    // Of several the one that we have signed, wherever it stands.
    let answer = ask(daemon.address("web"), &format!("{forged}; {cookie}"));
    assert_eq!(answer.field("set-cookie"), None);
}

#[test]
fn a_request_that_is_tried_twice_is_counted_once() {
    let origins = origins();
    let health = "health = { type = \"tcp\", interval = \"100ms\", rise = 1, fall = 1 }";
    let daemon = setup(&CONFIG.replace(health, "passive = { fall = 0 }"), &origins).start();
    origins[0].stop();
    origins[1].stop();
    const REQUESTS: usize = 12;
    for _ in 0..REQUESTS {
        assert_eq!(ask(daemon.address("web"), "").text(), "c");
    }
    assert!(daemon.metric("equipoise_pool_retries_total", &[]) > 0.0);
    assert_eq!(daemon.metric("equipoise_pool_picks_total", &[]), REQUESTS as f64);
}

/// Each costs a check with every key: a client sends no more of them than browsers do.
#[test]
fn no_more_than_four_cookies_of_the_name_are_looked_at() {
    let origins = origins();
    let daemon = setup(CONFIG, &origins).start();
    let (body, cookie) = let_in(&daemon);
    let forged = format!("srv={}; ", "0".repeat(64));
    let behind = |count| ask(daemon.address("web"), &format!("{}{cookie}", forged.repeat(count)));
    let answer = behind(3);
    assert_eq!((answer.text(), answer.field("set-cookie")), (body, None));
    assert_eq!(behind(4).all("set-cookie").len(), 1, "it is let in anew");
}

#[test]
fn who_was_at_a_backend_that_is_down_or_drained_is_moved_once() {
    let origins = origins();
    let daemon = setup(CONFIG, &origins).start();
    let web = daemon.address("web");
    let place = |body: &str| ["a", "b", "c"].iter().position(|name| *name == body).unwrap();
    let (first, cookie) = let_in(&daemon);
    origins[place(&first)].stop();
    daemon.wait_for_metric("equipoise_backend_up", &[], 2.0);
    let answer = ask(web, &cookie);
    let (second, cookie) = (answer.text(), given(&answer));
    assert_ne!(first, second);
    origins[place(&first)].restart();
    daemon.wait_for_metric("equipoise_backend_up", &[], 3.0);
    stays(&daemon, &cookie, &second);

    let drained = format!("app/{}", origins[place(&second)].address());
    assert_eq!(daemon.command(&["drain", &drained]).code, 0);
    wait_until(DEADLINE, "the drain to reach every worker", || {
        (0..8).all(|_| ask(web, &cookie).text() != second)
    });
    let answer = ask(web, &cookie);
    let (third, cookie) = (answer.text(), given(&answer));
    stays(&daemon, &cookie, &third);
    assert!(daemon.metric("equipoise_pool_picks_total", &[("by", "moved")]) >= 2.0);
}

#[test]
fn a_retry_elsewhere_takes_the_client_along() {
    let origins = ["a", "b", "c"].map(|body| {
        Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                if request.fields.iter().any(|(name, value)| name == "X-Break" && value == body) {
                    return;
                }
                peer.answer(200, body);
            }
        })
    });
    let config = CONFIG.replace("health = ", "passive = { fall = 0 }\n#");
    let daemon = setup(&config, &origins).start();
    let (first, cookie) = let_in(&daemon);
    let mut client = Client::connect(daemon.address("web"));
    client
        .send(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nX-Break: {first}\r\n\r\n"));
    let answer = client.answer();
    let second = answer.text();
    assert_ne!(first, second);
    stays(&daemon, &given(&answer), &second);
}

#[test]
fn a_new_key_takes_over_by_a_reload_and_moves_nobody() {
    let origins = origins();
    let daemon = setup(CONFIG, &origins).start();
    let (body, old) = let_in(&daemon);
    fs::write(daemon.dir().join("key"), format!("# since today\n{NEW_KEY}\n{KEY}\n")).unwrap();
    let reload = daemon.command(&["reload"]);
    assert!(reload.words().contains("pool app: sticky keys changed"), "{}", reload.words());
    let answer = ask(daemon.address("web"), &old);
    let new = given(&answer);
    assert_eq!(answer.text(), body);
    stays(&daemon, &new, &body);
    fs::write(daemon.dir().join("key"), NEW_KEY).unwrap();
    daemon.reload();
    stays(&daemon, &new, &body);
    given(&ask(daemon.address("web"), &old));
}

#[test]
fn over_tls_the_cookie_goes_back_by_nothing_else() {
    let origins = origins();
    let authority = Authority::new();
    let config = CONFIG
        .replace(
            "[listener.web]",
            "[listener.web]\ncertificates = [{ cert = \"x.crt\", key = \"x.key\" }]",
        )
        .replace("secret_file = \"key\"", "secret_file = \"key\", max_age = \"1h\"");
    let setup = setup(&config, &origins);
    authority.issue(&["www.example.com"]).write(setup.dir(), "x");
    let daemon = setup.start();
    let trust = client_config(&authority, TlsVersions::All);
    let mut client = Client::tls(daemon.address("web"), &trust, "www.example.com").unwrap();
    let answer = client.get("/");
    let cookie = answer.field("set-cookie").unwrap().to_owned();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600");
    let digits = value.strip_prefix("srv=").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
}

#[test]
fn the_backend_sees_what_the_client_sends_and_says_what_it_likes() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let setup = Setup::of(&CONFIG.replace("\"$a\", \"$b\", \"$c\"", "\"$a\""));
    fs::write(setup.dir().join("key"), KEY).unwrap();
    let daemon = setup.with("a", origin.address()).start();
    let answer = ask(daemon.address("web"), "theme=dark");
    let cookies = answer.all("set-cookie");
    assert_eq!((cookies.len(), cookies[0]), (2, "own=1"));
    let ours = cookies[1].split(';').next().unwrap();
    let both = format!("theme=dark; {ours}");
    ask(daemon.address("web"), &both);
    let requests = origin.take_requests();
    let cookies = requests.iter().filter_map(|request| request.field("cookie"));
    assert_eq!(cookies.collect::<Vec<_>>(), ["theme=dark", &both]);
}

#[test]
fn a_missing_key_is_told_with_how_to_make_one() {
    let origins = origins();
    let daemon = setup(CONFIG, &origins).start();
    fs::remove_file(daemon.dir().join("key")).unwrap();
    for (command, code) in [("check", 1), ("reload", 4)] {
        let output = daemon.command(&[command]);
        assert_eq!(output.code, code);
        let words = output.words();
        assert!(words.contains("does not exist") && words.contains("equipoise.toml:"), "{words}");
        assert!(words.contains("openssl rand -hex 32"), "{words}");
    }
}

#[test]
fn who_is_kept_at_a_full_backend_waits_for_it_though_another_is_free() {
    let release = Arc::new(AtomicBool::new(false));
    let origins = ["a", "b", "c"].map(|body| {
        let gate = Arc::clone(&release);
        Origin::start(move |peer| {
            while let Some(request) = peer.request() {
                if request.target == "/hold" {
                    wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
                }
                peer.answer(200, body);
            }
        })
    });
    let full = |name: &str| format!("{{ address = \"${name}\", max_requests = 1 }}");
    let backends = ["a", "b", "c"].map(full).join(", ");
    let config = CONFIG.replace("\"$a\", \"$b\", \"$c\"", &backends);
    let daemon = setup(&config, &origins).start();
    let (body, cookie) = let_in(&daemon);
    let ask = |path: &str| {
        let mut client = Client::connect(daemon.address("web"));
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"));
        client
    };
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 0.0);
    let mut first = ask("/hold");
    daemon.wait_for_metric("equipoise_backend_in_flight", &[], 1.0);
    let mut second = ask("/");
    daemon.wait_for_metric("equipoise_pool_queue_length", &[], 1.0);
    release.store(true, Ordering::SeqCst);
    assert_eq!((first.answer().text(), second.answer().text()), (body.clone(), body));
}
