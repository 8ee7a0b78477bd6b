//! Large files on their way, by every door.

use std::{
    fs::{self, File},
    io::{Seek, Write},
    path::Path,
    sync::Arc,
};

use rustls::ClientConfig;

use super::put;
use crate::harness::{
    Answer, Authority, Broken, Client, DEADLINE, Daemon, End, Setup, TlsVersions, client_config,
    h2::{Door, Outcome, Windows},
    wait_until,
};

const MIB: usize = 1 << 20;
/// More than what the sockets between us and the daemon hold.
const MUCH: usize = 32 * MIB;

const CONFIG: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    timeouts = { body_idle = "$idle" }
    [listener.tls]
    bind = ["$tls"]
    certificates = [{ cert = "$dir/www.crt", key = "$dir/www.key", default = true }]
    timeouts = { body_idle = "$idle" }
    [[route]]
    files = "site"
    [files.site]
    root = "$dir/site"
"#;

/// A site that is reached plainly and over TLS, with a large file of this content.
struct Site {
    daemon: Daemon,
    trust: Arc<ClientConfig>,
}

impl Site {
    fn of(content: &[u8], idle: &str) -> Site {
        let setup = Setup::of(CONFIG).with("idle", idle);
        fs::create_dir(setup.dir().join("site")).expect("a folder");
        put(setup.dir(), "large", content);
        put(setup.dir(), "small", "small");
        let authority = Authority::new();
        authority.issue(&["www.example.com"]).write(setup.dir(), "www");
        let trust = client_config(&authority, TlsVersions::All);
        Site { daemon: setup.start(), trust }
    }

    fn path(&self) -> std::path::PathBuf {
        self.daemon.dir().join("site/large")
    }

    fn plain(&self) -> Client {
        Client::connect_with_small_buffer(self.daemon.address("web"))
    }

    fn tls(&self) -> Client {
        let address = self.daemon.address("tls");
        Client::tls(address, &self.trust, "www.example.com").expect("a handshake")
    }

    fn h2(&self) -> [Door; 2] {
        let plain = Door::plain(self.daemon.address("web"));
        [plain, Door::tls(self.daemon.address("tls"), &self.trust)]
    }
}

/// No two windows of it are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9) >> 13) as u8).collect()
}

/// Asks for the large file and reads no more than its head.
fn ask(client: &mut Client, lines: &str) -> Answer {
    client.send(format!("GET /large HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n"));
    client.answer_head()
}

#[test]
fn a_large_file_comes_whole_by_every_door() {
    let content = content(3 * MIB + 12_345);
    let site = Site::of(&content, "30s");
    for mut client in [site.plain(), site.tls()] {
        for _ in 0..2 {
            assert!(client.get("/large").body == content);
            assert_eq!(client.get("/small").text(), "small", "the connection goes on");
        }
        client.send(
            "GET /large HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=1000000-2999999\r\n\r\n",
        );
        assert!(client.answer().body == content[1_000_000..3_000_000]);
        client.send(
            "GET /large HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=0-999999,-1000000\r\n\r\n",
        );
        let several = client.answer();
        assert_eq!((several.status, &several.end), (206, &End::Clean));
        let holds = |part: &[u8]| several.body.windows(part.len()).any(|there| there == part);
        assert!(holds(&content[..1_000_000]) && holds(&content[content.len() - 1_000_000..]));
    }
    for door in site.h2() {
        let mut client = door.connect();
        let (one, other) = (client.ask("/large"), client.ask("/large"));
        assert!(client.answer(other).body == content);
        assert!(client.answer(one).body == content);
        assert_eq!(client.get("/small").text(), "small");
    }
    // Neither read nor sent by a thread that may wait: it is in the page cache.
    let answers = &[("files", "site"), ("class", "2xx")];
    site.daemon.wait_for_metric("equipoise_files_requests_total", answers, 18.0);
}

/// Cuts the end off a file.
fn cut_short(path: &Path) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_len(MIB as u64).expect("a length");
}

