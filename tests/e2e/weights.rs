//! How much of the traffic a backend gets: what an operator says of it, and while it comes up.

use std::fs;

use crate::harness::{Answer, Client, DEADLINE, Daemon, Origin, Setup, get, wait_until};

/// `$a` weighs twice as much as `$b` in the file.
const TWO: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = [{ address = "$a", weight = 2 }, "$b"]
    sticky = { cookie = "srv", secret_file = "key" }
"#;

fn two() -> ([Origin; 2], Daemon) {
    let origins = ["a", "b"].map(Origin::answering);
    let setup = Setup::of(TWO);
    fs::write(setup.dir().join("key"), "0".repeat(64)).unwrap();
    let setup = setup.with("a", origins[0].address()).with("b", origins[1].address());
    (origins, setup.start())
}

/// How many of so many requests without a cookie each answers.
fn shares<const N: usize>(daemon: &Daemon, bodies: [&str; N], count: usize) -> [usize; N] {
    let mut client = Client::connect(daemon.address("web"));
    let answers: Vec<String> = (0..count).map(|_| client.get("/").text()).collect();
    bodies.map(|body| answers.iter().filter(|answer| *answer == body).count())
}

/// `equipoise weight`, which must be taken, and until it has reached the worker.
#[track_caller]
fn weigh(daemon: &Daemon, origin: &Origin, weight: u32, shown: &str) -> String {
    let backend = format!("app/{}", origin.address());
    let output = daemon.command(&["weight", &backend, &weight.to_string()]);
    assert_eq!(output.code, 0, "{}", output.words());
    let status = daemon.command(&["status"]).stdout;
    assert!(status.contains(shown), "{status}");
    output.stdout
}

/// Waits for shares that are exact over a whole round.
#[track_caller]
fn wait_for_shares(daemon: &Daemon, expected: [usize; 2]) {
    let count = expected.iter().sum();
    let what = format!("shares of {expected:?}");
    wait_until(DEADLINE, &what, || shares(daemon, ["a", "b"], count) == expected);
}

#[test]
fn an_operator_changes_a_weight_at_once_and_reloads_keep_it() {
    let (origins, mut daemon) = two();
    wait_for_shares(&daemon, [8, 4]);
    let words = weigh(&daemon, &origins[0], 5, "5 (file 2)");
    assert!(words.contains("weight 5: before 2; the file says 2"), "{words}");
    wait_for_shares(&daemon, [10, 2]);
    let backend = [("backend", origins[0].address().to_string())];
    let backend = backend.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(daemon.metric("equipoise_backend_weight", &backend), 5.0);

    // A reload that says nothing new of it.
    daemon.rewrite(&TWO.replace("[pool.app]", "[pool.app]\nmax_idle = 7"));
    daemon.reload();
    wait_for_shares(&daemon, [10, 2]);

    // One that does.
    daemon.rewrite(&TWO.replace("weight = 2", "weight = 3"));
    let reload = daemon.command(&["reload"]);
    let expected = "weight 3: the file says so since this reload, before an operator said 5";
    assert!(reload.words().contains(expected), "{}", reload.words());
    wait_for_shares(&daemon, [9, 3]);
    assert!(!daemon.command(&["status"]).stdout.contains("(file"));
}

#[test]
fn the_weight_of_the_file_takes_an_order_back() {
    let (origins, daemon) = two();
    weigh(&daemon, &origins[1], 4, "4 (file 1)");
    wait_for_shares(&daemon, [4, 8]);
    let words = weigh(&daemon, &origins[1], 1, "1 ");
    assert!(words.contains("weight 1: before 4, as the file says"), "{words}");
    wait_for_shares(&daemon, [8, 4]);
}

/// With this cookie.
fn ask(daemon: &Daemon, cookie: &str) -> Answer {
    let mut client = Client::connect(daemon.address("web"));
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"));
    client.answer()
}

