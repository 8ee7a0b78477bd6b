//! A disk that keeps whoever asks it waiting. What stands in for it is a lease (fcntl(2)): to open a file
//! on which somebody else holds one waits until that is given back.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{put, site};
use crate::harness::{Client, DEADLINE, Daemon, Process, request, wait_until};
use rustix::process::Signal;

/// Holds a lease until it is dropped.
struct Lease {
    _holder: Process,
}

impl Lease {
    fn on(path: &Path) -> Lease {
        // F_SETLEASE, F_WRLCK; whoever breaks it is not waited for.
        const HOLD: &str = r#"
            $SIG{IO} = "IGNORE"; $| = 1;
            open(my $file, "+<", $ARGV[0]) or die "open: $!";
            fcntl($file, 1024, 1) or die "lease: $!";
            print "held\n";
            sleep 600;
        "#;
        let mut command = Command::new("perl");
        command.args(["-e", HOLD]).arg(path).stdin(Stdio::null());
        let holder = Process::start(&mut command);
        holder.wait_for_output("held");
        Lease { _holder: holder }
    }
}

/// A client that has asked for a path, and whose request has come.
fn asking(daemon: &Daemon, path: &str) -> Client {
    let mut client = Client::connect(daemon.address("web"));
    client.send(request(path));
    client
}

#[test]
fn who_waits_for_a_slow_disk_holds_up_nobody_else() {
    let setup = site("reads = { max = 2 }");
    let slow = put(setup.dir(), "slow", "slow");
    let large = put(setup.dir(), "large", vec![b'l'; 200_000]);
    for name in 0..20 {
        put(setup.dir(), &format!("fast{name}"), "fast");
    }
    let lease = Lease::on(&slow);
    let daemon = setup.start();
    let mut waiting = asking(&daemon, "/slow");
    let mut others = Client::connect(daemon.address("web"));
    for name in 0..20 {
        assert_eq!(others.get(&format!("/fast{name}")).text(), "fast");
    }
    assert_eq!(others.get("/large").body.len(), 200_000);
    drop(lease);
    assert_eq!(waiting.answer().text(), "slow");
    fs::remove_file(large).expect("a file");
}

#[test]
fn no_more_wait_for_the_disk_than_may_and_none_for_ever() {
    let setup = site("reads = { max = 1, queue = 1, timeout = \"3s\" }");
    let slow = put(setup.dir(), "slow", "slow");
    let _lease = Lease::on(&slow);
    let mut daemon = setup.start();
    let mut waiting = [asking(&daemon, "/slow"), asking(&daemon, "/slow")];
    let mut client = Client::connect(daemon.address("web"));
    let mut refused = None;
    wait_until(DEADLINE, "no room in the queue", || {
        let answer = client.get("/slow");
        let busy = answer.text().contains("reason: disk-busy");
        refused = Some(answer);
        busy
    });
    let refused = refused.expect("found above");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("5")));
    for client in &mut waiting {
        let answer = client.answer();
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("reason: disk-timeout"), "{}", answer.text());
    }
    let errors = "equipoise_files_errors_total";
    assert!(daemon.metric(errors, &[("files", "site"), ("error", "timeout")]) >= 2.0);
    assert!(daemon.metric(errors, &[("files", "site"), ("error", "busy")]) >= 1.0);
    // A thread hangs in the disk still; the process ends without it.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn who_leaves_while_the_disk_is_slow_is_forgotten() {
    let setup = site("reads = { max = 1, queue = 1 }");
    let slow = put(setup.dir(), "slow", "slow");
    put(setup.dir(), "other", "other");
    let lease = Lease::on(&slow);
    let daemon = setup.start();
    drop((asking(&daemon, "/slow"), asking(&daemon, "/slow")));
    let gone = &[("reason", "client-gone")];
    daemon.wait_for_metric("equipoise_http_errors_total", gone, 2.0);
    let mut client = asking(&daemon, "/other");
    drop(lease);
    assert_eq!(client.answer().text(), "other");
}
