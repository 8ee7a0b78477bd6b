//! One direction of an exchange: a head and the body behind it, from one side to the other.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::message::lent::Lent;

use super::{
    coding::Coding,
    downstream::Downstream,
    fastcgi::record,
    h1::{
        body::{Body, Framing},
        pump::{Pump, Stopped, Waiting},
    },
    transfer::{Content, Encoded, Sink, Source, Transfer},
    upstream::Upstream,
};

/// How a message passes.
pub enum Passage {
    /// Between two connections of HTTP/1, or one and FastCGI, which copies least.
    Lines(Pump),
    /// With HTTP/2 at one end or at both, or encoded on its way.
    Frames(Box<Transfer>),
}

impl Passage {
    /// A request of which every byte is at hand.
    pub fn of_request_at_hand(
        head: Lent<u8>,
        body: &[u8],
        client: &Downstream<'_>,
        upstream: &Upstream,
    ) -> Passage {
        let mut head = head;
        if let Upstream::Fastcgi(_) = upstream {
            record::stdin(&mut head, body);
            record::end_stdin(&mut head);
        }
        match (client, upstream) {
            (_, Upstream::H2(_)) => {
                let (bytes, trailers) = (Bytes::copy_from_slice(body), client.trailers().to_vec());
                let content = Content::AtHand { bytes, trailers };
                Passage::frames(head, content, Coding::Identity)
            }
            (Downstream::H2(_), Upstream::H1(_) | Upstream::Fastcgi(_)) => {
                if let Upstream::H1(_) = upstream {
                    head.extend_from_slice(body);
                }
                // Behind a told length HTTP/1 has no room for trailers.
                let content = Content::AtHand { bytes: Bytes::new(), trailers: Vec::new() };
                Passage::frames(head, content, Coding::Identity)
            }
            (Downstream::H1(_), Upstream::H1(_) | Upstream::Fastcgi(_)) => {
                if let Upstream::H1(_) = upstream {
                    head.extend_from_slice(body);
                }
                let nothing = Body::new(Framing::Empty, 0);
                Passage::Lines(Pump::new(head, nothing, Coding::Identity))
            }
        }
    }

    /// A request whose body follows, at most `limit` bytes of it.
    pub fn of_request(
        head: Lent<u8>,
        framing: Framing,
        limit: u64,
        client: &Downstream<'_>,
        upstream: &Upstream,
    ) -> Passage {
        let coding = match upstream {
            Upstream::H1(_) | Upstream::H2(_) => coding(framing),
            Upstream::Fastcgi(_) => Coding::Records,
        };
        match (client, upstream) {
            (Downstream::H1(_), Upstream::H1(_) | Upstream::Fastcgi(_)) => {
                Passage::Lines(Pump::new(head, Body::new(framing, limit), coding))
            }
            (Downstream::H1(_), Upstream::H2(_)) => {
                Passage::frames(head, Content::Lines(Body::new(framing, limit)), coding)
            }
            (Downstream::H2(_), _) => {
                Passage::frames(head, Content::Frames { left: limit }, coding)
            }
        }
    }

    /// An answer. `from` is how the backend frames its body, `to` how the client gets it.
    pub fn of_answer(
        head: Lent<u8>,
        from: Framing,
        to: Framing,
        client: &Downstream<'_>,
        upstream: &Upstream,
    ) -> Passage {
        let coding = coding(to);
        match (client, upstream) {
            (Downstream::H1(_), Upstream::H1(_) | Upstream::Fastcgi(_)) => {
                Passage::Lines(Pump::new(head, Body::of_answer(from), coding))
            }
            (Downstream::H2(_), Upstream::H1(_) | Upstream::Fastcgi(_)) => {
                Passage::frames(head, Content::Lines(Body::of_answer(from)), coding)
            }
            (_, Upstream::H2(_)) => {
                // The library lets DATA through behind a 204 or a 304, where an HTTP/1 client would
                // read it as the next answer.
                let left = if from == Framing::Empty { 0 } else { u64::MAX };
                Passage::frames(head, Content::Frames { left }, coding)
            }
        }
    }

    /// An answer whose body is encoded on its way: from HTTP/1 to HTTP/1 as well, as it is not written
    /// from where it was read.
    pub fn of_encoded_answer(
        head: Lent<u8>,
        encoded: Box<Encoded>,
        from: Framing,
        to: Framing,
        upstream: &Upstream,
    ) -> Passage {
        let content = match upstream {
            Upstream::H1(_) | Upstream::Fastcgi(_) => Content::Lines(Body::of_answer(from)),
            Upstream::H2(_) => Content::Frames { left: u64::MAX },
        };
        let transfer = Transfer::new(head.kept(), content, coding(to)).encoding(encoded);
        Passage::Frames(Box::new(transfer))
    }

