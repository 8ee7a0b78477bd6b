//! A TCP connection of the data path. Every request passes here four times, so the way to the kernel
//! is short: no cancellation points (glibc's recv and send have them once a process has threads), one
//! slice is sent as such, and a new connection is not watched before something has to be waited for.

use std::{
    fs::File,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    net::{RecvFlags, SendFlags},
    pipe::{SpliceFlags, splice},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// After so many system calls a connection is watched in any case: the runtime bounds how long a task
/// may go on with what is always ready, and knows only of what it watches.
const MOST_UNWATCHED: u8 = 8;

/// A connection that blocks nobody.
#[derive(Debug)]
pub struct Socket(State);

#[derive(Debug)]
enum State {
    /// The runtime does not know of it. A connection that is asked and answered without a wait is
    /// never registered with epoll(7), nor taken out again.
    Unwatched {
        tcp: std::net::TcpStream,
        calls: u8,
    },
    Watched(TcpStream),
    /// It could not be watched, and is closed.
    Lost,
}

impl Socket {
    /// A connection that was accepted without blocking.
    pub fn accepted(connection: OwnedFd) -> Socket {
        Socket(State::Unwatched { tcp: connection.into(), calls: 0 })
    }

    /// Whether who waits for it would be woken.
    pub fn is_watched(&self) -> bool {
        matches!(self.0, State::Watched(_))
    }

    /// # Errors
    /// It is closed, or has lost its peer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            State::Unwatched { tcp, .. } => tcp.local_addr(),
            State::Watched(tcp) => tcp.local_addr(),
            State::Lost => Err(lost()),
        }
    }

    /// Closing it throws away what was not sent, and resets the connection.
    ///
    /// # Errors
    /// It is closed.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        let fd = self.as_fd().ok_or_else(lost)?;
        Ok(rustix::net::sockopt::set_socket_linger(fd, Some(std::time::Duration::ZERO))?)
    }

    /// Reads what has come; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come. Of a connection that is watched this costs no system call.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            State::Unwatched { tcp, .. } => receive(tcp, into),
            State::Watched(tcp) => {
                let room = into.len();
                drain(tcp, Interest::READABLE, room, || receive(tcp, into))
            }
            State::Lost => Err(lost()),
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            State::Unwatched { tcp, .. } => send(tcp, bytes),
            State::Watched(tcp) => drain(tcp, Interest::WRITABLE, bytes.len(), || send(tcp, bytes)),
            State::Lost => Err(lost()),
        }
    }

    /// Sends what there is room for of a file, from `at` on; 0 is the file's end.
    pub fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        at: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        // Less than asked for may be the file's end: only the kernel's refusal says that there is no room.
        self.poll_call(context, Direction::Out, 0, |fd| {
            Ok(rustix::fs::sendfile(fd, file, Some(&mut at.clone()), length)?)
        })
    }

    /// Sends what is at once followed by more, which the kernel puts into one packet with it.
    pub fn poll_send_more(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        self.poll_call(context, Direction::Out, bytes.len(), |fd| {
            Ok(rustix::net::send(fd, bytes, flags)?)
        })
    }

    /// Waits until something has come.
    #[cfg(test)]
    pub async fn readable(&mut self) -> io::Result<()> {
        self.watch()?;
        std::future::poll_fn(|context| match &self.0 {
            State::Watched(tcp) => tcp.poll_read_ready(context),
            State::Unwatched { .. } | State::Lost => Poll::Ready(Err(lost())),
        })
        .await
    }

    /// The descriptor below; `None` where it is closed.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            State::Unwatched { tcp, .. } => Some(tcp.as_fd()),
            State::Watched(tcp) => Some(tcp.as_fd()),
            State::Lost => None,
        }
    }

    /// Who waits for this connection from now on is woken.
    fn watch(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Lost) {
            State::Unwatched { tcp, .. } => State::Watched(TcpStream::from_std(tcp)?),
            watched_or_lost => watched_or_lost,
        };
        Ok(())
    }

    /// Moves what has come into a pipe with room for it, at most `most` bytes: how many; 0 is the end.
    pub(super) fn poll_splice_out(
        &mut self,
        context: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        // How much there was can't be told from how much was moved: a pipe's pages need not be full.
        self.poll_call(context, Direction::In, 0, |fd| {
            Ok(splice(fd, None, pipe, None, most, SpliceFlags::NONBLOCK)?)
        })
    }

    /// Moves what a pipe holds, `held` bytes of it: how many there was room for.
    pub(super) fn poll_splice_in(
        &mut self,
        context: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        held: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_call(context, Direction::Out, held, |fd| {
            Ok(splice(pipe, None, fd, None, held, SpliceFlags::NONBLOCK)?)
        })
    }

    /// Does `call` as soon as the connection is ready for it; `length` is what it has room for, or
    /// has to send.
    fn poll_call(
        &mut self,
        context: &mut Context<'_>,
        direction: Direction,
        length: usize,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.0 {
                State::Lost => return Poll::Ready(Err(lost())),
                State::Unwatched { tcp, calls } => {
                    *calls += 1;
                    if *calls > MOST_UNWATCHED {
                        self.watch()?;
                        continue;
                    }
                    match call(tcp.as_fd()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.watch()?,
                        done => return Poll::Ready(done),
                    }
                }
                State::Watched(tcp) => {
                    let interest = match direction {
                        Direction::In => {
                            ready!(tcp.poll_read_ready(context))?;
                            Interest::READABLE
                        }
                        Direction::Out => {
                            ready!(tcp.poll_write_ready(context))?;
                            Interest::WRITABLE
                        }
                    };
                    match drain(tcp, interest, length, || call(tcp.as_fd())) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return Poll::Ready(done),
                    }
                }
            }
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Socket {
        Socket(State::Watched(tcp))
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// Does `call` on a connection that is watched. One that moved less than `length` has found the
/// socket's end of it: epoll(7) tells when there is more, and to ask before that would cost a system
/// call for nothing.
fn drain(
    tcp: &TcpStream,
    interest: Interest,
    length: usize,
    call: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = 0;
    let outcome = tcp.try_io(interest, || {
        moved = call()?;
        match 0 < moved && moved < length {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match outcome {
        Err(_) if moved > 0 => Ok(moved),
        outcome => outcome.map(|()| moved),
    }
}

fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, into, RecvFlags::empty())?.1)
}

fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let length = room.len();
        let read =
            self.get_mut().poll_call(context, Direction::In, length, |fd| receive(fd, &mut *room));
        buffer.advance(ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_call(context, Direction::Out, bytes.len(), |fd| send(fd, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = slices {
            return self.poll_write(context, one);
        }
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.get_mut()
            .poll_call(context, Direction::Out, length, |fd| Ok(rustix::io::writev(fd, slices)?))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends FIN; of a connection that the peer has reset there is nothing left to end.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match &self.0 {
            State::Unwatched { tcp, .. } => tcp.shutdown(Shutdown::Write),
            State::Watched(tcp) => {
                rustix::net::shutdown(tcp, rustix::net::Shutdown::Write).map_err(io::Error::from)
            }
            State::Lost => Ok(()),
        };
        Poll::Ready(match ended {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A connection as it is accepted, and the client's end of it.
    fn accepted() -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let client = std::net::TcpStream::connect(address).expect("it listens");
        let (ours, _) = listener.accept().expect("a connection");
        ours.set_nonblocking(true).expect("an option");
        (Socket::accepted(ours.into()), client)
    }

    #[tokio::test]
    async fn who_is_answered_without_a_wait_is_never_watched() {
        let (mut socket, mut client) = accepted();
        io::Write::write_all(&mut client, b"asked").expect("room");
        let mut asked = [0; 5];
        socket.read_exact(&mut asked).await.expect("what was sent");
        socket.write_all(b"answered").await.expect("room");
        socket.shutdown().await.expect("an end");
        assert!(!socket.is_watched());
        let mut answered = String::new();
        io::Read::read_to_string(&mut client, &mut answered).expect("all of it");
        assert_eq!((&asked, answered.as_str()), (b"asked", "answered"));
    }

    #[tokio::test]
    async fn who_has_to_wait_is_watched_and_woken() {
        let (mut socket, mut client) = accepted();
        let mut asked = [0; 5];
        let read = async { socket.read_exact(&mut asked).await.map(drop) };
        let write = async {
            tokio::task::yield_now().await;
            io::Write::write_all(&mut client, b"asked")
        };
        let (read, written) = tokio::join!(read, write);
        read.and(written).expect("what was sent");
        assert!(socket.is_watched());
    }

    #[tokio::test]
    async fn what_never_waits_is_watched_in_the_end() {
        let (mut socket, mut client) = accepted();
        io::Write::write_all(&mut client, &[7; 100]).expect("room");
        for count in 1..=MOST_UNWATCHED {
            socket.read_u8().await.expect("a byte");
            assert!(!socket.is_watched(), "after {count}");
        }
        let mut rest = [0; 100 - MOST_UNWATCHED as usize];
        socket.read_exact(&mut rest).await.expect("the rest");
        assert!(socket.is_watched());
    }

    #[tokio::test]
    async fn more_than_one_read_takes_comes_whole_and_in_order() {
        let (mut socket, client) = accepted();
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let all = sent.clone();
        let writer = std::thread::spawn(move || io::Write::write_all(&mut &client, &all));
        let mut come = Vec::new();
        socket.read_to_end(&mut come).await.expect("all of it");
        writer.join().expect("no panic").expect("room");
        assert!(come == sent);
    }

    #[tokio::test]
    async fn a_quiet_connection_says_so_and_one_slice_or_many_arrive() {
        let (mut socket, mut client) = accepted();
        let blocked = socket.try_read(&mut [0]).expect_err("nothing has come");
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        for slices in [&[IoSlice::new(b"one")][..], &[IoSlice::new(b"t"), IoSlice::new(b"wo")]] {
            let written = socket.write_vectored(slices).await.expect("room");
            let mut read = [0; 3];
            io::Read::read_exact(&mut client, &mut read).expect("what was sent");
            assert_eq!(written, 3);
        }
    }
}
