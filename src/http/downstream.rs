//! The client's end of one exchange, whichever version of HTTP it speaks.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use ::h2::Reason;
use tokio::time::Instant;

use crate::{
    http::{
        h1::{
            client::{Client, NoRequest},
            collecting::Collecting,
        },
        h2::client::ClientStream,
    },
    net::timer::Timer,
};

/// A connection that is all this request's for a while, or one stream among others.
pub enum Downstream<'a> {
    H1(&'a mut Client),
    H2(&'a mut ClientStream),
}

impl Downstream<'_> {
    pub fn timer(&mut self) -> &mut Timer {
        match self {
            Downstream::H1(client) => &mut client.timer,
            Downstream::H2(stream) => &mut stream.timer,
        }
    }

    /// The host name that the client asked a certificate for.
    pub fn sni(&self) -> Option<&str> {
        match self {
            Downstream::H1(client) => client.side.stream.sni(),
            Downstream::H2(stream) => stream.sni.as_deref(),
        }
    }

    /// Where the client connected to, where this connection is the request's alone.
    pub fn destination(&self) -> Option<SocketAddr> {
        match self {
            Downstream::H1(client) => client.side.stream.tcp().local_addr().ok(),
            Downstream::H2(_) => None,
        }
    }

    /// What of the request's body has been read.
    pub fn at_hand(&self) -> &[u8] {
        match self {
            Downstream::H1(client) => client.at_hand(),
            Downstream::H2(stream) => &stream.at_hand,
        }
    }

    /// The trailer lines behind what has been read of it.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Downstream::H1(_) => &[],
            Downstream::H2(stream) => &stream.trailers,
        }
    }

    /// Whether all of a body of `length` is at hand, and what ends it.
    pub fn has_body(&self, length: usize) -> bool {
        match self {
            Downstream::H1(client) => client.side.input.filled().len() >= length,
            Downstream::H2(stream) => stream.has_body(length),
        }
    }

    /// So many bytes of the body are done with.
    pub fn consume(&mut self, count: usize) {
        match self {
            Downstream::H1(client) => client.consume(count),
            Downstream::H2(stream) => stream.at_hand.clear(),
        }
    }

    /// Reads until `length` bytes of the body are at hand; `whole` is when the time for the whole
    /// exchange runs out.
    pub async fn read_body(
        &mut self,
        length: usize,
        idle: Duration,
        whole: Option<Instant>,
    ) -> Result<(), NoRequest> {
        match self {
            Downstream::H1(client) => client.read_body(length, idle, whole).await,
            Downstream::H2(stream) => stream.read_body(length, idle, whole).await,
        }
    }

    /// Reads a body to its end, and keeps all of it: how many bytes it has.
    pub async fn collect_body(&mut self, how: Collecting) -> Result<usize, NoRequest> {
        match self {
            Downstream::H1(client) => client.collect_body(how).await,
            Downstream::H2(stream) => stream.collect_body(how).await,
        }
    }

    /// A body that was collected so is needed no more.
    pub fn free_collected(&mut self) {
        match self {
            Downstream::H1(client) => client.free_collected(),
            Downstream::H2(stream) => stream.free_collected(),
        }
    }

    /// The length of a body that was collected so.
    pub fn collected(&self) -> Option<usize> {
        match self {
            Downstream::H1(client) => client.collected(),
            Downstream::H2(stream) => stream.collected(),
        }
    }

    /// Sends an interim head, as HTTP/1 writes it.
    pub async fn inform(&mut self, head: Vec<u8>, timeout: Duration) -> io::Result<()> {
        match self {
            Downstream::H1(client) => client.write(&head, timeout).await,
            Downstream::H2(stream) => stream.inform(head),
        }
    }

    /// Sends the head after which the connection, or the stream, is a tunnel.
    pub async fn open_tunnel(&mut self, head: Vec<u8>, timeout: Duration) -> io::Result<()> {
        match self {
            Downstream::H1(client) => client.write(&head, timeout).await,
            Downstream::H2(stream) => stream.open(head, false),
        }
    }

    /// Sends a whole answer of our own, as HTTP/1 writes it.
    pub async fn write(&mut self, message: &[u8], timeout: Duration) -> io::Result<()> {
        match self {
            Downstream::H1(client) => client.write(message, timeout).await,
            Downstream::H2(stream) => stream.write(message, timeout).await,
        }
    }

    /// Ready when the client has gone.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Downstream::H1(client) => client.poll_gone(context),
            Downstream::H2(stream) => stream.poll_gone(context),
        }
    }

    /// Waits for `future` until `deadline`, as long as the client stays.
    pub async fn unless_gone<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Result<T, GivenUp> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if self.poll_gone(context).is_ready() {
                return Poll::Ready(Err(GivenUp::ClientGone));
            }
            self.timer().poll(context, deadline).map(|()| Err(GivenUp::Late))
        })
        .await
    }

    /// The request itself is malformed. HTTP/2 has a word for that, which answers it (RFC 9113,
    /// section 8.1.1); in HTTP/1 it is answered in words. Whether it has been answered.
    pub fn protocol_error(&mut self) -> bool {
        match self {
            Downstream::H1(_) => false,
            Downstream::H2(stream) => {
                stream.reset(Reason::PROTOCOL_ERROR);
                true
            }
        }
    }

    /// The answer breaks off, where its end would else look like a clean one: `by_end`, the end of
    /// the connection is the end of the body.
    pub fn cut(&mut self, by_end: EndsBy) {
        match self {
            Downstream::H1(client) if by_end == EndsBy::Close => {
                // A FIN would be this body's clean end: a reset tells it apart. Where the socket is
                // broken already, the client can tell as well.
                let _ = client.side.stream.tcp().set_zero_linger();
            }
            Downstream::H1(_) => {}
            Downstream::H2(stream) => stream.reset(Reason::INTERNAL_ERROR),
        }
    }
}

/// Why something was not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    ClientGone,
    Late,
}

/// What tells a client that the body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsBy {
    /// A length, a last chunk, a flag.
    Framing,
    /// The end of the connection.
    Close,
}
