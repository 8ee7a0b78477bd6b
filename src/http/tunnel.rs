//! The story of a tunnel: bytes both ways on a connection, or a stream, that began with HTTP and goes
//! on with another protocol (`upgrade` says when).
//!
//! The request ended with its answer. What is left holds nothing of a snapshot: a tunnel may outlive
//! many, its route and its pool.

use std::{sync::Arc, thread, time::Duration};

use tokio::time::Instant;

use crate::{
    http::{
        downstream::{Downstream, EndsBy},
        h2::tunnel::TunnelStream,
        local::Local,
        record::Kept,
    },
    net::{
        buffer::Buffer,
        relay::{Ending, Moved, relay},
        side::Side,
        stream::Stream,
        timer::Timer,
    },
    observe::{metrics::PoolMetrics, reason::Reason},
    pool::{backend::Backend, place::Held},
};

/// A backend that has agreed, and what is owed to it.
pub struct Tunnel {
    pub side: Side<Stream>,
    pub backend: Arc<Backend>,
    pub held: Held,
    pub idle: Duration,
    pub metrics: Arc<PoolMetrics>,
    pub record: Kept,
}

impl Tunnel {
    /// Passes bytes until both sides are done or nothing has moved for `idle`, and tells of it. What
    /// either has sent already goes first.
    pub async fn run(self, client: Downstream<'_>, local: &Local) -> Ending {
        self.metrics.tunnel_opened(local.slot);
        let mut open = Open { tunnel: self, client, local, ending: None };
        let ending = open.relay().await;
        open.ending = Some(ending);
        ending
    }
}

/// A tunnel whose client is there as well. It is dropped before it has ended at the drain's deadline
/// alone.
struct Open<'a> {
    tunnel: Tunnel,
    client: Downstream<'a>,
    local: &'a Local,
    ending: Option<Ending>,
}

impl Open<'_> {
    async fn relay(&mut self) -> Ending {
        let Open { tunnel, client, local, .. } = self;
        let Tunnel { side, backend, idle, record, .. } = tunnel;
        let tell = |moved: Moved| {
            backend.metrics().relayed(local.slot, moved.up, moved.down);
            record.relayed(moved);
        };
        match client {
            Downstream::H1(client) => {
                relay(&mut client.side, side, &mut client.timer, *idle, tell).await.end
            }
            Downstream::H2(stream) => {
                let input = Buffer::new(local.buffers.clone());
                let mut client = Side { stream: TunnelStream::new(stream), input };
                let mut timer = Timer::new(Instant::now() + *idle);
                relay(&mut client, side, &mut timer, *idle, tell).await.end
            }
        }
    }

    /// Why it broke off; `None`: it did not.
    fn reason(&self) -> Option<Reason> {
        match self.ending {
            // Most protocols of a tunnel say their end themselves: a cut is left to those who speak.
            Some(Ending::ClientClosed | Ending::BackendClosed | Ending::BackendCut) => None,
            Some(Ending::Idle) => Some(Reason::TunnelIdle),
            Some(Ending::ClientLeft | Ending::ClientBroke) => Some(Reason::ClientGone),
            Some(Ending::BackendBroke) => Some(Reason::UpstreamTruncated),
            None => Some(Reason::DrainTimeout),
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.tunnel.metrics.tunnel_closed(self.local.slot);
        let reason = self.reason();
        if self.ending.is_none_or(Ending::is_cut) {
            // Where a socket is broken already, its peer can tell as well.
            self.client.cut(EndsBy::Close);
            let _ = self.tunnel.side.stream.tcp().set_zero_linger();
        }
        // A mistake of our own has no line: there is no reason to give.
        if !thread::panicking() {
            self.tunnel.record.finish(reason, self.local);
        }
    }
}
