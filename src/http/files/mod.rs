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
        conditions::{self, Verdict},
        document::Document,
        local::{Failed, Finding, LocalDirectory},
        looks::Change,
        ranges::{self, Selection},
    },
    http::{
        answers::Answer,
        downstream::{EndsBy, GivenUp},
        h1::rules::RequestRules,
        proxy::{Exchange, Next},
        record::Record,
        refusal::{self, Refusal},
        reply::{error, give, gone, refuse_last, take_in_body},
    },
    message::{head::Request, lent::Lent, method::Method},
    net::clock,
    observe::{dates::http_date, metrics::FilesError, reason::Reason},
};

use body::Body;
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
            let document = entry.found.chosen(&exchange.request.fields);
            answer(exchange, record, sought, document).await
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
    document: &Document,
) -> Next {
    let request = exchange.request;
    let now = SystemTime::now();
    let asked = conditions::Asked { method: request.method, fields: &request.fields, now };
    let length = document.stamp.length;
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
    let body = Body::new(document, selection);
    let head = Head::of(document, &body);
    let body = if request.method == Method::Head { Body::empty(document) } else { body };
    send(exchange, record, sought, head, body).await
}

async fn send<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    sought: &Sought<'a, '_>,
    head: Head<'_>,
    body: Body<'_>,
) -> Next {
    exchange.settle();
    let mut bytes = Lent::default();
    bytes.reserve(HEAD_BYTES);
    let date = Some(http_date(SystemTime::now()));
    head.write(&mut bytes, &crate::http::headers::Inbound { date, ..exchange.inbound(record) });
    record.status = Some(head.status);
    record.wire_out = bytes.len() as u64;
    let idle = exchange.serving.site.timeouts.body_idle;
    let mut sending = Sending::new(&mut exchange.client, sought.directory, &body, idle);
    let outcome = sending.run(bytes).await;
    record.bytes_out = sending.moved();
    record.wire_out += sending.moved();
    match outcome {
        Ok(()) => exchange.next(),
        Err(stopped) => cut(exchange, record, sought, &stopped),
    }
}

/// The answer breaks off so that the client can tell.
fn cut(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    sought: &Sought<'_, '_>,
    stopped: &Stopped,
) -> Next {
    let directory = &sought.directory.directory;
    let (reason, error) = match stopped {
        Stopped::ClientGone => (Reason::ClientGone, None),
        Stopped::ClientStalled => (Reason::ClientStalled, None),
        Stopped::Busy => (Reason::DiskBusy, Some(FilesError::Busy)),
        Stopped::Late => (Reason::DiskTimeout, Some(FilesError::Timeout)),
        Stopped::Unreadable(_) => (Reason::FileUnreadable, Some(FilesError::Unreadable)),
        Stopped::Changed => (Reason::FileChanged, Some(FilesError::Changed)),
    };
    record.reason = Some(reason);
    if let Some(error) = error {
        directory.metrics.failed(exchange.local.slot, error);
        let (name, path) = (&directory.config.name, &sought.path);
        tracing::warn!("files {name}: {path}: an answer was cut: {stopped}");
    }
    exchange.client.cut(EndsBy::Framing);
    Next::Cut
}
