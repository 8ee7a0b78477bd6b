//! An answer with a file on its way: from memory, from the page cache by the kernel (sendfile(2)) where
//! nothing has to be encrypted or framed, in large steps otherwise. What is not in memory is read by a
//! thread that may wait for it.

use std::{fmt, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::yield_now;

use crate::{
    files::{
        directory::{is_still, read_cached},
        document::Content,
        local::LocalDirectory,
        ranges::ByteRange,
        reads::Busy,
    },
    http::{
        coding::{Coding, push_end, push_piece},
        downstream::{Downstream, GivenUp},
        h1::{body::Framing, pump::COPY_MAX, steady::Part},
        h2::client::End,
    },
    message::{encoder::Then, lent::Lent},
    net::{clock, stream::Stream},
};

use super::body::{Body, OnTheWay, Parts, Several};

/// What the kernel is told to send at once; others have their turn in between.
const WINDOW: u64 = 2 * 1024 * 1024;
/// What of that is looked for in the page cache: a byte of every so many, and the last.
const SAMPLE: u64 = 512 * 1024;
/// What is read at once to be encrypted or framed.
const STEP: u64 = 128 * 1024;

/// One answer on its way.
pub struct Sending<'s, 'c> {
    client: &'s mut Downstream<'c>,
    directory: &'s LocalDirectory,
    body: Body<'s>,
    /// How long the client may take nothing.
    idle: Duration,
    moved: u64,
    /// Bytes of the file that were encoded.
    taken: u64,
    /// It goes with the first bytes of the body.
    head: Lent<u8>,
    /// Read into, and written from.
    room: Vec<u8>,
}

/// Why an answer broke off.
#[derive(Debug)]
pub enum Stopped {
    ClientGone,
    ClientStalled,
    /// Too many wait for the disk.
    Busy,
    /// The disk took too long.
    Late,
    Unreadable(io::Error),
    /// It could not be encoded.
    Unencoded(io::Error),
    /// The file is not what its head said.
    Changed,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::ClientGone => f.write_str("the client has gone"),
            Stopped::ClientStalled => f.write_str("the client took nothing"),
            Stopped::Busy => f.write_str("as many requests wait for the disk as may"),
            Stopped::Late => f.write_str("the disk did not answer in time"),
            Stopped::Unreadable(error) => write!(f, "the file can't be read: {error}"),
            Stopped::Unencoded(error) => write!(f, "the file can't be encoded: {error}"),
            Stopped::Changed => f.write_str("the file was changed while it was sent"),
        }
    }
}

/// Whether anything follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    More,
    Last,
}

impl<'s, 'c> Sending<'s, 'c> {
    pub fn new(
        client: &'s mut Downstream<'c>,
        directory: &'s LocalDirectory,
        body: Body<'s>,
        idle: Duration,
    ) -> Sending<'s, 'c> {
        let head = Lent::default();
        Sending { client, directory, body, idle, moved: 0, taken: 0, head, room: Vec::new() }
    }

    /// Bytes of the body that have gone.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes of the file, where they are encoded on their way.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Once.
    pub async fn run(&mut self, head: Lent<u8>) -> Result<(), Stopped> {
        let document = self.body.document;
        match std::mem::replace(&mut self.body.parts, Parts::None) {
            Parts::None => self.head_alone(head).await,
            Parts::One(range) => match &document.content {
                Content::Memory(bytes) => self.whole(head, &bytes.slice(places(range))).await,
                Content::Open(file) => {
                    self.begin(head).await?;
                    self.range(file, range, Rest::Last).await
                }
            },
            Parts::Several(several) => {
                self.begin(head).await?;
                self.several(&several).await
            }
            // Boxed: every answer would carry its memory.
            Parts::Encoded(on_the_way) => Box::pin(self.encoded(head, on_the_way)).await,
        }
    }

    async fn head_alone(&mut self, head: Lent<u8>) -> Result<(), Stopped> {
        match &mut self.client {
            Downstream::H1(client) => client.write_pair(&head, &[], self.idle).await,
            Downstream::H2(stream) => stream.open(head.kept(), true),
        }
        .map_err(|error| of_client(&error))
    }

