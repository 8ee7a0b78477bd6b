//! What is counted of a listener.

use super::family::Family;
use crate::observe::counter::{Slots, Tally};

/// The counts of one listener. Each method is for the thread that owns `slot`.
#[derive(Debug)]
pub struct ListenerMetrics {
    slots: Slots<Cells>,
}

#[derive(Debug, Default)]
#[repr(C)]
struct Cells {
    accepted: Tally,
    closed: Tally,
    accept_failures: Tally,
    http2: Tally,
    received_bytes: Tally,
    sent_bytes: Tally,
    handshakes: [Tally; Handshake::ALL.len()],
    refused: [Tally; Refusal::ALL.len()],
}

/// Why a connection was closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its source address had `max_connections_per_source` open.
    SourceLimit,
    /// The TLS handshake broke off: no common ground, no certificate for the name, or gone.
    HandshakeFailed,
    /// It showed no certificate, which the listener requires.
    NoClientCertificate,
    /// It showed a certificate that is not valid here: issued by others, expired, or of no use.
    BadClientCertificate,
    /// The TLS handshake was not done within the listener's `header` timeout.
    HandshakeTimeout,
    /// The name of a TLS client was to be read, and what came is no ClientHello.
    BadHello,
    /// The ClientHello was not whole within the listener's `header` timeout.
    HelloTimeout,
    /// Its source is none that the PROXY protocol is taken from.
    ProxySource,
    /// It did not begin with a header of the PROXY protocol.
    BadProxyHeader,
    /// That header was not whole within the listener's `header` timeout.
    ProxyHeaderTimeout,
    /// The client asks by TLS for a name that leads nowhere, or for none.
    UnknownName,
}

impl Refusal {
    const ALL: [Refusal; 11] = [
        Refusal::SourceLimit,
        Refusal::HandshakeFailed,
        Refusal::NoClientCertificate,
        Refusal::BadClientCertificate,
        Refusal::HandshakeTimeout,
        Refusal::BadHello,
        Refusal::HelloTimeout,
        Refusal::ProxySource,
        Refusal::BadProxyHeader,
        Refusal::ProxyHeaderTimeout,
        Refusal::UnknownName,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Refusal::SourceLimit => "source-limit",
            Refusal::HandshakeFailed => "handshake-failed",
            Refusal::NoClientCertificate => "client-certificate-missing",
            Refusal::BadClientCertificate => "client-certificate-invalid",
            Refusal::HandshakeTimeout => "handshake-timeout",
            Refusal::BadHello => "bad-hello",
            Refusal::HelloTimeout => "hello-timeout",
            Refusal::ProxySource => "proxy-source",
            Refusal::BadProxyHeader => "bad-proxy-header",
            Refusal::ProxyHeaderTimeout => "proxy-header-timeout",
            Refusal::UnknownName => "unknown-name",
        }
    }
}

/// A finished TLS handshake: its version, and whether a ticket resumed an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Tls12Full,
    Tls12Resumed,
    Tls13Full,
    Tls13Resumed,
}

impl Handshake {
    const ALL: [Handshake; 4] = [
        Handshake::Tls12Full,
        Handshake::Tls12Resumed,
        Handshake::Tls13Full,
        Handshake::Tls13Resumed,
    ];

    const fn version(self) -> &'static str {
        match self {
            Handshake::Tls12Full | Handshake::Tls12Resumed => "1.2",
            Handshake::Tls13Full | Handshake::Tls13Resumed => "1.3",
        }
    }

    const fn resumed(self) -> &'static str {
        match self {
            Handshake::Tls12Full | Handshake::Tls13Full => "no",
            Handshake::Tls12Resumed | Handshake::Tls13Resumed => "yes",
        }
    }
}

impl ListenerMetrics {
    pub(super) fn new(slots: usize) -> Self {
        ListenerMetrics { slots: Slots::new(slots) }
    }

    /// A connection was accepted. [`ListenerMetrics::closed`] follows, in whatever slot.
    pub fn accepted(&self, slot: usize) {
        self.slots.slot(slot).accepted.add(1);
    }

    /// An accepted connection has ended, refused ones included.
    pub fn closed(&self, slot: usize) {
        self.slots.slot(slot).closed.add(1);
    }

    /// A worker could not accept, for want of file descriptors or memory.
    pub fn accept_failed(&self, slot: usize) {
        self.slots.slot(slot).accept_failures.add(1);
    }

