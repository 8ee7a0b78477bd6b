//! TCP to backends by name: a name that does not resolve lets nobody in, and heals.

use super::{ENDED, LOG, assert_closed, config, connect, log_line_with};
use crate::harness::{
    Client, DEADLINE, Daemon, Mood, NameServer, Origin, Setup, request, wait_until,
};

/// A listener before a pool of one name, at the port of the origins.
fn setup(names: &NameServer, pool: &str, origin: &Origin) -> Setup {
    let text = config("", pool).replace("$origin", "app.internal:$port");
    let text = format!("{text}\n{LOG}\n{}", names.resolver());
    Setup::of(&text).with("port", origin.address().port())
}

#[track_caller]
fn wait_for_status(daemon: &Daemon, words: &str) {
    wait_until(DEADLINE, &format!("{words:?} in the status"), || {
        daemon.command(&["status"]).stdout.contains(words)
    });
}

/// Whether it is this one who answers.
fn answers(daemon: &Daemon, ip: &str) -> bool {
    let mut client = Client::connect(daemon.address("relay"));
    client.try_send(request("/")).is_ok()
        && client.try_answer().is_ok_and(|answer| answer.text() == ip)
}

#[track_caller]
fn assert_nobody(daemon: &Daemon) {
    let before = daemon.metric(ENDED, &[("ended", "no-backend")]);
    assert_closed(&mut connect(daemon.address("relay")));
    daemon.wait_for_metric(ENDED, &[("ended", "no-backend")], before + 1.0);
}

#[test]
fn what_does_not_resolve_lets_nobody_in_until_it_does() {
    let [origin] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    let daemon = setup(&names, "", &origin).start();
    assert_nobody(&daemon);
    assert_nobody(&daemon);
    wait_for_status(&daemon, "unresolved");
    let line = log_line_with(&daemon, "no-backend");
    assert_eq!((&line["reason"], &line["attempts"]), (&"no-backend".into(), &0.into()), "{line}");
    assert!(line.get("backend").is_none(), "{line}");
    names.leads("app.internal", &["127.0.0.2"]);
    daemon.wait_for_log("app.internal: resolved");
    wait_until(DEADLINE, "it to be let in", || answers(&daemon, "127.0.0.2"));
    names.is(Mood::Failing);
    wait_for_status(&daemon, "kept");
    assert!(answers(&daemon, "127.0.0.2"), "the last good answer is kept");
}

#[test]
fn a_silent_name_server_keeps_nobody_waiting() {
    let [origin] = Origin::answering_at(["127.0.0.2"]);
    let names = NameServer::start();
    names.is(Mood::Silent);
    names.leads("app.internal", &["127.0.0.2"]);
    let health = "health = { type = \"tcp\", interval = \"50ms\" }";
    let daemon = setup(&names, health, &origin).start_unready();
    wait_for_status(&daemon, "no name server answers");
    assert_nobody(&daemon);
    names.is(Mood::Well);
    wait_until(DEADLINE, "it to be let in", || answers(&daemon, "127.0.0.2"));
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "app")], 1.0);
}

#[test]
fn a_name_that_moves_leads_new_connections_and_lets_the_old_go_on() {
    let [_a, _b] = Origin::answering_at(["127.0.0.2", "127.0.0.3"]);
    let names = NameServer::start();
    names.leads("app.internal", &["127.0.0.2"]);
    let daemon = setup(&names, "", &_a).start();
    let mut kept = Client::connect(daemon.address("relay"));
    assert_eq!(kept.get("/").text(), "127.0.0.2");
    names.leads("app.internal", &["127.0.0.3"]);
    wait_until(DEADLINE, "new connections to follow", || answers(&daemon, "127.0.0.3"));
    assert_eq!(kept.get("/").text(), "127.0.0.2");
    // A relay is of no configuration, whoever changed it.
    daemon.wait_for_metric("equipoise_generations_alive", &[], 1.0);
    drop(kept);
    daemon.wait_for_metric(super::IN_FLIGHT, &[], 0.0);
}
