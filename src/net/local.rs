//! What a worker lends to every connection on it. Never shared between workers.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use crate::{
    net::buffer::Buffers,
    observe::{
        access_log::{Entry, LogBuffer},
        metrics::{Metrics, RouteMetrics, UNROUTED},
    },
};

/// A worker's own things.
pub struct Local {
    /// Which cell of every count is this worker's.
    pub slot: usize,
    pub buffers: Rc<Buffers>,
    pub metrics: Arc<Metrics>,
    /// Requests that were refused before a route was found.
    pub unrouted: Arc<RouteMetrics>,
    /// Copies of requests that are under way, by the name of their route; none has no entry.
    pub mirrored: Rc<RefCell<HashMap<Arc<str>, usize>>>,
    log: RefCell<Option<LogBuffer>>,
}

impl Local {
    pub fn new(slot: usize, metrics: Arc<Metrics>) -> Local {
        let unrouted = metrics.route(UNROUTED);
        let log = RefCell::new(None);
        Local { slot, buffers: Rc::default(), metrics, unrouted, mirrored: Rc::default(), log }
    }

    /// The same for what outlives a connection, and writes no line.
    pub fn without_log(&self) -> Local {
        Local {
            slot: self.slot,
            buffers: self.buffers.clone(),
            metrics: self.metrics.clone(),
            unrouted: self.unrouted.clone(),
            mirrored: self.mirrored.clone(),
            log: RefCell::new(None),
        }
    }

    /// The access log changed by a reload: what is in the old buffer is handed over.
    pub fn set_log(&self, buffer: Option<LogBuffer>) {
        self.flush_log();
        self.log.replace(buffer);
    }

    pub fn flush_log(&self) {
        if let Some(log) = self.log.borrow_mut().as_mut() {
            log.flush();
        }
    }

    /// Whether lines are written at all: what makes one need not be gathered otherwise.
    pub fn logs(&self) -> bool {
        self.log.borrow().is_some()
    }

    pub fn log(&self, entry: &Entry<'_>) {
        if let Some(log) = self.log.borrow_mut().as_mut() {
            log.append(entry);
        }
    }
}
