//! The story of a connection: a request after the other, until one side has had enough.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use tokio::time::Instant;

use crate::{
    http::{
        door::Door,
        h1::client::{Client, NoRequest, Waited},
        headers,
        local::Local,
        place::LaterPools,
        proxy::{self, Exchange, Next},
        record::Record,
    },
    message::head::Request,
    net::stream::Stream,
};

/// How long a kept-alive connection of a closing door may still bring a request.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// Where a connection comes from, and where it came to.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub peer: SocketAddr,
    /// The listener's.
    pub port: u16,
}

/// Serves an accepted connection to its end.
pub async fn serve(stream: Stream, ends: Ends, door: Rc<Door>, local: Rc<Local>) {
    let mut client = Client::new(stream, &local.buffers);
    let mut served = 0;
    loop {
        let timeouts = door.serving().site.timeouts;
        let idle = if served == 0 { timeouts.header } else { timeouts.keep_alive };
        match client.await_request(idle, door.closed(), CLOSING_GRACE).await {
            Waited::Request => {}
            Waited::Nothing => return client.close().await,
            Waited::Gone => return,
        }
        served += 1;
        match serve_one(&mut client, ends, &door, &local, served).await {
            Next::Request => {}
            Next::Linger => return client.linger().await,
            Next::Cut => return,
        }
    }
}

async fn serve_one(
    client: &mut Client,
    ends: Ends,
    door: &Door,
    local: &Local,
    served: u64,
) -> Next {
    let begun = Instant::now();
    // One snapshot for the length of one request.
    let serving = door.serving();
    let site = &serving.site;
    let mut request = Request::default();
    let read = client.read_head(&site.limits, site.timeouts.header, &mut request).await;
    if read == Err(NoRequest::Gone) {
        return Next::Cut;
    }
    let trusted = site.trusts(ends.peer.ip());
    let id = headers::request_id(&request.fields, trusted, fastrand::u128(..));
    let mut record = Record::new(begun, id);
    let sender = headers::Sender {
        address: ends.peer.ip().to_canonical(),
        trusted,
        tls: site.is_tls(),
        port: ends.port,
    };
    let last = served >= site.limits.max_requests;
    let later = LaterPools::default();
    let mut exchange = Exchange {
        client,
        door,
        serving: &serving,
        later: &later,
        local,
        request: &request,
        sender,
        last,
    };
    let next = match read {
        Ok(()) => proxy::answer(&mut exchange, &mut record).await,
        Err(NoRequest::Refused(refusal)) => {
            proxy::refuse_last(&mut exchange, &mut record, refusal).await
        }
        Err(NoRequest::Gone) => Next::Cut,
    };
    record.finish(local, site, sender.address, &request);
    next
}
