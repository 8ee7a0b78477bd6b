//! What one side said before it left is heard to its end, and what was cut off has no clean one.

use super::*;

#[test]
fn a_client_that_speaks_on_hears_all_that_a_backend_said_before_it_left() {
    const LENGTH: usize = 300_000;
    let origin = Origin::start(|peer| peer.write(vec![b'x'; LENGTH]));
    let daemon = before(&origin);
    let mut client = Client::connect_with_small_buffer(daemon.address("relay"));
    wait_until(DEADLINE, "the backend to leave", || {
        origin.connections() == 1 && origin.open_connections() == 0
    });
    // The first is answered by a reset, which is all that the second meets.
    client.send("a");
    daemon.wait_for_metric("equipoise_tcp_received_bytes_total", &[], 1.0);
    client.send("b");
    daemon.metrics_text();
    assert_eq!(client.rest().map(|heard| heard.len()), Ok(LENGTH));
    drop(client);
    daemon.wait_for_metric(ENDED, &[("ended", "backend-closed")], 1.0);
}

#[test]
fn a_client_that_never_ends_is_left_after_a_backend_that_has() {
    let origin = Origin::start(|peer| peer.write("bye"));
    let daemon = before(&origin);
    let mut client = Client::connect(daemon.address("relay"));
    assert_eq!(client.rest(), Ok(b"bye".to_vec()));
    client.send("a");
    daemon.wait_for_metric("equipoise_tcp_received_bytes_total", &[], 1.0);
    client.send("b");
    daemon.wait_for_metric(ENDED, &[("ended", "backend-closed")], 1.0);
    daemon.wait_for_metric(IN_FLIGHT, &[], 0.0);
}

#[test]
fn silence_is_no_clean_end() {
    let origin = Origin::start(|peer| {
        peer.write("half");
        peer.hang();
    });
    let pool = "timeouts = { tunnel_idle = \"200ms\" }";
    let daemon = Setup::of(&config("", pool)).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("relay"));
    assert_eq!(client.take(4), Ok(b"half".to_vec()));
    assert_eq!(client.rest(), Err(Broken::Reset));
    daemon.wait_for_metric(ENDED, &[("ended", "tunnel-idle")], 1.0);
    wait_until(DEADLINE, "the backend's connection to close", || origin.open_connections() == 0);
}
