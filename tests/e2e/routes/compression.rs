//! Answers that are compressed on their way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use crate::harness::{
    Answer, Broken, Client, DEADLINE, Daemon, End, Load, Origin, Peer, Setup, decoded, run,
    wait_until, wait_until_still,
};

const CONFIG: &str = r#"
    workers = 1
    [listener.web]
    bind = ["$web"]
    [[route]]
    name = "all"
    pool = "app"
    compress = true
    [[route]]
    name = "never"
    path = "/never"
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
    timeouts = { first_byte = "1h", idle = "1h" }
"#;

const COMPRESSED: &str = "equipoise_http_compressed_responses_total";
const SKIPPED: &str = "equipoise_http_compression_skipped_total";
const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

fn start(origin: &Origin) -> Daemon {
    start_with("", origin)
}

/// With these keys at the top, or in place of `compress = true`.
fn start_with(keys: &str, origin: &Origin) -> Daemon {
    let config = match keys.strip_prefix("compress") {
        Some(_) => CONFIG.replace("compress = true", keys),
        None => format!("{keys}\n{CONFIG}"),
    };
    Setup::of(&config).with("origin", origin.address()).start()
}

fn ask(path: &str, lines: &str) -> String {
    let lines: String = lines.split('|').map(|line| format!("{line}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n")
}

fn get(daemon: &Daemon, path: &str, lines: &str) -> Answer {
    let mut client = Client::connect(daemon.address("web"));
    client.send(ask(path, lines));
    client.answer()
}

/// A page that shrinks, with all that a backend may say of its bytes.
fn page(length: usize) -> String {
    let text = "All that is gold does not glitter, not all those who wander are lost. ";
    text.repeat(length / text.len() + 1)[..length].to_owned()
}

/// Each request is answered with this head, of which the length is told, and this body.
fn answering(head: &str, body: impl Into<Vec<u8>>) -> Origin {
    let (head, body) = (head.replace('|', "\r\n"), body.into());
    Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            let length = body.len();
            peer.write(format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n"));
            if request.method != "HEAD" {
                peer.write(&body);
            }
        }
    })
}

/// The body as it was before it was encoded.
#[track_caller]
fn whole(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.end, End::Clean);
    let (body, is_whole) =
        decoded(answer.field("content-encoding").expect("a coding"), &answer.body);
    assert!(is_whole, "the coding has its end");
    body
}

#[test]
fn text_goes_in_the_coding_that_the_client_likes_best() {
    let text = page(20_000);
    let head = "200 OK|Content-Type: text/html; charset=utf-8|ETag: \"a\"|Accept-Ranges: bytes|\
                Vary: Cookie|Content-MD5: x|Content-Digest: y";
    let origin = answering(head, text.clone());
    let daemon = start(&origin);
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("br;q=0.1, x-gzip;q=0.9", "gzip"),
        ("*;q=0.1, br;q=0", "zstd"),
    ] {
        let answer = get(&daemon, "/", &format!("Accept-Encoding: {accepted}"));
        assert_eq!(answer.field("content-encoding"), Some(coding), "{accepted}");
        assert!(answer.body.len() < text.len() / 20, "{coding}: {} bytes", answer.body.len());
        assert!(whole(&answer) == text.as_bytes(), "{coding}: another text");
        assert_eq!(answer.all("vary"), ["Cookie", "Accept-Encoding"]);
        assert_eq!(answer.field("etag"), Some("W/\"a\""));
        for gone in ["content-length", "accept-ranges", "content-md5", "content-digest"] {
            assert_eq!(answer.field(gone), None, "{gone}");
        }
    }
    for lines in ["A: b", "Accept-Encoding: identity", "Accept-Encoding: deflate"] {
        let answer = get(&daemon, "/", lines);
        assert_eq!((answer.field("content-encoding"), answer.text()), (None, text.clone()));
        assert_eq!(answer.all("vary"), ["Cookie", "Accept-Encoding"]);
        assert_eq!(
            (answer.field("etag"), answer.field("accept-ranges")),
            (Some("\"a\""), Some("bytes"))
        );
    }
    let never = get(&daemon, "/never", "Accept-Encoding: gzip");
    assert_eq!((never.field("content-encoding"), never.field("vary")), (None, Some("Cookie")));
    let labels = [("route", "all"), ("coding", "gzip")];
    daemon.wait_for_metric(COMPRESSED, &labels, 2.0);
    assert_eq!(daemon.metric("equipoise_http_compression_input_bytes_total", &labels), 40_000.0);
    let sent = daemon.metric("equipoise_http_compression_output_bytes_total", &labels);
    assert!(sent > 0.0 && sent < 2_000.0, "{sent}");
}

