//! The connection on which a backend is asked: one that is at hand, or a new one.

use crate::{
    config::Protocol,
    http::{
        exchange::NoAnswer,
        fastcgi::{self, stderr::Stderr},
        h1,
        h2::upstream::UpstreamStream,
        local::Local,
        refusal,
        refusal::Refusal,
        upstream::Upstream,
    },
    net::{
        clock,
        proxy_protocol::Announcement,
        stream::Stream,
        tls::{Alpn, Cause},
    },
    pool::{
        dial::{Dial, DialError, dial},
        local::LocalPool,
        members::Member,
        retry::Reached,
    },
};

/// A connection that has been idle, of those that carry one request at a time.
pub fn idle(
    pool: &LocalPool,
    index: usize,
    announced: Option<Announcement>,
    local: &Local,
) -> Option<Upstream> {
    if pool.pool.config.protocol == Protocol::H2 {
        return None;
    }
    let stream = pool.idle(index).take(clock::lately().into_std(), announced)?;
    Some(reused(stream, pool, index, local))
}

/// The same, of one that was in use a moment ago.
pub fn just_used(
    pool: &LocalPool,
    index: usize,
    announced: Option<Announcement>,
    local: &Local,
) -> Option<Upstream> {
    if pool.pool.config.protocol == Protocol::H2 {
        return None;
    }
    let stream = pool.idle(index).take_just_used(clock::lately().into_std(), announced)?;
    Some(reused(stream, pool, index, local))
}

fn reused(stream: Stream, pool: &LocalPool, index: usize, local: &Local) -> Upstream {
    pool.member(index).backend.metrics().connection_reused(local.slot);
    alone(stream, pool, index, local, Used::Again)
}

/// A new connection; in HTTP/2, where nothing is announced, room on one that is open, or on
/// a new one. It has no deadline of its own.
pub async fn open(
    pool: &LocalPool,
    index: usize,
    announced: Option<Announcement>,
    local: &Local,
) -> Result<Upstream, DialError> {
    match pool.pool.config.protocol {
        Protocol::Http1 | Protocol::Fastcgi => open_alone(pool, index, announced, local).await,
        Protocol::H2 => open_h2(pool, index, local).await,
    }
}

/// One that is the request's alone.
async fn open_alone(
    pool: &LocalPool,
    index: usize,
    announced: Option<Announcement>,
    local: &Local,
) -> Result<Upstream, DialError> {
    let member = pool.member(index);
    let backend = &member.backend;
    let alpn = match pool.pool.config.protocol {
        Protocol::Http1 | Protocol::H2 => Alpn::Http1,
        Protocol::Fastcgi => Alpn::Silent,
    };
    let how = Dial::new(&pool.pool, member, alpn, local.slot);
    let how = Dial { announced, ..how };
    let stream = dial(&how).await?;
    backend.metrics().connection_opened(local.slot);
    Ok(alone(stream, pool, index, local, Used::First))
}

/// Whether a connection has carried a request before.
#[derive(Clone, Copy, PartialEq)]
enum Used {
    First,
    Again,
}

fn alone(stream: Stream, pool: &LocalPool, index: usize, local: &Local, used: Used) -> Upstream {
    let (again, buffers) = (used == Used::Again, &local.buffers);
    match pool.pool.config.protocol {
        Protocol::Http1 | Protocol::H2 => {
            Upstream::H1(h1::upstream::Upstream::new(stream, again, buffers))
        }
        Protocol::Fastcgi => {
            let stderr = Stderr::new(pool.member(index).backend.clone(), local.slot);
            let upstream = fastcgi::upstream::Upstream::new(stream, again, stderr, buffers);
            Upstream::Fastcgi(Box::new(upstream))
        }
    }
}

async fn open_h2(pool: &LocalPool, index: usize, local: &Local) -> Result<Upstream, DialError> {
    let member = pool.member(index);
    let backend = &member.backend;
    let how = Dial::new(&pool.pool, member, Alpn::Http2, local.slot);
    let lease = pool.multiplexed(index).lease(&how).await?;
    match lease.is_reused() {
        true => backend.metrics().connection_reused(local.slot),
        false => backend.metrics().connection_opened(local.slot),
    }
    Ok(Upstream::H2(UpstreamStream::new(lease)))
}

/// Why there is no connection.
pub enum Unconnected {
    Dial(DialError),
    /// Not within the time that is allowed for it.
    Late,
}

impl Unconnected {
    /// What it is to the request. It is counted, and told in the log where that says more.
    pub fn told(self, member: &Member, slot: usize) -> NoAnswer {
        let backend = &member.backend;
        backend.metrics().connect_failed(slot);
        if let Unconnected::Dial(error) = &self {
            error.log(backend);
        }
        NoAnswer::Upstream { refusal: self.refusal(), reached: Reached::Nothing }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Unconnected::Late => refusal::CONNECT_TIMEOUT,
            Unconnected::Dial(DialError::Connect(_)) => refusal::CONNECT_FAILED,
            Unconnected::Dial(DialError::Handshake(error)) => match error.cause {
                Cause::Name => refusal::UPSTREAM_NAME,
                Cause::Issuer => refusal::UPSTREAM_ISSUER,
                Cause::Expired => refusal::UPSTREAM_EXPIRED,
                Cause::Certificate => refusal::UPSTREAM_CERTIFICATE,
                Cause::OurCertificate => refusal::UPSTREAM_REFUSES_OURS,
                Cause::Missing | Cause::Protocol => refusal::UPSTREAM_HANDSHAKE,
            },
        }
    }
}
