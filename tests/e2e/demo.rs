//! `equipoise demo`, as a newcomer meets it: by the words that it prints.

use std::{
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use rustix::process::Signal;

use crate::harness::{BINARY, DEADLINE, Output, Process, run, wait_until};

/// Demos that start at once look for the same free ports.
static STARTING: Mutex<()> = Mutex::new(());

fn start() -> Process {
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let demo = Process::start(Command::new(BINARY).arg("demo"));
    // The live line comes from the daemon itself, which then hears signals, too.
    demo.wait_for_output("load: ");
    demo
}

/// The command that it printed with this text in it, from its first word on.
#[track_caller]
fn printed(demo: &Process, text: &str) -> String {
    let line = demo.wait_for_output(text);
    let start = line.find("curl").unwrap_or_else(|| panic!("no command in {line}"));
    line[start..].to_owned()
}

/// Does what a newcomer does with a printed command. `-sS`: no progress bar in what is read.
fn typed(command: &str) -> Output {
    let quiet = command.replacen("curl", "curl -sS", 1);
    run(Command::new("sh").args(["-c", &quiet]))
}

#[test]
fn the_printed_curl_line_works_by_curl() {
    let mut demo = start();
    let command = printed(&demo, "curl --cacert");
    let output = typed(&command);
    assert_eq!(output.code, 0, "{command}: {output:?}");
    assert!(!output.stdout.is_empty(), "{output:?}");
    let redirected = demo.wait_for_output("http://localhost");
    let address = redirected.split_whitespace().find(|word| word.starts_with("http://"));
    let plain = typed(&format!("curl -I {}", address.expect("an address")));
    assert!(plain.stdout.to_lowercase().contains("location: https://localhost"), "{plain:?}");
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_exit(), 0);
}

#[test]
fn a_sick_backend_loses_its_traffic_and_comes_back_by_curl() {
    let demo = start();
    let (sicken, heal) = (printed(&demo, "/sick"), printed(&demo, "/well"));
    let address = sicken.split("http://").nth(1).expect("an address");
    let address = address.trim_end_matches("/sick").to_owned();
    let port = address.rsplit(':').next().expect("a port").to_owned();
    let said = |words: &str| {
        let output = demo.output();
        output.iter().any(|line| line.contains(&address) && line.contains(words))
    };
    assert_eq!(typed(&sicken).code, 0);
    wait_until(DEADLINE, "the backend to go down", || said("is down"));
    wait_until(DEADLINE, "the live line to show it", || live(&demo, &port).1 == "down");
    let (requests, fine) = (live(&demo, &port).0, answered(&demo));
    wait_until(DEADLINE, "the others to answer", || answered(&demo) > fine + 30);
    let more = live(&demo, &port).0 - requests;
    assert!(more < 10, "{more} of at least 30 requests went to the sick one");
    assert_eq!(typed(&heal).code, 0);
    wait_until(DEADLINE, "the backend to come back", || said("is up"));
    wait_until(DEADLINE, "its share to come back", || live(&demo, &port).0 > requests + 10);
}

/// Requests and verdict of a backend in the last live line: `9101 up 100 | … | load: 300 fine`.
fn live(demo: &Process, port: &str) -> (u64, String) {
    let line = last_live(demo);
    let cell = line.split(" | ").find_map(|cell| cell.strip_prefix(&format!("{port} ")));
    let (verdict, requests) = cell.and_then(|cell| cell.split_once(' ')).expect("a cell");
    (requests.parse().expect("a number"), verdict.to_owned())
}

/// What the demo's own load has met so far.
fn answered(demo: &Process) -> u64 {
    let line = last_live(demo);
    let words = line.split("load: ").nth(1).and_then(|load| load.split(' ').next());
    words.and_then(|count| count.parse().ok()).expect("a number")
}

fn last_live(demo: &Process) -> String {
    let live = demo.output().into_iter().rev().find(|line| line.contains("load: "));
    live.expect("the live line runs")
}

#[test]
fn it_cleans_up_behind_itself() {
    let mut demo = start();
    let line = demo.wait_for_output("equipoise.toml");
    let config = line.split_whitespace().find(|word| word.ends_with("equipoise.toml"));
    let config = Path::new(config.expect("a path")).to_owned();
    assert!(config.exists());
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_exit(), 0);
    assert!(!config.exists(), "{} is left", config.display());
}

#[test]
fn two_demos_share_a_machine() {
    let (first, second) = (start(), start());
    let (one, other) = (printed(&first, "curl --cacert"), printed(&second, "curl --cacert"));
    assert_ne!(one, other);
    // One of them found the usual ports taken: the second, or the first by a demo before it.
    let told = |demo: &Process| demo.output().iter().any(|line| line.contains("is taken: using"));
    assert!(told(&first) || told(&second));
}
