//! The thread that writes: batches from the queue to the target, one after the other.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    time::{Duration, Instant},
};

use super::{Batch, MAX_SPARE_BYTES, Message, Queue, Target};

/// A target that fails is complained of once in so long.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Writer {
    target: Target,
    sink: Sink<File>,
    queue: Arc<Queue>,
    receiver: Receiver<Message>,
    complained: Option<Instant>,
}

impl Writer {
    pub(super) fn open(
        target: Target,
        queue: Arc<Queue>,
        receiver: Receiver<Message>,
    ) -> io::Result<Writer> {
        let sink = Sink::new(open(&target)?);
        Ok(Writer { target, sink, queue, receiver, complained: None })
    }

    /// Until the log is closed, or nobody can hand over any more, and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(message) = self.next() {
            if self.queue.reopen.swap(false, Ordering::SeqCst) {
                self.reopen();
            }
            match message {
                Message::Batch(batch) => self.write(batch),
                Message::Wake => {}
            }
        }
    }

    fn next(&self) -> Option<Message> {
        if !self.queue.closing.load(Ordering::SeqCst) {
            return self.receiver.recv().ok();
        }
        self.receiver.try_recv().ok()
    }

    fn write(&mut self, batch: Batch) {
        let Batch { mut bytes, lines, home } = batch;
        if let Err(failure) = self.sink.write(&bytes) {
            self.queue.lose(failure.lost_lines);
            self.complain(&failure.error);
        }
        self.queue.leave(lines);
        if bytes.capacity() <= MAX_SPARE_BYTES {
            bytes.clear();
            // A worker that has spares enough, or has gone, needs no more.
            let _ = home.try_send(bytes);
        }
    }

    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(file) => self.sink = Sink::new(file),
            Err(error) => tracing::warn!(
                "the access log could not be opened again, the old file stays in use: {error}"
            ),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let now = Instant::now();
        if due(self.complained, now) {
            self.complained = Some(now);
            tracing::warn!("the access log could not be written, lines are lost: {error}");
        }
    }
}

fn due(complained: Option<Instant>, now: Instant) -> bool {
    complained.is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL)
}

fn open(target: &Target) -> io::Result<File> {
    match target {
        Target::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        Target::File(path) => open_file(path),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Whole lines to a file that may fail within one.
#[derive(Debug)]
struct Sink<W> {
    to: W,
    /// The last line written is not whole: the next one must not be glued to it.
    torn: bool,
}

#[derive(Debug)]
struct Failure {
    error: io::Error,
    lost_lines: usize,
}

impl<W: Write> Sink<W> {
    fn new(to: W) -> Self {
        Sink { to, torn: false }
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if self.torn {
            self.write_bytes(b"\n").map_err(|(error, _)| failure(error, lines))?;
            self.torn = false;
        }
        self.write_bytes(lines).map_err(|(error, written)| {
            self.torn = written > 0 && lines[written - 1] != b'\n';
            failure(error, &lines[written..])
        })
    }

    /// An error comes with the number of bytes that were written before it.
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.to.write(&bytes[written..]) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((error, written)),
            }
        }
        Ok(())
    }
}

fn failure(error: io::Error, not_written: &[u8]) -> Failure {
    Failure { error, lost_lines: memchr::memchr_iter(b'\n', not_written).count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes a call, in order, then no more; a zero is an error.
    struct Full {
        taken: Vec<u8>,
        steps: Vec<usize>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let step = if self.steps.is_empty() { bytes.len() } else { self.steps.remove(0) };
            if step == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = step.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(steps: &[usize]) -> Sink<Full> {
        Sink::new(Full { taken: Vec::new(), steps: steps.to_vec() })
    }

    #[test]
    fn short_writes_are_continued() {
        let mut sink = sink(&[1, 2, 3]);
        sink.write(b"first\nsecond\n").expect("all is taken");
        assert_eq!(sink.to.taken, b"first\nsecond\n");
    }

    #[test]
    fn a_torn_line_is_lost_and_ended_before_the_next() {
        let mut sink = sink(&[8, 0]);
        let failure = sink.write(b"first\nsecond\nthird\n").expect_err("full");
        assert_eq!(failure.lost_lines, 2);
        sink.write(b"fourth\n").expect("there is room again");
        assert_eq!(sink.to.taken, b"first\nse\nfourth\n");
    }

    #[test]
    fn a_failure_between_lines_tears_none() {
        let mut sink = sink(&[6, 0, 0]);
        assert_eq!(sink.write(b"first\nsecond\n").expect_err("full").lost_lines, 1);
        assert_eq!(sink.write(b"third\n").expect_err("full").lost_lines, 1);
        sink.write(b"fourth\n").expect("there is room again");
        assert_eq!(sink.to.taken, b"first\nfourth\n");
    }

    #[test]
    fn a_torn_line_stays_torn_while_the_target_is_full() {
        let mut sink = sink(&[2, 0, 0]);
        assert_eq!(sink.write(b"first\n").expect_err("full").lost_lines, 1);
        assert_eq!(sink.write(b"second\nthird\n").expect_err("full").lost_lines, 2);
        sink.write(b"fourth\n").expect("there is room again");
        assert_eq!(sink.to.taken, b"fi\nfourth\n");
    }

    #[test]
    fn complaints_are_a_minute_apart() {
        let first = Instant::now();
        assert!(due(None, first));
        assert!(!due(Some(first), first + Duration::from_secs(59)));
        assert!(due(Some(first), first + Duration::from_secs(60)));
    }
}
