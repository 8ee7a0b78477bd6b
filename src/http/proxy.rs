//! The story of a request: read strictly, routed, tried at one backend or at several, answered.

use std::borrow::Cow;

use tokio::time::Instant;

use crate::{
    config::Variable,
    http::{
        answers::Answer,
        conditions::Asked,
        door::{Door, Serving},
        downstream::Downstream,
        fastcgi,
        files::{self, Sought},
        forward::forward,
        h1::{body::Framing, rules},
        header_rules::{Changes, HeaderRules},
        headers::{self, Connection, Inbound, Sender, Shown},
        local::Local,
        place::LaterPools,
        record::Record,
        refusal::{self, Refusal},
        reply::{error, give, refuse_last},
        request_id::RequestId,
        route::{self, Ambiguous, Route, Rules},
        sticky,
        target::{self, Forwarded, Target},
        tunnel::Tunnel,
        upgrade,
        variables::Values,
    },
    message::{
        authority,
        head::{Request, Version},
        path::{self, PathError, Reading},
    },
    net::{ends::Ends, proxy_protocol::Announcement, tls::Caller},
    pool::local::LocalPool,
};

/// One request of a connection, with all that serves it.
pub struct Exchange<'a> {
    pub client: Downstream<'a>,
    pub door: &'a Door,
    pub serving: &'a Serving,
    pub later: &'a LaterPools,
    pub local: &'a Local,
    pub request: &'a Request,
    pub ends: &'a Ends,
    pub sender: Sender,
    /// Who the client is; `None` where that is not asked.
    pub caller: Option<&'a Caller>,
    /// As the client wrote it; `None` until it has been read.
    pub target: Option<Target<'a>>,
    pub last: Last,
    /// The script that it is for, where one is asked to be run.
    pub wanted: Option<Box<fastcgi::serve::Wanted<'a>>>,
}

/// Whether this is the last request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Last {
    No,
    /// The client has said so, and sends no byte behind it (RFC 9112, section 9.6). Requests with a body
    /// are left out: some clients send an empty line after that (section 2.2).
    Agreed,
    /// We say so; more may be on its way.
    Imposed,
}

/// What becomes of the client's connection.
pub enum Next {
    Request,
    /// It ends: the client has nothing more to say.
    Close,
    /// It ends; what was written is to be read by the client.
    Linger,
    /// It is closed at once: the client has gone, or must see that its answer is not whole.
    Cut,
    /// It goes on with another protocol, without the snapshot of the request.
    Tunnel(Box<Tunnel>),
}

/// A request that has come, or what came in place of one.
pub struct Arrival<'a> {
    pub client: Downstream<'a>,
    /// When the first byte of its head came.
    pub begun: Instant,
    pub request: &'a Request,
    pub read: Result<(), Refusal>,
    pub last: Last,
}

/// Serves one request to its end, and tells of it; of a tunnel is told when that ends.
pub async fn serve(
    arrival: Arrival<'_>,
    ends: &Ends,
    door: &Door,
    serving: &Serving,
    local: &Local,
) -> Next {
    let Arrival { client, begun, request, read, last } = arrival;
    let site = &serving.site;
    let trusted = site.trusts(ends.peer.ip());
    let id = RequestId::of(&request.fields, trusted, fastrand::u128(..));
    let mut record = Record::new(begun, id);
    let sender = Sender {
        address: ends.peer.ip().to_canonical(),
        trusted,
        tls: site.is_tls(),
        port: ends.port,
    };
    let caller = ends.caller.as_deref().filter(|_| site.callers.is_some());
    record.certificate = caller.and_then(Caller::certificate);
    let later = LaterPools::default();
    let mut exchange = Exchange {
        client,
        door,
        serving,
        later: &later,
        local,
        request,
        ends,
        sender,
        caller,
        target: None,
        last,
        wanted: None,
    };
    let next = match read {
        Ok(()) => answer(&mut exchange, &mut record).await,
        Err(refusal) => refuse_last(&mut exchange, &mut record, refusal).await,
    };
    match next {
        Next::Tunnel(_) => {}
        Next::Request | Next::Close | Next::Linger | Next::Cut => {
            record.finish(local, site, sender.address, request);
        }
    }
    next
}

