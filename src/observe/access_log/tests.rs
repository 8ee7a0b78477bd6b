//! From a worker's buffer to the file, with a real writer and without one.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt, path::Path, time::Instant};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn entry(target: &str) -> Entry<'_> {
    Entry {
        time: SystemTime::UNIX_EPOCH,
        request_id: "r",
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_subject: None,
        method: b"GET",
        host: b"h",
        target: target.as_bytes(),
        protocol: "HTTP/1.1",
        tls: false,
        listener: "http",
        route: None,
        pool: None,
        files: None,
        backend: None,
        status: Some(200),
        attempts: 0,
        bytes_in: 0,
        bytes_out: 0,
        total: Duration::ZERO,
        header: None,
        queued: None,
        connect: None,
        first_byte: None,
        reason: None,
        ended: "",
        referer: b"",
        user_agent: b"",
    }
}

fn start(path: &Path, lost: &Arc<AtomicU64>) -> AccessLog {
    AccessLog::start(Target::File(path.to_owned()), Format::Combined, 10_000, lost.clone())
        .expect("the target opens")
}

/// A buffer whose batches go nowhere, as if the writer were stuck.
fn stuck(queue_lines: usize) -> (LogBuffer, Receiver<Message>, Arc<AtomicU64>) {
    let lost = Arc::new(AtomicU64::new(0));
    let (queue, sender, receiver) = Queue::new(queue_lines, lost.clone());
    (LogBuffer::new(Format::Combined, queue, sender), receiver, lost)
}

fn lines(batches: &Receiver<Message>) -> usize {
    batches
        .try_iter()
        .map(|message| match message {
            Message::Batch(batch) => batch.lines,
            Message::Wake => 0,
        })
        .sum()
}

#[test]
fn lines_of_all_workers_reach_the_file_before_close_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    fs::write(&path, "older\n").expect("a file");
    let lost = Arc::default();
    let log = start(&path, &lost);
    let mut workers = [log.buffer(), log.buffer()];
    for number in 0..500 {
        for (worker, buffer) in workers.iter_mut().enumerate() {
            buffer.append(&entry(&format!("/{worker}/{number}")));
        }
    }
    drop(workers);
    assert!(log.close(DEADLINE));
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.starts_with("older\n"));
    assert_eq!(text.lines().count(), 1_001);
    assert!(text.contains("\"GET /0/499 HTTP/1.1\"") && text.contains("\"GET /1/0 HTTP/1.1\""));
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn a_new_file_is_not_for_everyone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = start(&path, &Arc::default());
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    assert!(log.close(DEADLINE));
}

#[test]
fn a_rotated_file_is_left_for_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let lost = Arc::default();
    let log = start(&path, &lost);
    let mut buffer = log.buffer();
    buffer.append(&entry("/before"));
    buffer.flush();
    fs::rename(&path, &rotated).expect("rotated");
    log.reopen();
    buffer.append(&entry("/after"));
    buffer.flush();
    assert!(log.close(DEADLINE));
    let (old, new) = (fs::read_to_string(rotated), fs::read_to_string(path));
    let (old, new) = (old.expect("the rotated file"), new.expect("the new file"));
    assert!(new.contains("/after") && !old.contains("/after"));
    assert_eq!(old.lines().count() + new.lines().count(), 2);
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn an_idle_log_makes_the_new_file_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = start(&path, &Arc::default());
    fs::remove_file(&path).expect("removed");
    log.reopen();
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < DEADLINE, "no new file was made");
        thread::yield_now();
    }
    assert!(log.close(DEADLINE));
}

#[test]
fn a_target_that_takes_nothing_loses_lines_and_nothing_else() {
    let lost = Arc::default();
    let log = start(Path::new("/dev/full"), &lost);
    let mut buffer = log.buffer();
    for _ in 0..3 {
        buffer.append(&entry("/"));
        buffer.flush();
    }
    assert!(log.close(DEADLINE));
    assert_eq!(lost.load(Ordering::Relaxed), 3);
}

#[test]
fn a_target_that_does_not_open_is_named() {
    let target = Target::File("/nowhere/access.log".into());
    let error = AccessLog::start(target, Format::Json, 10, Arc::default()).expect_err("no folder");
    assert!(error.to_string().starts_with("/nowhere/access.log: "), "{error}");
}

#[test]
fn lines_after_close_are_lost_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let lost = Arc::default();
    let log = start(&folder.path().join("access.log"), &lost);
    let mut buffer = log.buffer();
    assert!(log.close(DEADLINE));
    assert!(log.close(DEADLINE), "closing again does nothing");
    buffer.append(&entry("/late"));
    drop(buffer);
    assert_eq!(lost.load(Ordering::Relaxed), 1);
}

#[test]
fn a_writer_ends_by_itself_when_its_last_buffer_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = start(&path, &Arc::default());
    let mut buffer = log.buffer();
    let writer = log.writer.lock().expect("no panic").take().expect("not closed");
    drop(log);
    buffer.append(&entry("/last"));
    drop(buffer);
    assert_eq!(writer.ended.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
    assert!(fs::read_to_string(&path).expect("the file").contains("/last"));
}

#[test]
fn a_full_queue_loses_what_is_over_its_lines() {
    let (mut buffer, batches, lost) = stuck(100);
    for _ in 0..250 {
        buffer.append(&entry("/"));
    }
    assert_eq!((lines(&batches), lost.load(Ordering::Relaxed)), (100, 150));
}

#[test]
fn a_queue_of_one_line_takes_one() {
    let (mut buffer, batches, lost) = stuck(1);
    buffer.append(&entry("/"));
    buffer.append(&entry("/"));
    assert_eq!((lines(&batches), lost.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn a_batch_goes_at_its_size_and_an_empty_one_never() {
    let (mut buffer, batches, _lost) = stuck(10_000);
    buffer.flush();
    let long = "x".repeat(BATCH_BYTES);
    buffer.append(&entry("/short"));
    assert_eq!(lines(&batches), 0);
    buffer.append(&entry(&long));
    assert_eq!(lines(&batches), 2);
}

#[test]
fn a_written_buffer_comes_back_to_its_worker() {
    let (mut buffer, batches, _lost) = stuck(10);
    buffer.append(&entry("/"));
    buffer.flush();
    let Ok(Message::Batch(Batch { mut bytes, home, .. })) = batches.try_recv() else {
        panic!("no batch came");
    };
    let place = bytes.as_ptr();
    bytes.clear();
    home.try_send(bytes).expect("there is room for a spare");
    buffer.append(&entry("/"));
    buffer.flush();
    assert_eq!(buffer.bytes.as_ptr(), place);
}
