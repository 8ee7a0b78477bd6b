//! What is told of one connection when it is over: its metrics and its line in the access log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    net::{ends::Ends, local::Local},
    observe::{
        access_log::{Entry, TCP},
        metrics::{Ended, ListenerMetrics, TcpMetrics},
    },
    pool::backend::Backend,
};

/// Gathered while a connection is served. It holds nothing of a snapshot: a relay may outlive many.
pub struct Record {
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
}

impl Record {
    /// Bytes have passed.
    pub fn relayed(&mut self, slot: usize, up: u64, down: u64) {
        self.bytes_in += up;
        self.bytes_out += down;
        self.of_listener.received(slot, up);
        self.of_listener.sent(slot, down);
        self.metrics.relayed(slot, up, down);
        if let Some(backend) = &self.backend {
            backend.metrics().relayed(slot, up, down);
        }
    }

    /// The connection is over.
    pub fn finish(self, local: &Local, ended: Ended) {
        self.metrics.ended(local.slot, ended);
        if local.logs() {
            self.log(local, ended);
        }
    }

    fn log(&self, local: &Local, ended: Ended) {
        let backend = self.backend.as_ref().map(|backend| backend.address().to_string());
        let certificate = self.ends.caller.as_ref().and_then(|caller| caller.certificate());
        let (reason, ended) = match ended {
            Ended::Failed(reason) => (Some(reason), ""),
            Ended::ClientClosed | Ended::BackendClosed => (None, ended.word()),
        };
        let (total, time) = (self.begun.elapsed(), SystemTime::now());
        local.log(&Entry {
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
