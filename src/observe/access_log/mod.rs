//! One line a request, or a TCP connection, without ever holding one up.
//!
//! A worker formats into its own [`LogBuffer`]; a full buffer goes as one batch into a bounded
//! queue, and a thread of its own writes. Where the queue is full, or writing fails, lines are
//! lost and counted; the worker goes on.
//!
//! What a line tells of a client: its address, and the target with its query string, so a secret
//! in a query ends up in the log; and the subject of its certificate, where it was asked for one. No header value is told but Referer and User-Agent, and these
//! in the combined format only.

mod lines;
mod writer;

use std::{
    io, mem,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use crate::observe::reason::Reason;
use writer::Writer;

/// One request, done or refused, or one TCP connection. Bytes that came from a peer may be any bytes: they are escaped.
/// What is empty or `None` is left out (JSON) or `-` (combined).
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the first byte of the head came.
    pub time: SystemTime,
    pub request_id: &'a str,
    pub client: IpAddr,
    /// Of the certificate that the client showed, and that was verified.
    pub client_subject: Option<&'a str>,
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// As in the request line, query string included.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `TCP`.
    pub protocol: &'a str,
    pub tls: bool,
    pub listener: &'a str,
    pub route: Option<&'a str>,
    pub pool: Option<&'a str>,
    /// The directory of files that it came to.
    pub files: Option<&'a str>,
    /// The address of the backend that answered, or was tried last.
    pub backend: Option<&'a str>,
    /// `None`: the client got no answer.
    pub status: Option<u16>,
    /// Backends tried.
    pub attempts: u32,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From the first byte of the head to the last of the answer.
    pub total: Duration,
    /// From the first byte of the head to its last.
    pub header: Option<Duration>,
    /// Waiting for a place at a backend; `None` where there was one at once.
    pub queued: Option<Duration>,
    /// Opening the connection to the backend; `None` where an idle one was used.
    pub connect: Option<Duration>,
    /// From the head sent to the backend to the first byte of its answer.
    pub first_byte: Option<Duration>,
    pub reason: Option<Reason>,
    /// Of a TCP connection that did not fail: who was done first.
    pub ended: &'a str,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
}

/// The protocol of a connection that is relayed.
pub const TCP: &str = "TCP";

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    /// Appended to; made with mode 0640 where it is missing.
    File(PathBuf),
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// Apache's and nginx's `combined`.
    Combined,
}

/// The running access log: shared by whoever makes buffers. When the last of them and of the
/// buffers is dropped, the writer writes what is queued and ends by itself; dropping never waits.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    queue: Arc<Queue>,
    sender: SyncSender<Message>,
    /// `None` once closed.
    writer: Mutex<Option<WriterThread>>,
}

#[derive(Debug)]
struct WriterThread {
    handle: JoinHandle<()>,
    /// Nothing is ever sent: it disconnects when the thread ends.
    ended: Receiver<()>,
}

/// What the buffers and the writer share.
#[derive(Debug)]
struct Queue {
    /// Lines handed over and not yet written.
    lines: AtomicUsize,
    max_lines: usize,
    lost: Arc<AtomicU64>,
    /// Set before [`Message::Wake`], which may find the queue full: then the writer is awake.
    reopen: AtomicBool,
    closing: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Batch(Batch),
    Wake,
}

/// Whole lines of one worker.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: usize,
    /// Where the empty buffer goes back to.
    home: SyncSender<Vec<u8>>,
}

/// A batch is handed over at this size, whether its worker's timer has come or not.
const BATCH_BYTES: usize = 16 * 1024;

/// Batches that may wait, however many lines are in them: 16 MiB.
const MAX_BATCHES: usize = 1024;

/// Empty buffers that wait for their worker.
const MAX_SPARES: usize = 4;

/// A buffer that one enormous line has stretched beyond this is not kept.
const MAX_SPARE_BYTES: usize = 64 * 1024;

