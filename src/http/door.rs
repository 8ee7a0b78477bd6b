//! The door of one address on one worker: what its connections serve now.
//!
//! A connection looks in here for each request, so that it follows every reload and keeps no old
//! configuration while it waits.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use crate::{
    files::local::LocalDirectory, http::site::Site, net::closing::Closing,
    observe::metrics::GenerationAlive, pool::local::LocalPool,
};

/// A site with this worker's own pools, for the length of one request.
pub struct Serving {
    pub site: Arc<Site>,
    /// In the order that `Target::Pool` counts in.
    pub pools: Rc<Vec<Rc<LocalPool>>>,
    /// In the order that `Target::Files` counts in.
    pub directories: Rc<Vec<Rc<LocalDirectory>>>,
    /// What a request holds of its generation is in memory until the request is over.
    pub alive: Arc<GenerationAlive>,
}

/// One address, on one worker.
pub struct Door {
    serving: RefCell<Rc<Serving>>,
    closing: Closing,
}

impl Door {
    pub fn new(serving: Serving) -> Door {
        let serving = RefCell::new(Rc::new(serving));
        Door { serving, closing: Closing::default() }
    }

    /// What is served now; held for the length of one request.
    pub fn serving(&self) -> Rc<Serving> {
        self.serving.borrow().clone()
    }

    pub fn change(&self, serving: Serving) {
        self.serving.replace(Rc::new(serving));
    }

    /// The address left the configuration, or the process ends: the next answer of each connection
    /// is its last.
    pub fn close(&self) {
        self.closing.tell();
    }

    pub fn is_closing(&self) -> bool {
        self.closing.is_told()
    }

    /// Waits until the door closes.
    pub async fn closed(&self) {
        self.closing.told().await;
    }
}
