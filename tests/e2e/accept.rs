//! Accepting where that is not easy: a full queue behind an address that closes, and a process without
//! a file descriptor to spare.

use std::{fs, path::Path};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::harness::{
    Client, DEADLINE, Daemon, Metrics, Setup, get, request, wait_until, wait_until_still,
};

const FAILED: &str = "equipoise_listener_accept_failures_total";

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

/// Leaves the process so many free file descriptors; `None`: plenty.
fn leave_descriptors(daemon: &mut Daemon, free: Option<u64>) {
    let pid = daemon.process().pid();
    let open = || fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count() as u64;
    let is_open = |number: &u64| Path::new(&format!("/proc/{pid}/fd/{number}")).is_symlink();
    let current = match free {
        Some(free) => {
            wait_until_still("open files", open);
            let spare = (0..).filter(|number| !is_open(number)).nth(free as usize);
            spare.expect("numbers have no end")
        }
        None => open() + 100,
    };
    let most = getrlimit(Resource::Nofile).maximum;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(current), maximum: most };
    prlimit(pid, Resource::Nofile, limit).expect("a process of our own");
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

#[test]
fn a_worker_that_can_not_accept_at_once_does_when_it_can() {
    let config = config(2, "");
    let mut daemon = Setup::of(&config).start();
    daemon.rewrite(&config.replace("[\"$web\"]", "[\"$web\", \"$more\"]"));
    // Two are the new address's sockets: one worker has none.
    leave_descriptors(&mut daemon, Some(3));
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("can't accept on");
    leave_descriptors(&mut daemon, None);
    let address = daemon.address("more");
    for _ in 0..32 {
        assert_eq!(get(address, "/").text(), "ok");
    }
    assert!(daemon.metric(FAILED, &[("listener", "web")]) >= 1.0);
}

#[test]
fn a_process_without_descriptors_says_so_seldom_and_counts_it() {
    let mut daemon = Setup::of(&config(1, "")).start();
    let mut scraper = Client::connect(daemon.address("metrics"));
    let mut failures = || Metrics::parse(&scraper.get("/metrics").text()).sum(FAILED, &[]);
    assert_eq!(failures(), 0.0);
    leave_descriptors(&mut daemon, Some(0));
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    wait_until(DEADLINE, "some failures", || failures() >= 5.0);
    leave_descriptors(&mut daemon, None);
    assert_eq!(client.answer().text(), "ok");
    let told = daemon.log().iter().filter(|line| line.contains("can't accept")).count();
    assert_eq!(told, 1, "{:?}", daemon.log());
}
