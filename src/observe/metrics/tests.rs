//! The page as a whole: what is on it, and the rules that `promtool check metrics` holds.

use std::{collections::HashSet, time::Duration};

use super::*;

fn busy() -> (Arc<Metrics>, impl Sized) {
    let metrics = Metrics::new(2);
    let control = metrics.control_slot();
    let listener = metrics.listener("https");
    listener.accepted(0);
    listener.handshake(1, Handshake::Tls13Resumed);
    listener.refused(1, Refusal::SourceLimit);
    listener.received(0, 100);
    let route = metrics.route("www.example.com/");
    route.request(0, 200, Duration::from_millis(3));
    route.request(1, 418, Duration::from_secs(70));
    route.sent(1, 5_000);
    let pool = metrics.pool("app");
    pool.retried(1);
    let backend = metrics.backend("app", "10.0.1.11:8080");
    backend.requested(0);
    backend.responded(0, 200, Duration::from_millis(2));
    backend.probe_failed(control);
    metrics.error(0, Reason::NoRoute);
    metrics.control.set_generation(7);
    metrics.control.set_certificates([CertificateExpiry {
        owner: CertificateOwner::Listener("https".into()),
        certificate: "example.com".into(),
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    }]);
    metrics.access_log_lost().fetch_add(3, Ordering::Relaxed);
    (metrics, (listener, route, pool, backend))
}

#[test]
fn what_was_counted_is_on_the_page() {
    let (metrics, _held) = busy();
    let page = encode(metrics.families());
    for line in [
        "equipoise_listener_connections_open{listener=\"https\"} 1",
        "equipoise_listener_connections_refused_total{listener=\"https\",reason=\"source-limit\"} 1",
        "equipoise_listener_tls_handshakes_total{listener=\"https\",version=\"1.3\",resumed=\"yes\"} 1",
        "equipoise_listener_received_bytes_total{listener=\"https\"} 100",
        "equipoise_http_requests_total{route=\"www.example.com/\",code=\"200\"} 1",
        "equipoise_http_requests_total{route=\"www.example.com/\",code=\"418\"} 1",
        "equipoise_http_request_duration_seconds_bucket{route=\"www.example.com/\",le=\"0.005\"} 1",
        "equipoise_http_request_duration_seconds_bucket{route=\"www.example.com/\",le=\"60\"} 1",
        "equipoise_http_request_duration_seconds_bucket{route=\"www.example.com/\",le=\"+Inf\"} 2",
        "equipoise_http_request_duration_seconds_sum{route=\"www.example.com/\"} 70.003",
        "equipoise_http_request_duration_seconds_count{route=\"www.example.com/\"} 2",
        "equipoise_http_response_body_bytes_total{route=\"www.example.com/\"} 5000",
        "equipoise_pool_retries_total{pool=\"app\"} 1",
        "equipoise_backend_requests_total{pool=\"app\",backend=\"10.0.1.11:8080\"} 1",
        "equipoise_backend_responses_total{pool=\"app\",backend=\"10.0.1.11:8080\",class=\"2xx\"} 1",
        "equipoise_backend_probes_total{pool=\"app\",backend=\"10.0.1.11:8080\",result=\"failed\"} 1",
        "equipoise_http_errors_total{reason=\"no-route\"} 1",
        "equipoise_http_errors_total{reason=\"client-gone\"} 0",
        "equipoise_generation 7",
        "equipoise_access_log_lost_lines_total 3",
    ] {
        assert!(page.contains(&format!("{line}\n")), "{line} is not on the page:\n{page}");
    }
}

#[test]
fn counts_outlive_a_reload_and_go_with_their_last_holder() {
    let metrics = Metrics::new(1);
    let old_snapshot = metrics.route("a");
    old_snapshot.request(0, 200, Duration::ZERO);
    let new_snapshot = metrics.route("a");
    assert!(Arc::ptr_eq(&old_snapshot, &new_snapshot));
    drop(old_snapshot);
    assert!(encode(metrics.families()).contains("{route=\"a\",code=\"200\"} 1\n"));
    drop(new_snapshot);
    assert!(!encode(metrics.families()).contains("route=\"a\""));
    assert!(!encode(metrics.families()).contains("equipoise_http_requests_total"));
    metrics.route("a").request(0, 200, Duration::ZERO);
}

#[test]
fn a_thousand_reloads_leave_no_memory_of_the_names_before() {
    let metrics = Metrics::new(1);
    let stays = metrics.backend("app", "10.0.1.11:8080");
    stays.requested(0);
    for number in 0..1000 {
        let name = format!("{number}");
        drop((metrics.listener(&name), metrics.route(&name), metrics.pool(&name)));
        drop(metrics.backend("app", &name));
        metrics.forget();
    }
    let (listeners, routes) =
        (metrics.listeners.0.lock().unwrap(), metrics.routes.0.lock().unwrap());
    let (pools, backends) = (metrics.pools.0.lock().unwrap(), metrics.backends.0.lock().unwrap());
    assert_eq!([listeners.len(), routes.len(), pools.len(), backends.len()], [0, 0, 0, 1]);
    assert_eq!(stays.requests(), 1);
}

#[test]
fn one_address_in_two_pools_is_two_backends() {
    let metrics = Metrics::new(1);
    let app = metrics.backend("app", "10.0.0.1:80");
    let api = metrics.backend("api", "10.0.0.1:80");
    app.requested(0);
    assert_eq!((app.requests(), api.requests()), (1, 0));
}

/// The rules of `promtool check metrics`, by hand.
#[test]
fn the_page_keeps_the_rules_of_its_format() {
    let (metrics, _held) = busy();
    let page = encode(metrics.families());
    let mut names = HashSet::new();
    let mut series = HashSet::new();
    let mut helped = "";
    let mut family = ("", "");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a help text");
            assert!(!text.is_empty() && name > helped, "{line}");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split_once(' ').expect("a type");
            assert_eq!(family.0, helped, "a help text comes before each type");
            assert!(names.insert(family.0), "{} is there twice", family.0);
            check_name(family);
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a value");
            assert!(series.insert(key), "{key} is there twice");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            let name = key.split('{').next().unwrap_or_default();
            assert!(belongs(name, family), "{name} stands under {family:?}");
        }
    }
    assert!(names.len() > 30, "only {} families", names.len());
}

fn check_name((name, kind): (&str, &str)) {
    assert!(name.starts_with("equipoise_") || name.starts_with("process_"), "{name}");
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    assert!(name.bytes().all(fits), "{name}");
    assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    for suffix in ["_count", "_sum", "_bucket", "_info_total"] {
        assert!(!name.ends_with(suffix), "{name}");
    }
    for word in name.split('_') {
        let not_base = ["milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "percent"];
        let kinds = ["counter", "gauge", "histogram", "summary"];
        assert!(!not_base.contains(&word) && !kinds.contains(&word), "{name}");
    }
    assert_eq!(kind == "histogram", name.ends_with("_seconds") && kind != "gauge", "{name}");
}

fn belongs(name: &str, (family, kind): (&str, &str)) -> bool {
    match name.strip_prefix(family) {
        Some("") => kind != "histogram",
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        _ => false,
    }
}
