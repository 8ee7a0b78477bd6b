//! What is counted of connections that are relayed as bytes: of each listener, to each of its pools.

use super::family::Family;
use crate::observe::{
    counter::{Slots, Tally},
    reason::Reason,
};

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides were done, the client first.
    ClientClosed,
    /// Both sides were done, the backend first.
    BackendClosed,
    Failed(Reason),
}

impl Ended {
    /// The label of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Ended::ClientClosed => "client-closed",
            Ended::BackendClosed => "backend-closed",
            Ended::Failed(reason) => reason.word(),
        }
    }
}

/// The counts of one listener's connections to one pool. Each method is for the thread that owns
/// `slot`.
#[derive(Debug)]
pub struct TcpMetrics {
    slots: Slots<Cells>,
}

#[derive(Debug)]
struct Cells {
    received_bytes: Tally,
    sent_bytes: Tally,
    client_closed: Tally,
    backend_closed: Tally,
    failed: [Tally; Reason::ALL.len()],
}

impl Default for Cells {
    fn default() -> Self {
        Cells {
            received_bytes: Tally::default(),
            sent_bytes: Tally::default(),
            client_closed: Tally::default(),
            backend_closed: Tally::default(),
            failed: std::array::from_fn(|_| Tally::default()),
        }
    }
}

impl Cells {
    fn ended(&self, ended: Ended) -> &Tally {
        match ended {
            Ended::ClientClosed => &self.client_closed,
            Ended::BackendClosed => &self.backend_closed,
            Ended::Failed(reason) => &self.failed[reason.index()],
        }
    }
}

impl TcpMetrics {
    pub(super) fn new(slots: usize) -> Self {
        TcpMetrics { slots: Slots::new(slots) }
    }

    /// Bytes from and to clients, inside TLS; told while they pass.
    pub fn relayed(&self, slot: usize, received: u64, sent: u64) {
        let cells = self.slots.slot(slot);
        cells.received_bytes.add(received);
        cells.sent_bytes.add(sent);
    }

    pub fn ended(&self, slot: usize, ended: Ended) {
        self.slots.slot(slot).ended(ended).add(1);
    }
}

/// The families of all, while they are put together.
pub(super) struct TcpFamilies {
    connections: Family,
    received: Family,
    sent: Family,
}

impl TcpFamilies {
    pub(super) fn new() -> Self {
        TcpFamilies {
            connections: Family::counter(
                "equipoise_tcp_connections_total",
                "Connections of TCP listeners that have ended, by how.",
            ),
            received: Family::counter(
                "equipoise_tcp_received_bytes_total",
                "Bytes from clients of TCP listeners, inside TLS where it is terminated.",
            ),
            sent: Family::counter(
                "equipoise_tcp_sent_bytes_total",
                "Bytes to clients of TCP listeners, inside TLS where it is terminated.",
            ),
        }
    }

    pub(super) fn add(&mut self, listener: &str, pool: &str, metrics: &TcpMetrics) {
        let slots = &metrics.slots;
        let labels = [("listener", listener), ("pool", pool)];
        self.received.add(&labels, slots.sum(|cells| &cells.received_bytes) as f64);
        self.sent.add(&labels, slots.sum(|cells| &cells.sent_bytes) as f64);
        let mut count = |ended: Ended| {
            let count = slots.sum(|cells| cells.ended(ended));
            let always = matches!(ended, Ended::ClientClosed | Ended::BackendClosed);
            if count > 0 || always {
                let [listener, pool] = labels;
                self.connections.add(&[listener, pool, ("ended", ended.word())], count as f64);
            }
        };
        count(Ended::ClientClosed);
        count(Ended::BackendClosed);
        Reason::ALL.iter().for_each(|&reason| count(Ended::Failed(reason)));
    }

    pub(super) fn into_families(self) -> [Family; 3] {
        [self.connections, self.received, self.sent]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let metrics = TcpMetrics::new(2);
        metrics.ended(0, Ended::ClientClosed);
        metrics.ended(1, Ended::ClientClosed);
        metrics.ended(1, Ended::Failed(Reason::TunnelIdle));
        metrics.relayed(0, 3, 4);
        let mut families = TcpFamilies::new();
        families.add("web", "app", &metrics);
        let page = super::super::encode(families.into_families().map(Into::into).into());
        for line in [
            r#"connections_total{listener="web",pool="app",ended="client-closed"} 2"#,
            r#"connections_total{listener="web",pool="app",ended="backend-closed"} 0"#,
            r#"connections_total{listener="web",pool="app",ended="tunnel-idle"} 1"#,
            r#"received_bytes_total{listener="web",pool="app"} 3"#,
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert!(!page.contains("no-backend"), "{page}");
    }
}