/// Answers one request, of which the head has been read.
async fn answer<'a>(exchange: &mut Exchange<'a>, record: &mut Record<'a>) -> Next {
    let site = &exchange.serving.site;
    if !site.admits(exchange.caller) {
        return refuse_last(exchange, record, refusal::CLIENT_UNKNOWN).await;
    }
    let rules = match rules::of_request(exchange.request, site.most_body) {
        Ok(rules) => rules,
        Err(refusal) => return refuse_last(exchange, record, refusal).await,
    };
    if !rules.keep_alive {
        let bare = rules.framing == Framing::Empty;
        exchange.last = exchange.last.max(if bare { Last::Agreed } else { Last::Imposed });
    }
    if exchange.request.extended_connect
        && upgrade::asked(exchange.request, rules.framing).is_none()
    {
        return refuse_last(exchange, record, refusal::NO_TUNNEL).await;
    }
    let target = match target::read(exchange.request) {
        Ok(target) => target,
        Err(refusal) => return refuse_last(exchange, record, refusal).await,
    };
    exchange.target = Some(target);
    let host = authority::routing_host(target.authority);
    if !site.may_serve(&host, exchange.client.sni()) {
        return refuse_last(exchange, record, refusal::MISDIRECTED).await;
    }
    if let Some(port) = site.redirect_https {
        if host.is_empty() {
            // HTTP/1.0 without Host: there is nowhere to lead to.
            return refuse_last(exchange, record, refusal::NO_HOST).await;
        }
        let location = headers::https_location(&target, port);
        return give(exchange, record, &rules, &Answer::redirect(308, &location)).await;
    }
    let found = match find_route(exchange, &host, &target) {
        Ok(found) => found,
        Err(refusal::NO_ROUTE) => {
            let answer = error(exchange, record, refusal::NO_ROUTE);
            record.refused(refusal::NO_ROUTE);
            return give(exchange, record, &rules, &answer).await;
        }
        Err(refusal) => return refuse_last(exchange, record, refusal).await,
    };
    record.route = Some(found.route);
    let max_body = found.route.rules.bounds.max_body.unwrap_or(site.limits.max_body);
    if matches!(rules.framing, Framing::Length(length) if length > max_body) {
        return refuse_last(exchange, record, refusal::BODY_TOO_LARGE).await;
    }
    let index = match &found.route.target {
        route::Target::Redirect(redirect) => {
            if target.authority.is_empty() && redirect.to.names(Variable::Host) {
                return refuse_last(exchange, record, refusal::NO_HOST).await;
            }
            let answer = Answer::of_redirect(redirect, &exchange.values(&target, record));
            return give(exchange, record, &rules, &answer).await;
        }
        route::Target::Respond(respond) if exchange.request.is_opened_by(respond.status) => {
            return refuse_last(exchange, record, refusal::NO_TUNNEL).await;
        }
        route::Target::Respond(respond) => {
            return give(exchange, record, &rules, &Answer::of_respond(respond)).await;
        }
        route::Target::Scripts(scripts) => {
            record.pool = Some(&exchange.serving.pools[scripts.pool].pool);
            let forwarded = match found.forwarded(&target) {
                Ok(forwarded) => forwarded,
                Err(refusal) => return refuse_last(exchange, record, refusal).await,
            };
            // Boxed: every request would carry its memory.
            let served = fastcgi::serve::serve(exchange, record, scripts, &rules, &forwarded);
            return Box::pin(served).await;
        }
        route::Target::Files { index, otherwise } => {
            let sought = match found.sought(exchange, &target, *index, *otherwise) {
                Ok(sought) => sought,
                Err(refusal) => return refuse_last(exchange, record, refusal).await,
            };
            match (files::serve(exchange, record, &rules, &sought).await, otherwise) {
                (Some(next), _) => return next,
                (None, Some(pool)) => *pool,
                (None, None) => unreachable!("what no pool is behind is answered by files"),
            }
        }
        route::Target::Pool(index) => *index,
        route::Target::Split(split) => {
            let (pools, fields) = (&exchange.serving.pools, &exchange.request.fields);
            let available = |index: usize| !pools[index].pool.candidates.is_empty();
            let keeps_client = |index: usize| sticky::seen(&pools[index], fields).is_some();
            split.choose(available, keeps_client, |total| fastrand::u64(..total))
        }
    };
    let pool = &exchange.serving.pools[index];
    record.pool = Some(&pool.pool);
    match found.forwarded(&target) {
        Ok(target) => forward(exchange, record, pool, &rules, &target).await,
        Err(refusal) => refuse_last(exchange, record, refusal).await,
    }
}

/// A route, and the path for which it was found: `None` where the target has none.
struct Found<'a> {
    route: &'a Route,
    reading: Option<Reading<'a>>,
}

