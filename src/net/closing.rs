//! That an address has been given up: told once, to whoever asks and whoever waits.

use std::cell::Cell;

use tokio::sync::Notify;

/// Whether the door of an address closes, on one worker.
#[derive(Default)]
pub struct Closing {
    told: Cell<bool>,
    bell: Notify,
}

impl Closing {
    pub fn tell(&self) {
        self.told.set(true);
        self.bell.notify_waiters();
    }

    pub fn is_told(&self) -> bool {
        self.told.get()
    }

    pub async fn told(&self) {
        let bell = self.bell.notified();
        if !self.is_told() {
            bell.await;
        }
    }
}
