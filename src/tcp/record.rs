//! What is told of one connection when it is over: its metrics and its line in the access log.

use std::{
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    net::{ends::Ends, local::Local},
    observe::{
        access_log::{Entry, TCP},
        metrics::{Ended, ListenerMetrics, TcpMetrics},
        reason::Reason,
    },
    pool::backend::Backend,
};

/// Gathered while a connection is served, and told when it is dropped: the drain's deadline leaves no
/// other moment. It holds nothing of a snapshot: a relay may outlive many.
pub struct Record {
    pub local: Rc<Local>,
    pub begun: Instant,
    pub ends: Ends,
    pub listener: Arc<str>,
    pub pool: Arc<str>,
    /// Terminated here.
    pub tls: bool,
    /// The name that the client asked for by TLS, terminated or not.
    pub name: Option<String>,
    /// The one that was reached, or tried last.
    pub backend: Option<Arc<Backend>>,
    pub attempts: u32,
    /// How long it waited for a place at a backend; `None`: not at all.
    pub queued: Option<Duration>,
    pub connect: Option<Duration>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub of_listener: Arc<ListenerMetrics>,
    pub metrics: Arc<TcpMetrics>,
    /// [`CUT`] until it has.
    pub ended: Ended,
}

/// How a connection ends that is still open at the drain's deadline.
pub const CUT: Ended = Ended::Failed(Reason::DrainTimeout);

impl Record {
    /// Bytes have passed.
    pub fn relayed(&mut self, up: u64, down: u64) {
        let slot = self.local.slot;
        self.bytes_in += up;
        self.bytes_out += down;
        self.of_listener.received(slot, up);
        self.of_listener.sent(slot, down);
        self.metrics.relayed(slot, up, down);
        if let Some(backend) = &self.backend {
            backend.metrics().relayed(slot, up, down);
        }
    }

    fn log(&self) {
        let backend = self.backend.as_ref().map(|backend| backend.address().to_string());
        let certificate = self.ends.caller.as_ref().and_then(|caller| caller.certificate());
        let (reason, ended) = match self.ended {
            Ended::Failed(reason) => (Some(reason), ""),
            Ended::ClientClosed | Ended::BackendClosed => (None, self.ended.word()),
        };
        let (total, time) = (self.begun.elapsed(), SystemTime::now());
        self.local.log(&Entry {
            time: time.checked_sub(total).unwrap_or(time),
            request_id: "",
            client: self.ends.peer.ip().to_canonical(),
            client_subject: certificate.map(|certificate| &*certificate.subject),
            method: b"",
            host: self.name.as_deref().unwrap_or_default().as_bytes(),
            target: b"",
            protocol: TCP,
            tls: self.tls,
            listener: &self.listener,
            route: None,
            pool: Some(&self.pool),
            files: None,
            backend: backend.as_deref(),
            status: None,
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            total,
            header: None,
            queued: self.queued,
            connect: self.connect,
            first_byte: None,
            reason,
            ended,
            referer: b"",
            user_agent: b"",
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // A mistake of our own has no line: there is no reason to give.
        if thread::panicking() {
            return;
        }
        self.metrics.ended(self.local.slot, self.ended);
        if self.local.logs() {
            self.log();
        }
    }
}
