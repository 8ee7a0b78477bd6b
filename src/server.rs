//! The daemon: bind, spawn the workers, run the control plane, join.

use std::{
    fmt, io, panic,
    path::Path,
    process,
    thread::{self, JoinHandle},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::{
    control::{self, End, Plane, Refused},
    net::inherited,
    observe::log,
    snapshot::{Site, Snapshot},
    worker,
};

/// The exit code of Rust's own panics.
const OUR_MISTAKE: i32 = worker::OUR_MISTAKE;

/// The threads of the control plane's blocking pool.
const BLOCKING: &str = "control-blocking";

/// Why the daemon did not start, or did not end well.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for can't be served; nothing was begun.
    Refused(Refused),
    /// The log's filter can't be read.
    Log(String),
    /// The system denied something that the daemon can't be without.
    System(&'static str, io::Error),
    /// Our own mistake.
    WorkerLost,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(refused) => write!(f, "{refused}"),
            Failure::Log(words) => f.write_str(words),
            Failure::System(what, error) => write!(f, "{what}: {error}"),
            Failure::WorkerLost => {
                f.write_str("a worker has ended by itself: this is a bug, please report it")
            }
        }
    }
}

/// Serves what the file says until a signal ends it.
///
/// # Errors
/// Every error of the file at once, or why the process can't go on.
pub fn run(config: &Path) -> Result<(), Failure> {
    let _log = log::start().map_err(Failure::Log)?;
    tracing::info!("equipoise {} starts from {}", env!("CARGO_PKG_VERSION"), config.display());
    Server::prepare(config)?.serve()
}

/// Everything is bound; nobody is served yet.
pub struct Server {
    plane: Plane,
    runtime: Runtime,
}

impl Server {
    /// # Errors
    /// Every reason at once; nothing stays open.
    pub fn prepare(config: &Path) -> Result<Server, Failure> {
        raise_file_limit();
        // Before the process opens files of its own: the numbers of these are fixed.
        let inherited = inherited::listeners()
            .map_err(|error| Failure::Refused(Refused::because(error.to_string())))?;
        let runtime = runtime()
            .map_err(|error| Failure::System("can't make the control plane's runtime", error))?;
        let first = control::first(config, inherited);
        let plane = runtime.block_on(first).map_err(Failure::Refused)?;
        Ok(Server { plane, runtime })
    }

    /// Serves until TERM or INT has drained it.
    ///
    /// # Errors
    /// A thread or a signal can't be had, or a worker was lost.
    pub fn serve(self) -> Result<(), Failure> {
        let Server { plane, runtime } = self;
        end_on_panic();
        announce(&plane.snapshots().borrow());
        let workers = spawn_workers(&plane)
            .map_err(|error| Failure::System("can't start the workers", error))?;
        match run_plane(plane, runtime)
            .map_err(|error| Failure::System("can't run the control plane", error))?
        {
            End::Drained => join(workers),
            // Some workers may hang; they end with the process.
            End::Cut | End::AtOnce => Ok(()),
            End::WorkerLost => Err(Failure::WorkerLost),
        }
    }
}

fn spawn_workers(plane: &Plane) -> io::Result<Vec<JoinHandle<()>>> {
    // All sign in before one begins: the plane counts those who are there.
    let places: Vec<_> = (0..plane.workers()).map(|index| plane.roll().sign_in(index)).collect();
    let spawn = |(index, place)| worker::spawn(index, plane.snapshots(), place);
    places.into_iter().enumerate().map(spawn).collect()
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_name(BLOCKING).build()
}

fn run_plane(plane: Plane, runtime: Runtime) -> io::Result<End> {
    let end = runtime.block_on(plane.run());
    // A reload under way, such as one that hangs on a dead file system, must not hold the end up.
    runtime.shutdown_background();
    end
}

fn join(workers: Vec<JoinHandle<()>>) -> Result<(), Failure> {
    let ends: Vec<thread::Result<()>> = workers.into_iter().map(JoinHandle::join).collect();
    if ends.iter().any(Result::is_err) { Err(Failure::WorkerLost) } else { Ok(()) }
}

/// Tells where we listen, in an order that is the same each time.
fn announce(snapshot: &Snapshot) {
    let mut doors: Vec<_> = snapshot.doors.iter().collect();
    doors.sort_by_key(|(address, door)| (door.site.listener().clone(), **address));
    for (address, door) in doors {
        let speaks = match (&door.site, door.tls.is_some()) {
            (Site::Http(_), false) => "http",
            (Site::Http(_), true) => "https",
            (Site::Tcp(_), false) => "tcp",
            (Site::Tcp(_), true) => "tcp over tls",
        };
        tracing::info!("listening on {speaks} {address} (listener {})", door.site.listener());
    }
}

/// Two descriptors a request, and one a kept-alive connection: the soft limit, often 1024, is for
/// programs that use select(2).
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        let current = current.unwrap_or(u64::MAX);
        tracing::warn!("the limit of open files stays at {current}: {error}; raise LimitNOFILE=");
    }
}

/// tokio catches the panic of a task, and what the task was for would stop in silence. A daemon
/// that is half dead is worse than one that ends and is started anew.
///
/// Two kinds of thread are left out. The control plane takes note of what becomes of the jobs on its
/// blocking pool. A worker's connections are tasks of their own: a mistake of ours that one request
/// brings to light must not end the others, so that only this connection ends; what a worker can't
/// be without ends the process by itself (`worker::THREAD`).
fn end_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        tracing::error!("thread {name}: {panic}: this is a bug, please report it");
        if name != BLOCKING && !name.starts_with(worker::THREAD) {
            process::exit(OUR_MISTAKE);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Says to this test's own copy which thread is to panic.
    const PANICKING: &str = "EQUIPOISE_TEST_PANICKING_THREAD";

    /// The exit code of a process in which a thread of this name panicked. The process is this
    /// very test, in a copy of the test program.
    fn code_after_panic_of(thread: &str) -> Option<i32> {
        let mut copy = Command::new(env::current_exe().unwrap());
        copy.args(["--exact", "server::tests::a_panic_ends_the_process"]);
        copy.env(PANICKING, thread).output().unwrap().status.code()
    }

    #[test]
    fn a_panic_ends_the_process() {
        if let Ok(name) = env::var(PANICKING) {
            end_on_panic();
            let thread = thread::Builder::new().name(name).spawn(|| panic!("on purpose")).unwrap();
            drop(thread.join());
            process::exit(0);
        }
        assert_eq!(code_after_panic_of("main-of-sorts"), Some(OUR_MISTAKE));
        assert_eq!(code_after_panic_of("worker-0"), Some(0), "the worker's own guard decides");
        assert_eq!(code_after_panic_of(BLOCKING), Some(0), "its job is answered for");
    }
}
