//! What is behind an address of a worker: the door to HTTP, or to bytes that are relayed.

use std::{pin::Pin, rc::Rc, sync::Arc, time::Duration};

use crate::{
    files::local::LocalDirectory,
    http::{self, connection},
    net::{ends::Ends, local::Local, stream::Stream},
    pool::local::LocalPool,
    snapshot::{Door, Site, Snapshot},
    tcp,
};

/// A door of either kind.
#[derive(Clone)]
pub enum Behind {
    Http(Rc<http::door::Door>),
    Tcp(Rc<tcp::door::Door>),
}

/// What a door serves from now on.
pub enum Serving {
    Http(http::door::Serving),
    Tcp(tcp::door::Serving),
}

/// A worker's own parts of what a snapshot holds, in its order.
#[derive(Clone, Default)]
pub struct Shares {
    pub pools: Rc<Vec<Rc<LocalPool>>>,
    pub directories: Rc<Vec<Rc<LocalDirectory>>>,
}

impl Serving {
    /// Of one door of a snapshot.
    pub fn of(door: &Door, snapshot: &Snapshot, shares: &Shares) -> Serving {
        let Shares { pools, directories } = shares.clone();
        let alive = snapshot.alive.clone();
        match door.site.clone() {
            Site::Http(site) => {
                Serving::Http(http::door::Serving { site, pools, directories, alive })
            }
            Site::Tcp(site) => Serving::Tcp(tcp::door::Serving { site, pools, alive }),
        }
    }
}

impl Behind {
    pub fn new(serving: Serving) -> Behind {
        match serving {
            Serving::Http(serving) => Behind::Http(Rc::new(http::door::Door::new(serving))),
            Serving::Tcp(serving) => Behind::Tcp(Rc::new(tcp::door::Door::new(serving))),
        }
    }

    /// Whether what is connected here was promised what this door offers.
    pub fn fits(&self, door: &Door) -> bool {
        match (self, &door.site) {
            (Behind::Http(_), Site::Http(_)) | (Behind::Tcp(_), Site::Tcp(_)) => true,
            (Behind::Http(_), Site::Tcp(_)) | (Behind::Tcp(_), Site::Http(_)) => false,
        }
    }

    /// What is served changes, and stays of its kind.
    pub fn change(&self, serving: Serving) {
        match (self, serving) {
            (Behind::Http(door), Serving::Http(serving)) => door.change(serving),
            (Behind::Tcp(door), Serving::Tcp(serving)) => door.change(serving),
            (Behind::Http(_), Serving::Tcp(_)) | (Behind::Tcp(_), Serving::Http(_)) => {
                unreachable!("a door of the other kind does not fit")
            }
        }
    }

    pub fn close(&self) {
        match self {
            Behind::Http(door) => door.close(),
            Behind::Tcp(door) => door.close(),
        }
    }

    /// Waits until the door closes.
    pub async fn closed(&self) {
        match self {
            Behind::Http(door) => door.closed().await,
            Behind::Tcp(door) => door.closed().await,
        }
    }

    /// The name of the listener that it is a door of.
    pub fn listener(&self) -> Arc<str> {
        match self {
            Behind::Http(door) => door.serving().site.listener.clone(),
            Behind::Tcp(door) => door.serving().site.listener.clone(),
        }
    }

    /// How long a client may take for its first words.
    pub fn patience(&self) -> Duration {
        match self {
            Behind::Http(door) => door.serving().site.timeouts.header,
            Behind::Tcp(door) => door.serving().site.patience,
        }
    }

    /// Serves a connection to its end.
    pub fn serve(
        &self,
        stream: Stream,
        ends: Ends,
        local: Rc<Local>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        match self {
            Behind::Http(door) => connection::serve(stream, ends, door.clone(), local),
            Behind::Tcp(door) => {
                Box::pin(tcp::connection::serve(stream, ends, door.clone(), local))
            }
        }
    }
}