#[test]
fn a_connection_goes_on_behind_an_encoded_answer() {
    let origin = answering("200 OK|Content-Type: text/plain", page(20_000));
    let daemon = start(&origin);
    let mut client = Client::connect(daemon.address("web"));
    for _ in 0..20 {
        client.send(ask("/", "Accept-Encoding: gzip").repeat(2));
        assert!(whole(&client.answer()) == page(20_000).as_bytes());
        assert!(whole(&client.answer()) == page(20_000).as_bytes());
    }
    assert_eq!(origin.connections(), 1, "the backend's goes on, too");
}

#[test]
fn what_is_encoded_already_fixed_short_or_no_text_stays_as_it_is() {
    let long = page(5_000);
    for (head, body, varies) in [
        ("200 OK|Content-Type: text/plain|Content-Encoding: gzip", &*long, false),
        ("200 OK|Content-Type: text/plain|Cache-Control: max-age=1, no-transform", &long, false),
        ("206 Partial|Content-Type: text/plain|Content-Range: bytes 0-4999/9999", &long, true),
        ("200 OK|Content-Type: image/png", &long, false),
        ("200 OK|Content-Type: text/event-stream", &long, false),
        ("200 OK|Content-Type: application/grpc", &long, false),
        ("200 OK", &long, false),
        ("200 OK|Content-Type: text/plain", "short", false),
    ] {
        let origin = answering(&format!("{head}|ETag: \"a\""), body);
        let daemon = start(&origin);
        let answer = get(&daemon, "/", "Accept-Encoding: gzip, br, zstd");
        assert_eq!(answer.text(), body, "{head}");
        assert_eq!(answer.field("content-length"), Some(&*body.len().to_string()), "{head}");
        assert_eq!(answer.field("etag"), Some("\"a\""), "{head}");
        assert_eq!(answer.field("vary"), varies.then_some("Accept-Encoding"), "{head}");
    }
    let origin = answering("200 OK|Content-Type: text/plain", &*long);
    let daemon = start(&origin);
    let fixed = "Accept-Encoding: gzip|Cache-Control: no-transform";
    assert_eq!(get(&daemon, "/", fixed).text(), long);
}

#[test]
fn head_says_what_get_would() {
    let origin = answering("200 OK|Content-Type: text/plain|ETag: \"a\"", page(5_000));
    let daemon = start(&origin);
    let mut client = Client::connect(daemon.address("web"));
    let lines = |method: &str, accepted: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepted}\r\n\r\n")
    };
    for accepted in ["br", "gzip", "identity"] {
        client.send(lines("GET", accepted));
        let get = client.answer();
        client.send(lines("HEAD", accepted));
        let head = client.answer_to("HEAD");
        for name in ["content-encoding", "vary", "etag", "content-length", "content-type"] {
            assert_eq!(head.field(name), get.field(name), "{accepted}: {name}");
        }
    }
    daemon.wait_for_metric(COMPRESSED, &[], 2.0);
}

