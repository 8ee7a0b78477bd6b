//! Three small web servers, as a newcomer's own might be: each says its name, has a health page,
//! and can be made sick.

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;

use crate::demo::ports;

/// The first backend's port; the others take the next ones.
const FIRST_PORT: u16 = 9101;

const HOW_MANY: usize = 3;

/// A server that listens but does not answer yet.
pub struct Backend {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl Backend {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Opens the sockets of all backends. The second value says which wanted ports were taken.
///
/// # Errors
/// No port is free.
pub fn listen() -> io::Result<(Vec<Backend>, Vec<String>)> {
    let mut backends = Vec::new();
    let mut notes = Vec::new();
    let mut wanted = FIRST_PORT;
    for number in 1..=HOW_MANY {
        let (listener, note) = ports::listen(wanted)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        notes.extend(note);
        backends.push(Backend { name: format!("backend-{number}"), address, listener });
        wanted = address.port().saturating_add(1);
    }
    Ok((backends, notes))
}

/// Serves until it is dropped; to be spawned on a `LocalSet`.
///
/// # Errors
/// The socket can't be given to the runtime, or accepts no more.
pub async fn serve(backend: Backend) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(backend.listener)?;
    let page =
        Rc::new(Page { name: backend.name, address: backend.address, well: Cell::new(true) });
    loop {
        let (stream, _) = listener.accept().await?;
        let page = page.clone();
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            let response = page.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), answer);
        // How a connection ends is the client's affair: here it is our own front door.
        spawn_local(async move { drop(connection.await) });
    }
}

/// What one backend says, and whether it is well.
struct Page {
    name: String,
    address: SocketAddr,
    well: Cell<bool>,
}

impl Page {
    /// A sick backend fails its health page only, and goes on answering all else: so what a
    /// newcomer sees is the probes at work, and not one request fails.
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let name = &self.name;
        match (method, path) {
            (&Method::POST, "/sick") => {
                self.well.set(false);
                text(StatusCode::OK, format!("{name} is sick now: its /healthz answers 503\n"))
            }
            (&Method::POST, "/well") => {
                self.well.set(true);
                text(StatusCode::OK, format!("{name} is well again: its /healthz answers 200\n"))
            }
            (_, "/sick" | "/well") => {
                text(StatusCode::METHOD_NOT_ALLOWED, format!("POST it: curl -X POST …{path}\n"))
            }
            (_, "/healthz") if self.well.get() => text(StatusCode::OK, "well\n".to_owned()),
            (_, "/healthz") => text(StatusCode::SERVICE_UNAVAILABLE, "sick\n".to_owned()),
            _ => text(StatusCode::OK, format!("hello from {name}, {}\n", self.address)),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sick_turns_the_health_page_alone_and_well_turns_it_back() {
        let address = "127.0.0.1:9101".parse().unwrap();
        let page = Page { name: "backend-1".into(), address, well: Cell::new(true) };
        let status = |method, path| page.answer(&method, path).status().as_u16();
        assert_eq!(status(Method::GET, "/healthz"), 200);
        assert_eq!(status(Method::GET, "/sick"), 405);
        assert_eq!(status(Method::GET, "/healthz"), 200, "a look changes nothing");
        assert_eq!(status(Method::POST, "/sick"), 200);
        assert_eq!(status(Method::GET, "/healthz"), 503);
        assert_eq!(status(Method::GET, "/"), 200);
        assert_eq!(status(Method::POST, "/well"), 200);
        assert_eq!(status(Method::GET, "/healthz"), 200);
    }
}
