//! How the body of a request is at hand, and what that allows.

use tokio::time::Instant;

use crate::{
    http::{
        h1::{body::Framing, client::NoRequest, rules::RequestRules},
        proxy::Exchange,
    },
    message::head::Request,
    pool::retry::{FailedTry, Reached},
};

/// A body up to this size is read whole before a backend is asked: then it travels with its head,
/// can be sent again, and a client that drips it holds no connection of a backend.
pub const SHORT_BODY: u64 = 8 * 1024;

/// How the body of a request is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it, so many bytes, at the front of the client's buffer.
    InHand(usize),
    /// It is still to come, and passes through: what has been taken of it is gone.
    Streamed,
}

/// What a try has left of the request for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Every byte of it.
    All,
    /// A part of its body was taken from the client, and passed on.
    Part,
}

/// Reads a short body whole, up to the end of its stream; a longer one is left for the backend to ask for.
pub async fn take_in_short_body(
    exchange: &mut Exchange<'_>,
    rules: &RequestRules,
    whole: Option<Instant>,
) -> Result<Content, NoRequest> {
    if let Some(length) = exchange.client.collected() {
        return Ok(Content::InHand(length));
    }
    let length = match rules.framing {
        Framing::Empty => return Ok(Content::InHand(0)),
        // What its stream carries is no body.
        Framing::Length(0) if exchange.request.extended_connect => return Ok(Content::InHand(0)),
        Framing::Length(length) if length <= SHORT_BODY => length as usize,
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => {
            return Ok(Content::Streamed);
        }
    };
    let client = &mut exchange.client;
    if client.has_body(length) {
        return Ok(Content::InHand(length));
    }
    if rules.expects_continue {
        // It comes only when the backend has said that it wants it.
        return Ok(Content::Streamed);
    }
    client.read_body(length, exchange.serving.site.timeouts.body_idle, whole).await?;
    Ok(Content::InHand(length))
}

/// What came of a try. `rest`: what is left of the request for another one.
pub fn failed_try(request: &Request, content: Content, rest: Rest, reached: Reached) -> FailedTry {
    FailedTry {
        reached,
        idempotent: request.method.is_idempotent(),
        replayable: rest == Rest::All,
        has_body: content != Content::InHand(0),
    }
}
