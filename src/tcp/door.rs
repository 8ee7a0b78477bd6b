//! The door of one address on one worker: where its new connections go now.
//!
//! Whoever is connected looks in no more: bytes that are relayed follow no reload, and a door that
//! closes lets them go on.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use crate::{
    net::closing::Closing, observe::metrics::GenerationAlive, pool::local::LocalPool,
    tcp::site::Site,
};

/// A site with this worker's own pools, until a connection has reached its backend.
pub struct Serving {
    pub site: Arc<Site>,
    /// In the order that a site's leads count in.
    pub pools: Rc<Vec<Rc<LocalPool>>>,
    pub alive: Arc<GenerationAlive>,
}

/// One address, on one worker.
pub struct Door {
    serving: RefCell<Rc<Serving>>,
    closing: Closing,
}

impl Door {
    pub fn new(serving: Serving) -> Door {
        Door { serving: RefCell::new(Rc::new(serving)), closing: Closing::default() }
    }

    pub fn serving(&self) -> Rc<Serving> {
        self.serving.borrow().clone()
    }

    pub fn change(&self, serving: Serving) {
        self.serving.replace(Rc::new(serving));
    }

    /// The address left the configuration, or the process ends.
    pub fn close(&self) {
        self.closing.tell();
    }

    /// Waits until the door closes.
    pub async fn closed(&self) {
        self.closing.told().await;
    }
}
