//! Probes over FastCGI.

use super::before;
use crate::harness::{
    Origin, Php,
    fastcgi::{Asked, answer},
    get,
};

#[test]
fn the_ping_of_php_fpm_is_a_probe_by_php_fpm() {
    let mut php = Php::start(1, &[("index.php", "<?php echo 'page';")]);
    let health =
        r#"health = { path = "/ping", text = "pong", interval = "50ms", fall = 1, rise = 1 }"#;
    let daemon = before(php.listens(), &php.root().display().to_string(), "", health);
    let door = daemon.address("web");
    assert_eq!(get(door, "/").text(), "page");
    let probes = |result| daemon.metric("equipoise_backend_probes_total", &[("result", result)]);
    assert!(probes("passed") >= 1.0);
    php.stop();
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "php")], 0.0);
    assert_eq!(get(door, "/").status, 503);
    php.start_again(1);
    daemon.wait_for_metric("equipoise_backend_up", &[("pool", "php")], 1.0);
    assert_eq!(get(door, "/").text(), "page");
}

#[test]
fn probes_are_told_from_requests_and_judged_alike() {
    let origin = Origin::start(|peer| {
        if let Some(asked) = Asked::read(peer) {
            let told =
                ["SCRIPT_NAME", "SCRIPT_FILENAME", "REQUEST_METHOD", "QUERY_STRING", "HTTP_HOST"]
                    .map(|name| asked.param(name).unwrap_or("-").to_owned())
                    .join(" ");
            let is_probe = asked.param("SCRIPT_NAME") == Some("/ping");
            if is_probe && told != "/ping /ping GET full health.example" {
                peer.violation(told);
            }
            if asked.keeps_connection {
                peer.violation("a probe keeps no connection".to_owned());
            }
            peer.write(answer(if is_probe { "Status: 204 Fine\n\n" } else { "\npage" }));
        }
    });
    let health = r#"health = { path = "/ping?full", host = "health.example", status = 204 }"#;
    let daemon = before(origin.address(), "/srv", ", check_script = false", health);
    assert_eq!(get(daemon.address("web"), "/").text(), "page");
    assert_eq!(origin.violations(), [""; 0]);
}
