//! What we say ourselves, to a gRPC client: no page, which it would take for a broken message.

use std::fs;

use tonic::{Code, Request, metadata::MetadataValue};

use super::{Calls, Client, run, service::GrpcServer};
use crate::harness::{
    Answer, Authority, DEADLINE,
    h2::{Door, frame::flag},
    wait_until,
};

const CONFIG: &str = r#"
    [listener.web]
    bind = ["$web"]
    error_pages = { 4xx = "$dir/page.html", 5xx = "$dir/page.html" }
    limits = { max_headers = 20, max_header = "1KiB" }
    [listener.tls]
    bind = ["$tls"]
    certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key", default = true }]
    error_pages = { 4xx = "$dir/page.html", 5xx = "$dir/page.html" }
    limits = { max_headers = 20, max_header = "1KiB" }
    [[route]]
    name = "gone"
    path = "/gone/"
    pool = "gone"
    [[route]]
    path = "/gone/kept"
    pool = "gone"
    response_headers.set = { grpc-status = "0", grpc-message = "fine", X-Added = "1" }
    [[route]]
    path = "/test.Words/"
    pool = "app"
    limits = { max_body = "1000B" }
    [[route]]
    path = "/fixed/"
    respond = { status = 503, body = "closed for the night" }
    [pool.gone]
    backends = ["$nobody"]
    passive = { fall = 0 }
    [pool.app]
    protocol = "h2"
    backends = ["$origin"]
    [access_log]
    to = "$dir/access.log"
"#;

fn calls() -> Calls {
    Calls::of(CONFIG, Authority::new(), GrpcServer::plain())
}

/// A call whose metadata has `entries` entries of `length` bytes, and so many bytes in its message.
fn call(message: usize, entries: usize, length: usize) -> Request<String> {
    let mut request = Request::new("w".repeat(message));
    let value = MetadataValue::try_from("v".repeat(length)).expect("letters");
    for _ in 0..entries {
        request.metadata_mut().append("x-word", value.clone());
    }
    request
}

#[test]
fn a_refused_call_has_the_code_that_a_grpc_client_expects() {
    let calls = calls();
    for endpoint in calls.endpoints() {
        run(async {
            let mut client = Client::connect(&endpoint).await;
            for (path, request, code, words) in [
                ("/gone/Call", call(1, 0, 0), Code::Unavailable, "502 connect-failed: "),
                ("/none/Call", call(1, 0, 0), Code::Unimplemented, "404 no-route: "),
                ("/a/../../Call", call(1, 0, 0), Code::Internal, "400 bad-path: "),
                (
                    "/test.Words/Unary",
                    call(2_000, 0, 0),
                    Code::ResourceExhausted,
                    "413 body-too-large: ",
                ),
                ("/gone/Call", call(1, 30, 1), Code::ResourceExhausted, "431 too-many-headers: "),
                ("/gone/Call", call(1, 1, 2_000), Code::ResourceExhausted, "431 header-too-long: "),
            ] {
                let status = client.call(path, request).await.expect_err("it is refused");
                assert_eq!(status.code(), code, "{path}: {status}");
                assert!(status.message().starts_with(words), "{path}: {status}");
                let id = status.metadata().get("x-request-id").expect("the log's word for it");
                let id = format!("; request {}", id.to_str().expect("hexadecimal"));
                assert!(status.message().ends_with(&id), "{path}: {status}");
            }
            let kept = client.unary(Request::new("next".to_owned())).await.expect("it serves on");
            assert_eq!(kept.get_ref(), "next");
        });
    }
}

/// The answer to a call as it goes over the wire.
fn asked(door: &Door, path: &str) -> Answer {
    let mut client = door.connect();
    let more = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    let stream = client.open_stream("POST", path, &more, flag::END_STREAM);
    client.answer(stream)
}

#[test]
fn it_is_one_head_that_ends_the_stream() {
    let calls = calls();
    for door in [calls.front.plain(), calls.front.tls()] {
        let answer = asked(&door, "/gone/kept");
        assert_eq!((answer.status, answer.body.len(), answer.trailers.len()), (200, 0, 0));
        assert_eq!(answer.field("content-type"), Some("application/grpc"));
        // A header rule of the route makes no success of it.
        assert_eq!((answer.field("grpc-status"), answer.field("x-added")), (Some("14"), Some("1")));
    }
}

#[test]
fn an_answer_that_the_operator_wrote_stays_as_written() {
    let calls = calls();
    for door in [calls.front.plain(), calls.front.tls()] {
        let answer = asked(&door, "/fixed/Call");
        assert_eq!((answer.status, answer.text()), (503, "closed for the night".to_owned()));
        assert_eq!(answer.field("grpc-status"), None);
        let answer = door.get("/gone/page");
        assert_eq!((answer.status, answer.text()), (502, "<h1>502</h1>".to_owned()));
    }
}

#[test]
fn the_log_and_the_metrics_say_what_it_was() {
    let calls = calls();
    let daemon = &calls.front.daemon;
    asked(&calls.front.plain(), "/gone/Call");
    daemon.wait_for_metric(
        "equipoise_http_requests_total",
        &[("route", "gone"), ("code", "502")],
        1.0,
    );
    let errors = [("reason", "connect-failed")];
    assert_eq!(daemon.metric("equipoise_http_errors_total", &errors), 1.0);
    let ok = [("route", "gone"), ("code", "200")];
    assert_eq!(daemon.metric("equipoise_http_requests_total", &ok), 0.0);
    wait_until(DEADLINE, "its line in the log", || {
        let log = fs::read_to_string(daemon.dir().join("access.log")).unwrap_or_default();
        log.contains("\"status\":502") && log.contains("\"reason\":\"connect-failed\"")
    });
}
