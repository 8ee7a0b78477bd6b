//! What follows a whole answer: the server's word that the request is over, which may come later, since
//! a script goes on behind the last byte of its answer. To close before that could break it off.

use std::{future::poll_fn, rc::Rc, time::Duration};

use tokio::{task::spawn_local, time::timeout};

use crate::{
    net::clock,
    pool::{idle::IdleConnections, place::Held},
};

use super::upstream::Upstream;

/// What a script still writes where nobody reads it, on standard error as well, before it is closed upon.
const THROWN_AWAY: usize = 1 << 20;

/// Keeps the connection for others, once the request is over. As long as it is not, it is under way at
/// its backend. `patience`: how long that is waited for.
pub fn keep(mut upstream: Upstream, to: &Rc<IdleConnections>, held: Held, patience: Duration) {
    if upstream.is_over() {
        return put(upstream, to);
    }
    let Some(ending) = to.await_end() else {
        return;
    };
    let idle = to.clone();
    spawn_local(async move {
        if let Ok(true) = timeout(patience, read_out(&mut upstream)).await {
            put(upstream, &idle);
        }
        drop((ending, held));
    });
}

fn put(upstream: Upstream, idle: &IdleConnections) {
    idle.put(upstream.side.stream.stream, clock::now().into_std(), None, None);
}

/// Whether the request has ended so that another may follow.
async fn read_out(upstream: &mut Upstream) -> bool {
    let side = &mut upstream.side;
    side.stream.take_at_most(THROWN_AWAY);
    loop {
        side.input.consume(side.input.filled().len());
        match poll_fn(|context| side.poll_fill_lazily(context)).await {
            Ok(0) => return upstream.is_over(),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
