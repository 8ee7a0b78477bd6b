//! Bytes both ways between two connections that have nothing more to say to us: an upgraded
//! connection, a TCP listener.
//!
//! Each way passes its end on and leaves the other open (half-close); neither reads ahead of what
//! the other side takes; memory is held only while there is something in it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{buffer::LARGE, side::Side, timer::Timer};

/// What a relay has moved, and why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes from the client to the backend.
    pub up: u64,
    /// Bytes from the backend to the client.
    pub down: u64,
    pub end: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides have said that they are done.
    Closed,
    /// Neither way has moved a byte for too long.
    Idle,
    /// The client's connection broke.
    ClientBroke,
    /// The backend's connection broke.
    BackendBroke,
}

/// One way of a relay.
#[derive(Default)]
struct Way {
    moved: u64,
    state: State,
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has ended: that is to be passed on.
    Ending,
    Ended,
}

/// Which end of a way broke.
enum Broken {
    Source,
    Sink,
}

/// Relays until both sides have ended, one of them breaks, or nothing has moved for `idle`. What
/// the sides have read already goes first.
pub async fn relay<C, B>(
    client: &mut Side<C>,
    backend: &mut Side<B>,
    timer: &mut Timer,
    idle: Duration,
) -> Relayed
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut seen, mut since) = (0, Instant::now());
    let end = poll_fn(|context| {
        let upward = match up.poll(context, client, &mut backend.stream) {
            Ok(state) => state,
            Err(Broken::Source) => return Poll::Ready(Ending::ClientBroke),
            Err(Broken::Sink) => return Poll::Ready(Ending::BackendBroke),
        };
        let downward = match down.poll(context, backend, &mut client.stream) {
            Ok(state) => state,
            Err(Broken::Source) => return Poll::Ready(Ending::BackendBroke),
            Err(Broken::Sink) => return Poll::Ready(Ending::ClientBroke),
        };
        if (upward, downward) == (State::Ended, State::Ended) {
            return Poll::Ready(Ending::Closed);
        }
        if up.moved + down.moved != seen {
            (seen, since) = (up.moved + down.moved, Instant::now());
        }
        timer.poll(context, since + idle).map(|()| Ending::Idle)
    });
    let end = end.await;
    Relayed { up: up.moved, down: down.moved, end }
}

impl Way {
    /// Moves what can be moved now.
    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
        sink: &mut W,
    ) -> Result<State, Broken>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while self.state != State::Ended {
            if !source.input.is_empty() {
                match self.poll_write(context, source, sink) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(_)) => return Err(Broken::Sink),
                    Poll::Pending => break,
                }
            }
            if self.unflushed {
                match Pin::new(&mut *sink).poll_flush(context) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(_)) => return Err(Broken::Sink),
                    // It must not keep us from reading what comes meanwhile.
                    Poll::Pending => {}
                }
            }
            if self.state == State::Ending {
                match Pin::new(&mut *sink).poll_shutdown(context) {
                    Poll::Ready(Ok(())) => self.state = State::Ended,
                    Poll::Ready(Err(_)) => return Err(Broken::Sink),
                    Poll::Pending => break,
                }
                continue;
            }
            match poll_read(context, source) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Err(Broken::Source),
                Poll::Pending => break,
            }
        }
        Ok(self.state)
    }

    fn poll_write<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
        sink: &mut W,
    ) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        let count = ready!(Pin::new(sink).poll_write(context, source.input.filled()))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        source.input.consume(count);
        self.moved += count as u64;
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }
}

/// What comes faster than it fits is read in large steps.
fn poll_read<R: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    source: &mut Side<R>,
) -> Poll<io::Result<usize>> {
    let room = source.input.room().len();
    let count = ready!(source.poll_fill_lazily(context))?;
    if count == room {
        source.input.grow(LARGE);
    }
    Poll::Ready(Ok(count))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::net::buffer::{Buffer, Buffers};

    const IDLE: Duration = Duration::from_secs(10);

    /// Two ends that a relay joins: what it relays between, and the far ends of both.
    struct Joined {
        client: Side<DuplexStream>,
        backend: Side<DuplexStream>,
        timer: Timer,
    }

    fn joined() -> (Joined, DuplexStream, DuplexStream) {
        let buffers: Rc<Buffers> = Rc::default();
        let (client, far_client) = duplex(1000);
        let (backend, far_backend) = duplex(1000);
        let side = |stream| Side { stream, input: Buffer::new(buffers.clone()) };
        let timer = Timer::new(Instant::now() + IDLE);
        let joined = Joined { client: side(client), backend: side(backend), timer };
        (joined, far_client, far_backend)
    }

    impl Joined {
        async fn relay(&mut self) -> Relayed {
            relay(&mut self.client, &mut self.backend, &mut self.timer, IDLE).await
        }
    }

    #[tokio::test]
    async fn an_end_is_passed_on_and_the_other_way_goes_on() {
        let (mut joined, mut client, mut backend) = joined();
        let talk = async {
            client.write_all(b"ask").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = Vec::new();
            backend.read_to_end(&mut asked).await.unwrap();
            assert_eq!(asked, b"ask");
            let long = vec![7; 300_000];
            let (written, read) = tokio::join!(
                async {
                    backend.write_all(&long).await.unwrap();
                    backend.shutdown().await.unwrap();
                },
                async {
                    let mut read = Vec::new();
                    client.read_to_end(&mut read).await.unwrap();
                    read
                }
            );
            let () = written;
            assert_eq!(read, long);
        };
        let (relayed, ()) = tokio::join!(joined.relay(), talk);
        assert_eq!(relayed, Relayed { up: 3, down: 300_000, end: Ending::Closed });
    }

    #[tokio::test]
    async fn what_was_read_before_goes_first() {
        let (mut joined, mut client, mut backend) = joined();
        joined.client.input.room()[..2].copy_from_slice(b"ab");
        joined.client.input.add(2);
        let talk = async {
            client.write_all(b"c").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = Vec::new();
            backend.read_to_end(&mut asked).await.unwrap();
            assert_eq!(asked, b"abc");
            backend.shutdown().await.unwrap();
        };
        let (relayed, ()) = tokio::join!(joined.relay(), talk);
        assert_eq!(relayed, Relayed { up: 3, down: 0, end: Ending::Closed });
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_any_byte_puts_that_off() {
        let (mut joined, mut client, backend) = joined();
        let begun = Instant::now();
        let talk = async {
            tokio::time::sleep(IDLE / 2).await;
            client.write_all(b"x").await.unwrap();
        };
        let (relayed, ()) = tokio::join!(joined.relay(), talk);
        assert_eq!(relayed, Relayed { up: 1, down: 0, end: Ending::Idle });
        assert!(begun.elapsed() >= IDLE + IDLE / 2);
        drop((client, backend));
    }

    #[tokio::test]
    async fn a_side_that_is_gone_is_told_apart() {
        let (mut joined, mut client, backend) = joined();
        drop(backend);
        client.write_all(b"x").await.unwrap();
        assert_eq!(joined.relay().await.end, Ending::BackendBroke);
    }
}