impl AccessLog {
    /// Opens the target and starts the writer. At most `queue_lines` lines wait to be written;
    /// each line beyond, or that can't be written, adds one to `lost`.
    pub fn start(
        to: Target,
        format: Format,
        queue_lines: usize,
        lost: Arc<AtomicU64>,
    ) -> io::Result<AccessLog> {
        let (queue, sender, receiver) = Queue::new(queue_lines, lost);
        let writer = Writer::open(to, queue.clone(), receiver)?;
        let (end, ended) = mpsc::sync_channel(1);
        let handle = thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            drop(end);
        })?;
        let writer = Mutex::new(Some(WriterThread { handle, ended }));
        Ok(AccessLog { format, queue, sender, writer })
    }

    /// A buffer for one worker, which it keeps.
    pub fn buffer(&self) -> LogBuffer {
        LogBuffer::new(self.format, self.queue.clone(), self.sender.clone())
    }

    /// Opens the path again, for what rotates logs (USR1). If that fails the old file stays.
    pub fn reopen(&self) {
        self.queue.reopen.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Writes what the buffers have handed over, then ends the writer; lines that come later are
    /// lost. Waits for at most `deadline`; false if a stuck target took longer.
    pub fn close(&self, deadline: Duration) -> bool {
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return true;
        };
        self.queue.closing.store(true, Ordering::SeqCst);
        self.wake();
        let ended = writer.ended.recv_timeout(deadline) != Err(RecvTimeoutError::Timeout);
        if ended {
            let _ = writer.handle.join();
        }
        self.queue.lose_all();
        ended
    }

    fn wake(&self) {
        let _ = self.sender.try_send(Message::Wake);
    }
}

/// The lines of one worker, until they are handed over. The worker flushes it on a timer;
/// dropping it flushes.
#[derive(Debug)]
pub struct LogBuffer {
    format: Format,
    bytes: Vec<u8>,
    lines: usize,
    max_lines: usize,
    queue: Arc<Queue>,
    sender: SyncSender<Message>,
    home: SyncSender<Vec<u8>>,
    spares: Receiver<Vec<u8>>,
}

impl LogBuffer {
    fn new(format: Format, queue: Arc<Queue>, sender: SyncSender<Message>) -> LogBuffer {
        let (home, spares) = mpsc::sync_channel(MAX_SPARES);
        // Several batches fit into the smallest queue, so that it is never refused as a whole.
        let max_lines = (queue.max_lines / 4).max(1);
        LogBuffer { format, bytes: Vec::new(), lines: 0, max_lines, queue, sender, home, spares }
    }

    /// Adds one line; hands all over when the buffer is full.
    pub fn append(&mut self, entry: &Entry<'_>) {
        match self.format {
            Format::Json => lines::json(&mut self.bytes, entry),
            Format::Combined => lines::combined(&mut self.bytes, entry),
        }
        self.lines += 1;
        if self.bytes.len() >= BATCH_BYTES || self.lines >= self.max_lines {
            self.flush();
        }
    }

    /// Hands the lines over, or loses them where the queue is full. Never waits.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        let lines = mem::take(&mut self.lines);
        if !self.queue.admit(lines) {
            self.bytes.clear();
            return;
        }
        let spare = self.spares.try_recv().unwrap_or_default();
        let bytes = mem::replace(&mut self.bytes, spare);
        let batch = Message::Batch(Batch { bytes, lines, home: self.home.clone() });
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.sender.try_send(batch)
        {
            self.queue.leave(lines);
            self.queue.lose(lines);
        }
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Queue {
    fn new(
        max_lines: usize,
        lost: Arc<AtomicU64>,
    ) -> (Arc<Queue>, SyncSender<Message>, Receiver<Message>) {
        let max_lines = max_lines.max(1);
        let (sender, receiver) = mpsc::sync_channel(max_lines.min(MAX_BATCHES));
        let queue = Queue {
            lines: AtomicUsize::new(0),
            max_lines,
            lost,
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        };
        (Arc::new(queue), sender, receiver)
    }

    /// Whether so many more lines may wait; those that may not are lost.
    fn admit(&self, lines: usize) -> bool {
        let before = self.lines.fetch_add(lines, Ordering::Relaxed);
        let admitted = before.saturating_add(lines) <= self.max_lines;
        if !admitted {
            self.leave(lines);
            self.lose(lines);
        }
        admitted
    }

    fn leave(&self, lines: usize) {
        self.lines.fetch_sub(lines, Ordering::Relaxed);
    }

    fn lose(&self, lines: usize) {
        self.lost.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// What was handed over after the writer had ended, or is stuck before it.
    fn lose_all(&self) {
        self.lose(self.lines.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests;