    fn frames(head: Lent<u8>, content: Content, coding: Coding) -> Passage {
        Passage::Frames(Box::new(Transfer::new(head.kept(), content, coding)))
    }

    /// What is long may pass by our memory, where both ends are plain HTTP/1.
    pub fn allow_splicing(&mut self) {
        match self {
            Passage::Lines(pump) => pump.allow_splicing(),
            Passage::Frames(_) => {}
        }
    }

    /// Bytes of the body that did.
    pub fn spliced(&self) -> u64 {
        match self {
            Passage::Lines(pump) => pump.spliced(),
            Passage::Frames(_) => 0,
        }
    }

    /// Moves what can be moved of a request.
    pub fn poll_up(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Downstream<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Stopped>> {
        match (self, client, upstream) {
            (Passage::Lines(pump), Downstream::H1(client), Upstream::H1(upstream)) => {
                pump.poll(context, &mut client.side, &mut upstream.side.stream)
            }
            (Passage::Lines(pump), Downstream::H1(client), Upstream::Fastcgi(upstream)) => {
                pump.poll(context, &mut client.side, &mut upstream.side.stream.stream)
            }
            (Passage::Lines(_), ..) => unreachable!("lines pass where neither end has frames"),
            (Passage::Frames(transfer), client, upstream) => {
                let mut source = match client {
                    Downstream::H1(client) => Source::H1(&mut client.side),
                    Downstream::H2(stream) => Source::Client(stream),
                };
                let mut sink = match upstream {
                    Upstream::H1(upstream) => Sink::H1(&mut upstream.side.stream),
                    Upstream::H2(stream) => Sink::Backend(stream),
                    Upstream::Fastcgi(upstream) => Sink::H1(&mut upstream.side.stream.stream),
                };
                transfer.poll(context, &mut source, &mut sink)
            }
        }
    }

    /// Moves what can be moved of an answer.
    pub fn poll_down(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Downstream<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Stopped>> {
        match (self, client, upstream) {
            (Passage::Lines(pump), Downstream::H1(client), Upstream::H1(upstream)) => {
                pump.poll(context, &mut upstream.side, &mut client.side.stream)
            }
            (Passage::Lines(pump), Downstream::H1(client), Upstream::Fastcgi(upstream)) => {
                pump.poll(context, &mut upstream.side, &mut client.side.stream)
            }
            (Passage::Lines(_), ..) => unreachable!("lines pass where neither end has frames"),
            (Passage::Frames(transfer), client, upstream) => {
                let mut source = match upstream {
                    Upstream::H1(upstream) => Source::H1(&mut upstream.side),
                    Upstream::H2(stream) => Source::Backend(stream),
                    Upstream::Fastcgi(upstream) => Source::Script(&mut upstream.side),
                };
                let mut sink = match client {
                    Downstream::H1(client) => Sink::H1(&mut client.side.stream),
                    Downstream::H2(stream) => Sink::Client(stream),
                };
                transfer.poll(context, &mut source, &mut sink)
            }
        }
    }

    /// Gives back the memory of what has been written.
    pub fn free(&mut self) {
        match self {
            Passage::Lines(pump) => pump.free(),
            Passage::Frames(transfer) => transfer.free(),
        }
    }

    pub fn waiting(&self) -> Waiting {
        match self {
            Passage::Lines(pump) => pump.waiting(),
            Passage::Frames(transfer) => transfer.waiting(),
        }
    }

    /// Bytes of the body moved so far, without framing.
    pub fn moved(&self) -> u64 {
        match self {
            Passage::Lines(pump) => pump.moved(),
            Passage::Frames(transfer) => transfer.moved(),
        }
    }

    /// Bytes of the body as they came, where it is encoded on its way.
    pub fn taken(&self) -> u64 {
        match self {
            Passage::Lines(_) => 0,
            Passage::Frames(transfer) => transfer.taken(),
        }
    }

    /// Grows with everything that is read or written.
    pub fn stirred(&self) -> u64 {
        match self {
            Passage::Lines(pump) => pump.stirred(),
            Passage::Frames(transfer) => transfer.stirred(),
        }
    }

    /// Whether the source still has all of the body: not a byte was taken, of its framing neither.
    pub fn is_untouched(&self) -> bool {
        match self {
            Passage::Lines(pump) => pump.is_untouched(),
            Passage::Frames(transfer) => transfer.is_untouched(),
        }
    }

    /// Whether anything has gone out.
    pub fn has_begun(&self) -> bool {
        match self {
            Passage::Lines(pump) => pump.has_begun(),
            Passage::Frames(transfer) => transfer.has_begun(),
        }
    }
}

fn coding(framing: Framing) -> Coding {
    if framing == Framing::Chunked { Coding::Chunked } else { Coding::Identity }
}
