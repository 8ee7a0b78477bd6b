//! What is told of one request when it is over: its metrics and its line in the access log.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    files::directory::Directory,
    http::{
        exchange::Cut, local::Local, refusal::Refusal, request_id::RequestId, route::Route,
        site::Site,
    },
    message::{authority, field::Name, head::Request},
    net::{clock, relay::Moved, tls::ClientCertificate},
    observe::{
        access_log::Entry,
        metrics::{FilesMetrics, ListenerMetrics, RouteMetrics},
        reason::Reason,
    },
    pool::{
        backend::Backend,
        members::{Member, Pool},
    },
};

/// Gathered while a request is served.
pub struct Record<'a> {
    pub begun: Instant,
    /// How long its head took to come.
    pub header: Duration,
    /// When the answer had gone, where the clock was looked at then.
    pub ended: Option<Instant>,
    pub request_id: RequestId,
    /// Of the client, where it was asked for one and showed it.
    pub certificate: Option<&'a ClientCertificate>,
    pub route: Option<&'a Route>,
    pub pool: Option<&'a Pool>,
    pub files: Option<&'a Directory>,
    pub member: Option<&'a Member>,
    /// What the client was answered, of a gRPC client in HTTP's words; `None` while it has no answer.
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
    pub fn new(begun: Instant, request_id: RequestId) -> Record<'a> {
        Record {
            begun,
            header: clock::lately().saturating_duration_since(begun),
            ended: None,
            request_id,
            certificate: None,
            route: None,
            pool: None,
            files: None,
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
        let parties = Parties {
            client,
            certificate: self.certificate,
            listener: (&site.listener, &site.metrics),
            tls: site.is_tls(),
            route: self.route.map(|route| (&*route.name, &*route.metrics)),
            pool: self.pool.map(|pool| &*pool.config.name),
            files: self.files.map(|files| (&*files.config.name, &*files.metrics)),
            backend: self.member.map(|member| &*member.backend),
        };
        self.tell(local, &parties, request);
    }

    /// The request is over and its connection goes on: what is told when that ends.
    pub fn keep(&self, site: &Site, client: IpAddr, request: &Request) -> Kept {
        Kept {
            record: self.of_no_snapshot(),
            request: request.clone(),
            client,
            certificate: self.certificate.cloned(),
            listener: (site.listener.clone(), site.metrics.clone()),
            tls: site.is_tls(),
            route: self.route.map(|route| (route.name.clone(), route.metrics.clone())),
            pool: self.pool.map(|pool| pool.config.name.clone()),
            backend: self.member.map(|member| member.backend.clone()),
        }
    }

    fn of_no_snapshot(&self) -> Record<'static> {
        Record {
            begun: self.begun,
            header: self.header,
            ended: None,
            request_id: self.request_id.clone(),
            certificate: None,
            route: None,
            pool: None,
            files: None,
            member: None,
            status: self.status,
            attempts: self.attempts,
            queued: self.queued,
            connect: self.connect,
            first_byte: self.first_byte,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            wire_out: self.wire_out,
            reason: self.reason,
        }
    }

    fn tell(&self, local: &Local, parties: &Parties<'_>, request: &Request) {
        let total = self.ended.unwrap_or_else(Instant::now).duration_since(self.begun);
        let slot = local.slot;
        let metrics = parties.route.map_or(&*local.unrouted, |(_, metrics)| metrics);
        metrics.request(slot, self.status.unwrap_or(0), total);
        metrics.received(slot, self.bytes_in);
        metrics.sent(slot, self.bytes_out);
        if let Some((_, metrics)) = parties.files {
            metrics.request(slot, self.status.unwrap_or(0), self.bytes_out);
        }
        let (_, metrics) = parties.listener;
        metrics.received(slot, request.fields.length() + self.bytes_in);
        metrics.sent(slot, self.wire_out);
        if let Some(reason) = self.reason {
            local.metrics.error(slot, reason);
        }
        if local.logs() {
            self.log(local, parties, request, total);
        }
    }

    fn log(&self, local: &Local, parties: &Parties<'_>, request: &Request, total: Duration) {
        let field = |name| request.fields.first(name).unwrap_or_default();
        let backend = parties.backend.map(|backend| backend.address().to_string());
        let time = SystemTime::now();
        local.log(&Entry {
            time: time.checked_sub(total).unwrap_or(time),
            request_id: &self.request_id,
            client: parties.client,
            client_subject: parties.certificate.map(|certificate| &*certificate.subject),
            method: request.method_bytes(),
            host: authority::without_port(field(Name::Host)),
            target: request.target_bytes(),
            protocol: request.version.text(),
            tls: parties.tls,
            listener: parties.listener.0,
            route: parties.route.map(|(name, _)| name),
            pool: parties.pool,
            files: parties.files.map(|(name, _)| name),
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

/// Whom a request was between, by the names and the counts that its story is told under.
struct Parties<'a> {
    client: IpAddr,
    certificate: Option<&'a ClientCertificate>,
    listener: (&'a str, &'a ListenerMetrics),
    tls: bool,
    route: Option<(&'a str, &'a RouteMetrics)>,
    pool: Option<&'a str>,
    files: Option<(&'a str, &'a FilesMetrics)>,
    backend: Option<&'a Backend>,
}

/// A record without its snapshot, for what may go on for days and must not keep one that long.
pub struct Kept {
    record: Record<'static>,
    request: Request,
    client: IpAddr,
    certificate: Option<ClientCertificate>,
    listener: (Arc<str>, Arc<ListenerMetrics>),
    tls: bool,
    route: Option<(Arc<str>, Arc<RouteMetrics>)>,
    pool: Option<Arc<str>>,
    backend: Option<Arc<Backend>>,
}

impl Kept {
    /// Bytes have passed.
    pub fn relayed(&mut self, moved: Moved) {
        self.record.bytes_in += moved.up;
        self.record.bytes_out += moved.down;
        self.record.wire_out += moved.down;
    }

    /// What the request began is over. `reason`: why it broke off.
    pub fn finish(&mut self, reason: Option<Reason>, local: &Local) {
        self.record.reason = reason;
        let (listener, metrics) = &self.listener;
        let parties = Parties {
            client: self.client,
            certificate: self.certificate.as_ref(),
            listener: (listener, metrics),
            tls: self.tls,
            route: self.route.as_ref().map(|(name, metrics)| (&**name, &**metrics)),
            pool: self.pool.as_deref(),
            files: None,
            backend: self.backend.as_deref(),
        };
        self.record.tell(local, &parties, &self.request);
    }
}