/// The backend compares as RFC 9110 says; the client sends what it was given.
#[test]
fn a_weakened_tag_is_found_again_and_ranges_go_by_the_strong_one() {
    let origin = Origin::start(|peer| {
        while let Some(request) = peer.request() {
            let held = request.field("if-none-match").unwrap_or_default();
            let if_range = request.field("if-range");
            if held.strip_prefix("W/").unwrap_or(held) == "\"a\"" {
                peer.write("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
            } else if request.field("range").is_some() && if_range.is_none_or(|tag| tag == "\"a\"")
            {
                peer.write(
                    "HTTP/1.1 206 Partial\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n\
                     Content-Range: bytes 0-4/5000\r\nContent-Length: 5\r\n\r\nAll t",
                );
            } else {
                let body = page(5_000);
                peer.write(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n\
                     Content-Length: 5000\r\n\r\n{body}"
                ));
            }
        }
    });
    let daemon = start(&origin);
    let gzip = |lines: &str| get(&daemon, "/", &format!("Accept-Encoding: gzip|{lines}"));
    let tag = gzip("A: b").field("etag").expect("a tag").to_owned();
    assert_eq!(tag, "W/\"a\"");
    let same = gzip(&format!("If-None-Match: {tag}"));
    assert_eq!((same.status, same.field("etag")), (304, Some("W/\"a\"")));
    assert_eq!(same.field("vary"), Some("Accept-Encoding"));
    let strong = gzip("If-None-Match: \"a\"");
    assert_eq!((strong.status, strong.field("etag")), (304, Some("\"a\"")));
    let part = gzip("Range: bytes=0-4|If-Range: \"a\"");
    assert_eq!((part.status, part.text()), (206, "All t".to_owned()));
    let all = gzip(&format!("Range: bytes=0-4|If-Range: {tag}"));
    assert_eq!((all.status, whole(&all).len()), (200, 5_000), "a part of other bytes is none");
}

/// Bodies that shrink, that don't, and that do in parts; by chunks of any size, by length and by the
/// connection's end.
#[test]
fn whatever_a_backend_sends_comes_out_as_it_was() {
    let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let asked = bodies.clone();
    let origin = Origin::start(move |peer| {
        while let Some(request) = peer.request() {
            let number: usize = request.field("x-number").expect("a number").parse().expect("one");
            let body = asked.lock().unwrap_or_else(PoisonError::into_inner)[number].clone();
            peer.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
            match number % 3 {
                0 => {
                    peer.write(format!("Content-Length: {}\r\n\r\n", body.len()));
                    peer.write(body);
                }
                1 => {
                    peer.write("Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(1 + number * 997 % 30_000) {
                        peer.write(format!("{:x}\r\n", chunk.len()));
                        peer.write(chunk);
                        peer.write("\r\n");
                    }
                    peer.write("0\r\n\r\n");
                }
                _ => {
                    peer.write("Connection: close\r\n\r\n");
                    peer.write(body);
                    return;
                }
            }
        }
    });
    for level in ["fast", "default", "best"] {
        let daemon = start_with(&format!("compress = {{ level = \"{level}\" }}"), &origin);
        let mut random = fastrand::Rng::with_seed(u64::from_le_bytes(*b"compress"));
        for number in 0..18 {
            let length = [1_024, 5_000, 32_768, 32_769, 200_000, 3_000_000][number % 6];
            let noise = random.usize(1..=100);
            let mut byte = |at: usize| match random.usize(..100) < noise {
                true => random.u8(..),
                false => b'a' + (at / 7 % 20) as u8,
            };
            let body: Vec<u8> = (0..length).map(&mut byte).collect();
            let number = {
                let mut bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
                bodies.push(body.clone());
                bodies.len() - 1
            };
            for coding in CODINGS {
                let lines = format!("X-Number: {number}|Accept-Encoding: {coding}");
                let answer = get(&daemon, "/", &lines);
                assert_eq!(answer.field("content-encoding"), Some(coding), "{number}");
                assert!(whole(&answer) == body, "{level} {coding}: another body of {length}");
            }
        }
        assert_eq!(daemon.metric(SKIPPED, &[]), 0.0);
    }
}

