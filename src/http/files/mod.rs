//! The story of a request for files: looked up, held against its conditions, answered with the whole
//! of a file or with parts of it.
//!
//! - `head`: the head of such an answer; pure.
//! - `body`: what of a file is sent; pure.
//! - `send`: head and body on their way, whatever the client speaks and wherever the bytes are.

mod body;
mod head;
mod send;

use std::{borrow::Cow, time::SystemTime};

use crate::{
    config::Listing,
    files::{
        accept::Form,
        chosen::Chosen,
        conditions::{self, Verdict},
        document::Document,
        local::{Failed, Finding, LocalDirectory},
        looks::Change,
        ranges::{self, Selection},
    },
    http::{
        answers::Answer,
        compression,
        compressors::Placed,
        downstream::{EndsBy, GivenUp},
        h1::{body::Framing, rules::RequestRules},
        headers::Inbound,
        proxy::{Exchange, Last, Next},
        record::Record,
        refusal::{self, Refusal},
        reply::{error, give, gone, refuse_last, take_in_body},
    },
    message::{encoder::Encoder, head::Request, lent::Lent, method::Method},
    net::clock,
    observe::{
        dates::http_date,
        metrics::{FilesError, RouteMetrics},
        reason::Reason,
    },
};

use body::{Body, OnTheWay};
use head::Head;
use send::{Sending, Stopped};

/// Room for the head of nearly every answer.
const HEAD_BYTES: usize = 1024;

/// What is asked for, and where.
pub struct Sought<'a, 't> {
    pub directory: &'a LocalDirectory,
    /// As routing read it, without what the route takes away.
    pub path: Cow<'t, str>,
    /// As the client knows it, with what the route takes away; and its query, with the `?`.
    pub known_as: (&'t str, &'t [u8]),
    /// Whether a pool answers what is not there.
    pub has_pool: bool,
}

/// Answers; `None` where that is left to the pool.
pub async fn serve<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    rules: &RequestRules,
    sought: &Sought<'a, '_>,
) -> Option<Next> {
    let request = exchange.request;
    match request.method {
        _ if request.is_connect() && sought.has_pool => return None,
        _ if request.is_connect() => {
            return Some(refuse_last(exchange, record, refusal::NO_TUNNEL).await);
        }
        Method::Get | Method::Head => {}
        _ if sought.has_pool => return None,
        Method::Options => {
            record.files = Some(&sought.directory.directory);
            return Some(give(exchange, record, rules, &Answer::files_options()).await);
        }
        _ => {
            record.files = Some(&sought.directory.directory);
            return Some(fail(exchange, record, rules, refusal::METHOD_NOT_ALLOWED).await);
        }
    }
    let form = form(sought.directory, request);
    let found = find(exchange, sought, form).await;
    if matches!(found, Ok(Finding::Nothing)) && sought.has_pool {
        return None;
    }
    record.files = Some(&sought.directory.directory);
    let finding = match found {
        Ok(finding) => finding,
        Err(Unfound::ClientGone) => return Some(gone(record)),
        Err(Unfound::Refused(refusal)) => {
            return Some(fail(exchange, record, rules, refusal).await);
        }
    };
    Some(match finding {
        Finding::Nothing => fail(exchange, record, rules, refusal::NO_FILE).await,
        Finding::Redirect(change) => {
            let (path, query) = sought.known_as;
            let answer = Answer::redirect(301, &change.location(path, query));
            give(exchange, record, rules, &answer).await
        }
        Finding::Found(_) | Finding::Listing(_) if sought.lacks_slash() => {
            let (path, query) = sought.known_as;
            let answer = Answer::redirect(301, &Change::AddSlash.location(path, query));
            give(exchange, record, rules, &answer).await
        }
        Finding::Listing(text) => {
            let answer = Answer::listing(form, text);
            give(exchange, record, rules, &answer).await
        }
        Finding::Found(entry) => {
            if let Err(next) = take_in_body(exchange, record, rules).await {
                return Some(next);
            }
            let chosen = entry.found.chosen(&exchange.request.fields);
            answer(exchange, record, sought, &chosen).await
        }
    })
}

