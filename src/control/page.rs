//! The metrics address: /metrics, /healthz, /readyz. By hyper, on the control thread.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use crate::{
    control::{
        ask::{Ask, View},
        gauges,
    },
    observe::metrics::encode,
};

/// Connections at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 64;

/// For a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole connection: who scrapes comes back.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves connections until it is aborted.
pub async fn serve(listener: TcpListener, asks: mpsc::Sender<Ask>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, most likely: those under way must end first.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let asks = asks.clone();
        tokio::spawn(async move {
            connection(stream, asks).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, asks: mpsc::Sender<Ask>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let asks = asks.clone();
        async move { Ok::<_, Infallible>(respond(&request, &asks).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A peer that breaks off has nobody to be told.
    let _ = timeout(CONNECTION_TIMEOUT, served).await;
}

async fn respond<B>(request: &Request<B>, asks: &mpsc::Sender<Ask>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        return text(StatusCode::NOT_FOUND, "expected /metrics, /healthz or /readyz\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response =
            text(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    // Also for /healthz: an answer proves that the control loop itself turns.
    let Some(view) = view(asks).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "ending\n".to_owned());
    };
    match path {
        "/metrics" => metrics(&view),
        "/readyz" => readiness(&view.unready),
        _ => text(StatusCode::OK, "alive\n".to_owned()),
    }
}

async fn view(asks: &mpsc::Sender<Ask>) -> Option<View> {
    let (answer, answered) = oneshot::channel();
    asks.send(Ask::View(answer)).await.ok()?;
    answered.await.ok()
}

fn metrics(view: &View) -> Response<Full<Bytes>> {
    let mut families = view.metrics.families();
    families.extend(gauges::families(&view.status).into_iter().map(Into::into));
    let mut response = text(StatusCode::OK, encode(families));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TEXT));
    response
}

fn readiness(unready: &[String]) -> Response<Full<Bytes>> {
    match unready {
        [] => text(StatusCode::OK, "ready\n".to_owned()),
        reasons => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))),
    }
}

/// hyper leaves the body out where the request was HEAD.
fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::protocol::{PhaseWord, Status},
        observe::metrics::Metrics,
    };
    use http_body_util::BodyExt;

    fn empty_status() -> Status {
        Status {
            version: "0".to_owned(),
            generation: 7,
            phase: PhaseWord::Serving,
            since: 0,
            workers: 2,
            listeners: Vec::new(),
            routes: Vec::new(),
            files: Vec::new(),
            pools: Vec::new(),
            last_reload: None,
            reloading_since: None,
        }
    }

    /// The answer of a process that is unready for `unready`.
    async fn check(method: Method, path: &str, unready: &[&str], status: u16, body: &str) {
        let (asks, mut asked) = mpsc::channel(1);
        let unready: Vec<String> = unready.iter().map(ToString::to_string).collect();
        tokio::spawn(async move {
            while let Some(Ask::View(answer)) = asked.recv().await {
                let metrics = Metrics::new(1);
                let unready = unready.clone();
                let _ = answer.send(View { status: empty_status(), unready, metrics });
            }
        });
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let response = respond(&request, &asks).await;
        assert_eq!(response.status(), status, "{path}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(body), "{path}: {text}");
    }

    #[tokio::test]
    async fn the_three_pages_and_no_other() {
        check(Method::GET, "/healthz", &["draining"], 200, "alive").await;
        check(Method::GET, "/readyz", &[], 200, "ready").await;
        check(Method::GET, "/readyz", &["draining"], 503, "draining\n").await;
        check(Method::GET, "/metrics", &[], 200, "\nequipoise_workers 2\n").await;
        check(Method::GET, "/", &[], 404, "expected /metrics").await;
        check(Method::POST, "/metrics", &[], 405, "expected GET").await;
    }

    #[tokio::test]
    async fn a_control_loop_that_has_ended_is_not_healthy() {
        let (asks, asked) = mpsc::channel(1);
        drop(asked);
        let request = Request::builder().uri("/healthz").body(()).unwrap();
        assert_eq!(respond(&request, &asks).await.status(), 503);
    }
}
