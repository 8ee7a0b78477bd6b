//! What the control plane is asked from outside. Each question is answered once.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    control::protocol::{Answer, Request, Status},
    observe::metrics::Metrics,
};

/// Questions that may wait; whoever asks more waits too.
pub const MAX_ASKS: usize = 32;

pub enum Ask {
    /// From the admin socket.
    Admin { request: Request, answer: oneshot::Sender<Answer> },
    /// From the metrics address.
    View(oneshot::Sender<View>),
}

/// What the metrics address shows of this moment.
pub struct View {
    pub status: Status,
    /// Why a balancer before us should send nothing; empty when it may.
    pub unready: Vec<String>,
    pub metrics: Arc<Metrics>,
}
