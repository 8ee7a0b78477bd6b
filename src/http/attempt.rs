//! One try of a request at one backend: reach it, send, wait for its answer, pass that on.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::{
    config::HostHeader,
    http::{
        compression::{self, Judged, Verdict},
        content::{Content, Rest},
        downstream::{EndsBy, GivenUp},
        exchange::{self, Bounds, Cut, NoAnswer, Upload},
        fastcgi,
        h1::{
            self,
            body::Framing,
            rules::{self, RequestRules, ResponseRules},
        },
        headers::{self, Connection, Inbound, Outbound},
        passage::Passage,
        proxy::{Exchange, Last, Next},
        reach::{self, Unconnected},
        record::Record,
        refusal::{self, Refusal},
        target::Target,
        tunnel::Tunnel,
        upgrade,
        upstream::Upstream,
    },
    message::{
        field::Name,
        head::{Response, Version},
        lent::Lent,
    },
    net::{clock, proxy_protocol::Announcement},
    observe::dates::http_date,
    pool::{balance::Ask, local::LocalPool, members::Member, place::InFlight, retry::Reached},
};

/// What a head and the fields that we set usually take.
const HEAD_BYTES: usize = 1024;
/// Interim answers that are passed on before the one that counts.
pub(super) const MAX_INTERIM: usize = 100;

/// One try, for which the request holds a place at the backend.
pub struct Attempt<'e, 'a> {
    pub exchange: &'e mut Exchange<'a>,
    pub record: &'e mut Record<'a>,
    pub pool: &'a LocalPool,
    /// Of the member in the pool; of the second one, where that answered first.
    pub index: usize,
    /// The place at that backend.
    pub in_flight: InFlight<'a>,
    /// When it was asked, for who balances by time.
    pub asked: Option<std::time::Instant>,
    /// For a second backend.
    pub ask: Ask<'e>,
    /// The second one, if it was asked.
    pub hedged: Option<usize>,
    pub rules: &'e RequestRules,
    pub target: &'e Target<'e>,
    pub content: Content,
    /// What is left of the request for another try.
    pub rest: Rest,
    pub bounds: &'e Bounds,
    /// The head of a good answer has come: the body is still to be judged.
    pub begun: bool,
    /// For the client to be kept here, where it is not said already: the value of Set-Cookie.
    pub cookie: Option<String>,
}

/// What came of a try.
pub enum Outcome {
    /// The client has its answer.
    Answered(Next),
    /// It has been told that the backend agrees to another protocol, which begins here.
    Upgraded(Box<h1::upstream::Upstream>),
}