impl Sought<'_, '_> {
    /// The route took away all of the path but the slash: a page's links would lead astray.
    fn lacks_slash(&self) -> bool {
        self.path.ends_with('/') && !self.known_as.0.ends_with('/')
    }
}

/// In which form a directory is shown.
fn form(directory: &LocalDirectory, request: &Request) -> Form {
    match directory.directory.config.listing {
        Listing::Auto => Form::of(&request.fields),
        Listing::Json => Form::Json,
        Listing::Off | Listing::Html => Form::Html,
    }
}

/// Why nothing is known of what is asked for.
enum Unfound {
    ClientGone,
    Refused(Refusal),
}

/// Waits for the disk, where it has to be asked, as long as the client stays.
async fn find(
    exchange: &mut Exchange<'_>,
    sought: &Sought<'_, '_>,
    form: Form,
) -> Result<Finding, Unfound> {
    let Sought { directory, path, .. } = sought;
    let deadline = clock::lately() + directory.directory.config.reads.timeout;
    let found = exchange.client.unless_gone(deadline, directory.find(path, form)).await;
    let slot = exchange.local.slot;
    let failed = |error| directory.directory.metrics.failed(slot, error);
    match found {
        Ok(Ok(finding)) => Ok(finding),
        Ok(Err(Failed::Busy)) => {
            failed(FilesError::Busy);
            Err(Unfound::Refused(refusal::DISK_BUSY))
        }
        Ok(Err(Failed::Trouble(error))) => {
            failed(FilesError::Unreadable);
            tracing::warn!("files {}: {path}: {error}", directory.directory.config.name);
            Err(Unfound::Refused(refusal::FILE_UNREADABLE))
        }
        Err(GivenUp::Late) => {
            failed(FilesError::Timeout);
            Err(Unfound::Refused(refusal::DISK_TIMEOUT))
        }
        Err(GivenUp::ClientGone) => Err(Unfound::ClientGone),
    }
}

async fn fail(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    rules: &RequestRules,
    refusal: Refusal,
) -> Next {
    record.refused(refusal);
    let answer = error(exchange, record, refusal);
    give(exchange, record, rules, &answer).await
}

/// Answers with a document, if the request's conditions are met.
async fn answer<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    sought: &Sought<'a, '_>,
    chosen: &Chosen<'_>,
) -> Next {
    let request = exchange.request;
    let now = SystemTime::now();
    let asked = conditions::Asked { method: request.method, fields: &request.fields, now };
    let document = &*chosen.document();
    let length = document.length();
    let max_ranges = sought.directory.directory.config.max_ranges;
    let selection = match conditions::judge(&asked, &document.validators()) {
        Verdict::Whole => Selection::Whole,
        Verdict::Ranges(value) => ranges::select(value, length, max_ranges),
        Verdict::NotModified => {
            let head = Head::not_modified(document);
            return send(exchange, record, sought, head, Body::empty(document)).await;
        }
        Verdict::PreconditionFailed => {
            record.refused(refusal::PRECONDITION_FAILED);
            let answer = error(exchange, record, refusal::PRECONDITION_FAILED);
            return crate::http::reply::send(exchange, record, &answer).await;
        }
    };
    if selection == Selection::Unsatisfiable {
        record.refused(refusal::RANGE_NOT_SATISFIABLE);
        let answer = error(exchange, record, refusal::RANGE_NOT_SATISFIABLE);
        let mut range = Vec::new();
        ranges::write_unsatisfied(&mut range, length);
        let answer = answer.with_line("Content-Range", &range);
        return crate::http::reply::send(exchange, record, &answer).await;
    }
    let is_head = request.method == Method::Head;
    if let Chosen::ToEncode(coding, plain) = chosen {
        if is_head {
            return send(exchange, record, sought, Head::encoded(document), Body::empty(document))
                .await;
        }
        return match exchange.serving.site.places.take() {
            Some(place) => {
                let level = sought.directory.directory.level();
                let placed = Placed { encoder: Encoder::new(*coding, level), place };
                let on_the_way = OnTheWay::new(*coding, placed, request.version);
                let body = Body::encoded(document, on_the_way);
                send(exchange, record, sought, Head::encoded(document), body).await
            }
            None => {
                note(record, |metrics| metrics.uncompressed(exchange.local.slot));
                let body = Body::new(plain, selection);
                send(exchange, record, sought, Head::of(plain, &body), body).await
            }
        };
    }
    let body = Body::new(document, selection);
    let head = Head::of(document, &body);
    let body = if is_head { Body::empty(document) } else { body };
    let next = send(exchange, record, sought, head, body).await;
    if let Chosen::Made(coding, document) = chosen
        && record.bytes_out > 0
    {
        let (coding, before) = (compression::coding(*coding), document.stamp.length);
        let (slot, after) = (exchange.local.slot, record.bytes_out);
        note(record, |metrics| metrics.compressed(slot, coding, before, after));
    }
    next
}

