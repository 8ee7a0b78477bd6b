//! The data plane: one thread a core, each with its own runtime, sockets, connections and idle
//! connections to backends. Workers share nothing but what a snapshot holds.
//!
//! - this file: a worker's thread, and the story of its life.
//! - `floor`: what a worker makes of a snapshot: doors and its own pools.
//! - `connections`: how many there are.
//! - `accept`: one address: accept, TLS handshake, then what is `behind` it: `http` or `tcp`.

mod accept;
mod behind;
mod connections;
mod floor;

use std::{
    io,
    rc::Rc,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    net::{clock, local::Local},
    roll::{Place, TICK},
    snapshot::{Phase, Snapshot},
    worker::floor::Floor,
};

/// What the names of workers' threads begin with. A panic there ends the connection that it belongs
/// to; the tasks that a worker can't be without hold a `Vital`, which ends the process.
pub const THREAD: &str = "worker-";

/// The exit code after a mistake of our own: that of Rust's own panics.
pub const OUR_MISTAKE: i32 = 101;

/// Held by a task without which a worker is half dead.
struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(OUR_MISTAKE);
        }
    }
}

/// How often lines of the access log that don't fill a batch are handed over.
const LOG_FLUSH: Duration = Duration::from_millis(250);

/// Starts a worker. Its thread ends when the process drains and its last connection has ended, or
/// when the snapshot says that it is closing.
pub fn spawn(
    index: usize,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    place: Place,
) -> io::Result<JoinHandle<()>> {
    // A local runtime can't leave its thread: it is made there, and how that went is told.
    let (tell, told) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("{THREAD}{index}")).spawn(move || {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().on_thread_unpark(clock::wake);
        match builder.build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let _ = tell.send(Ok(()));
                live(runtime, index, snapshots, place);
            }
            Err(error) => drop(tell.send(Err(error))),
        }
    })?;
    told.recv().map_err(|_| io::Error::other("the worker's thread ended at once"))??;
    Ok(thread)
}

fn live(
    runtime: LocalRuntime,
    index: usize,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    place: Place,
) {
    let _vital = Vital;
    let local = runtime.block_on(work(index, snapshots, &place));
    // What is cut here writes its last lines. Only then is the place given up: whoever waits for that
    // closes the access log.
    // A look at a file system that hangs must not hold the end up.
    runtime.shutdown_background();
    local.set_log(None);
    drop(place);
}

/// A worker's life: it follows the snapshots, and tidies now and then. What is left of it is what its
/// connections were lent.
async fn work(
    index: usize,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    place: &Place,
) -> Rc<Local> {
    let first = snapshots.borrow_and_update().clone();
    let mut floor = Floor::new(index, &first);
    drop(first);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flush = interval(LOG_FLUSH);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = snapshots.changed() => {
                // The control plane is gone: no one can drain us any more.
                if changed.is_err() {
                    break;
                }
                let snapshot = snapshots.borrow_and_update().clone();
                if snapshot.phase == Phase::Closing {
                    break;
                }
                floor.follow(&snapshot);
            }
            _ = tick.tick() => {
                place.tick();
                floor.sweep();
                if floor.is_behind() {
                    let snapshot = snapshots.borrow().clone();
                    floor.follow(&snapshot);
                }
            }
            _ = flush.tick(), if floor.local().logs() => floor.local().flush_log(),
            () = floor.emptied(), if floor.is_draining() => break,
        }
    }
    floor.local().clone()
}