impl<'a> Attempt<'_, 'a> {
    /// Sends the request to the backend and its answer to the client. An error has cost the client
    /// nothing yet.
    pub async fn run(&mut self) -> Result<Outcome, NoAnswer> {
        let member = self.member();
        self.record.member = Some(member);
        let mut upstream = self.reach().await?;
        member.backend.metrics().requested(self.exchange.local.slot);
        let mut upload = self.upload(member, &mut upstream);
        let answer = match self.patience() {
            None => self.await_answer(&mut upstream, &mut upload).await,
            // Boxed: every connection would carry its memory, and few pools have it.
            Some(patience) => {
                Box::pin(self.await_either(&mut upstream, &mut upload, patience)).await
            }
        };
        self.rest = upload.rest();
        let response = match answer {
            Ok(response) => response,
            Err(none) => {
                if none.is_silence() {
                    upstream.distrust();
                }
                return Err(none);
            }
        };
        if response.status == 101
            && let Upstream::H1(upstream) = upstream
        {
            // Boxed: every connection would carry its memory, and few are ever upgraded.
            Box::pin(self.agree(&upload, response)).await?;
            return Ok(Outcome::Upgraded(Box::new(upstream)));
        }
        let rules = rules::of_response(self.exchange.request.method, &response).map_err(sent)?;
        self.note_answer(&upload, response.status);
        if self.exchange.request.is_opened_by(response.status) {
            // HTTP/1.1 leaves it to the backend whether it looks at Upgrade: no failure of its own.
            return Err(NoAnswer::Refused(refusal::NOT_UPGRADED));
        }
        // Lent, not given: what an async function is given it holds twice.
        let next = self.deliver(&mut upstream, &mut upload, &response, rules).await?;
        if !matches!(next, Next::Cut) {
            self.keep(upstream, &upload, &response, rules);
        }
        Ok(Outcome::Answered(next))
    }

    /// What goes on where the request has ended: its place at the backend, and its record.
    pub fn tunnel(self, upstream: h1::upstream::Upstream) -> Tunnel {
        let Exchange { serving, sender, request, .. } = self.exchange;
        Tunnel {
            side: upstream.side,
            backend: self.pool.member(self.index).backend.clone(),
            held: self.in_flight.keep(),
            idle: self.bounds.upstream.tunnel_idle,
            metrics: self.pool.pool.metrics.clone(),
            record: self.record.keep(&serving.site, sender.address, request),
        }
    }

    pub(super) fn member(&self) -> &'a Member {
        self.pool.member(self.index)
    }

    /// A connection to the backend: an idle one, or a new one.
    async fn reach(&mut self) -> Result<Upstream, NoAnswer> {
        let (pool, index, local) = (self.pool, self.index, self.exchange.local);
        let announced = self.exchange.announcement(pool);
        if let Some(upstream) = self.at_hand(announced) {
            return Ok(upstream);
        }
        let begun = Instant::now();
        let deadline = begun + self.bounds.upstream.connect;
        // Boxed: every request would carry its memory, and few need a new connection.
        let open = Box::pin(reach::open(pool, index, announced, local));
        let connected = self.exchange.client.unless_gone(deadline, open).await;
        self.record.connect = Some(begun.elapsed());
        let why = match connected {
            Ok(Ok(upstream)) => return Ok(upstream),
            Ok(Err(error)) => Unconnected::Dial(error),
            Err(GivenUp::Late) => Unconnected::Late,
            Err(GivenUp::ClientGone) => return Err(NoAnswer::ClientGone),
        };
        Err(why.told(self.member(), local.slot))
    }

    /// An idle connection. What can't be sent again is not trusted to one that may just be closing,
    /// and neither is a second try. A short body of a method that may not be repeated goes over one
    /// that was in use a moment ago: to dial for each costs too much where there are many, and over
    /// one that has been idle for longer its backend's close may cross it, which is a 502 (nginx and
    /// Envoy bear that; HAProxy's `http-reuse safe` dials for the first request of each client).
    fn at_hand(&self, announced: Option<Announcement>) -> Option<Upstream> {
        let (pool, index, local) = (self.pool, self.index, self.exchange.local);
        if self.content == Content::Streamed || self.record.attempts > 1 {
            return None;
        }
        let idempotent = self.exchange.request.method.is_idempotent();
        match idempotent || self.content == Content::InHand(0) {
            true => reach::idle(pool, index, announced, local),
            false => reach::just_used(pool, index, announced, local),
        }
    }

    /// The request as it goes to the backend.
    pub(super) fn upload(&self, member: &Member, upstream: &mut Upstream) -> Upload {
        let mut head = self.request_head(member, upstream);
        if let Upstream::Fastcgi(upstream) = upstream {
            head = self.parameters(&head, upstream);
        }
        let client = &self.exchange.client;
        match self.content {
            Content::InHand(length) => {
                let body = &client.at_hand()[..length];
                Upload::in_hand(
                    Passage::of_request_at_hand(head, body, client, upstream),
                    self.bounds.begun,
                )
            }
            Content::Streamed => {
                let limit = self.bounds.max_body;
                let framing = self.rules.framing;
                let mut passage = Passage::of_request(head, framing, limit, client, upstream);
                if self.pool.pool.config.splice {
                    passage.allow_splicing();
                }
                Upload::streamed(passage, self.bounds.begun)
            }
        }
    }

    /// The same as a script is told it.
    fn parameters(&self, head: &[u8], upstream: &mut fastcgi::upstream::Upstream) -> Lent<u8> {
        let connection = match self.pool.pool.config.max_idle {
            0 => fastcgi::record::Connection::Closed,
            1.. => fastcgi::record::Connection::Kept,
        };
        upstream.side.stream.stderr.request_id = (*self.record.request_id).into();
        match fastcgi::serve::request(self.exchange, head, connection) {
            Ok(parameters) => parameters,
            Err(refusal) => {
                upstream.unsendable = Some(refusal);
                Lent::default()
            }
        }
    }

    fn request_head(&self, member: &Member, upstream: &Upstream) -> Lent<u8> {
        let authority = self.target.authority;
        let address;
        let host = match &self.pool.pool.config.host_header {
            HostHeader::Set(host) => host.as_bytes(),
            HostHeader::Pass if !authority.is_empty() => authority,
            HostHeader::Pass => {
                address = member.backend.address().authority();
                address.as_bytes()
            }
        };
        let outbound = Outbound {
            target: self.target,
            host,
            framing: self.rules.framing,
            upgrade: self.upgrade_asked(upstream),
            takes_trailers: matches!(upstream, Upstream::H2(_)),
            expects_continue: self.rules.expects_continue && self.content == Content::Streamed,
            sender: self.exchange.sender,
            certificate: self.exchange.shown(),
            request_id: &self.record.request_id,
            changes: self.exchange.changes(self.record, |rules| rules.request_headers.as_ref()),
        };
        let mut head = Lent::default();
        head.reserve(HEAD_BYTES);
        headers::write_request(&mut head, self.exchange.request, &outbound);
        head
    }

    /// Waits for the answer that counts; interim ones are passed on.
    pub(super) async fn await_answer(
        &mut self,
        upstream: &mut Upstream,
        upload: &mut Upload,
    ) -> Result<Response, NoAnswer> {
        let mut response = Response::default();
        let mut interim = 0;
        loop {
            let client = &mut self.exchange.client;
            exchange::next_head(client, upstream, upload, &mut response, self.bounds).await?;
            if !response.is_interim() || self.is_upgrade(upstream, &response) {
                return Ok(response);
            }
            interim += 1;
            self.take_interim(&response, interim).await?;
        }
    }

    /// One more interim answer, the first of which is number 1.
    pub(super) async fn take_interim(
        &mut self,
        response: &Response,
        number: usize,
    ) -> Result<(), NoAnswer> {
        if number > MAX_INTERIM {
            return Err(sent(refusal::TOO_MANY_INTERIM));
        }
        self.pass_interim(response).await
    }

    fn upgrade_asked(&self, upstream: &Upstream) -> Option<&[u8]> {
        match upstream {
            Upstream::H1(_) => upgrade::asked(self.exchange.request, self.rules.framing),
            Upstream::H2(_) | Upstream::Fastcgi(_) => None,
        }
    }

    fn is_upgrade(&self, upstream: &Upstream, response: &Response) -> bool {
        let asked = self.upgrade_asked(upstream).filter(|_| response.status == 101);
        asked.is_some_and(|asked| upgrade::agrees(asked, response))
    }

    /// Tells the client that the backend has agreed to another protocol.
    async fn agree(&mut self, upload: &Upload, mut response: Response) -> Result<(), NoAnswer> {
        self.note_answer(upload, response.status);
        let inbound = self.exchange.inbound(self.record);
        let set_cookie = self.cookie.as_deref();
        let inbound = Inbound { connection: Connection::Open, set_cookie, ..inbound };
        let head = upgrade::head(&mut response, self.exchange.request.version, &inbound);
        self.record.status = Some(response.status);
        self.record.wire_out = head.len() as u64;
        let opened = self.exchange.client.open_tunnel(head, self.bounds.client_idle).await;
        opened.map_err(|_| NoAnswer::ClientGone)
    }

    /// 100 (Continue) and 103 (Early Hints) pass; an HTTP/1.0 client knows neither.
    async fn pass_interim(&mut self, response: &Response) -> Result<(), NoAnswer> {
        if response.status == 101 {
            return Err(sent(refusal::UNASKED_UPGRADE));
        }
        if self.exchange.request.version == Version::Http10 {
            return Ok(());
        }
        let mut head = Lent::default();
        head.reserve(HEAD_BYTES);
        headers::write_response(&mut head, response, &Inbound::bare());
        let written = self.exchange.client.inform(head.kept(), self.bounds.client_idle).await;
        written.map_err(|_| NoAnswer::ClientGone)
    }

    /// The backend has answered: what it was, and how long it took.
    fn note_answer(&mut self, upload: &Upload, status: u16) {
        let backend = &self.member().backend;
        let first_byte = upload
            .done_at()
            .map_or(Duration::ZERO, |at| clock::lately().saturating_duration_since(at));
        self.record.first_byte = Some(first_byte);
        self.record.status = Some(status);
        backend.metrics().responded(self.exchange.local.slot, status, first_byte);
        self.pool.first_byte(first_byte);
        let took = self.record.connect.unwrap_or_default() + first_byte;
        match status {
            // What follows is no answer, or no better than its head.
            101 | 500.. => self.judge(self.index, status, took),
            _ => {
                self.pool.began(self.index, took);
                self.begun = true;
            }
        }
    }

    /// Whether an answer, which began so long after it was asked for, speaks for its backend.
    pub(super) fn judge(&self, index: usize, status: u16, took: Duration) {
        match status {
            500.. => self.pool.answered_ill(index),
            _ => self.pool.answered(index, took),
        }
    }

    /// Sends the answer to the client.
    async fn deliver(
        &mut self,
        upstream: &mut Upstream,
        upload: &mut Upload,
        response: &Response,
        rules: ResponseRules,
    ) -> Result<Next, NoAnswer> {
        let (route, request) = (self.record.route, self.exchange.request);
        let Judged { verdict, encoded } =
            compression::judged(route, request, response, rules.framing);
        let framing = verdict.framing(rules.framing);
        let framing = framing_for(self.exchange.request.version, framing);
        // A request that is not all sent when its answer comes has no clean end.
        if !upload.is_done() || framing == Framing::UntilClose {
            self.exchange.last = Last::Imposed;
        }
        self.exchange.settle();
        let head = self.answer_head(response, framing, verdict);
        let head_length = head.len() as u64;
        let frees = matches!(upstream, Upstream::Fastcgi(_)) && upload.is_done();
        if frees {
            // The answer has begun: what was kept for another try is needed no more.
            upload.free();
            self.exchange.client.free_collected();
        }
        let client = &mut self.exchange.client;
        let mut download = match encoded {
            None => Passage::of_answer(head, rules.framing, framing, client, upstream),
            Some(encoded) => {
                Passage::of_encoded_answer(head, encoded, rules.framing, framing, upstream)
            }
        };
        if self.pool.pool.config.splice {
            download.allow_splicing();
        }
        let bounds = self.bounds;
        let relayed = exchange::relay(client, upstream, upload, &mut download, bounds).await;
        if relayed == Err(Cut::Malformed) && !download.has_begun() {
            self.rest = if frees { Rest::Part } else { upload.rest() };
            return Err(sent(refusal::BAD_RESPONSE));
        }
        self.record.bytes_in = upload.moved();
        if let Content::InHand(length) = self.content {
            self.exchange.client.consume(length);
            self.record.bytes_in = length as u64;
        }
        self.note_spliced(upload.spliced() + download.spliced());
        self.record.bytes_out = download.moved();
        self.record.wire_out = head_length + download.moved();
        if let Some(route) = route {
            verdict.count(&route.metrics, self.exchange.local.slot, &download);
        }
        if let Err(cut) = relayed {
            return Ok(self.cut_off(cut, framing));
        }
        if self.begun {
            self.pool.ended(self.index);
        }
        Ok(self.exchange.next())
    }

    fn note_spliced(&self, bytes: u64) {
        if bytes > 0 {
            self.pool.pool.metrics.spliced(self.exchange.local.slot, bytes);
        }
    }

    fn answer_head(&self, response: &Response, framing: Framing, verdict: Verdict) -> Lent<u8> {
        let dated = response.fields.first(Name::Date).is_some();
        let date = (!dated).then(|| http_date(SystemTime::now()));
        let set_cookie = self.cookie.as_deref();
        let inbound = Inbound { framing, date, set_cookie, ..self.exchange.inbound(self.record) };
        let mut head = Lent::default();
        head.reserve(HEAD_BYTES);
        match verdict {
            Verdict::AsItIs => headers::write_response(&mut head, response, &inbound),
            verdict => verdict.write_response(&mut head, response, &inbound),
        }
        head
    }

    /// The answer has come whole: its connection serves others, if it may.
    fn keep(
        &mut self,
        upstream: Upstream,
        upload: &Upload,
        response: &Response,
        rules: ResponseRules,
    ) {
        let upstream = match upstream {
            Upstream::H1(upstream) => upstream,
            Upstream::Fastcgi(upstream) if upload.is_done() => {
                let idle = self.pool.idle(self.index);
                let held = self.in_flight.hand_over();
                return fastcgi::after::keep(*upstream, idle, held, self.bounds.upstream.idle);
            }
            Upstream::H2(_) | Upstream::Fastcgi(_) => return,
        };
        if rules.keep_alive && upload.is_done() && upstream.side.input.is_empty() {
            let hint = rules::keep_alive_hint(&response.fields);
            let (stream, announced) = (upstream.side.stream, self.exchange.announcement(self.pool));
            let now = clock::now();
            self.record.ended = Some(now);
            self.pool.idle(self.index).put(stream, now.into_std(), hint, announced);
        }
    }

    /// The answer broke off: the client must be able to tell, and so must we of the backend.
    fn cut_off(&mut self, cut: Cut, framing: Framing) -> Next {
        self.record.cut(cut);
        match cut {
            // Nor is a backend to blame that sends for too long: a client who reads slowly could
            // turn it down.
            Cut::ClientGone | Cut::ClientStalled | Cut::TookTooLong if self.begun => {
                self.pool.left(self.index);
            }
            Cut::ClientGone | Cut::ClientStalled | Cut::TookTooLong => {}
            Cut::UpstreamTruncated | Cut::UpstreamStalled | Cut::Malformed => {
                self.pool.cut_off(self.index);
            }
        }
        let by_close = framing == Framing::UntilClose;
        self.exchange.client.cut(if by_close { EndsBy::Close } else { EndsBy::Framing });
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
        // By the end of the stream, which is told from one that breaks off.
        (Framing::UntilClose | Framing::Chunked, Version::Http2) => Framing::UntilClose,
        (framing @ (Framing::Empty | Framing::Length(_)), _) => framing,
    }
}
