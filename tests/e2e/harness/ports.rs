//! Ports for listeners that must be known before they are bound.

use std::{
    net::TcpListener,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Below the range from which the kernel takes ports for outgoing connections.
const FIRST: u16 = 10_000;
const BLOCK: u16 = 1_000;
const BLOCKS: u16 = 22;

/// This process's ports, while its first one is held. Other test processes on the same machine have
/// other blocks: daemons of both would share a port by SO_REUSEPORT without a word.
static OURS: LazyLock<(u16, TcpListener)> = LazyLock::new(|| {
    let claim = |block| {
        let guard = FIRST + block * BLOCK;
        Some((guard, TcpListener::bind(("127.0.0.1", guard)).ok()?))
    };
    (0..BLOCKS).find_map(claim).expect("a free block of ports")
});

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that is free now, and that nobody in this process was given lately.
pub fn free_port() -> u16 {
    for _ in 0..BLOCK {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % (BLOCK - 1);
        let port = OURS.0 + 1 + step;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of 127.0.0.1 is free");
}
