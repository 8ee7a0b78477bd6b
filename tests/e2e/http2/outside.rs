//! Clients and servers of HTTP/2 that no one here wrote: curl, and nghttp, h2load and nghttpd of
//! nghttp2.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{BOTH_DOORS, Front, with_pool_keys};
use crate::harness::{
    Authority, DEADLINE, Origin, Output, Peer, Process, Setup, TlsVersions, client_config,
    free_port, run, wait_until,
};

/// A daemon, and the address and trust that other programs are given.
struct Town {
    front: Front,
    authority: Authority,
}

impl Town {
    fn before(origin: &Origin) -> Town {
        Town::start(Setup::of(BOTH_DOORS).with("origin", origin.address()))
    }

    fn start(setup: Setup) -> Town {
        let authority = Authority::new();
        authority.issue(&["www.example.com"]).write(setup.dir(), "www");
        fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a writable folder");
        let trust = client_config(&authority, TlsVersions::All);
        Town { front: Front { daemon: setup.start(), trust }, authority }
    }

    fn dir(&self) -> &Path {
        self.front.daemon.dir()
    }

    fn plain(&self, path: &str) -> String {
        format!("http://{}{path}", self.front.daemon.address("web"))
    }

    fn tls(&self, path: &str) -> String {
        let port = self.front.daemon.address("tls").port();
        format!("https://www.example.com:{port}{path}")
    }

    /// curl by HTTP/2 alone, over this URL.
    fn curl(&self, url: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60"]);
        if url.starts_with("https:") {
            let port = self.front.daemon.address("tls").port();
            let address = format!("www.example.com:{port}:127.0.0.1");
            command.args(["--http2", "--resolve", &address, "--cacert"]);
            command.arg(self.dir().join("ca.pem"));
        } else {
            command.arg("--http2-prior-knowledge");
        }
        run(command.args(arguments).arg(url))
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Answers with the body that came, and its length in a field.
fn echo(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        let length = request.body.len();
        peer.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Length: {length}\r\n\r\n"
        ));
        peer.write(request.body);
    }
}

#[test]
fn pages_and_uploads_pass_by_curl() {
    let origin = Origin::start(echo);
    let town = Town::before(&origin);
    let upload = pattern(5_000_000);
    fs::write(town.dir().join("upload"), &upload).expect("a writable folder");
    let (from, into) = (town.dir().join("upload"), town.dir().join("download"));
    let (from, into) = (from.to_str().expect("UTF-8"), into.to_str().expect("UTF-8"));
    for url in [town.plain("/echo"), town.tls("/echo")] {
        let got = town.curl(&url, &["--write-out", "%{http_version} %{response_code}"]);
        assert_eq!((got.code, got.stdout.as_str()), (0, "2 200"), "{}", got.words());
        let data = format!("@{from}");
        let up = [
            "--data-binary",
            &data,
            "--output",
            into,
            "--write-out",
            "%{http_version} %{response_code}",
        ];
        let got = town.curl(&url, &up);
        assert_eq!((got.code, got.stdout.as_str()), (0, "2 200"), "{}", got.words());
        assert!(fs::read(into).expect("it is written") == upload, "another body came back");
        // curl asks whether it may send.
        let expects = [&up[..], &["--header", "Expect: 100-continue"]].concat();
        let got = town.curl(&url, &expects);
        assert_eq!((got.code, got.stdout.as_str()), (0, "2 200"), "{}", got.words());
        assert!(fs::read(into).expect("it is written") == upload, "another body came back");
        let head = town.curl(&url, &["--head"]);
        assert!(head.stdout.contains("HTTP/2 200"), "{}", head.words());
    }
}

/// The transfer is seen to be broken.
#[test]
fn a_truncated_answer_is_an_error_by_curl() {
    let origin = Origin::start(|peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            peer.pause(std::time::Duration::from_millis(100));
        }
    });
    let town = Town::before(&origin);
    for url in [town.plain("/"), town.tls("/")] {
        let got = town.curl(&url, &[]);
        assert_ne!(got.code, 0, "{}", got.words());
        assert!(got.stderr.contains("HTTP/2 stream"), "{}", got.words());
    }
}

#[test]
fn an_upgrade_to_h2c_is_answered_by_http1_by_curl() {
    let origin = Origin::answering("ok");
    let town = Town::before(&origin);
    let url = town.plain("/");
    let mut command = Command::new("curl");
    let arguments =
        ["--silent", "--http2", "--write-out", " %{http_version} %{response_code}", &url];
    let got = run(command.args(arguments));
    assert_eq!((got.code, got.stdout.as_str()), (0, "ok 1.1 200"), "{}", got.words());
}

