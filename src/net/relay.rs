//! Bytes both ways between two connections that have nothing more to say to us: an upgraded
//! connection, a TCP listener.
//!
//! Each way passes its end on and leaves the other open (half-close), a clean end as one and an end
//! without TLS's close_notify as such; neither reads ahead of what the other side takes; memory is
//! held only while there is something in it.

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

use super::{
    buffer::LARGE,
    side::{CutOff, Side},
    timer::Timer,
};

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
    /// Both sides have said that they are done, the client first.
    ClientClosed,
    /// Both sides have said that they are done, the backend first.
    BackendClosed,
    /// Both sides have ended, the backend without the close_notify that TLS asks of it: whether that
    /// was all can't be told.
    BackendCut,
    /// Neither way has moved a byte for too long.
    Idle,
    /// The client was done and left without hearing all that the backend said. What it said itself
    /// has gone to the backend, whole.
    ClientLeft,
    /// The client's connection broke.
    ClientBroke,
    /// The backend's connection broke.
    BackendBroke,
}

impl Ending {
    /// Both sides have ended by themselves.
    pub fn is_agreed(self) -> bool {
        matches!(self, Ending::ClientClosed | Ending::BackendClosed | Ending::BackendCut)
    }

    /// Something was cut off, and both sides are to be reset: a FIN would be a clean end.
    pub fn is_cut(self) -> bool {
        match self {
            Ending::Idle | Ending::ClientBroke | Ending::BackendBroke => true,
            Ending::ClientClosed | Ending::BackendClosed => false,
            // They had the end that there was.
            Ending::BackendCut | Ending::ClientLeft => false,
        }
    }
}

/// Bytes that have just been moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// From the client to the backend.
    pub up: u64,
    /// From the backend to the client.
    pub down: u64,
}

/// How long a client that speaks to a backend which has left is still listened to, once it was told of
/// that: closed on it, what it was sent last would be lost with what it sends.
const LINGER: Duration = Duration::from_secs(5);

/// Both ways, and who was done first.
#[derive(Default)]
struct Ways {
    up: Way,
    down: Way,
    first: Option<Ending>,
    lingers_until: Option<Instant>,
}

/// One way of a relay.
#[derive(Default)]
struct Way {
    moved: u64,
    state: State,
    unflushed: bool,
    /// The source ended without TLS's close_notify.
    cut: bool,
    /// The sink's peer has left: what still comes is thrown away.
    unheard: bool,
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
/// the sides have read already goes first. `tell` hears of bytes as they pass, and not at the end: a
/// relay may last for days.
pub async fn relay<C, B>(
    client: &mut Side<C>,
    backend: &mut Side<B>,
    timer: &mut Timer,
    idle: Duration,
    mut tell: impl FnMut(Moved),
) -> Relayed
where
    C: AsyncRead + CutOff + Unpin,
    B: AsyncRead + CutOff + Unpin,
{
    let mut ways = Ways::default();
    let mut told = Moved { up: 0, down: 0 };
    let mut since = Instant::now();
    let end = poll_fn(|context| {
        let polled = ways.poll(context, client, backend);
        let moved = Moved { up: ways.up.moved - told.up, down: ways.down.moved - told.down };
        if moved != (Moved { up: 0, down: 0 }) {
            tell(moved);
            (told, since) = (Moved { up: ways.up.moved, down: ways.down.moved }, Instant::now());
        }
        match polled {
            Ok(None) => {}
            Ok(Some(end)) | Err(end) => return Poll::Ready(end),
        }
        match ways.lingers_until {
            Some(until) => timer.poll(context, until).map(|()| ways.closed()),
            None => timer.poll(context, since + idle).map(|()| Ending::Idle),
        }
    });
    let end = end.await;
    Relayed { up: ways.up.moved, down: ways.down.moved, end }
}

impl Ways {
    /// Moves what can be moved now: how both ways have ended, or what broke them.
    fn poll<C, B>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Side<C>,
        backend: &mut Side<B>,
    ) -> Result<Option<Ending>, Ending>
    where
        C: AsyncRead + CutOff + Unpin,
        B: AsyncRead + CutOff + Unpin,
    {
        self.up.poll(context, client, &mut backend.stream).map_err(|broken| match broken {
            Broken::Source => Ending::ClientBroke,
            Broken::Sink => Ending::BackendBroke,
        })?;
        self.down.poll(context, backend, &mut client.stream).map_err(|broken| match broken {
            Broken::Source => Ending::BackendBroke,
            Broken::Sink => Ending::ClientBroke,
        })?;
        self.first = self.first.or(match (self.up.state, self.down.state) {
            (State::Open, State::Open) => None,
            (_, State::Open) => Some(Ending::ClientClosed),
            (State::Open, _) => Some(Ending::BackendClosed),
            // Both at once: whoever connected is done.
            _ => Some(Ending::ClientClosed),
        });
        match (self.up.state, self.down.state) {
            (State::Ended, _) if self.down.unheard => return Ok(Some(Ending::ClientLeft)),
            (State::Ended, State::Ended) => return Ok(Some(self.closed())),
            (_, State::Ended) if self.up.unheard && self.lingers_until.is_none() => {
                self.lingers_until = Some(Instant::now() + LINGER);
            }
            _ => {}
        }
        Ok(None)
    }

    fn closed(&self) -> Ending {
        match self.first {
            _ if self.down.cut => Ending::BackendCut,
            Some(first) if !self.up.unheard => first,
            _ => Ending::BackendClosed,
        }
    }
}