    /// Head and body are at hand: they leave in one write.
    async fn whole(&mut self, mut head: Lent<u8>, body: &Bytes) -> Result<(), Stopped> {
        let sent = match &mut self.client {
            Downstream::H1(client) if body.len() <= COPY_MAX => {
                head.extend_from_slice(body);
                client.write_pair(&head, &[], self.idle).await
            }
            Downstream::H1(client) => client.write_pair(&head, body, self.idle).await,
            Downstream::H2(stream) => match stream.open(head.kept(), false) {
                Ok(()) => stream.send(&mut body.clone(), End::WithData, self.idle).await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| of_client(&error))?;
        self.moved += body.len() as u64;
        Ok(())
    }

    /// The body follows. What the kernel sends of it is put behind the head by the kernel.
    async fn begin(&mut self, head: Lent<u8>) -> Result<(), Stopped> {
        let is_plain = self.is_plain();
        let begun = match &mut self.client {
            Downstream::H1(client) if is_plain => client.write_more(&head, self.idle).await,
            Downstream::H1(_) => {
                self.head = head;
                Ok(())
            }
            Downstream::H2(stream) => stream.open(head.kept(), false),
        };
        begun.map_err(|error| of_client(&error))
    }

    async fn several(&mut self, several: &Several) -> Result<(), Stopped> {
        let document = self.body.document;
        for (before, range) in &several.ranges {
            self.write(Bytes::copy_from_slice(before), Rest::More).await?;
            match &document.content {
                Content::Memory(bytes) => {
                    self.write(bytes.slice(places(*range)), Rest::More).await?;
                }
                Content::Open(file) => self.range(file, *range, Rest::More).await?,
            }
        }
        self.write(Bytes::copy_from_slice(&several.end), Rest::Last).await
    }

    async fn range(
        &mut self,
        file: &Arc<File>,
        range: ByteRange,
        rest: Rest,
    ) -> Result<(), Stopped> {
        let (mut at, end) = (range.first, range.last + 1);
        let document = self.body.document;
        while at < end {
            let window = (end - at).min(WINDOW);
            if at + window == end && !is_still(file, &document.stamp) {
                return Err(Stopped::Changed);
            }
            at += match self.is_plain() && is_cached(file, at, window) {
                true => self.by_kernel(file, at, window).await?,
                false => self.step(file, at, end, rest).await?,
            };
            if at < end {
                yield_now().await;
            }
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        match &self.client {
            Downstream::H1(client) => matches!(client.side.stream, Stream::Plain(_)),
            Downstream::H2(_) => false,
        }
    }

    async fn by_kernel(&mut self, file: &File, at: u64, length: u64) -> Result<u64, Stopped> {
        let Downstream::H1(client) = &mut self.client else {
            unreachable!("frames are written by us");
        };
        let mut sent = 0;
        let part = Part { first: at, length };
        let outcome = client.send_file(file, part, self.idle, &mut sent).await;
        self.moved += sent;
        match outcome {
            Ok(()) if sent == length => Ok(length),
            Ok(()) => Err(Stopped::Changed),
            Err(error) => Err(of_client(&error)),
        }
    }

    /// Reads some of it, and writes that.
    async fn step(
        &mut self,
        file: &Arc<File>,
        at: u64,
        end: u64,
        rest: Rest,
    ) -> Result<u64, Stopped> {
        let count = self.read(file, at, end).await?;
        let rest = if at + count == end { rest } else { Rest::More };
        match &mut self.client {
            Downstream::H1(client) => {
                let head = std::mem::take(&mut self.head);
                let written = client.write_pair(&head, &self.room, self.idle).await;
                written.map_err(|error| of_client(&error))?;
                self.moved += count;
            }
            Downstream::H2(_) => {
                let bytes = Bytes::from(std::mem::take(&mut self.room));
                self.write(bytes, rest).await?;
            }
        }
        Ok(count)
    }

    /// Reads the next step of it: how much that is.
    async fn read(&mut self, file: &Arc<File>, at: u64, end: u64) -> Result<u64, Stopped> {
        let wanted = (end - at).min(STEP) as usize;
        self.room.resize(wanted, 0);
        match read_cached(file, &mut self.room, at) {
            Ok(count) => self.room.truncate(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.room = self.wait_for(file, at, wanted).await?;
            }
            Err(error) => return Err(Stopped::Unreadable(error)),
        }
        match self.room.len() {
            0 => Err(Stopped::Changed),
            count => Ok(count as u64),
        }
    }

    /// All of it, encoded beside the worker step by step.
    async fn encoded(&mut self, head: Lent<u8>, on_the_way: OnTheWay) -> Result<(), Stopped> {
        let OnTheWay { placed, framing, .. } = on_the_way;
        let mut placed = *placed;
        let document = self.body.document;
        let Content::Open(file) = &document.content else {
            unreachable!("what is in memory was encoded when it was read");
        };
        let end = document.length();
        match &mut self.client {
            Downstream::H1(_) => self.head = head,
            Downstream::H2(stream) => {
                stream.open(head.kept(), false).map_err(|error| of_client(&error))?;
            }
        }
        while self.taken < end {
            let count = self.read(file, self.taken, end).await?;
            self.taken += count;
            let is_last = self.taken == end;
            if is_last && !is_still(file, &document.stamp) {
                return Err(Stopped::Changed);
            }
            let then = if is_last { Then::End } else { Then::More };
            let compressors = placed.place.compressors();
            let input = std::mem::take(&mut self.room);
            let (returned, output) =
                compressors.step(placed, input, then).await.map_err(Stopped::Unencoded)?;
            placed = returned;
            let rest = if is_last { Rest::Last } else { Rest::More };
            self.write_framed(output, rest, framing).await?;
        }
        Ok(())
    }

    /// Of a body whose length nobody has told.
    async fn write_framed(
        &mut self,
        bytes: Vec<u8>,
        rest: Rest,
        framing: Framing,
    ) -> Result<(), Stopped> {
        let count = bytes.len() as u64;
        let written = match &mut self.client {
            Downstream::H1(client) => {
                let head = std::mem::take(&mut self.head);
                let framed = framed(bytes, rest, framing);
                client.write_pair(&head, &framed, self.idle).await
            }
            Downstream::H2(_) if bytes.is_empty() && rest == Rest::More => return Ok(()),
            Downstream::H2(stream) => {
                let end = if rest == Rest::Last { End::WithData } else { End::Later };
                stream.send(&mut Bytes::from(bytes), end, self.idle).await
            }
        };
        written.map_err(|error| of_client(&error))?;
        self.moved += count;
        Ok(())
    }

    /// Reads on a thread that may wait for the disk, as long as the client stays.
    async fn wait_for(
        &mut self,
        file: &Arc<File>,
        at: u64,
        length: usize,
    ) -> Result<Vec<u8>, Stopped> {
        let file = file.clone();
        let job = move || {
            let mut bytes = vec![0; length];
            let count = loop {
                match file.read_at(&mut bytes, at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => break done,
                }
            };
            count.map(|count| {
                bytes.truncate(count);
                bytes
            })
        };
        let reads = &self.directory.reads;
        let deadline = clock::now() + self.directory.directory.config.reads.timeout;
        match self.client.unless_gone(deadline, reads.run(job)).await {
            Ok(Ok(Ok(bytes))) => Ok(bytes),
            Ok(Ok(Err(error))) => Err(Stopped::Unreadable(error)),
            Ok(Err(Busy)) => Err(Stopped::Busy),
            Err(GivenUp::ClientGone) => Err(Stopped::ClientGone),
            Err(GivenUp::Late) => Err(Stopped::Late),
        }
    }

    async fn write(&mut self, mut bytes: Bytes, rest: Rest) -> Result<(), Stopped> {
        let count = bytes.len() as u64;
        let written = match &mut self.client {
            Downstream::H1(client) => {
                let head = std::mem::take(&mut self.head);
                client.write_pair(&head, &bytes, self.idle).await
            }
            Downstream::H2(stream) => {
                let end = if rest == Rest::Last { End::WithData } else { End::Later };
                stream.send(&mut bytes, end, self.idle).await
            }
        };
        written.map_err(|error| of_client(&error))?;
        self.moved += count;
        Ok(())
    }
}

fn framed(bytes: Vec<u8>, rest: Rest, framing: Framing) -> Vec<u8> {
    if framing != Framing::Chunked {
        return bytes;
    }
    let mut framed = Vec::with_capacity(bytes.len() + 32);
    if !bytes.is_empty() {
        push_piece(&mut framed, Coding::Chunked, bytes.len());
        framed.extend_from_slice(&bytes);
        framed.extend_from_slice(b"\r\n");
    }
    if rest == Rest::Last {
        push_end(&mut framed, Coding::Chunked, &[]);
    }
    framed
}

/// Whether samples of it are in the page cache, and so most likely what is between them.
fn is_cached(file: &File, at: u64, length: u64) -> bool {
    let is_there = |at| matches!(read_cached(file, &mut [0], at), Ok(1));
    is_there(at + length - 1) && (at..at + length).step_by(SAMPLE as usize).all(is_there)
}

/// Of a document in memory, whose length fits into it.
fn places(range: ByteRange) -> Range<usize> {
    range.first as usize..range.last as usize + 1
}

fn of_client(error: &io::Error) -> Stopped {
    match error.kind() {
        io::ErrorKind::TimedOut => Stopped::ClientStalled,
        _ => Stopped::ClientGone,
    }
}
