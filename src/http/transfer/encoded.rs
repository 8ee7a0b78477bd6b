//! A body that is encoded on its way. What comes is gathered and encoded in steps: the first of it on
//! the worker, what is long on another thread, since the worker serves others meanwhile. What was taken
//! in goes out when nothing follows for now, so that a client sees what the backend has sent so far.

use std::{
    io,
    task::{Context, Poll, ready},
};

use crate::{
    http::{
        compressors::{Placed, Step},
        h1::pump::Stopped,
        transfer::{Content, Source, source::Next},
    },
    message::encoder::Then,
};

/// So much of a body is encoded on the worker at most: less than a millisecond of its time.
pub const HERE: usize = 32 * 1024;
/// What is gathered for one step: long enough that to hand it over costs little.
const STEP: usize = 64 * 1024;

/// Fields that may come in trailers and tell of the bytes as they were before (RFC 9530; RFC 3230;
/// RFC 1864).
pub const OF_THE_BYTES: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// One body on its way into a coding.
pub struct Encoded {
    work: Work,
    /// Read, and not yet encoded.
    input: Vec<u8>,
    /// Bytes that may still be encoded on the worker.
    here: usize,
    /// Something has been encoded that a reader can't see yet.
    held_back: bool,
    /// The source had nothing when it was last asked. Who has nothing when he is asked again, one turn
    /// of the worker later, has paused: what comes in many small reads is not flushed after each.
    lull: bool,
    source: SourceState,
    taken: u64,
}

/// Who has the encoder.
enum Work {
    Idle(Placed),
    Away(Step),
    /// The last step has been done, or one has failed.
    Done,
}

enum SourceState {
    Going,
    /// With the trailer lines that came.
    Ended(Vec<u8>),
    /// To be told when what had come until then has gone on.
    Failed(Option<Stopped>),
}

impl Encoded {
    /// `length`: of the whole body, where it is known.
    pub fn new(placed: Placed, length: Option<u64>) -> Encoded {
        let short = length.is_none_or(|length| length <= HERE as u64);
        Encoded {
            work: Work::Idle(placed),
            input: Vec::new(),
            here: if short { HERE } else { 0 },
            held_back: false,
            lull: false,
            source: SourceState::Going,
            taken: 0,
        }
    }

    /// Bytes of the body before they were encoded.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether nothing can follow what has been given, trailers neither.
    pub fn is_at_end(&self) -> bool {
        let no_trailers = matches!(&self.source, SourceState::Ended(lines) if lines.is_empty());
        no_trailers && matches!(self.work, Work::Done)
    }

    /// What comes next of the body, encoded.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        content: &mut Content,
        source: &mut Source<'_>,
    ) -> Poll<Result<Next, Stopped>> {
        loop {
            let output = match &mut self.work {
                Work::Done => return Poll::Ready(Ok(Next::End(self.take_trailers()))),
                Work::Away(step) => {
                    let done = ready!(step.as_mut().poll(context));
                    self.returned(done)
                }
                Work::Idle(_) => {
                    if let Some(stopped) = self.take_failure() {
                        return Poll::Ready(Err(stopped));
                    }
                    let then = ready!(self.poll_gather(context, content, source))?;
                    self.step(then)
                }
            };
            // What our own thread failed at is nobody's fault at either end: the client can tell that
            // its answer is not whole.
            let output = output.map_err(Stopped::Sink)?;
            if !output.is_empty() {
                return Poll::Ready(Ok(Next::Data(output.into())));
            }
        }
    }

    /// Reads on until there is enough for a step, or nothing more for now.
    fn poll_gather(
        &mut self,
        context: &mut Context<'_>,
        content: &mut Content,
        source: &mut Source<'_>,
    ) -> Poll<Result<Then, Stopped>> {
        while self.input.len() < STEP {
            match content.poll_next(context, source) {
                Poll::Ready(Ok(Next::Data(data))) => {
                    self.taken += data.len() as u64;
                    self.lull = false;
                    self.input.extend_from_slice(&data);
                    // The encoder bounds what is taken in before it goes on.
                    if matches!(content, Content::Frames { .. }) {
                        source.give_room(data.len());
                    }
                }
                Poll::Ready(Ok(Next::End(trailers))) => {
                    self.source = SourceState::Ended(still_true(&trailers));
                    return Poll::Ready(Ok(Then::End));
                }
                Poll::Ready(Err(stopped @ (Stopped::Source(_) | Stopped::SourceEnded)))
                    if !self.input.is_empty() || self.held_back =>
                {
                    self.source = SourceState::Failed(Some(stopped));
                    return Poll::Ready(Ok(Then::Flush));
                }
                Poll::Ready(Err(stopped)) => return Poll::Ready(Err(stopped)),
                Poll::Pending if self.input.is_empty() && !self.held_back => return Poll::Pending,
                Poll::Pending if !self.lull => {
                    self.lull = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(Ok(Then::Flush)),
            }
        }
        Poll::Ready(Ok(Then::More))
    }

    /// Encodes what was gathered, here or elsewhere: what comes of it here.
    fn step(&mut self, then: Then) -> io::Result<Vec<u8>> {
        let Work::Idle(mut placed) = std::mem::replace(&mut self.work, Work::Done) else {
            unreachable!("an encoder that is away is waited for");
        };
        self.held_back = then == Then::More;
        if self.input.len() > self.here {
            self.here = 0;
            let input = std::mem::take(&mut self.input);
            let compressors = placed.place.compressors();
            self.work = Work::Away(compressors.step(placed, input, then));
            return Ok(Vec::new());
        }
        self.here -= self.input.len();
        let output = placed.encoder.step(&self.input, then);
        self.input.clear();
        if then != Then::End {
            self.work = Work::Idle(placed);
        }
        output
    }

    /// The encoder has come back.
    fn returned(&mut self, done: io::Result<(Placed, Vec<u8>)>) -> io::Result<Vec<u8>> {
        self.work = Work::Done;
        let (placed, output) = done?;
        if !matches!(self.source, SourceState::Ended(_)) {
            self.work = Work::Idle(placed);
        }
        Ok(output)
    }

    fn take_failure(&mut self) -> Option<Stopped> {
        match &mut self.source {
            SourceState::Going | SourceState::Ended(_) => None,
            SourceState::Failed(stopped) => stopped.take(),
        }
    }

    fn take_trailers(&mut self) -> Vec<u8> {
        match &mut self.source {
            SourceState::Going | SourceState::Failed(_) => Vec::new(),
            SourceState::Ended(trailers) => std::mem::take(trailers),
        }
    }
}

/// Trailer lines without those that tell of the bytes as they were.
fn still_true(lines: &[u8]) -> Vec<u8> {
    let lines = lines.split_inclusive(|&byte| byte == b'\n');
    let stale = |line: &&[u8]| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        OF_THE_BYTES.iter().any(|stale| name.eq_ignore_ascii_case(stale))
    };
    lines.filter(|line| !stale(line)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_other_bytes_are_no_trailers() {
        let lines = b"Repr-Digest: sha-256=:a:\r\nX-Sum: 1\r\ncontent-digest: b\r\nDigests: 2\r\n";
        assert_eq!(still_true(lines), b"X-Sum: 1\r\nDigests: 2\r\n");
        assert_eq!(still_true(b""), b"");
    }
}
