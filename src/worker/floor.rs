//! What a worker makes of a snapshot: a door for each address, and its own share of each pool.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use crate::{
    files::{directory::Directory, local::LocalDirectory},
    net::local::Local,
    observe::access_log::AccessLog,
    pool::local::LocalPool,
    snapshot::{Door, Phase, Snapshot},
    worker::{
        accept::Post,
        behind::{Serving, Shares},
        connections::Connections,
    },
};

/// One worker's doors and pools.
pub struct Floor {
    index: usize,
    local: Rc<Local>,
    shares: Shares,
    posts: HashMap<SocketAddr, Rc<Post>>,
    /// Where nobody could be posted yet. The kernel sends its share of connections there all the same.
    owed: HashSet<SocketAddr>,
    connections: Rc<Connections>,
    log: Option<Arc<AccessLog>>,
    phase: Phase,
}

impl Floor {
    pub fn new(index: usize, snapshot: &Snapshot) -> Floor {
        let mut floor = Floor {
            index,
            local: Rc::new(Local::new(index, snapshot.metrics.clone())),
            shares: Shares::default(),
            posts: HashMap::new(),
            owed: HashSet::new(),
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
        self.follow_directories(snapshot);
        self.follow_doors(snapshot);
    }

    /// Whether it does not accept on all addresses yet: it is to follow once more.
    pub fn is_behind(&self) -> bool {
        !self.owed.is_empty()
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

    /// Closes connections to backends that have been idle too long, and files that nobody asks for.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.shares.pools.iter().for_each(|pool| pool.sweep(now));
        self.shares.directories.iter().for_each(|directory| directory.sweep());
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
            self.shares.pools.iter().map(|pool| (name(pool), &**pool)).collect();
        let take = |pool: &Arc<crate::pool::members::Pool>| {
            LocalPool::new(pool.clone(), self.index, previous.remove(&pool.config.name))
        };
        let pools: Vec<Rc<LocalPool>> = snapshot.pools.iter().map(take).collect();
        previous.into_values().for_each(LocalPool::retire);
        self.shares.pools = Rc::new(pools);
    }

    /// A directory that is the very same keeps what it holds.
    fn follow_directories(&mut self, snapshot: &Snapshot) {
        let (slot, workers) = (self.index, snapshot.metrics.control_slot());
        let take = |directory: &Arc<Directory>| {
            let same = |before: &&Rc<LocalDirectory>| Arc::ptr_eq(&before.directory, directory);
            match self.shares.directories.iter().find(same) {
                Some(same) => same.clone(),
                None => Rc::new(LocalDirectory::new(directory.clone(), slot, workers)),
            }
        };
        let directories = snapshot.directories.iter().map(take).collect();
        self.shares.directories = Rc::new(directories);
    }

    fn follow_doors(&mut self, snapshot: &Snapshot) {
        // An address that turned from plain to TLS or from HTTP to TCP, or back, has another door:
        // what is connected there was promised the other kind.
        let stands = |address: &SocketAddr, post: &Rc<Post>| {
            snapshot.doors.get(address).is_some_and(|door| post.fits(door))
        };
        let gone = self.posts.extract_if(|address, post| !stands(address, post));
        gone.for_each(|(_, post)| post.close());
        self.owed.retain(|address| snapshot.doors.contains_key(address));
        for (address, door) in &snapshot.doors {
            let serving = Serving::of(door, snapshot, &self.shares);
            if let Some(post) = self.posts.get(address) {
                post.change(door, serving);
                continue;
            }
            let opened =
                Post::open(self.index, door, serving, self.local.clone(), self.connections.clone());
            match opened {
                Ok(post) => {
                    self.posts.insert(*address, post);
                    if self.owed.remove(address) {
                        tracing::info!("worker {} accepts on {address} now", self.index);
                    }
                }
                Err(error) => self.owe(*address, door, &error),
            }
        }
    }

    fn owe(&mut self, address: SocketAddr, door: &Door, error: &io::Error) {
        door.site.metrics().accept_failed(self.local.slot);
        if self.owed.insert(address) {
            let worker = self.index;
            tracing::error!("worker {worker} can't accept on {address} and tries again: {error}");
        }
    }
}