    /// A connection turned out to speak HTTP/2.
    pub fn http2(&self, slot: usize) {
        self.slots.slot(slot).http2.add(1);
    }

    pub fn refused(&self, slot: usize, refusal: Refusal) {
        self.slots.slot(slot).refused[refusal as usize].add(1);
    }

    pub fn handshake(&self, slot: usize, handshake: Handshake) {
        self.slots.slot(slot).handshakes[handshake as usize].add(1);
    }

    /// Bytes from clients, inside TLS.
    pub fn received(&self, slot: usize, bytes: u64) {
        self.slots.slot(slot).received_bytes.add(bytes);
    }

    /// Bytes to clients, inside TLS.
    pub fn sent(&self, slot: usize, bytes: u64) {
        self.slots.slot(slot).sent_bytes.add(bytes);
    }

    /// Connections accepted and not yet closed, over all workers.
    pub fn open(&self) -> u64 {
        // Closed is read first: a connection that comes and goes meanwhile never makes it negative.
        let closed = self.slots.sum(|cells| &cells.closed);
        self.slots.sum(|cells| &cells.accepted).saturating_sub(closed)
    }
}

/// The families of all listeners, while they are put together.
pub(super) struct ListenerFamilies {
    accepted: Family,
    open: Family,
    accept_failures: Family,
    http2: Family,
    refused: Family,
    handshakes: Family,
    received: Family,
    sent: Family,
}

impl ListenerFamilies {
    pub(super) fn new() -> Self {
        ListenerFamilies {
            accepted: Family::counter(
                "equipoise_listener_connections_accepted_total",
                "Connections accepted, those refused at once included.",
            ),
            open: Family::gauge("equipoise_listener_connections_open", "Connections open now."),
            accept_failures: Family::counter(
                "equipoise_listener_accept_failures_total",
                "Times a worker could not accept, for want of file descriptors or memory.",
            ),
            http2: Family::counter(
                "equipoise_listener_http2_connections_total",
                "Connections that turned out to speak HTTP/2.",
            ),
            refused: Family::counter(
                "equipoise_listener_connections_refused_total",
                "Connections closed before their first request, by reason.",
            ),
            handshakes: Family::counter(
                "equipoise_listener_tls_handshakes_total",
                "TLS handshakes done, by version and whether a ticket resumed an earlier session.",
            ),
            received: Family::counter(
                "equipoise_listener_received_bytes_total",
                "Bytes from clients, inside TLS.",
            ),
            sent: Family::counter(
                "equipoise_listener_sent_bytes_total",
                "Bytes to clients, inside TLS.",
            ),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &ListenerMetrics) {
        let slots = &metrics.slots;
        let label = ("listener", name);
        self.open.add(&[label], metrics.open() as f64);
        self.accepted.add(&[label], slots.sum(|cells| &cells.accepted) as f64);
        let failures = slots.sum(|cells| &cells.accept_failures);
        self.accept_failures.add(&[label], failures as f64);
        self.http2.add(&[label], slots.sum(|cells| &cells.http2) as f64);
        self.received.add(&[label], slots.sum(|cells| &cells.received_bytes) as f64);
        self.sent.add(&[label], slots.sum(|cells| &cells.sent_bytes) as f64);
        for refusal in Refusal::ALL {
            let count = slots.sum(|cells| &cells.refused[refusal as usize]);
            self.refused.add(&[label, ("reason", refusal.word())], count as f64);
        }
        for handshake in Handshake::ALL {
            let count = slots.sum(|cells| &cells.handshakes[handshake as usize]);
            let labels =
                [label, ("version", handshake.version()), ("resumed", handshake.resumed())];
            self.handshakes.add(&labels, count as f64);
        }
    }

    pub(super) fn into_families(self) -> [Family; 8] {
        [
            self.accepted,
            self.open,
            self.accept_failures,
            self.http2,
            self.refused,
            self.handshakes,
            self.received,
            self.sent,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_close_in_another_slot() {
        let listener = ListenerMetrics::new(3);
        listener.accepted(0);
        listener.accepted(0);
        listener.closed(2);
        assert_eq!(listener.open(), 1);
    }

    #[test]
    fn cells_stand_in_the_order_of_their_enum() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
        }
        for (place, handshake) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(handshake as usize, place);
        }
    }
}
