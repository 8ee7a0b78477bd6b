//! Long bodies between two plain connections pass through a pipe in the kernel (splice(2)): they are
//! never copied into our memory, which is the most of what moving them costs.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::{buffer::Buffers, socket::Socket, stream::Stream};

/// So much of a body must still come for a pipe to be worth its set-up.
pub const WORTH: u64 = 256 * 1024;
/// What a pipe holds. Measured with bodies of 64 MiB: at 128 KiB they cost 0.97 of what HAProxy takes,
/// at 256 KiB 0.92, at 512 KiB 0.85, at 1 MiB 0.81, and that much of a slow client would be kept.
const ROOM: usize = 512 * 1024;
/// A smaller one costs more calls than it saves: the system gives no more to a user who has many.
const LEAST_ROOM: usize = 64 * 1024;
/// Pipes in use at once on a worker; a body that gets none is copied.
const MOST: usize = 64;
/// Spare pipes that a worker keeps.
const MAX_SPARE: usize = 16;

/// A connection that may be a socket with nothing around it, such as TLS.
pub trait MaybeBare {
    fn bare(&mut self) -> Option<&mut Socket>;
}

impl MaybeBare for Stream {
    fn bare(&mut self) -> Option<&mut Socket> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(_) | Stream::ClientTls(_) => None,
        }
    }
}

/// A worker's pipes.
#[derive(Default)]
pub struct Pipes {
    spare: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    room: usize,
}

/// A pipe that is lent for one body; it goes back empty, or is closed.
pub struct Pipe {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    /// Bytes in it.
    held: usize,
    home: Rc<Buffers>,
}

impl Pipe {
    /// `None` where too many are in use, or the system has none.
    pub fn lend(home: &Rc<Buffers>) -> Option<Pipe> {
        let pipes = &home.pipes;
        if pipes.lent.get() >= MOST {
            return None;
        }
        let spare = pipes.spare.borrow_mut().pop();
        let ends = spare.or_else(|| Ends::open().ok().filter(|ends| ends.room >= LEAST_ROOM))?;
        pipes.lent.set(pipes.lent.get() + 1);
        Some(Pipe { ends: Some(ends), held: 0, home: home.clone() })
    }

    /// Bytes that have come out of one socket and not yet gone into the other.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes in what has come, at most `most` bytes: how many; 0 is the end. It must be empty.
    ///
    /// # Errors
    /// Those of reading `source`.
    pub fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Socket,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        assert_eq!(self.held, 0, "a full pipe would look like a socket that has nothing");
        let ends = self.ends.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let most = usize::try_from(most).map_or(ends.room, |most| most.min(ends.room));
        self.held = ready!(source.poll_splice_out(context, ends.write.as_fd(), most))?;
        Poll::Ready(Ok(self.held))
    }

    /// Lets out what there is room for: how many bytes.
    ///
    /// # Errors
    /// Those of writing to `sink`.
    pub fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        let ends = self.ends.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = ready!(sink.poll_splice_in(context, ends.read.as_fd(), self.held))?;
        self.held -= count;
        Poll::Ready(Ok(count))
    }
}

impl Ends {
    fn open() -> io::Result<Ends> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let room = fcntl_setpipe_size(&write, ROOM)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&write))?;
        Ok(Ends { read, write, room })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let pipes = &self.home.pipes;
        pipes.lent.set(pipes.lent.get() - 1);
        let mut spare = pipes.spare.borrow_mut();
        if self.held == 0 && spare.len() < MAX_SPARE {
            spare.extend(self.ends.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_goes_back_and_no_more_than_so_many_are_lent() {
        let home = Rc::new(Buffers::default());
        let mut lent: Vec<Pipe> = std::iter::from_fn(|| Pipe::lend(&home)).collect();
        assert!((1..=MOST).contains(&lent.len()), "{}", lent.len());
        let all = lent.len();
        lent.clear();
        assert_eq!(home.pipes.lent.get(), 0);
        assert_eq!(home.pipes.spare.borrow().len(), MAX_SPARE.min(all));
    }

    #[test]
    fn a_pipe_that_holds_something_is_not_lent_again() {
        let home = Rc::new(Buffers::default());
        let mut pipe = Pipe::lend(&home).expect("a pipe");
        pipe.held = 1;
        drop(pipe);
        assert_eq!((home.pipes.lent.get(), home.pipes.spare.borrow().len()), (0, 0));
    }
}