impl Way {
    /// Moves what can be moved now.
    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Side<R>,
        sink: &mut W,
    ) -> Result<(), Broken>
    where
        R: AsyncRead + Unpin,
        W: CutOff + Unpin,
    {
        while self.state != State::Ended {
            if self.unheard {
                source.input.consume(source.input.filled().len());
            }
            if !source.input.is_empty() {
                match self.poll_write(context, source, sink) {
                    Poll::Ready(written) => self.unless_unheard(written)?,
                    Poll::Pending => break,
                }
                continue;
            }
            if self.unflushed {
                match Pin::new(&mut *sink).poll_flush(context) {
                    Poll::Ready(flushed) => {
                        self.unflushed = false;
                        self.unless_unheard(flushed)?;
                    }
                    // It must not keep us from reading what comes meanwhile.
                    Poll::Pending => {}
                }
            }
            if self.state == State::Ending {
                match self.poll_end(context, sink) {
                    Poll::Ready(ended) => self.unless_unheard(ended)?,
                    Poll::Pending => break,
                }
                self.state = State::Ended;
                continue;
            }
            match poll_read(context, source) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    (self.state, self.cut) = (State::Ending, true);
                }
                Poll::Ready(Err(_)) => return Err(Broken::Source),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// A sink is told to be a broken pipe when its peer had said that it is done before it left: what
    /// it had said is still good, to its last byte. After a reset in place of an end nothing is.
    fn unless_unheard(&mut self, written: io::Result<()>) -> Result<(), Broken> {
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                (self.unheard, self.unflushed) = (true, false);
                Ok(())
            }
            Err(_) => Err(Broken::Sink),
        }
    }

    /// An end without TLS's close_notify is an end all the same: many clients just close, some only
    /// their sending side, and a reset in its place could throw away what they sent before. It is
    /// passed on as what it is, so that whoever has TLS on the other side can tell a truncation.
    fn poll_end<W: CutOff + Unpin>(
        &self,
        context: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<io::Result<()>> {
        match self.cut {
            _ if self.unheard => Poll::Ready(Ok(())),
            true => Pin::new(sink).poll_cut_off(context),
            false => Pin::new(sink).poll_shutdown(context),
        }
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

    impl CutOff for DuplexStream {
        fn poll_cut_off(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_shutdown(context)
        }
    }

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
        /// What was told while it went on adds up to what is told at its end.
        async fn relay(&mut self) -> Relayed {
            let mut sum = Moved { up: 0, down: 0 };
            let tell =
                |moved: Moved| (sum.up, sum.down) = (sum.up + moved.up, sum.down + moved.down);
            let sides = (&mut self.client, &mut self.backend);
            let relayed = relay(sides.0, sides.1, &mut self.timer, IDLE, tell).await;
            assert_eq!((sum.up, sum.down), (relayed.up, relayed.down));
            relayed
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
        assert_eq!(relayed, Relayed { up: 3, down: 300_000, end: Ending::ClientClosed });
    }

    #[tokio::test]
    async fn who_is_done_first_is_told() {
        let (mut joined, mut client, mut backend) = joined();
        let talk = async {
            backend.write_all(b"bye").await.unwrap();
            backend.shutdown().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(heard, b"bye");
        };
        let (relayed, ()) = tokio::join!(joined.relay(), talk);
        assert_eq!(relayed, Relayed { up: 0, down: 3, end: Ending::BackendClosed });
    }

    #[tokio::test]
    async fn a_quiet_relay_holds_no_memory() {
        let (mut joined, mut client, mut backend) = joined();
        let talk = async {
            client.write_all(b"ask").await.unwrap();
            let mut asked = [0; 3];
            backend.read_exact(&mut asked).await.unwrap();
        };
        tokio::select! {
            _ = async { tokio::join!(joined.relay(), std::future::pending::<()>()) } => {}
            () = talk => {}
        }
        assert_eq!((joined.client.input.capacity(), joined.backend.input.capacity()), (0, 0));
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
        assert_eq!(relayed, Relayed { up: 3, down: 0, end: Ending::ClientClosed });
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

    #[tokio::test(start_paused = true)]
    async fn what_a_backend_said_before_it_left_is_heard_to_its_end() {
        for client_closes in [true, false] {
            let (mut joined, mut client, mut backend) = joined();
            backend.write_all(&[7; 900]).await.unwrap();
            drop(backend);
            client.write_all(b"to nobody").await.unwrap();
            let begun = Instant::now();
            let talk = async {
                let mut heard = Vec::new();
                client.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, [7; 900]);
                client.write_all(&[8; 5000]).await.unwrap();
                if client_closes {
                    client.shutdown().await.unwrap();
                }
            };
            let (relayed, ()) = tokio::join!(joined.relay(), talk);
            assert_eq!(relayed, Relayed { up: 0, down: 900, end: Ending::BackendClosed });
            assert_eq!(begun.elapsed() >= LINGER, !client_closes);
        }
    }

    #[tokio::test]
    async fn what_a_client_said_before_it_left_is_heard_to_its_end() {
        let (mut joined, mut client, mut backend) = joined();
        client.write_all(&[7; 900]).await.unwrap();
        drop(client);
        backend.write_all(b"to nobody").await.unwrap();
        let talk = async {
            let mut heard = Vec::new();
            backend.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, [7; 900]);
        };
        let (relayed, ()) = tokio::join!(joined.relay(), talk);
        assert_eq!(relayed, Relayed { up: 900, down: 0, end: Ending::ClientLeft });
    }
}
