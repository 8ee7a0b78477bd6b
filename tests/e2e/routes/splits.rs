//! Requests of one route over several pools.

use std::fs;

use crate::harness::{Client, DEADLINE, Origin, Setup, wait_until};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    split = { app = 3, canary = 1, later = 0 }
    [pool.app]
    backends = ["$app_origin"]
    passive = { fall = 1, retry_after = "1h" }
    [pool.canary]
    backends = ["$canary_origin"]
    passive = { fall = 1, retry_after = "1h" }
    [pool.later]
    backends = ["$later_origin"]
"#;

fn setup(origins: &[Origin; 3]) -> Setup {
    let names = ["app_origin", "canary_origin", "later_origin"];
    let named = names.into_iter().zip(origins);
    named.fold(Setup::of(CONFIG), |setup, (name, origin)| setup.with(name, origin.address()))
}

fn origins() -> [Origin; 3] {
    ["app", "canary", "later"].map(Origin::answering)
}

#[test]
fn each_pool_gets_its_share() {
    let origins = origins();
    let daemon = setup(&origins).start();
    let mut client = Client::connect(daemon.address("web"));
    const REQUESTS: usize = 1000;
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").status, 200);
    }
    let [app, canary, later] = origins.each_ref().map(Origin::requests);
    assert_eq!((app + canary, later), (REQUESTS, 0));
    // Of 1000 at 1 in 4, one run in ten thousand million gives fewer than 160 or more than 340.
    assert!((160..=340).contains(&canary), "{canary} of {REQUESTS}");
    daemon.wait_for_metric(
        "equipoise_backend_requests_total",
        &[("pool", "canary")],
        canary as f64,
    );
}

#[test]
fn a_pool_that_is_down_leaves_its_share_to_the_other() {
    let origins = origins();
    let daemon = setup(&origins).start();
    origins[1].stop();
    let mut client = Client::connect(daemon.address("web"));
    wait_until(DEADLINE, "one to find it down", || client.get("/").status != 200);
    // The control thread turns it down; until then others may find it so. Sixty in a row that do not
    // are no chance of 3 in 4 each.
    wait_until(DEADLINE, "its share to move", || (0..60).all(|_| client.get("/").status == 200));
    origins[0].stop();
    while client.get("/").status != 503 {}
    assert_eq!(client.get("/").status, 503, "no pool is left");
}

/// Two versions, each of which keeps its clients by a cookie.
const STICKY: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    split = { app = 1, canary = 1 }
    [pool.app]
    backends = ["$app_origin"]
    sticky = { cookie = "srv", secret_file = "key" }
    [pool.canary]
    backends = ["$canary_origin"]
    sticky = { cookie = "$canary_cookie", secret_file = "key" }
    passive = { fall = 1, retry_after = "1h" }
"#;

#[test]
fn a_client_stays_with_the_pool_that_keeps_it() {
    for canary_cookie in ["srv", "canary"] {
        let [app, canary] = ["app", "canary"].map(Origin::answering);
        let setup = Setup::of(STICKY).with("canary_cookie", canary_cookie);
        fs::write(setup.dir().join("key"), "5a".repeat(32)).unwrap();
        let setup = setup.with("app_origin", app.address());
        let daemon = setup.with("canary_origin", canary.address()).start();
        let mut client = Client::connect(daemon.address("web"));
        let mut ask = |cookies: &str| {
            client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n"));
            client.answer()
        };
        let mut kept = Vec::new();
        while kept.len() < 2 {
            let answer = ask("theme=dark");
            let cookie = answer.field("set-cookie").and_then(|it| it.split(';').next());
            let known = (answer.text(), cookie.expect("it is kept").to_owned());
            if !kept.contains(&known) {
                kept.push(known);
            }
        }
        for (body, cookie) in &kept {
            for _ in 0..40 {
                let answer = ask(cookie);
                assert_eq!((answer.text(), answer.field("set-cookie")), (body.clone(), None));
            }
        }
        canary.stop();
        let (_, cookie) = kept.iter().find(|(body, _)| body == "canary").unwrap();
        wait_until(DEADLINE, "it to move", || ask(cookie).text() == "app");
    }
}

#[test]
fn a_reload_moves_the_shares() {
    let origins = origins();
    let mut daemon = setup(&origins).start();
    daemon.rewrite(&CONFIG.replace("app = 3, canary = 1", "app = 0, canary = 1"));
    let output = daemon.command(&["reload"]);
    let words = "route *: action split app 3, canary 1, later 0 -> split app 0, canary 1, later 0";
    assert!(output.words().contains(words), "{}", output.words());
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..50 {
        assert_eq!(client.get("/").text(), "canary");
    }
}
