//! What a worker makes of a snapshot: a door for each address, and its own share of each pool.

use std::{collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use crate::{
    net::local::Local,
    observe::access_log::AccessLog,
    pool::local::LocalPool,
    snapshot::{Phase, Snapshot},
    worker::{
        accept::{Connections, Post},
        behind::Serving,
    },
};

/// One worker's doors and pools.
pub struct Floor {
    index: usize,
    local: Rc<Local>,
    pools: Rc<Vec<Rc<LocalPool>>>,
    posts: HashMap<SocketAddr, Rc<Post>>,
    connections: Rc<Connections>,
    log: Option<Arc<AccessLog>>,
    phase: Phase,
}

impl Floor {
    pub fn new(index: usize, snapshot: &Snapshot) -> Floor {
        let mut floor = Floor {
            index,
            local: Rc::new(Local::new(index, snapshot.metrics.clone())),
            pools: Rc::default(),
            posts: HashMap::new(),
            connections: Rc::default(),
            log: None,
            phase: Phase::Serving,
        };
        floor.follow(snapshot);
        floor
    }

    /// Takes over a new snapshot: what stays keeps its socket, turn and idle connections.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        self.phase = snapshot.phase;
        self.follow_log(snapshot);
        self.follow_pools(snapshot);
        self.follow_doors(snapshot);
    }

    pub fn local(&self) -> &Rc<Local> {
        &self.local
    }

    pub fn is_draining(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Waits until the last connection has ended.
    pub async fn emptied(&self) {
        self.connections.ended().await;
    }

    /// Closes connections to backends that have been idle too long.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.pools.iter().for_each(|pool| pool.sweep(now));
    }

    fn follow_log(&mut self, snapshot: &Snapshot) {
        let same = match (&self.log, &snapshot.access_log) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.log.clone_from(&snapshot.access_log);
            self.local.set_log(self.log.as_ref().map(|log| log.buffer()));
        }
    }

    fn follow_pools(&mut self, snapshot: &Snapshot) {
        let name = |pool: &LocalPool| pool.pool.config.name.clone();
        let mut previous: HashMap<Arc<str>, &LocalPool> =
            self.pools.iter().map(|pool| (name(pool), &**pool)).collect();
        let take = |pool: &Arc<crate::pool::members::Pool>| {
            LocalPool::new(pool.clone(), self.index, previous.remove(&pool.config.name))
        };
        let pools: Vec<Rc<LocalPool>> = snapshot.pools.iter().map(take).collect();
        previous.into_values().for_each(LocalPool::retire);
        self.pools = Rc::new(pools);
    }

    fn follow_doors(&mut self, snapshot: &Snapshot) {
        // An address that turned from plain to TLS or from HTTP to TCP, or back, has another door:
        // what is connected there was promised the other kind.
        let stands = |address: &SocketAddr, post: &Rc<Post>| {
            snapshot.doors.get(address).is_some_and(|door| post.fits(door))
        };
        let gone = self.posts.extract_if(|address, post| !stands(address, post));
        gone.for_each(|(_, post)| post.close());
        for (address, door) in &snapshot.doors {
            let serving = Serving::of(door, snapshot, &self.pools);
            if let Some(post) = self.posts.get(address) {
                post.change(door, serving);
                continue;
            }
            let opened =
                Post::open(self.index, door, serving, self.local.clone(), self.connections.clone());
            match opened {
                Ok(post) => drop(self.posts.insert(*address, post)),
                Err(error) => {
                    tracing::error!("worker {} can't accept on {address}: {error}", self.index)
                }
            }
        }
    }
}