/// Every piece is with the client before the backend sends the next one.
#[track_caller]
fn streams(content_type: &str, keys: &str) {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n");
    let origin = Origin::start(move |peer| {
        let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
        while peer.request().is_some() {
            peer.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
            for number in 0..PIECES {
                let piece = piece(number);
                peer.write(format!("{:x}\r\n{piece}\r\n", piece.len()));
                gone.recv_timeout(DEADLINE).expect("the client has it");
            }
            peer.write("0\r\n\r\n");
        }
    });
    let daemon = start_with(keys, &origin);
    let mut client = Client::connect(daemon.address("web"));
    for coding in CODINGS {
        client.send(ask("/", &format!("Accept-Encoding: {coding}")));
        let head = client.answer_head();
        assert_eq!(head.field("content-encoding"), Some(coding));
        let (mut encoded, mut expected) = (Vec::new(), String::new());
        for number in 0..PIECES {
            expected += &piece(number);
            while decoded(coding, &encoded).0.len() < expected.len() {
                encoded.extend(chunk(&mut client).expect("more of the body"));
            }
            assert!(decoded(coding, &encoded) == (expected.clone().into_bytes(), false));
            go.send(()).expect("the backend waits");
        }
        while let Some(more) = chunk(&mut client) {
            encoded.extend(more);
        }
        assert!(decoded(coding, &encoded) == (expected.into_bytes(), true), "{coding}");
    }
}

const PIECES: usize = 12;

/// Some short, some longer than what is encoded on the worker in all.
fn piece(number: usize) -> String {
    format!("data: {number}\n\n{}", page([0, 10, 3_000, 50_000][number % 4]))
}

/// `None`: the last one.
fn chunk(client: &mut Client) -> Option<Vec<u8>> {
    let mut size = String::new();
    while !size.ends_with("\r\n") {
        size.push(char::from(client.take(1).expect("a chunk's size")[0]));
    }
    let length = usize::from_str_radix(size.trim_end(), 16).expect("a size");
    let data = client.take(length).expect("a chunk");
    assert_eq!(client.take(2).expect("its end"), b"\r\n");
    (length > 0).then_some(data)
}

#[test]
fn what_the_backend_has_sent_comes_out_before_it_sends_more() {
    streams("text/html", "");
}

#[test]
fn events_are_flushed_one_by_one_where_their_stream_is_named() {
    streams("text/event-stream", "compress = { types = [\"text/event-stream\"] }");
}

#[test]
fn trailers_pass_but_for_digests_of_other_bytes() {
    let origin = Origin::start(|peer| {
        while peer.request().is_some() {
            peer.write(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Digest: x\r\nRepr-Digest: y\r\n\r\n",
            );
        }
    });
    let daemon = start(&origin);
    let answer = get(&daemon, "/", "Accept-Encoding: br");
    assert_eq!(whole(&answer), b"abc");
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
}

/// Sends so much of a chunked body, and goes.
fn dying(peer: &mut Peer, length: usize) {
    if peer.request().is_some() {
        peer.write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        peer.write(format!("{length:x}\r\n{}\r\n", page(length)));
    }
}