#[test]
fn weight_0_takes_no_new_clients_and_keeps_those_it_has() {
    let (origins, daemon) = two();
    let first = get(daemon.address("web"), "/");
    let cookie = first.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let (at, other) = if first.text() == "a" { (0, "b") } else { (1, "a") };
    let words = weigh(&daemon, &origins[at], 0, "0 (file");
    assert!(words.contains("weight 0: no new clients"), "{words}");
    wait_until(DEADLINE, "new clients to go elsewhere", || shares(&daemon, [other], 12) == [12]);
    for _ in 0..5 {
        let answer = ask(&daemon, &cookie);
        assert_eq!((answer.text(), answer.field("set-cookie")), (first.text(), None));
    }

    // Drained, it keeps none.
    let backend = format!("app/{}", origins[at].address());
    assert_eq!(daemon.command(&["drain", &backend]).code, 0);
    daemon.reload();
    wait_until(DEADLINE, "its clients to be moved", || ask(&daemon, &cookie).text() == other);
    assert!(daemon.command(&["status"]).stdout.contains("draining"), "kept over a reload");
    assert_eq!(daemon.command(&["enable", &backend]).code, 0);
    wait_until(DEADLINE, "them to be back", || ask(&daemon, &cookie).text() == first.text());
    assert_eq!(shares(&daemon, [other], 12), [12], "its weight is still 0");
}

#[test]
fn who_asks_for_what_is_no_weight_is_told_so() {
    let (origins, daemon) = two();
    let backend = format!("app/{}", origins[0].address());
    assert_eq!(daemon.command(&["weight", &backend, "257"]).code, 2);
    assert_eq!(daemon.command(&["weight", &backend]).code, 2);
    let nobody = daemon.command(&["weight", "app/127.0.0.1:1", "1"]);
    assert_eq!(nobody.code, 4);
    assert!(nobody.words().contains("has no backend 127.0.0.1:1"), "{}", nobody.words());
}

#[test]
fn without_a_backend_that_takes_new_clients_there_is_none() {
    let (origins, daemon) = two();
    weigh(&daemon, &origins[0], 0, "0 (file 2)");
    weigh(&daemon, &origins[1], 0, "0 (file 1)");
    wait_until(DEADLINE, "503", || get(daemon.address("web"), "/").status == 503);
}

/// `$b` is probed; once it has come up again it gets a tenth at first.
const SLOW: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    balance = "$balance"
    slow_start = "$over"
    backends = ["$a", "$b"]
    health = { type = "tcp", interval = "100ms", rise = 1, fall = 1 }
"#;

/// A daemon whose `$b` went down and came up again, its origins with it.
fn risen(balance: &str, over: &str) -> ([Origin; 2], Daemon) {
    let origins = ["a", "b"].map(Origin::answering);
    let setup = Setup::of(SLOW).with("balance", balance).with("over", over);
    let daemon = setup.with("a", origins[0].address()).with("b", origins[1].address()).start();
    origins[1].stop();
    daemon.wait_for_metric("equipoise_backend_up", &[], 1.0);
    origins[1].restart();
    daemon.wait_for_metric("equipoise_backend_up", &[], 2.0);
    (origins, daemon)
}

#[test]
fn all_that_come_up_with_the_process_have_all_of_their_weight() {
    let origins = ["a", "b"].map(Origin::answering);
    let setup = Setup::of(SLOW).with("balance", "round-robin").with("over", "1h");
    let daemon = setup.with("a", origins[0].address()).with("b", origins[1].address()).start();
    assert_eq!(shares(&daemon, ["a", "b"], 20), [10, 10]);
}

#[test]
fn who_comes_up_gets_a_tenth_at_first() {
    for balance in ["round-robin", "least-connections"] {
        let (_origins, daemon) = risen(balance, "1h");
        // An eleventh of 110 is ten; a little more while time goes by.
        let [_, b] = shares(&daemon, ["a", "b"], 110);
        assert!((8..=13).contains(&b), "{balance}: {b} of 110");
        let status = daemon.command(&["status"]).stdout;
        assert!(status.contains("1 (whole in 59 min)"), "{status}");
    }
}

#[test]
fn who_comes_up_is_drawn_and_hashed_for_less_too() {
    let (_origins, daemon) = risen("random-two-choices", "1h");
    let [_, b] = shares(&daemon, ["a", "b"], 440);
    // Seven standard deviations around forty.
    assert!(b <= 82, "{b} of 440");

    let (_origins, daemon) = risen("consistent-hash\"\nhash = { by = \"path\" }#", "1h");
    let mut client = Client::connect(daemon.address("web"));
    let places: Vec<String> =
        (0..440).map(|number| client.get(&format!("/{number}")).text()).collect();
    let b = places.iter().filter(|body| *body == "b").count();
    assert!(b <= 82, "{b} of 440");
}

#[test]
fn in_the_end_it_has_all_of_its_weight() {
    let (_origins, daemon) = risen("round-robin", "500ms");
    wait_until(DEADLINE, "equal shares", || shares(&daemon, ["a", "b"], 20) == [10, 10]);
}
