//! The way of a long body past our memory: through a pipe between two plain connections.

use std::{
    io,
    task::{Context, Poll, ready},
};

use crate::net::{
    side::Side,
    splice::{self, MaybeBare, Pipe},
};

use super::body::Body;

/// Whether a body takes that way, and how much of it has.
#[derive(Default)]
pub struct Shortcut {
    way: Way,
    moved: u64,
}

#[derive(Default)]
enum Way {
    #[default]
    Closed,
    /// It may be taken where there is one.
    Allowed,
    Open(Pipe),
}

impl Shortcut {
    pub fn allow(&mut self) {
        self.way = Way::Allowed;
    }

    /// Bytes that were never in our memory.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the pipe holds some that have not gone on.
    pub fn holds_some(&self) -> bool {
        matches!(&self.way, Way::Open(pipe) if pipe.held() > 0)
    }

    /// Whether what comes next passes through a pipe: a long rest of a told length, nothing of which
    /// has been read, between two plain connections.
    pub fn is_open<R: MaybeBare, W: MaybeBare>(
        &mut self,
        body: &Body,
        source: &mut Side<R>,
        sink: &mut W,
    ) -> bool {
        match self.way {
            Way::Closed => return false,
            Way::Open(_) => return body.remaining() > Some(0),
            Way::Allowed => {}
        }
        let is_long = body.remaining().is_some_and(|left| left >= splice::WORTH);
        if !is_long || !source.input.is_empty() {
            return false;
        }
        let between_plain = source.stream.bare().is_some() && sink.bare().is_some();
        let pipe = if between_plain { source.input.pipe() } else { None };
        self.way = pipe.map_or(Way::Closed, Way::Open);
        matches!(self.way, Way::Open(_))
    }

    /// Takes in some of the body: how many bytes; 0 is the end of the connection.
    ///
    /// # Errors
    /// Those of reading.
    pub fn poll_fill<R: MaybeBare>(
        &mut self,
        context: &mut Context<'_>,
        body: &mut Body,
        source: &mut Side<R>,
    ) -> Poll<io::Result<u64>> {
        let (Way::Open(pipe), Some(source)) = (&mut self.way, source.stream.bare()) else {
            unreachable!("a pipe is opened between plain connections");
        };
        let left = body.remaining().unwrap_or(0);
        let count = ready!(pipe.poll_fill(context, source, left))? as u64;
        body.skip(count);
        self.moved += count;
        Poll::Ready(Ok(count))
    }

    /// Lets out what the other side takes: how many bytes, at least one.
    ///
    /// # Errors
    /// Those of writing.
    pub fn poll_drain<W: MaybeBare>(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<io::Result<u64>> {
        let (Way::Open(pipe), Some(sink)) = (&mut self.way, sink.bare()) else {
            unreachable!("a pipe is opened between plain connections");
        };
        match ready!(pipe.poll_drain(context, sink))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count as u64)),
        }
    }
}
