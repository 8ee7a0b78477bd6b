//! The way of a connection to a backend: a place there, and the connection to it; and to another
//! while nothing has been said yet.

use std::{rc::Rc, sync::Arc};

use tokio::time::Instant;

use crate::{
    net::{
        ends::Ends,
        proxy_protocol::Announcement,
        stream::Stream,
        tls::{Alpn, Cause},
    },
    observe::reason::Reason,
    pool::{
        backend::Backend,
        balance::{Ask, consistent_hash::connection_key},
        dial::{Dial, DialError, dial},
        local::LocalPool,
        place::{Held, NoPlace},
        queue::Waiting,
        retry::{FailedTry, Reached},
    },
    tcp::{
        client::{Client, GivenUp},
        record::Record,
    },
};

/// Nothing has been said, by either side.
const NOTHING_SAID: FailedTry =
    FailedTry { reached: Reached::Nothing, idempotent: false, replayable: true, has_body: false };

/// Where a connection is tried, and where it was.
pub struct Course {
    pool: Rc<LocalPool>,
    /// Members of the pool.
    tried: Vec<usize>,
    /// Of a consistent hash.
    key: Option<u64>,
    /// To the backend.
    announced: Option<Announcement>,
    /// Of the worker.
    slot: usize,
}

/// A backend that was reached, and what is owed to it.
pub struct Reach {
    pub stream: Stream,
    pub held: Held,
}

impl Course {
    /// Of a client that has come on `stream`.
    pub fn new(pool: Rc<LocalPool>, ends: &Ends, stream: &Stream, slot: usize) -> Course {
        let config = &pool.pool.config;
        let source = ends.peer.ip().to_canonical();
        let key = config.hash.as_ref().and_then(|by| connection_key(by, source));
        let socket = || stream.tcp().local_addr().ok();
        let announced = config.proxy_protocol.map(|version| ends.announcement(version, socket));
        Course { pool, tried: Vec::new(), key, announced, slot }
    }

    /// Tries backends until one is reached or none may be tried any more.
    pub async fn reach(
        mut self,
        client: &mut Client,
        record: &mut Record,
    ) -> Result<Reach, Reason> {
        self.pool.count_request();
        loop {
            let (index, held) = self.place(client, record).await?;
            self.tried.push(index);
            record.attempts += 1;
            record.backend = Some(self.pool.member(index).backend.clone());
            match self.connect(index, client, record).await {
                Ok(stream) => return Ok(Reach { stream, held }),
                Err(Reason::ClientGone) => return Err(Reason::ClientGone),
                Err(reason) => {
                    self.pool.failed(index);
                    if !self.pool.may_try_again(NOTHING_SAID, &self.tried, self.slot) {
                        return Err(reason);
                    }
                }
            }
        }
    }

    async fn connect(
        &self,
        index: usize,
        client: &mut Client,
        record: &mut Record,
    ) -> Result<Stream, Reason> {
        let member = self.pool.member(index);
        let backend: &Arc<Backend> = &member.backend;
        let how = Dial::new(&self.pool.pool, member, Alpn::Silent, self.slot);
        let how = Dial { announced: self.announced, ..how };
        let begun = Instant::now();
        let deadline = begun + self.pool.pool.config.timeouts.connect;
        let connected = client.unless_broken(deadline, dial(&how)).await;
        let took = begun.elapsed();
        record.connect = Some(took);
        let reason = match connected {
            Ok(Ok(stream)) => {
                backend.metrics().connection_opened(self.slot);
                backend.metrics().requested(self.slot);
                self.pool.answered(index, took);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                error.log(backend);
                no_connection(&error)
            }
            Err(GivenUp::Late) => Reason::ConnectTimeout,
            Err(GivenUp::ClientBroke) => return Err(Reason::ClientGone),
        };
        backend.metrics().connect_failed(self.slot);
        Err(reason)
    }

    async fn place(
        &mut self,
        client: &mut Client,
        record: &mut Record,
    ) -> Result<(usize, Held), Reason> {
        match self.place_now() {
            Ok(placed) => Ok(placed),
            // Boxed: every connection would carry its memory, and few ever wait.
            Err(why) => Box::pin(self.place_later(client, record, why)).await,
        }
    }

    fn place_now(&self) -> Result<(usize, Held), NoPlace> {
        let placed = self.pool.place(&self.ask());
        placed.map(|(index, in_flight)| (index, in_flight.keep()))
    }

