//! One try of a request at one backend: reach it, send, wait for its answer, pass that on.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::{
    config::HostHeader,
    http::{
        h1::{
            body::{Body, Framing},
            client::GivenUp,
            exchange::{self, Bounds, Cut, NoAnswer, Upload},
            pump::{Coding, Pump},
            rules::{self, RequestRules, ResponseRules},
            upstream::Upstream,
        },
        headers::{self, Connection, Inbound, Outbound},
        proxy::{Content, Exchange, Next},
        record::Record,
        refusal::{self, Refusal},
        target::Target,
    },
    message::{
        field::Name,
        head::{Response, Version},
    },
    observe::dates::http_date,
    pool::{
        dial::{Dial, DialError, dial},
        local::LocalPool,
        members::Member,
        retry::Reached,
    },
};

/// What a head and the fields that we set usually take.
const HEAD_BYTES: usize = 1024;
/// Interim answers that are passed on before the one that counts.
const MAX_INTERIM: usize = 100;

/// One try, for which the request holds a place at the backend.
pub struct Attempt<'e, 'a> {
    pub exchange: &'e mut Exchange<'a>,
    pub record: &'e mut Record<'a>,
    pub pool: &'a LocalPool,
    /// Of the member in the pool.
    pub index: usize,
    pub rules: &'e RequestRules,
    pub target: &'e Target<'e>,
    pub content: Content,
    pub bounds: &'e Bounds,
}

