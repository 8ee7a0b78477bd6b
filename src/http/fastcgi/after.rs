//! What follows a whole answer: the server's word that the request is over, which may come later, since
//! a script goes on behind the last byte of its answer. To close before that could break it off.

use std::{future::poll_fn, rc::Rc, time::Duration};

use tokio::{task::spawn_local, time::timeout};

use crate::{net::clock, pool::idle::IdleConnections};

use super::upstream::Upstream;

/// What a script still writes where nobody reads it, before it is closed upon.
const THROWN_AWAY: usize = 1 << 20;

/// Keeps the connection for others, once the request is over. `patience`: how long a script that says
/// nothing is waited for.
pub fn keep(mut upstream: Upstream, idle: &Rc<IdleConnections>, patience: Duration) {
    if upstream.is_over() {
        return put(upstream, idle);
    }
    let idle = idle.clone();
    spawn_local(async move {
        if read_out(&mut upstream, patience).await {
            put(upstream, &idle);
        }
    });
}

fn put(upstream: Upstream, idle: &IdleConnections) {
    idle.put(upstream.side.stream.stream, clock::now().into_std(), None, None);
}

/// Whether the request has ended so that another may follow.
async fn read_out(upstream: &mut Upstream, patience: Duration) -> bool {
    let mut thrown_away = 0;
    while thrown_away < THROWN_AWAY {
        let side = &mut upstream.side;
        side.input.consume(side.input.filled().len());
        match timeout(patience, poll_fn(|context| side.poll_fill_lazily(context))).await {
            Ok(Ok(0)) => return upstream.is_over(),
            Ok(Ok(count)) => thrown_away += count,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    false
}
