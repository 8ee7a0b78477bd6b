//! What is told of one request when it is over: its metrics and its line in the access log.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    http::{exchange::Cut, local::Local, refusal::Refusal, route::Route, site::Site},
    message::{authority, field::Name, head::Request},
    net::tls::ClientCertificate,
    observe::{access_log::Entry, reason::Reason},
    pool::members::{Member, Pool},
};

/// Gathered while a request is served.
pub struct Record<'a> {
    pub begun: Instant,
    /// How long its head took to come.
    pub header: Duration,
    pub request_id: String,
    /// Of the client, where it was asked for one and showed it.
    pub certificate: Option<&'a ClientCertificate>,
    pub route: Option<&'a Route>,
    pub pool: Option<&'a Pool>,
    pub member: Option<&'a Member>,
    /// What the client was answered; `None` while it has no answer.
    pub status: Option<u16>,
    pub attempts: u32,
    /// How long it waited for a place at a backend, over all tries; `None`: not at all.
    pub queued: Option<Duration>,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Of the answer, its head included.
    pub wire_out: u64,
    pub reason: Option<Reason>,
}

impl<'a> Record<'a> {
    /// `begun`: when the first byte of the head came.
    pub fn new(begun: Instant, request_id: String) -> Record<'a> {
        Record {
            begun,
            header: begun.elapsed(),
            request_id,
            certificate: None,
            route: None,
            pool: None,
            member: None,
            status: None,
            attempts: 0,
            queued: None,
            connect: None,
            first_byte: None,
            bytes_in: 0,
            bytes_out: 0,
            wire_out: 0,
            reason: None,
        }
    }

    pub fn refused(&mut self, refusal: Refusal) {
        self.reason = Some(refusal.reason);
    }

    pub fn cut(&mut self, cut: Cut) {
        self.reason = Some(match cut {
            Cut::ClientGone => Reason::ClientGone,
            Cut::ClientStalled => Reason::ClientStalled,
            Cut::UpstreamTruncated => Reason::UpstreamTruncated,
            Cut::Malformed => Reason::BadResponse,
            Cut::UpstreamStalled => Reason::ResponseIdleTimeout,
            Cut::TookTooLong => Reason::RequestTimeout,
        });
    }

    /// The request is over.
    pub fn finish(self, local: &Local, site: &Site, client: IpAddr, request: &Request) {
        let total = self.begun.elapsed();
        let slot = local.slot;
        let metrics = self.route.map_or(&local.unrouted, |route| &route.metrics);
        metrics.request(slot, self.status.unwrap_or(0), total);
        metrics.received(slot, self.bytes_in);
        metrics.sent(slot, self.bytes_out);
        site.metrics.received(slot, request.fields.length() + self.bytes_in);
        site.metrics.sent(slot, self.wire_out);
        if let Some(reason) = self.reason {
            local.metrics.error(slot, reason);
        }
        if local.logs() {
            self.log(local, site, client, request, total);
        }
    }

    fn log(&self, local: &Local, site: &Site, client: IpAddr, request: &Request, total: Duration) {
        let field = |name| request.fields.first(name).unwrap_or_default();
        let backend = self.member.map(|member| member.backend.address().to_string());
        let time = SystemTime::now();
        local.log(&Entry {
            time: time.checked_sub(total).unwrap_or(time),
            request_id: &self.request_id,
            client,
            client_subject: self.certificate.map(|certificate| &*certificate.subject),
            method: request.method_bytes(),
            host: authority::without_port(field(Name::Host)),
            target: request.target_bytes(),
            protocol: request.version.text(),
            tls: site.is_tls(),
            listener: &site.listener,
            route: self.route.map(|route| &*route.name),
            pool: self.pool.map(|pool| &*pool.config.name),
            backend: backend.as_deref(),
            status: self.status,
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            total,
            header: Some(self.header),
            queued: self.queued,
            connect: self.connect,
            first_byte: self.first_byte,
            reason: self.reason,
            ended: "",
            referer: field(Name::Referer),
            user_agent: field(Name::UserAgent),
        });
    }
}
