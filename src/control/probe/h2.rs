//! One question over HTTP/2 (RFC 9113), to backends that are spoken to so. The answer is read as any
//! other: its head is written down as HTTP/1 would have sent it.

use std::{future::poll_fn, pin::pin};

use ::h2::{
    RecvStream,
    client::{self, SendRequest},
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use tokio::select;

use crate::{
    config::HttpProbe,
    control::probe::{
        answer::{self, End, MAX_ANSWER, Reading},
        ask::{Asked, USER_AGENT, authority, method},
    },
    net::stream::Stream,
    pool::dial::Dial,
};

/// Asks on a connection of its own. What comes of the answer is left in `bytes`.
pub async fn ask(
    probe: &HttpProbe,
    how: &Dial<'_>,
    stream: Stream,
    bytes: &mut Vec<u8>,
) -> Result<Asked, String> {
    let request = request(probe, how)?;
    let (requests, connection) = client::Builder::new()
        .enable_push(false)
        .initial_window_size(MAX_ANSWER as u32)
        .max_header_list_size(MAX_ANSWER as u32)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| words(&error))?;
    let mut exchange = pin!(exchange(probe, requests, request, bytes));
    select! {
        biased;
        asked = &mut exchange => asked,
        // It is told what the connection ended of.
        _ = connection => exchange.await,
    }
}

async fn exchange(
    probe: &HttpProbe,
    mut requests: SendRequest<Bytes>,
    request: Request<()>,
    bytes: &mut Vec<u8>,
) -> Result<Asked, String> {
    poll_fn(|context| requests.poll_ready(context)).await.map_err(|error| words(&error))?;
    let (response, _) = requests.send_request(request, true).map_err(|error| words(&error))?;
    let (head, mut body) = response.await.map_err(|error| words(&error))?.into_parts();
    write_head(bytes, head.status, &head.headers);
    let mut end = if body.is_end_stream() { End::Reached } else { End::Open };
    loop {
        match answer::read(probe, bytes, end) {
            Reading::Passed { status, release } => return Ok((status.to_string(), release)),
            Reading::Failed(words) => return Err(words),
            Reading::More => end = read_more(&mut body, bytes).await?,
        }
    }
}

/// As much as is looked at, and no more.
async fn read_more(body: &mut RecvStream, bytes: &mut Vec<u8>) -> Result<End, String> {
    let Some(data) = body.data().await else {
        return Ok(End::Reached);
    };
    let data = data.map_err(|error| words(&error))?;
    let room = MAX_ANSWER.saturating_sub(bytes.len());
    bytes.extend_from_slice(&data[..data.len().min(room)]);
    // What a connection's window takes beyond the stream's is never used up here.
    let _ = body.flow_control().release_capacity(data.len());
    Ok(if bytes.len() < MAX_ANSWER { End::Open } else { End::Reached })
}

/// What says how long the body is, frames have said already.
fn write_head(bytes: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap) {
    bytes.extend_from_slice(format!("HTTP/1.1 {}\r\n", status.as_u16()).as_bytes());
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    for (name, value) in fields.iter().filter(|(name, _)| !framing.contains(name)) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

fn request(probe: &HttpProbe, how: &Dial<'_>) -> Result<Request<()>, String> {
    let scheme = if how.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority(probe, how))
        .path_and_query(probe.path.as_str())
        .build();
    let request = uri.and_then(|uri| {
        let request = Request::builder().method(method(probe)).uri(uri);
        request.header(header::USER_AGENT, USER_AGENT).header(header::ACCEPT, "*/*").body(())
    });
    request.map_err(|error| format!("no question for HTTP/2: {error}"))
}

fn words(error: &::h2::Error) -> String {
    match error.get_io() {
        Some(error) => super::ask::words(error),
        None => format!("no answer over HTTP/2: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_without_what_frames_say() {
        let mut fields = HeaderMap::new();
        fields.insert("content-length", "5".parse().unwrap());
        fields.insert("x-release", "1.4.2".parse().unwrap());
        let mut bytes = Vec::new();
        write_head(&mut bytes, StatusCode::OK, &fields);
        assert_eq!(bytes, b"HTTP/1.1 200\r\nx-release: 1.4.2\r\n\r\n");
    }
}
