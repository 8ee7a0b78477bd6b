//! The story of a connection: a request after the other, until one side has had enough.

use std::{
    pin::{Pin, pin},
    rc::Rc,
    time::Duration,
};

use crate::{
    http::{
        door::Door,
        downstream::Downstream,
        h1::client::{Client, NoRequest, Waited},
        h2,
        local::Local,
        proxy::{self, Arrival, Last, Next},
        refusal,
        tunnel::Tunnel,
    },
    message::head::Request,
    net::{clock, ends::Ends, stream::Stream},
};

/// How long a kept-alive connection of a closing door may still bring a request.
pub const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// Serves an accepted connection to its end, in the version of HTTP that it speaks.
///
/// Not an async function, which holds what it is given twice: thousands of connections are idle, and
/// the memory of each is this future.
pub fn serve(
    stream: Stream,
    ends: Ends,
    door: Rc<Door>,
    local: Rc<Local>,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let versions = door.serving().site.versions;
    // Over TLS both have agreed; a client that names nothing speaks HTTP/1, where that is spoken.
    if stream.alpn() == Some(b"h2") || !versions.has_http1() {
        return Box::pin(h2::connection::serve(stream, Vec::new(), ends, door, local));
    }
    let mut client = Client::new(stream, &local.buffers);
    let mut served = 0;
    Box::pin(async move {
        loop {
            let timeouts = door.serving().site.timeouts;
            let idle = match served {
                0 => timeouts.header,
                _ => timeouts.keep_alive,
            };
            let waited = {
                let closed = pin!(door.closed());
                client.await_request(idle, closed, CLOSING_GRACE).await
            };
            match waited {
                Waited::Request => {}
                Waited::Nothing => return Box::pin(client.close()).await,
                Waited::Gone => return,
            }
            served += 1;
            // Boxed, as all that follows: most connections are idle most of the time, and would carry
            // its memory.
            match Box::pin(serve_one(&mut client, &ends, &door, &local, served)).await {
                After::Next(Next::Request) => {}
                After::Next(Next::Close) => return Box::pin(client.close()).await,
                After::Next(Next::Linger) => return Box::pin(client.linger()).await,
                After::Next(Next::Cut) => return,
                After::Next(Next::Tunnel(tunnel)) => {
                    return Box::pin(pass(*tunnel, client, &local)).await;
                }
                After::Http2 => {
                    let (stream, read) = client.handed_over();
                    let before = [h2::connection::PREFACE_HEAD, &read].concat();
                    let rest = h2::connection::serve(stream, before, ends, door, local);
                    return Box::pin(rest).await;
                }
            }
        }
    })
}

/// The connection is a tunnel from here on.
async fn pass(tunnel: Tunnel, mut client: Client, local: &Local) {
    if tunnel.run(Downstream::H1(&mut client), local).await.is_agreed() {
        client.linger().await;
    }
}

/// What follows on a connection.
enum After {
    Next(Next),
    /// The client speaks HTTP/2, and knew before that we do (RFC 9113, section 3.3).
    Http2,
}

async fn serve_one(
    client: &mut Client,
    ends: &Ends,
    door: &Door,
    local: &Local,
    served: u64,
) -> After {
    let begun = clock::lately();
    // One snapshot for the length of one request.
    let serving = door.serving();
    let site = &serving.site;
    let mut request = Request::default();
    let read = client.read_head(&site.limits, begun + site.timeouts.header, &mut request).await;
    let read = match read {
        Ok(()) => Ok(()),
        Err(NoRequest::Gone) => return After::Next(Next::Cut),
        Err(NoRequest::Refused(refusal::HTTP2_PREFACE))
            if site.versions.has_http2() && served == 1 =>
        {
            return After::Http2;
        }
        Err(NoRequest::Refused(refusal)) => Err(refusal),
    };
    let last = if served >= site.limits.max_requests { Last::Imposed } else { Last::No };
    let client = Downstream::H1(client);
    let arrival = Arrival { client, begun, request: &request, read, last };
    After::Next(proxy::serve(arrival, ends, door, &serving, local).await)
}
