//! What we say by ourselves: to a client whose request is refused or fails, or that is answered
//! without a backend.

use std::time::SystemTime;

use crate::{
    http::{
        answers::Answer,
        content::{Content, take_in_short_body},
        grpc,
        h1::{client::NoRequest, rules::RequestRules},
        headers::Inbound,
        proxy::{Exchange, Last, Next},
        record::Record,
        refusal::Refusal,
    },
    message::method::Method,
    observe::{dates::http_date, reason::Reason},
};

/// The client has left: no one is there to answer.
pub fn gone(record: &mut Record<'_>) -> Next {
    record.reason = Some(Reason::ClientGone);
    Next::Cut
}

/// Answers what can't be read with an error: nothing that follows it on an HTTP/1 connection can be
/// read either.
pub async fn refuse_last(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    refusal: Refusal,
) -> Next {
    exchange.last = Last::Imposed;
    if refusal.is_malformed() && exchange.client.protocol_error() {
        record.refused(refusal);
        return Next::Cut;
    }
    refuse(exchange, record, refusal).await
}

/// Answers with an error, and its reason.
pub async fn refuse(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    refusal: Refusal,
) -> Next {
    record.refused(refusal);
    let answer = error(exchange, record, refusal);
    send(exchange, record, &answer).await
}

/// The route's page of an error, else the listener's, else ours; none of them where a gRPC client
/// would take it for a broken message.
pub fn error(exchange: &Exchange<'_>, record: &Record<'_>, refusal: Refusal) -> Answer {
    let request = exchange.request;
    // Its status would be 200.
    if grpc::is_call(&request.fields) && !request.is_connect() {
        return Answer::grpc_error(refusal, &record.request_id);
    }
    let status = refusal.status();
    let of_route = record.route.and_then(|route| route.rules.error_pages.find(status));
    match of_route.or_else(|| exchange.serving.site.error_pages.find(status)) {
        Some(page) => Answer::error_page(page, refusal, &record.request_id),
        None => Answer::error(refusal, &record.request_id),
    }
}

/// Answers by ourselves; a short body is dropped, a long one is not waited for.
pub async fn give(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    rules: &RequestRules,
    answer: &Answer,
) -> Next {
    match take_in_body(exchange, record, rules).await {
        Ok(()) => send(exchange, record, answer).await,
        Err(next) => next,
    }
}

/// A short body is dropped, a long one is not waited for.
///
/// # Errors
/// It is wrong, and that has been answered; or the client has gone.
pub async fn take_in_body(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    rules: &RequestRules,
) -> Result<(), Next> {
    match take_in_short_body(exchange, rules, None).await {
        Ok(Content::InHand(length)) => exchange.client.consume(length),
        Ok(Content::Streamed) => exchange.last = Last::Imposed,
        Err(NoRequest::Gone) => return Err(gone(record)),
        Err(NoRequest::Refused(refusal)) => {
            return Err(refuse_last(exchange, record, refusal).await);
        }
    }
    Ok(())
}

/// Sends an answer of ours to a request whose body is done with.
pub async fn send(exchange: &mut Exchange<'_>, record: &mut Record<'_>, answer: &Answer) -> Next {
    let head_only = exchange.request.method == Method::Head;
    exchange.settle();
    let mut bytes = Vec::new();
    let date = Some(http_date(SystemTime::now()));
    answer.write(&mut bytes, head_only, &Inbound { date, ..exchange.inbound(record) });
    record.status = Some(answer.status);
    let idle = exchange.serving.site.timeouts.body_idle;
    if exchange.client.write(&bytes, idle).await.is_err() {
        record.reason.get_or_insert(Reason::ClientGone);
        return Next::Cut;
    }
    record.bytes_out = answer.body_length(head_only);
    record.wire_out = bytes.len() as u64;
    exchange.next()
}