#[test]
fn a_backend_that_dies_within_the_body_makes_no_clean_end() {
    for length in [5_000, 500_000] {
        let origin = Origin::start(move |peer| dying(peer, length));
        let daemon = start(&origin);
        for coding in CODINGS {
            let answer = get(&daemon, "/", &format!("Accept-Encoding: {coding}"));
            assert_eq!(answer.field("content-encoding"), Some(coding));
            assert!(matches!(answer.end, End::Cut(_)), "{coding}: {:?}", answer.end);
            assert!(!decoded(coding, &answer.body).1, "the coding has no end either");
            let mut old = Client::connect(daemon.address("web"));
            old.send(format!("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
            let answer = old.answer();
            // By the end of the connection an HTTP/1.0 client could take it for whole.
            assert_eq!(answer.end, End::Cut(Broken::Reset), "{coding}");
        }
        let reason = [("reason", "upstream-truncated")];
        daemon.wait_for_metric("equipoise_http_errors_total", &reason, 6.0);
    }
}

#[test]
fn an_old_client_gets_it_until_the_connection_ends() {
    let origin = answering("200 OK|Content-Type: text/plain", page(100_000));
    let daemon = start(&origin);
    let mut client = Client::connect(daemon.address("web"));
    client.send(
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.field("transfer-encoding"), answer.closes()), (None, true));
    assert_eq!(answer.field("content-length"), None);
    assert!(whole(&answer) == page(100_000).as_bytes());
}

/// Begins a body, and ends it when the test is over.
fn holding(peer: &mut Peer) {
    if peer.request().is_some() {
        peer.write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        peer.write("5\r\nhello\r\n");
        peer.hang();
    }
}

#[test]
fn what_is_too_many_at_once_passes_as_it_is_and_is_counted() {
    let origin = Origin::start(holding);
    let mut daemon = start_with("max_compressions = 2", &origin);
    let address = daemon.address("web");
    let begin = || {
        let mut client = Client::connect(address);
        client.send(ask("/", "Accept-Encoding: br"));
        let head = client.answer_head();
        let coding = head.field("content-encoding").map(str::to_owned);
        (client, coding, head)
    };
    let br = Some("br".to_owned());
    let held = [begin(), begin()];
    assert!(held.iter().all(|(_, coding, _)| *coding == br));
    let (mut late, coding, head) = begin();
    assert_eq!((coding, head.field("vary")), (None, Some("Accept-Encoding")));
    assert_eq!(chunk(&mut late), Some(b"hello".to_vec()), "it has not waited");
    drop(late);
    daemon.wait_for_metric(SKIPPED, &[("route", "all")], 1.0);
    drop(held);
    daemon.wait_for_metric(COMPRESSED, &[], 2.0);
    let again = [begin(), begin()];
    assert!(again.iter().all(|(_, coding, _)| *coding == br), "their places are free again");
    daemon.rewrite(&format!("max_compressions = 3\n{CONFIG}"));
    daemon.reload();
    daemon.wait_for_log("max_compressions 2 -> 3");
    wait_until(DEADLINE, "the worker to know", || begin().1 == br);
}

/// The bytes of a body that never ends, while their reader reads no more.
#[test]
fn a_client_that_does_not_read_holds_its_backend_up() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let origin = Origin::start(move |peer| {
        if peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
            let mut random = fastrand::Rng::with_seed(5);
            let mut noise = vec![0; 65_536];
            random.fill(&mut noise);
            while peer.try_write(&noise) {
                counted.fetch_add(noise.len() as u64, Ordering::Relaxed);
            }
        }
    });
    let daemon = start(&origin);
    let before = daemon.resident_bytes();
    let mut client = Client::connect_with_small_buffer(daemon.address("web"));
    client.send(ask("/", "Accept-Encoding: gzip"));
    let still = wait_until_still("the backend to be held up", || sent.load(Ordering::Relaxed));
    assert!(still < 32 << 20, "{still} bytes were taken from it");
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more of memory");
    client.take(still as usize / 2).expect("it goes on");
    wait_until(DEADLINE, "the backend to go on", || sent.load(Ordering::Relaxed) > still);
}

/// The one worker of a process, as the system shows it.
fn worker_of(process: &Path) -> PathBuf {
    let threads = fs::read_dir(process.join("task")).expect("the process runs").flatten();
    // Its own threads for what takes long are called after it.
    let is_name = |name: &str| name.starts_with("worker-") && !name.ends_with("-job");
    let is_worker = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| is_name(name.trim_end()))
    };
    threads.map(|thread| thread.path()).find(is_worker).expect("the worker runs")
}

/// What a process or a thread has used of the processor, in ticks of the system's clock.
fn ticks(of: &Path) -> u64 {
    let stat = fs::read_to_string(of.join("stat")).expect("it runs");
    let (_, numbers) = stat.rsplit_once(") ").expect("a name in brackets");
    let numbers = numbers.split(' ').skip(11).take(2);
    numbers.map(|number| number.parse::<u64>().expect("a number")).sum()
}