#[test]
fn a_file_that_is_cut_short_is_never_a_whole_answer() {
    for by_tls in [false, true] {
        let site = Site::of(&content(MUCH), "30s");
        let mut client = if by_tls { site.tls() } else { site.plain() };
        let head = ask(&mut client, "");
        assert_eq!(head.field("content-length"), Some(&*MUCH.to_string()));
        cut_short(&site.path());
        assert!(matches!(client.take(MUCH), Err(Broken::Truncated | Broken::Reset)));
        assert_told(&site.daemon);
    }
    for plain_or_tls in [0, 1] {
        let site = Site::of(&content(MUCH), "30s");
        let mut client = site.h2()[plain_or_tls].connect();
        client.windows = Windows::Withheld;
        let stream = client.ask("/large");
        client.wait_for_head(stream);
        cut_short(&site.path());
        client.windows = Windows::Given;
        client.give(0, 1 << 30);
        client.give(stream, 1 << 30);
        let outcome = client.outcome(stream);
        assert!(matches!(outcome, Outcome::Reset(..)), "{}", outcome.words());
        assert_eq!(client.get("/small").text(), "small", "the others go on");
        assert_told(&site.daemon);
    }
}

fn assert_told(daemon: &Daemon) {
    daemon.wait_for_log("an answer was cut: the file was changed while it was sent");
    let reason = &[("reason", "file-changed")];
    daemon.wait_for_metric("equipoise_http_errors_total", reason, 1.0);
    let error = &[("files", "site"), ("error", "changed")];
    daemon.wait_for_metric("equipoise_files_errors_total", error, 1.0);
}

#[test]
fn a_file_that_is_written_over_is_never_a_whole_answer() {
    let site = Site::of(&content(MUCH), "30s");
    let mut client = site.plain();
    ask(&mut client, "");
    let mut file = File::options().write(true).open(site.path()).expect("a file");
    file.seek(std::io::SeekFrom::Start((MUCH / 2) as u64)).expect("a place");
    file.write_all(b"other").expect("room");
    drop(file);
    assert!(matches!(client.take(MUCH), Err(Broken::Truncated | Broken::Reset)));
    assert_told(&site.daemon);
}

#[test]
fn a_file_that_is_replaced_is_sent_to_its_end() {
    let old = content(MUCH);
    let site = Site::of(&old, "30s");
    let mut client = site.plain();
    ask(&mut client, "");
    let other = site.daemon.dir().join("other");
    fs::write(&other, "new").expect("a file");
    fs::rename(&other, site.path()).expect("a name");
    assert!(client.take(MUCH).expect("the whole of it") == old);
    wait_until(DEADLINE, "the new one", || client.get("/large").text() == "new");
}

#[test]
fn who_takes_nothing_is_left() {
    let site = Site::of(&content(MUCH), "1s");
    for mut stalled in [site.plain(), site.tls()] {
        let before = site.daemon.metric("equipoise_http_errors_total", STALLED);
        ask(&mut stalled, "");
        site.daemon.wait_for_metric("equipoise_http_errors_total", STALLED, before + 1.0);
        assert!(stalled.take(MUCH).is_err(), "it can tell");
    }
    let mut client = site.h2()[0].connect();
    client.windows = Windows::Withheld;
    let stream = client.ask("/large");
    let outcome = client.outcome(stream);
    assert!(matches!(outcome, Outcome::Reset(..)), "{}", outcome.words());
    client.windows = Windows::Given;
    client.give(0, 1 << 30);
    assert_eq!(client.get("/small").text(), "small", "the connection goes on");
}

const STALLED: &[(&str, &str)] = &[("reason", "client-stalled")];

#[test]
fn many_who_take_slowly_cost_little_memory() {
    let site = Site::of(&content(MUCH), "30s");
    assert_eq!(site.tls().get("/small").text(), "small");
    let before = site.daemon.resident_bytes();
    let mut clients: Vec<Client> = (0..20).flat_map(|_| [site.plain(), site.tls()]).collect();
    clients.iter_mut().for_each(|client| drop(ask(client, "")));
    let h2: Vec<_> = (0..20)
        .map(|_| {
            let mut client = site.h2()[0].connect();
            client.windows = Windows::Withheld;
            let stream = client.ask("/large");
            client.wait_for_head(stream);
            client
        })
        .collect();
    let grown = site.daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 60 * MIB as u64 / 2, "{grown} bytes for {} answers", clients.len() + h2.len());
}

#[test]
fn what_is_not_in_memory_is_read_from_the_disk() {
    let content = content(2 * MIB + 77);
    let site = Site::of(&content, "30s");
    let forget = || {
        let file = File::open(site.path()).expect("a file");
        file.sync_all().expect("a disk");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
    };
    for mut client in [site.plain(), site.tls()] {
        forget();
        assert!(client.get("/large").body == content);
    }
    for door in site.h2() {
        forget();
        assert!(door.get("/large").body == content);
    }
}