#[test]
fn trailers_and_many_pages_pass_by_nghttp() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            let body = format!("{} {:?}", request.target, request.trailers);
            let length = body.len();
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
            peer.write(format!("{length:x}\r\n{body}\r\n0\r\nX-Sum: from-the-backend\r\n\r\n"));
        }
    });
    let town = Town::before(&origin);
    fs::write(town.dir().join("upload"), pattern(300_000)).expect("a writable folder");
    let upload = town.dir().join("upload");
    let web = town.front.daemon.address("web");
    let tls = format!("https://{}", town.front.daemon.address("tls"));
    for base in [format!("http://{web}"), tls] {
        let upload = upload.to_str().expect("UTF-8");
        let arguments = ["--verbose", "--trailer", "x-sum: from-nghttp", "--data", upload];
        let got = run(Command::new("nghttp").args(arguments).arg(format!("{base}/upload")));
        assert_eq!(got.code, 0, "{}", got.words());
        assert!(got.stdout.contains("x-sum: from-the-backend"), "{}", got.words());
        let request = origin.take_requests().pop().expect("a request");
        assert_eq!(request.trailers, [("x-sum".to_owned(), "from-nghttp".to_owned())]);
        assert_eq!(request.body, pattern(300_000));
        let pages: Vec<String> = (0..50).map(|page| format!("{base}/{page}")).collect();
        let got = run(Command::new("nghttp").args(["--null-out", "--stat"]).args(pages));
        let answered = got.stdout.lines().filter(|line| line.contains(" 200 ")).count();
        assert_eq!((got.code, answered), (0, 50), "{}", got.words());
    }
}

/// h2load's last word on its requests.
#[track_caller]
fn assert_all_succeeded(got: &Output, requests: usize) {
    let line = got.stdout.lines().find(|line| line.starts_with("requests:"));
    let expected = format!(
        "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, \
         0 failed, 0 errored, 0 timeout"
    );
    assert_eq!(line, Some(expected.as_str()), "{}", got.words());
}

#[test]
fn no_request_is_lost_by_h2load() {
    let origin = Origin::start(echo);
    let town = Town::before(&origin);
    fs::write(town.dir().join("upload"), pattern(20_000)).expect("a writable folder");
    let upload = town.dir().join("upload");
    let upload = upload.to_str().expect("UTF-8");
    let tls = format!("https://{}/", town.front.daemon.address("tls"));
    for url in [town.plain("/"), tls] {
        let many = ["-n", "5000", "-c", "10", "-m", "20"];
        assert_all_succeeded(&run(Command::new("h2load").args(many).arg(&url)), 5000);
        let uploads = ["-n", "1000", "-c", "5", "-m", "20", "-d", upload];
        assert_all_succeeded(&run(Command::new("h2load").args(uploads).arg(&url)), 1000);
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn no_request_is_lost_over_reloads_by_h2load() {
    let origin = Origin::answering("ok");
    let town = Town::before(&origin);
    let url = town.plain("/");
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    let load = thread::spawn(move || {
        let got = run(Command::new("h2load").args(["-n", "20000", "-c", "8", "-m", "10", &url]));
        finished.store(true, Ordering::SeqCst);
        got
    });
    let mut reloads = 0;
    while !done.load(Ordering::SeqCst) {
        town.front.daemon.reload();
        reloads += 1;
    }
    assert_all_succeeded(&load.join().expect("h2load runs"), 20_000);
    assert!(reloads > 1, "{reloads} reloads");
}

/// A server that speaks nothing but HTTP/2, with TLS and without.
#[test]
fn files_come_whole_from_an_http2_server_by_nghttpd() {
    for tls in [false, true] {
        let port = free_port();
        let tls_keys = r#"tls = { ca = "$dir/ca.pem", name = "nghttpd.internal" }"#;
        let keys = format!("protocol = \"h2\"\n{}", if tls { tls_keys } else { "" });
        let setup = Setup::of(&with_pool_keys(&keys)).with("origin", format!("127.0.0.1:{port}"));
        let town = Town::start(setup);
        town.authority.issue(&["nghttpd.internal"]).write(town.dir(), "nghttpd");
        let root = town.dir().join("root");
        fs::create_dir(&root).expect("a writable folder");
        fs::write(root.join("index.html"), "index").expect("a writable folder");
        fs::write(root.join("large"), pattern(20_000_000)).expect("a writable folder");
        let mut command = Command::new("nghttpd");
        command.args(["--address", "127.0.0.1", "--trailer", "x-sum: from-nghttpd", "--htdocs"]);
        command.arg(&root);
        match tls {
            false => command.args(["--no-tls", &port.to_string()]),
            true => {
                let file = |name: &str| town.dir().join(name);
                command.arg(port.to_string()).args([file("nghttpd.key"), file("nghttpd.crt")])
            }
        };
        let mut nghttpd = Process::start(&mut command);
        wait_until(DEADLINE, "nghttpd to answer", || {
            assert!(nghttpd.is_running(), "nghttpd ended: tests/run installs it");
            town.front.plain().get("/").status == 200
        });
        for door in [town.front.plain(), town.front.tls()] {
            assert_eq!(door.get("/").text(), "index");
            let large = door.get("/large");
            assert!(large.body == pattern(20_000_000), "{} bytes came", large.body.len());
            let sum = [("x-sum".to_owned(), "from-nghttpd".to_owned())];
            assert_eq!(large.trailers, sum);
            assert_eq!(door.get("/nothing").status, 404);
        }
        let http1 = crate::harness::get(town.front.daemon.address("web"), "/large");
        assert!(http1.body == pattern(20_000_000), "{} bytes came", http1.body.len());
    }
}