impl<'a> Found<'a> {
    /// What the route has files looked up for: the path that a backend would get.
    fn sought<'t>(
        &'t self,
        exchange: &Exchange<'a>,
        target: &Target<'t>,
        index: usize,
        otherwise: Option<usize>,
    ) -> Result<Sought<'a, 't>, Refusal> {
        let directory = &*exchange.serving.directories[index];
        let known = self.reading.as_ref().map_or("/", |reading| &*reading.path);
        let path = match self.forwarded(target)?.forwarded {
            Forwarded::AsItCame(_) | Forwarded::Root { .. } => Cow::Borrowed(known),
            Forwarded::Rewritten { prefix, left, .. } => {
                let path = format!("{prefix}{left}");
                let reading = path::read(&path).map_err(|_| refusal::BAD_PATH)?;
                Cow::Owned(reading.path.into_owned())
            }
        };
        Ok(Sought {
            directory,
            path,
            known_as: (known, target.query()),
            has_pool: otherwise.is_some(),
        })
    }

    /// The target as a backend gets it.
    fn forwarded<'t>(&'t self, target: &Target<'t>) -> Result<Target<'t>, Refusal> {
        let (Some(rewrite), Some(reading)) = (&self.route.rules.rewrite, &self.reading) else {
            return Ok(*target);
        };
        Ok(Target { forwarded: rewrite.apply(target, reading)?, ..*target })
    }
}

/// The route of a target; a path that two readers could read differently has none.
fn find_route<'a>(
    exchange: &Exchange<'a>,
    host: &str,
    target: &Target<'a>,
) -> Result<Found<'a>, Refusal> {
    let router = &exchange.serving.site.router;
    let asked = asked(exchange, target);
    let find = |path: &str| match router.find(host, path, &asked) {
        Ok(route) => Ok(route.map(|route| &**route)),
        Err(Ambiguous) => Err(refusal::AMBIGUOUS_MATCH),
    };
    if target.path == "*" {
        let route = find("/")?.ok_or(refusal::NO_ROUTE)?;
        return Ok(Found { route, reading: None });
    }
    let reading = path::read(target.path).map_err(|error| match error {
        PathError::AboveRoot | PathError::BadEncoding => refusal::BAD_PATH,
    })?;
    let route = find(&reading.path)?;
    let name = |route: Option<&'a Route>| route.map(|route| &route.name);
    for other in reading.others() {
        if name(find(other)?) != name(route) {
            return Err(refusal::AMBIGUOUS_PATH);
        }
    }
    Ok(Found { route: route.ok_or(refusal::NO_ROUTE)?, reading: Some(reading) })
}

/// What routes may look at besides host and path.
pub(super) fn asked<'a>(exchange: &Exchange<'a>, target: &Target<'a>) -> Asked<'a> {
    Asked {
        method: exchange.request.method_bytes(),
        query: target.query().strip_prefix(b"?").unwrap_or_default(),
        fields: &exchange.request.fields,
        trusted: exchange.sender.trusted,
    }
}

impl<'a> Exchange<'a> {
    /// Decides whether a request may follow: to be asked when the head of the answer is written,
    /// which may be long after the request came.
    pub fn settle(&mut self) {
        if self.door.is_closing() {
            self.last = Last::Imposed;
        }
    }

    /// What becomes of the connection after a whole answer.
    pub fn next(&self) -> Next {
        match self.last {
            Last::No => Next::Request,
            Last::Agreed => Next::Close,
            Last::Imposed => Next::Linger,
        }
    }

    /// How an answer goes to this client; its framing is the answer's own.
    pub fn inbound<'x>(&self, record: &'x Record<'a>) -> Inbound<'x> {
        let connection = match (self.last != Last::No, self.request.version) {
            // A stream is not a connection.
            (_, Version::Http2) | (false, Version::Http11) => Connection::Open,
            (true, _) => Connection::Close,
            (false, Version::Http10) => Connection::KeepAlive,
        };
        let hsts = self.serving.site.hsts.as_deref().filter(|_| self.sender.tls);
        let changes = self.changes(record, |rules| rules.response_headers.as_ref());
        Inbound { framing: Framing::Empty, connection, hsts, date: None, changes, set_cookie: None }
    }

    /// What a new connection to a backend of that pool says of the client's; `None`: nothing.
    pub fn announcement(&self, pool: &LocalPool) -> Option<Announcement> {
        let version = pool.pool.config.proxy_protocol?;
        Some(self.ends.announcement(version, || self.client.destination()))
    }

    /// What the client showed of who it is.
    pub fn shown(&self) -> Shown<'a> {
        match self.caller.map(Caller::certificate) {
            None => Shown::NotAsked,
            Some(None) => Shown::Nothing,
            Some(Some(certificate)) => Shown::Verified(certificate),
        }
    }

    /// What the route changes in a head, if it has such rules.
    pub fn changes<'x>(
        &self,
        record: &'x Record<'a>,
        rules: impl FnOnce(&'a Rules) -> Option<&'a HeaderRules>,
    ) -> Option<Changes<'x>> {
        let rules = rules(&record.route?.rules)?;
        Some(Changes { rules, values: self.values(&self.target?, record) })
    }

    /// What the variables of a route's templates stand for.
    fn values<'x>(&self, target: &Target<'a>, record: &'x Record<'a>) -> Values<'x> {
        let fields = &self.request.fields;
        Values { sender: self.sender, target: *target, fields, request_id: &record.request_id }
    }
}
