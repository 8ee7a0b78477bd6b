//! The connection from a client, before it is joined with a backend's.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    net::{
        buffer::{Buffer, Buffers},
        client_hello::{Malformed, Reader, Reading},
        side::Side,
        stream::Stream,
        timer::{Elapsed, Timer},
    },
    observe::metrics::Refusal,
};

/// What a TLS client is told whose name leads nowhere: unrecognized_name, fatal (RFC 6066, section
/// 3; RFC 8446, section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// One connection from a client. What it says meanwhile is kept, up to what the buffer holds.
pub struct Client {
    pub side: Side<Stream>,
    pub timer: Timer,
    /// It has said that it is done; what it said still counts.
    done: bool,
}

/// Why something was not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    ClientBroke,
    Late,
}

impl Client {
    /// `patience` is how long the next wait may take.
    pub fn new(stream: Stream, buffers: &Rc<Buffers>, patience: Duration) -> Client {
        let side = Side { stream, input: Buffer::new(buffers.clone()) };
        Client { side, timer: Timer::new(Instant::now() + patience), done: false }
    }

    /// The name that a TLS client asks for; `None`: for none, or it speaks no TLS. All that was read
    /// is kept, to be passed on.
    pub async fn name(&mut self, patience: Duration) -> Result<Option<String>, Refusal> {
        let deadline = Instant::now() + patience;
        let (side, mut reader) = (&mut self.side, Reader::default());
        let name = poll_fn(|context| poll_name(side, &mut reader, context));
        let read = self.timer.within(deadline, name);
        match read.await {
            Ok(name) => name,
            Err(Elapsed) => Err(Refusal::HelloTimeout),
        }
    }

    /// Tells a TLS client why it is sent away, as far as the socket takes it at once.
    pub fn refuse_name(&self) {
        if self.side.input.filled().first() == Some(&22) {
            // Whatever comes of it, the connection is over.
            let _ = self.side.stream.tcp().try_write(&UNRECOGNIZED_NAME);
        }
    }

    /// Waits for `future` until `deadline`, as long as the connection holds. A client that is done
    /// may still wait for what it is answered.
    pub async fn unless_broken<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Result<T, GivenUp> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if self.poll_broken(context).is_ready() {
                return Poll::Ready(Err(GivenUp::ClientBroke));
            }
            self.timer.poll(context, deadline).map(|()| Err(GivenUp::Late))
        })
        .await
    }

    fn poll_broken(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.done && !self.side.input.is_full() {
            match self.side.poll_fill_lazily(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => self.done = true,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.done = true;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}

fn poll_name(
    side: &mut Side<Stream>,
    reader: &mut Reader,
    context: &mut Context<'_>,
) -> Poll<Result<Option<String>, Refusal>> {
    loop {
        match reader.read(side.input.filled()) {
            Ok(Reading::Hello(name)) => return Poll::Ready(Ok(name)),
            Ok(Reading::Other) => return Poll::Ready(Ok(None)),
            Ok(Reading::More) => {}
            Err(Malformed) => return Poll::Ready(Err(Refusal::BadHello)),
        }
        if side.input.is_full() {
            return Poll::Ready(Err(Refusal::BadHello));
        }
        match side.poll_fill_lazily(context) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Refusal::BadHello)),
            Poll::Pending => return Poll::Pending,
        }
    }
}
