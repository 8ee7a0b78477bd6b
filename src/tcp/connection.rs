//! The story of a connection: whose name it asks for, a backend that takes it, bytes both ways.

use std::{rc::Rc, time::Duration};

use tokio::time::Instant;

use crate::{
    net::{
        buffer::Buffer,
        ends::Ends,
        local::Local,
        relay::{Ending, Moved, relay},
        side::Side,
        stream::Stream,
    },
    observe::{
        metrics::{Ended, Refusal},
        reason::Reason,
    },
    pool::place::Held,
    tcp::{
        client::Client,
        course::{Course, Reach},
        door::{Door, Serving},
        record::{CUT, Record},
        site::Lead,
    },
};

/// Serves an accepted connection to its end. A door that closes meanwhile lets it go on.
pub async fn serve(stream: Stream, ends: Ends, door: Rc<Door>, local: Rc<Local>) {
    let begun = Instant::now();
    let serving = door.serving();
    drop(door);
    let mut client = Client::new(stream, &local.buffers, serving.site.patience);
    let found = find(&mut client, &serving).await;
    let Found { lead, name } = match found {
        Ok(found) => found,
        Err(refusal) => return serving.site.metrics.refused(local.slot, refusal),
    };
    let pool = serving.pools[lead.pool].clone();
    let idle = pool.pool.config.timeouts.tunnel_idle;
    let mut record = Record {
        local: local.clone(),
        begun,
        ends,
        listener: serving.site.listener.clone(),
        pool: pool.pool.config.name.clone(),
        tls: client.side.stream.is_tls(),
        name,
        backend: None,
        attempts: 0,
        queued: None,
        connect: None,
        bytes_in: 0,
        bytes_out: 0,
        of_listener: serving.site.metrics.clone(),
        metrics: lead.metrics.clone(),
        ended: CUT,
    };
    let course = Course::new(pool, &record.ends, &client.side.stream, local.slot);
    let reached = course.reach(&mut client, &mut record).await;
    // From here on no configuration is held: a relay may outlive many.
    drop(serving);
    record.ended = match reached {
        Ok(reach) => Joined::new(client, reach, &local).relay(&mut record, idle).await,
        Err(reason) => Ended::Failed(reason),
    };
}

/// Where a connection goes, and what told it.
struct Found<'a> {
    lead: &'a Lead,
    name: Option<String>,
}

async fn find<'a>(client: &mut Client, serving: &'a Serving) -> Result<Found<'a>, Refusal> {
    let leads = &serving.site.leads;
    let name = match leads.wants_name() {
        true => client.name(serving.site.patience).await?,
        false => client.side.stream.sni().map(str::to_owned),
    };
    let Some(lead) = leads.find(name.as_deref()) else {
        client.refuse_name();
        return Err(Refusal::UnknownName);
    };
    Ok(Found { lead, name })
}

/// A client and its backend. If it is dropped before it has ended by itself, at the drain's deadline
/// or of silence, both are reset: a FIN would be a clean end.
struct Joined {
    client: Client,
    backend: Side<Stream>,
    _held: Held,
    clean: bool,
}

impl Joined {
    fn new(client: Client, reach: Reach, local: &Local) -> Joined {
        let Reach { stream, held } = reach;
        let backend = Side { stream, input: Buffer::new(local.buffers.clone()) };
        Joined { client, backend, _held: held, clean: false }
    }

    async fn relay(mut self, record: &mut Record, idle: Duration) -> Ended {
        let Client { side, timer, .. } = &mut self.client;
        let tell = |moved: Moved| record.relayed(moved.up, moved.down);
        let relayed = relay(side, &mut self.backend, timer, idle, tell).await;
        self.clean = !relayed.end.is_cut();
        match relayed.end {
            Ending::ClientClosed => Ended::ClientClosed,
            Ending::BackendClosed => Ended::BackendClosed,
            Ending::Idle => Ended::Failed(Reason::TunnelIdle),
            Ending::ClientLeft | Ending::ClientBroke => Ended::Failed(Reason::ClientGone),
            Ending::BackendBroke | Ending::BackendCut => Ended::Failed(Reason::UpstreamTruncated),
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if !self.clean {
            // Where a socket is broken already, its peer can tell as well.
            let _ = self.client.side.stream.tcp().set_zero_linger();
            let _ = self.backend.stream.tcp().set_zero_linger();
        }
    }
}