/// Several long bodies at the level that takes longest, all on one worker: others are served
/// meanwhile, since the work is done elsewhere.
#[test]
fn long_bodies_are_compressed_beside_the_worker() {
    const LENGTH: usize = 24 << 20;
    let origin = Origin::start(|peer| {
        let mut random = fastrand::Rng::with_seed(1);
        while let Some(request) = peer.request() {
            if request.target == "/load" {
                peer.answer(200, "short");
                continue;
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
            peer.write(format!("{head}Content-Length: {LENGTH}\r\n\r\n"));
            for _ in 0..LENGTH / 65_536 {
                let words = std::iter::repeat_with(|| [b'a' + random.u8(..9); 3]);
                let block: Vec<u8> = words.flatten().take(65_536).collect();
                peer.write(block);
            }
        }
    });
    let mut daemon = start_with("compress = { level = \"best\", encodings = [\"br\"] }", &origin);
    let address = daemon.address("web");
    let load = Load::new().keep_alive(address, 2);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                client.send(ask("/", "Accept-Encoding: br"));
                let answer = client.answer();
                assert_eq!(whole(&answer).len(), LENGTH);
            });
        }
    });
    let served = load.stop();
    served.assert_flawless();
    assert!(served.ok > 100, "{} short answers beside the long ones", served.ok);
    // Nobody but who compresses has more than a moment's work beside the worker.
    let process = PathBuf::from(format!("/proc/{}", daemon.process().pid()));
    let (worker, all) = (ticks(&worker_of(&process)), ticks(&process));
    assert!(all - worker > 40, "the worker has done {worker} of {all} ticks");
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let origin = answering("200 OK|Content-Type: text/plain", page(5_000));
    let mut daemon = start(&origin);
    let mut client = Client::connect(daemon.address("web"));
    let mut coding = || {
        client.send(ask("/", "Accept-Encoding: gzip, br"));
        client.answer().field("content-encoding").map(str::to_owned)
    };
    assert_eq!(coding().as_deref(), Some("br"));
    daemon.rewrite(&CONFIG.replace("compress = true", "compress = { encodings = [\"gzip\"] }"));
    daemon.reload();
    daemon.wait_for_log("route all: compress encodings br, zstd, gzip -> gzip");
    wait_until(DEADLINE, "the worker to know", || coding().as_deref() == Some("gzip"));
    daemon.rewrite(&CONFIG.replace("compress = true", ""));
    daemon.reload();
    daemon.wait_for_log("route all: compress gzip -> none");
    wait_until(DEADLINE, "the worker to know", || coding().is_none());
}

/// What no one here wrote reads it: curl, which decodes, and the codings' own programs.
#[test]
fn every_coding_is_read_by_curl() {
    let text = page(300_000);
    let origin = answering("200 OK|Content-Type: text/html", text.clone());
    let daemon = start(&origin);
    let url = format!("http://{}/", daemon.address("web"));
    let features = run(Command::new("curl").arg("--version")).stdout;
    let into = daemon.dir().join("page");
    for (coding, feature, tool) in
        [("gzip", "libz", Some("gzip")), ("br", "brotli", None), ("zstd", "zstd", Some("zstd"))]
    {
        let header = format!("Accept-Encoding: {coding}");
        let curl = |arguments: &[&str]| {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--max-time", "60", "--header", &header]);
            run(command.args(arguments).arg("--output").arg(&into).arg(&url))
        };
        if features.contains(feature) {
            let got = curl(&["--compressed", "--write-out", "%{size_download}"]);
            assert_eq!(got.code, 0, "{coding}: {}", got.words());
            assert!(fs::read(&into).expect("it is written") == text.as_bytes(), "{coding}");
            let size: usize = got.stdout.parse().expect("a number");
            assert!(size < text.len() / 20, "{coding}: {size} bytes");
        }
        assert_eq!(curl(&[]).code, 0);
        let raw = fs::read(&into).expect("it is written");
        assert!(decoded(coding, &raw) == (text.clone().into_bytes(), true), "{coding}");
        let is_there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
        if let Some(tool) = tool.filter(|tool| is_there(tool)) {
            let mut command = Command::new(tool);
            let input = fs::File::open(&into).expect("it is written");
            let read = command.arg("--test").stdin(input).output().expect("it runs");
            assert!(read.status.success(), "{tool}: {read:?}");
        }
    }
    let got = run(Command::new("curl").args(["--silent", "--compressed", "--head", &url]));
    assert!(got.stdout.to_lowercase().contains("content-encoding: "), "{}", got.words());
}
