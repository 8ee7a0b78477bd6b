//! How the body of a request is read whole, and kept.

use std::time::Duration;

use tokio::time::Instant;

use crate::{http::refusal, pool::budget::Share};

use super::{body::Framing, client::NoRequest};

/// How a body is read whole.
pub struct Collecting {
    pub framing: Framing,
    /// Bytes that it may have.
    pub limit: u64,
    /// For how long nothing of it may come.
    pub idle: Duration,
    /// When the time for the whole exchange runs out.
    pub whole: Option<Instant>,
    /// Of the memory for such bodies.
    pub share: Option<Share>,
}

/// A body that was read whole.
#[derive(Default)]
pub struct Collected {
    pub bytes: Vec<u8>,
    /// Given back with the bytes.
    pub _share: Option<Share>,
}

impl Collecting {
    /// Takes in a piece of the body. It counts twice: to be sent it is copied.
    pub fn keep(&mut self, collected: &mut Vec<u8>, piece: &[u8]) -> Result<(), NoRequest> {
        if let Some(share) = &mut self.share {
            let grown = share.grow(2 * piece.len() as u64);
            grown.map_err(|_| NoRequest::Refused(refusal::BUFFERS_FULL))?;
        }
        collected.extend_from_slice(piece);
        Ok(())
    }
}
