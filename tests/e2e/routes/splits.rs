//! Requests of one route over several pools.

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
