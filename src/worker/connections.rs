//! The connections of a worker, counted: a drain ends with the last of them.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// The connections of a worker, counted.
#[derive(Default)]
pub struct Connections {
    open: Cell<usize>,
    bell: Notify,
}

/// One of them, until it is dropped.
pub struct Open(Rc<Connections>);

impl Connections {
    pub fn enter(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    /// Waits until there is none.
    pub async fn ended(&self) {
        while self.open.get() > 0 {
            self.bell.notified().await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0 {
            self.0.bell.notify_one();
        }
    }
}