    async fn place_later(
        &mut self,
        client: &mut Client,
        record: &mut Record,
        mut why: NoPlace,
    ) -> Result<(usize, Held), Reason> {
        loop {
            match why {
                NoPlace::NoneUp => return Err(self.none_up()),
                NoPlace::Full => {
                    if let Some(placed) = self.queue(client, record).await? {
                        return Ok(placed);
                    }
                }
                NoPlace::Undecided => self.await_first_probes(client, record).await?,
            }
            match self.place_now() {
                Ok(placed) => return Ok(placed),
                Err(none) => why = none,
            }
        }
    }

    /// Waits until somebody is up or nobody will be, for no longer than one may wait for a place.
    async fn await_first_probes(
        &mut self,
        client: &mut Client,
        record: &mut Record,
    ) -> Result<(), Reason> {
        let begun = Instant::now();
        let waited_before = record.queued.unwrap_or_default();
        let deadline = begun + self.pool.pool.config.queue.timeout.saturating_sub(waited_before);
        let decided = client.unless_broken(deadline, self.pool.decided()).await;
        record.queued = Some(waited_before + begun.elapsed());
        match decided {
            Ok(next) => {
                self.tried = self.pool.pool.counted_by(&next.pool, &self.tried);
                self.pool = next;
                Ok(())
            }
            Err(GivenUp::ClientBroke) => Err(Reason::ClientGone),
            Err(GivenUp::Late) => Err(self.none_up()),
        }
    }

    fn ask(&self) -> Ask<'_> {
        Ask::after(&self.tried).with_key(self.key)
    }

    fn none_up(&self) -> Reason {
        self.pool.pool.metrics.no_backend(self.slot);
        Reason::NoBackend
    }

    /// Waits for a place behind others, for no longer than the pool allows one connection in all.
    /// `None`: there is another thing to wait for.
    async fn queue(
        &mut self,
        client: &mut Client,
        record: &mut Record,
    ) -> Result<Option<(usize, Held)>, Reason> {
        let pool = self.pool.pool.clone();
        let Ok(waiting) = self.pool.join_queue(&self.ask()) else {
            pool.metrics.queue_full(self.slot);
            return Err(Reason::QueueFull);
        };
        let begun = Instant::now();
        let waited_before = record.queued.unwrap_or_default();
        let deadline = begun + pool.config.queue.timeout.saturating_sub(waited_before);
        let placed = self.wait(client, waiting, deadline).await;
        record.queued = Some(waited_before + begun.elapsed());
        pool.metrics.queued(self.slot, begun.elapsed());
        if matches!(placed, Err(Reason::QueueTimeout)) {
            pool.metrics.queue_timed_out(self.slot);
        }
        placed
    }

    async fn wait(
        &mut self,
        client: &mut Client,
        mut waiting: Waiting,
        deadline: Instant,
    ) -> Result<Option<(usize, Held)>, Reason> {
        loop {
            let pool = self.pool.clone();
            let placed = client.unless_broken(deadline, pool.placed(&mut waiting)).await;
            match placed {
                Ok(Some((index, in_flight))) => return Ok(Some((index, in_flight.keep()))),
                Ok(None) if self.follow(&mut waiting) => {}
                Ok(None) => return Ok(None),
                Err(GivenUp::ClientBroke) => return Err(Reason::ClientGone),
                Err(GivenUp::Late) => return Err(Reason::QueueTimeout),
            }
        }
    }

    /// The pool says something else than when the wait began: who has come up is waited for as well,
    /// and who is down or has left is waited for no more. False where nobody is left to wait for.
    fn follow(&mut self, waiting: &mut Waiting) -> bool {
        let Some(next) = self.pool.successor() else {
            return true;
        };
        let tried = self.pool.pool.counted_by(&next.pool, &self.tried);
        let wanted = next.pool.wanted(&Ask::after(&tried).with_key(self.key));
        // Where a place was handed over at this very moment, it is used.
        let nobody = wanted.is_empty();
        if nobody || waiting.want(wanted) {
            (self.pool, self.tried) = (next, tried);
        }
        !nobody
    }
}

fn no_connection(error: &DialError) -> Reason {
    match error {
        DialError::Connect(_) => Reason::ConnectFailed,
        DialError::Handshake(error) => match error.cause {
            Cause::Name => Reason::UpstreamName,
            Cause::Issuer => Reason::UpstreamIssuer,
            Cause::Expired => Reason::UpstreamExpired,
            Cause::Certificate | Cause::OurCertificate | Cause::Missing | Cause::Protocol => {
                Reason::UpstreamHandshake
            }
        },
    }
}