impl<'a> Attempt<'_, 'a> {
    /// Sends the request to the backend and its answer to the client. An error has cost the client
    /// nothing yet.
    pub async fn run(mut self) -> Result<Next, NoAnswer> {
        let member = self.member();
        self.record.member = Some(member);
        let mut upstream = self.reach().await?;
        member.backend.metrics().requested(self.exchange.local.slot);
        let mut upload = self.upload();
        let response = self.await_answer(&mut upstream, &mut upload).await?;
        let rules = rules::of_response(self.exchange.request.method, &response).map_err(sent)?;
        self.note_answer(&upload, response.status);
        self.deliver(upstream, upload, &response, rules).await
    }

    fn member(&self) -> &'a Member {
        self.pool.member(self.index)
    }

    /// A connection to the backend: an idle one, or a new one.
    async fn reach(&mut self) -> Result<Upstream, NoAnswer> {
        let (local, backend) = (self.exchange.local, &self.member().backend);
        // What can't be sent again is not trusted to a connection that may just be closing, and
        // neither is a second try.
        let now = std::time::Instant::now();
        let may_reuse = self.content != Content::Streamed && self.record.attempts == 1;
        if may_reuse && let Some(stream) = self.pool.idle(self.index).take(now) {
            backend.metrics().connection_reused(local.slot);
            return Ok(Upstream::new(stream, true, &local.buffers));
        }
        let begun = Instant::now();
        let how = Dial { address: backend.address() };
        let deadline = begun + self.bounds.upstream.connect;
        let connected = self.exchange.client.unless_gone(deadline, dial(&how)).await;
        self.record.connect = Some(begun.elapsed());
        let refusal = match connected {
            Ok(Ok(stream)) => {
                backend.metrics().connection_opened(local.slot);
                return Ok(Upstream::new(stream, false, &local.buffers));
            }
            Ok(Err(DialError::Connect(_))) => refusal::CONNECT_FAILED,
            Err(GivenUp::Late) => refusal::CONNECT_TIMEOUT,
            Err(GivenUp::ClientGone) => return Err(NoAnswer::ClientGone),
        };
        backend.metrics().connect_failed(local.slot);
        Err(NoAnswer::Upstream { refusal, reached: Reached::Nothing })
    }

    /// The request as it goes to the backend.
    fn upload(&self) -> Upload {
        let framing = self.rules.framing;
        let head = self.request_head();
        match self.content {
            Content::InHand(length) => {
                let mut whole = head;
                whole.extend_from_slice(&self.exchange.client.side.input.filled()[..length]);
                Upload::in_hand(Pump::new(whole, Body::new(Framing::Empty, 0), Coding::Identity))
            }
            Content::Streamed => {
                let body = Body::new(framing, self.exchange.serving.site.limits.max_body);
                Upload::streamed(Pump::new(head, body, coding(framing)))
            }
        }
    }

    fn request_head(&self) -> Vec<u8> {
        let authority = self.target.authority;
        let address;
        let host = match &self.pool.pool.config.host_header {
            HostHeader::Set(host) => host.as_bytes(),
            HostHeader::Pass if !authority.is_empty() => authority,
            HostHeader::Pass => {
                address = self.member().backend.address().to_string();
                address.as_bytes()
            }
        };
        let outbound = Outbound {
            target: self.target,
            host,
            framing: self.rules.framing,
            expects_continue: self.rules.expects_continue && self.content == Content::Streamed,
            sender: self.exchange.sender,
            request_id: &self.record.request_id,
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        headers::write_request(&mut head, self.exchange.request, &outbound);
        head
    }

    /// Waits for the answer that counts; interim ones are passed on.
    async fn await_answer(
        &mut self,
        upstream: &mut Upstream,
        upload: &mut Upload,
    ) -> Result<Response, NoAnswer> {
        let mut response = Response::default();
        let mut interim = 0;
        loop {
            let client = &mut *self.exchange.client;
            exchange::next_head(client, upstream, upload, &mut response, self.bounds).await?;
            if !response.is_interim() {
                return Ok(response);
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(sent(refusal::TOO_MANY_INTERIM));
            }
            self.pass_interim(&response).await?;
        }
    }

    /// 100 (Continue) and 103 (Early Hints) pass; an HTTP/1.0 client knows neither.
    async fn pass_interim(&mut self, response: &Response) -> Result<(), NoAnswer> {
        if response.status == 101 {
            return Err(sent(refusal::UNASKED_UPGRADE));
        }
        if self.exchange.request.version == Version::Http10 {
            return Ok(());
        }
        let inbound = Inbound {
            framing: Framing::Empty,
            connection: Connection::Open,
            hsts: None,
            date: None,
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        headers::write_response(&mut head, response, &inbound);
        let written = self.exchange.client.write(&head, self.bounds.client_idle).await;
        written.map_err(|_| NoAnswer::ClientGone)
    }

    /// The backend has answered: what it was, and how long it took.
    fn note_answer(&mut self, upload: &Upload, status: u16) {
        let backend = &self.member().backend;
        let first_byte = upload.done_at().map_or(Duration::ZERO, |at| at.elapsed());
        self.record.first_byte = Some(first_byte);
        self.record.status = Some(status);
        backend.metrics().responded(self.exchange.local.slot, status, first_byte);
        if status >= 500 && self.pool.pool.config.passive.count_5xx {
            self.pool.failed(self.index);
        } else {
            self.pool.answered(self.index, self.record.connect.unwrap_or_default() + first_byte);
        }
    }

    /// Sends the answer to the client, and keeps both connections if they may be kept.
    async fn deliver(
        &mut self,
        mut upstream: Upstream,
        mut upload: Upload,
        response: &Response,
        rules: ResponseRules,
    ) -> Result<Next, NoAnswer> {
        let framing = framing_for(self.exchange.request.version, rules.framing);
        // A request that is not all sent when its answer comes has no clean end.
        self.exchange.last |= !upload.is_done() || framing == Framing::UntilClose;
        self.exchange.settle();
        let dated = response.fields.first(Name::Date).is_some();
        let date = (!dated).then(|| http_date(SystemTime::now()));
        let inbound = Inbound { framing, date, ..self.exchange.inbound() };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        headers::write_response(&mut head, response, &inbound);
        let head_length = head.len() as u64;
        let body = Body::new(rules.framing, u64::MAX);
        let mut download = Pump::new(head, body, coding(framing));
        let client = &mut *self.exchange.client;
        let bounds = self.bounds;
        let relayed =
            exchange::relay(client, &mut upstream, &mut upload, &mut download, bounds).await;
        if relayed == Err(Cut::Malformed) && !download.has_begun() {
            return Err(sent(refusal::BAD_RESPONSE));
        }
        self.record.bytes_in = upload.moved();
        if let Content::InHand(length) = self.content {
            self.exchange.client.side.input.consume(length);
            self.record.bytes_in = length as u64;
        }
        self.record.bytes_out = download.moved();
        self.record.wire_out = head_length + download.moved();
        if let Err(cut) = relayed {
            return Ok(self.cut_off(cut, framing));
        }
        if rules.keep_alive && upload.is_done() && upstream.side.input.is_empty() {
            let keep = rules::keep_alive_hint(&response.fields);
            self.pool.idle(self.index).put(upstream.side.stream, std::time::Instant::now(), keep);
        }
        Ok(self.exchange.next())
    }

    /// The answer broke off: the client must be able to tell, and so must we of the backend.
    fn cut_off(&mut self, cut: Cut, framing: Framing) -> Next {
        self.record.cut(cut);
        match cut {
            // Nor is a backend to blame that sends for too long: a client who reads slowly could
            // turn it down.
            Cut::ClientGone | Cut::ClientStalled | Cut::TookTooLong => {}
            Cut::UpstreamTruncated | Cut::UpstreamStalled | Cut::Malformed => {
                self.pool.failed(self.index);
            }
        }
        if framing == Framing::UntilClose {
            // A FIN would be this body's clean end: a reset tells it apart. Where the socket is
            // broken already, the client can tell as well.
            let _ = self.exchange.client.side.stream.tcp().set_zero_linger();
        }
        Next::Cut
    }
}

/// The backend had the request and did not answer it as it should.
fn sent(refusal: Refusal) -> NoAnswer {
    NoAnswer::Upstream { refusal, reached: Reached::Sent }
}

/// How an answer is framed for a client of that version.
fn framing_for(version: Version, upstream: Framing) -> Framing {
    match (upstream, version) {
        (Framing::UntilClose | Framing::Chunked, Version::Http10) => Framing::UntilClose,
        (Framing::UntilClose | Framing::Chunked, Version::Http11) => Framing::Chunked,
        (framing @ (Framing::Empty | Framing::Length(_)), _) => framing,
    }
}

fn coding(framing: Framing) -> Coding {
    if framing == Framing::Chunked { Coding::Chunked } else { Coding::Identity }
}