impl Chosen<'_> {
    /// What is said of it.
    fn document(&self) -> Cow<'_, Document> {
        match self {
            Chosen::Lying(document) | Chosen::Made(_, document) => Cow::Borrowed(document),
            Chosen::ToEncode(coding, document) => {
                Cow::Owned(document.encoded(*coding, document.content.clone()))
            }
        }
    }
}

fn note(record: &Record<'_>, count: impl FnOnce(&RouteMetrics)) {
    if let Some(route) = record.route {
        count(&route.metrics);
    }
}

async fn send<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    sought: &Sought<'a, '_>,
    head: Head<'_>,
    body: Body<'_>,
) -> Next {
    let on_the_way = body.parts.on_the_way();
    let framing = on_the_way.map_or(Framing::Empty, |(_, framing)| framing);
    if framing == Framing::UntilClose {
        exchange.last = Last::Imposed;
    }
    exchange.settle();
    let mut bytes = Lent::default();
    bytes.reserve(HEAD_BYTES);
    let date = Some(http_date(SystemTime::now()));
    head.write(&mut bytes, &Inbound { framing, date, ..exchange.inbound(record) });
    record.status = Some(head.status);
    record.wire_out = bytes.len() as u64;
    let idle = exchange.serving.site.timeouts.body_idle;
    let mut sending = Sending::new(&mut exchange.client, sought.directory, body, idle);
    let outcome = sending.run(bytes).await;
    let (taken, moved) = (sending.taken(), sending.moved());
    record.bytes_out = moved;
    record.wire_out += moved;
    if let Some((coding, _)) = on_the_way {
        let slot = exchange.local.slot;
        note(record, |metrics| metrics.compressed(slot, compression::coding(coding), taken, moved));
    }
    match outcome {
        Ok(()) => exchange.next(),
        Err(stopped) => {
            let by_close = framing == Framing::UntilClose;
            let by_end = if by_close { EndsBy::Close } else { EndsBy::Framing };
            cut(exchange, record, sought, &stopped, by_end)
        }
    }
}

/// The answer breaks off so that the client can tell.
fn cut(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    sought: &Sought<'_, '_>,
    stopped: &Stopped,
    by_end: EndsBy,
) -> Next {
    let directory = &sought.directory.directory;
    let (reason, error) = match stopped {
        Stopped::ClientGone => (Reason::ClientGone, None),
        Stopped::ClientStalled => (Reason::ClientStalled, None),
        Stopped::Busy => (Reason::DiskBusy, Some(FilesError::Busy)),
        Stopped::Late => (Reason::DiskTimeout, Some(FilesError::Timeout)),
        Stopped::Unreadable(_) | Stopped::Unencoded(_) => {
            (Reason::FileUnreadable, Some(FilesError::Unreadable))
        }
        Stopped::Changed => (Reason::FileChanged, Some(FilesError::Changed)),
    };
    record.reason = Some(reason);
    if let Some(error) = error {
        directory.metrics.failed(exchange.local.slot, error);
        let (name, path) = (&directory.config.name, &sought.path);
        tracing::warn!("files {name}: {path}: an answer was cut: {stopped}");
    }
    exchange.client.cut(by_end);
    Next::Cut
}
