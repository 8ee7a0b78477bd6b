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
        downstream::{Downstream, GivenUp},
        h1::{pump::COPY_MAX, steady::Part},
        h2::client::End,
    },
    message::lent::Lent,
    net::{clock, stream::Stream},
};

use super::body::{Body, Parts, Several};

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
    body: &'s Body<'s>,
    /// How long the client may take nothing.
    idle: Duration,
    moved: u64,
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
        body: &'s Body<'s>,
        idle: Duration,
    ) -> Sending<'s, 'c> {
        let head = Lent::default();
        Sending { client, directory, body, idle, moved: 0, head, room: Vec::new() }
    }

    /// Bytes of the body that have gone.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    pub async fn run(&mut self, head: Lent<u8>) -> Result<(), Stopped> {
        let body = self.body;
        match &body.parts {
            Parts::None => self.head_alone(head).await,
            Parts::One(range) => match &body.document.content {
                Content::Memory(bytes) => self.whole(head, &bytes.slice(places(*range))).await,
                Content::Open(file) => {
                    self.begin(head).await?;
                    self.range(file, *range, Rest::Last).await
                }
            },
            Parts::Several(several) => {
                self.begin(head).await?;
                self.several(several).await
            }
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
        let wanted = (end - at).min(STEP) as usize;
        self.room.resize(wanted, 0);
        match read_cached(file, &mut self.room, at) {
            Ok(count) => self.room.truncate(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.room = self.wait_for(file, at, wanted).await?;
            }
            Err(error) => return Err(Stopped::Unreadable(error)),
        }
        let count = self.room.len() as u64;
        if count == 0 {
            return Err(Stopped::Changed);
        }
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
