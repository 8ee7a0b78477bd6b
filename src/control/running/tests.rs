//! The plane as it runs, with a worker that does nothing but be there.

use std::{fs, net::TcpListener, path::PathBuf};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::*;
use crate::{
    control::{
        plane,
        protocol::{Answer, PhaseWord, Status},
    },
    pool::backend::Verdict,
    roll::Place,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// The file of a plane over one pool of one backend that answers TCP probes.
struct House {
    folder: TempDir,
    listen: u16,
    metrics: u16,
    backend: TcpListener,
}

impl House {
    fn new() -> House {
        House {
            folder: tempfile::tempdir().unwrap(),
            listen: free_port(),
            metrics: free_port(),
            backend: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("equipoise.toml")
    }

    fn backend(&self) -> String {
        self.backend.local_addr().unwrap().to_string()
    }

    /// Writes the file; `more` stands first.
    fn write(&self, more: &str) {
        let (listen, metrics, backend) = (self.listen, self.metrics, self.backend());
        let text = format!(
            "workers = 1\n{more}\n\
             [listener.web]\nbind = \"127.0.0.1:{listen}\"\n\
             [[route]]\npool = \"app\"\n\
             [pool.app]\nbackends = [\"{backend}\"]\n\
             health = {{ type = \"tcp\", interval = \"50ms\" }}\n\
             [metrics]\nbind = \"127.0.0.1:{metrics}\"\n\
             [admin]\nsocket = \"admin.sock\"\n"
        );
        fs::write(self.file(), text).unwrap();
    }

    async fn plane(&self) -> (Plane, Place) {
        let plane = plane::first(&self.file(), Vec::new())
            .await
            .unwrap_or_else(|refused| panic!("{refused}"));
        let place = plane.roll().sign_in(0);
        (plane, place)
    }

    async fn ask(&self, request: &str) -> Answer {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(b"\n").await.unwrap();
        let mut line = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut line)).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn status(&self) -> Status {
        self.ask(r#"{"command":"status"}"#).await.status.unwrap()
    }

    async fn reload(&self) -> Answer {
        self.ask(r#"{"command":"reload"}"#).await
    }

    async fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut page)).await.unwrap().unwrap();
        page
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for a snapshot in which the only backend has this verdict.
async fn until(snapshots: &mut watch::Receiver<Arc<Snapshot>>, verdict: Verdict) -> Arc<Snapshot> {
    let held = snapshots.wait_for(|it| it.pools[0].members[0].verdict == verdict);
    timeout(DEADLINE, held).await.unwrap().unwrap().clone()
}

#[tokio::test]
async fn a_first_probe_makes_it_ready_and_an_operator_drains_and_enables() {
    let house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let mut snapshots = plane.snapshots();
    assert_eq!(snapshots.borrow().pools[0].members[0].verdict, Verdict::Down);
    let run = tokio::spawn(plane.run());
    until(&mut snapshots, Verdict::Up).await;
    assert!(house.page("/readyz").await.ends_with("\r\n\r\nready\n"));
    let key = format!("app/{}", house.backend());
    let drained = house.ask(&format!(r#"{{"command":"drain","backend":"{key}"}}"#)).await;
    assert!(drained.ok, "{drained:?}");
    until(&mut snapshots, Verdict::Draining).await;
    let page = house.page("/metrics").await;
    assert!(page.contains("equipoise_backend_draining{"), "{page}");
    assert!(page.contains("equipoise_generations_alive 1\n"), "old generations are gone: {page}");
    let enabled = house.ask(&format!(r#"{{"command":"enable","backend":"{key}"}}"#)).await;
    assert!(enabled.ok, "{enabled:?}");
    until(&mut snapshots, Verdict::Up).await;
    let unknown = house.ask(r#"{"command":"drain","backend":"app/127.0.0.1:1"}"#).await;
    assert!(!unknown.ok && unknown.words[0].contains(&house.backend()), "{unknown:?}");
    run.abort();
}

#[tokio::test]
async fn a_reload_keeps_verdict_backend_and_sockets_and_a_refused_one_keeps_all() {
    let house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let mut snapshots = plane.snapshots();
    let run = tokio::spawn(plane.run());
    let before = until(&mut snapshots, Verdict::Up).await;
    house.write("drain_timeout = \"7s\"");
    let applied = house.reload().await;
    assert!(applied.ok, "{applied:?}");
    let after = snapshots.borrow_and_update().clone();
    assert!(after.generation > before.generation);
    assert!(Arc::ptr_eq(&before.pools[0], &after.pools[0]), "no reload touched the pool");
    let (address, door) = before.doors.iter().next().unwrap();
    assert!(Arc::ptr_eq(&door.sockets, &after.doors[address].sockets));
    assert!(Arc::ptr_eq(&door.room, &after.doors[address].room));

    house.write("drain_timeout = \"soon\"");
    let refused = house.reload().await;
    assert!(!refused.ok && refused.words[0].contains("drain_timeout"), "{refused:?}");
    assert!(Arc::ptr_eq(&after, &snapshots.borrow()));
    let status = house.status().await;
    assert_eq!(status.generation, after.generation);
    assert!(!status.last_reload.unwrap().ok);
    let page = house.page("/metrics").await;
    assert!(page.contains("equipoise_reloads_total{result=\"refused\"} 1\n"), "{page}");
    run.abort();
}

#[tokio::test]
async fn a_reload_moves_the_metrics_address() {
    let mut house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let run = tokio::spawn(plane.run());
    assert!(house.page("/healthz").await.contains("alive"));
    let before = std::mem::replace(&mut house.metrics, free_port());
    house.write("");
    let applied = house.reload().await;
    assert!(applied.ok, "{applied:?}");
    assert!(house.page("/healthz").await.contains("alive"));
    assert!(TcpStream::connect(("127.0.0.1", before)).await.is_err(), "the old one is closed");
    run.abort();
}

#[tokio::test]
async fn a_second_daemon_is_refused_with_every_reason() {
    let house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let Err(refused) = plane::first(&house.file(), Vec::new()).await else { panic!("both serve") };
    let words = refused.to_string();
    assert_eq!(refused.reasons.len(), 3, "{words}");
    assert!(words.contains("another equipoise answers"), "{words}");
    assert!(words.contains(&format!("127.0.0.1:{}", house.metrics)), "{words}");
    drop(plane);
    assert!(!house.folder.path().join("admin.sock").exists());
}

#[tokio::test]
async fn a_drain_ends_when_the_workers_have_left() {
    let house = House::new();
    house.write("");
    let (plane, place) = house.plane().await;
    let snapshots = plane.snapshots();
    let mut running = Running::begin(plane).unwrap();
    assert!(running.handle(Wake::Signal(Order::Terminate)).is_continue());
    assert_eq!(snapshots.borrow().phase, Phase::Draining);
    let run = tokio::spawn(running.run());
    assert!(house.page("/readyz").await.starts_with("HTTP/1.1 503 "));
    assert_eq!(house.status().await.phase, PhaseWord::Draining);
    assert!(!house.reload().await.ok, "no reload while ending");
    let refused = TcpStream::connect(("127.0.0.1", house.listen)).await;
    assert!(refused.is_err(), "the kernel queues nobody for a process that ends");
    drop(place);
    assert_eq!(timeout(DEADLINE, run).await.unwrap().unwrap(), End::Drained);
    assert!(!house.folder.path().join("admin.sock").exists());
}

#[tokio::test]
async fn a_reload_asked_for_while_it_ends_opens_nothing() {
    let house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let mut running = Running::begin(plane).unwrap();
    assert!(running.handle(Wake::Signal(Order::Terminate)).is_continue());
    assert!(running.handle(Wake::Signal(Order::Reload)).is_continue());
    assert!(running.jobs.is_empty(), "it is refused before it binds the addresses again");
    assert!(!running.reloads.last.unwrap().ok);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_cut() {
    let house = House::new();
    house.write("drain_timeout = \"50ms\"");
    let (plane, place) = house.plane().await;
    let mut snapshots = plane.snapshots();
    let mut running = Running::begin(plane).unwrap();
    assert!(running.handle(Wake::Signal(Order::Terminate)).is_continue());
    let run = tokio::spawn(running.run());
    let closing = snapshots.wait_for(|snapshot| snapshot.phase == Phase::Closing);
    drop(timeout(DEADLINE, closing).await.unwrap().unwrap());
    drop(place);
    assert_eq!(timeout(DEADLINE, run).await.unwrap().unwrap(), End::Cut);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let house = House::new();
    house.write("");
    let (plane, _place) = house.plane().await;
    let mut running = Running::begin(plane).unwrap();
    assert!(running.handle(Wake::Signal(Order::Terminate)).is_continue());
    let second = running.handle(Wake::Signal(Order::Terminate));
    assert_eq!(second, ControlFlow::Break(End::AtOnce));
}

#[tokio::test]
async fn a_worker_that_ends_by_itself_ends_the_process() {
    let house = House::new();
    house.write("");
    let (plane, place) = house.plane().await;
    let run = tokio::spawn(plane.run());
    drop(place);
    assert_eq!(timeout(DEADLINE, run).await.unwrap().unwrap().unwrap(), End::WorkerLost);
}
