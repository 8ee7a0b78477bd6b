//! Accepting where that is not easy: a full queue behind an address that closes.

use rustix::process::Signal;

use crate::harness::{Client, Setup, request};

/// A listener that answers by itself, on so many workers.
fn config(workers: usize, listener: &str) -> String {
    format!(
        r#"
        workers = {workers}
        [listener.web]
        bind = ["$web"]
        {listener}
        [[route]]
        respond = {{ status = 200, body = "ok" }}
        "#
    )
}

#[test]
fn all_who_wait_when_the_process_drains_are_served() {
    // More than a task of the runtime may take in one turn.
    const COUNT: usize = 500;
    let daemon = Setup::of(&config(1, "")).start();
    daemon.signal(Signal::STOP);
    let address = daemon.address("web");
    let mut waiting: Vec<Client> = (0..COUNT).map(|_| Client::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send(request("/")));
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::CONT);
    let served = waiting.iter_mut().filter_map(|client| client.try_answer().ok()).count();
    assert_eq!(served, COUNT);
}
