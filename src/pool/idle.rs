//! The idle connections of one worker to one backend. Never shared between workers.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use crate::net::{proxy_protocol::Announcement, stream::Stream};

/// The last one put in is the first one taken, so that the surplus of a busy hour ages and goes.
#[derive(Default)]
pub struct IdleConnections {
    list: RefCell<Vec<Idle>>,
    max: Cell<usize>,
    /// How long one is kept, if the backend names no shorter time.
    limit: Cell<Duration>,
    retired: Cell<bool>,
    /// Those whose last request has been answered and goes on.
    ending: Cell<usize>,
}

/// Such a one, until it is dropped.
pub struct Ending(Rc<IdleConnections>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.set(self.0.ending.get() - 1);
    }
}

/// So many of them are waited for.
const MOST_ENDING: usize = 64;

struct Idle {
    stream: Stream,
    since: Instant,
    until: Instant,
    /// Boxed: few pools have it, and every connection would carry its memory.
    announced: Option<Box<Announcement>>,
}

/// A connection is given up so long before the backend would: a request that crosses its close on
/// the wire is lost.
const MARGIN: Duration = Duration::from_secs(1);

/// So soon after a request hardly a server closes: gunicorn does after two seconds, Apache and Node.js
/// after five.
const JUST_USED: Duration = Duration::from_secs(1);

impl IdleConnections {
    /// From now on, at the most `max` are kept, and none longer than `limit`.
    pub fn keep(&self, max: usize, limit: Duration) {
        self.max.set(max);
        self.limit.set(limit);
    }

    /// One that the backend has, as far as we know, not closed, and on which it was told what is
    /// told now: what a connection announced holds for all that it carries.
    pub fn take(&self, now: Instant, announced: Option<Announcement>) -> Option<Stream> {
        self.take_where(now, |idle| idle.announced() == announced)
    }

    /// The same, of one that is hardly being closed just now. Under load there always is one, since
    /// the last one put in is looked at first.
    pub fn take_just_used(&self, now: Instant, announced: Option<Announcement>) -> Option<Stream> {
        let just_used = |idle: &Idle| now.saturating_duration_since(idle.since) < JUST_USED;
        self.take_where(now, |idle| idle.announced() == announced && just_used(idle))
    }

    fn take_where(&self, now: Instant, will_do: impl Fn(&Idle) -> bool) -> Option<Stream> {
        let mut list = self.list.borrow_mut();
        while let Some(last) = list.iter().rposition(&will_do) {
            let mut idle = list.remove(last);
            if idle.is_fit(now) {
                return Some(idle.stream);
            }
        }
        None
    }

    /// Keeps a connection on which an exchange has ended and nothing is left unread. `hint` is how
    /// long the backend says that it keeps one.
    pub fn put(
        &self,
        stream: Stream,
        now: Instant,
        hint: Option<Duration>,
        announced: Option<Announcement>,
    ) {
        let limit = self.limit.get();
        let keep = hint.map_or(limit, |hint| limit.min(hint.saturating_sub(MARGIN)));
        if self.retired.get() || self.max.get() == 0 || keep.is_zero() {
            return;
        }
        let mut list = self.list.borrow_mut();
        if list.len() >= self.max.get() {
            if announced.is_none() {
                return;
            }
            // Of a client that may have left long ago, and is of use to no other.
            list.remove(0);
        }
        list.push(Idle {
            stream,
            since: now,
            until: now + keep,
            announced: announced.map(Box::new),
        });
    }

    /// One more that is waited for before it is idle; `None`: there are too many.
    pub fn await_end(self: &Rc<Self>) -> Option<Ending> {
        let ending = self.ending.get() + 1;
        (ending <= MOST_ENDING).then(|| {
            self.ending.set(ending);
            Ending(self.clone())
        })
    }

    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes what has been idle too long or was closed by the backend.
    pub fn sweep(&self, now: Instant) {
        self.list.borrow_mut().retain_mut(|idle| idle.is_fit(now));
    }

    /// Closes all, and keeps none from now on.
    pub fn retire(&self) {
        self.retired.set(true);
        self.list.borrow_mut().clear();
    }
}

impl Idle {
    fn announced(&self) -> Option<Announcement> {
        self.announced.as_deref().copied()
    }

    /// In time, and with nothing to read: neither an end nor bytes that no one asked for.
    fn is_fit(&mut self, now: Instant) -> bool {
        now < self.until && self.stream.is_quiet()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// So many that are kept, put in a second apart, and their other ends.
    async fn kept(count: u32, first: Instant) -> (IdleConnections, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let connections = IdleConnections::default();
        connections.keep(8, Duration::from_secs(60));
        let mut ends = Vec::new();
        for number in 0..count {
            let ours = TcpStream::connect(listener.local_addr().expect("it listens")).await;
            ends.push(listener.accept().await.expect("it was connected to").0);
            let since = first + Duration::from_secs(number.into());
            connections.put(Stream::Plain(ours.expect("it listens").into()), since, None, None);
        }
        (connections, ends)
    }

    #[tokio::test]
    async fn what_can_not_go_again_is_not_trusted_to_one_that_has_been_idle() {
        let first = Instant::now();
        let (connections, _ends) = kept(2, first).await;
        let at = |milliseconds| first + Duration::from_millis(milliseconds);
        let port = |stream: Stream| stream.tcp().local_addr().expect("it is open").port();
        assert!(connections.take_just_used(at(2_000), None).is_none());
        assert_eq!(connections.len(), 2, "others may have them");
        let last = connections.take_just_used(at(1_999), None).map(port);
        assert!(last.is_some() && connections.take_just_used(at(1_999), None).is_none());
        assert!(connections.take(at(1_999), None).map(port) != last && connections.is_empty());
    }

    #[tokio::test]
    async fn nor_to_an_older_one_where_the_last_has_been_closed() {
        let first = Instant::now();
        let (connections, mut ends) = kept(2, first).await;
        let (gone, at) = (ends.pop(), first + Duration::from_millis(1_999));
        drop(gone);
        let mut ending = connections.list.borrow_mut().remove(1);
        ending.stream.tcp_mut().readable().await.expect("its end");
        connections.list.borrow_mut().push(ending);
        assert!(connections.take_just_used(at, None).is_none());
        assert_eq!(connections.len(), 1, "others may have the older one");
    }
}
